"""SVG as text: all that is put into it is escaped, colours come from the page's style sheet."""

from markupsafe import Markup, escape


def tag(name, *children, **attributes):
    """<name attributes>children</name>: `class_` is class, `font_size` font-size, None left out."""
    words = "".join(Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _number(value))
                    for key, value in attributes.items() if value is not None)
    inside = Markup("").join(children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup(words), inside)


def _number(value):
    """No more digits than can be seen."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def text(x, y, words, class_=None, anchor=None):
    return tag("text", escape(words), x=float(x), y=float(y), class_=class_, text_anchor=anchor)


def line(x1, y1, x2, y2, class_=None):
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def rectangle(x, y, width, height, class_=None, radius=None):
    return tag("rect", x=float(x), y=float(y), width=float(max(0, width)), height=float(height),
               rx=radius, class_=class_)


def circle(x, y, radius, class_=None):
    return tag("circle", cx=float(x), cy=float(y), r=float(radius), class_=class_)


def path(points, class_=None):
    """A line through the points."""
    d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return tag("path", d=d, class_=class_)


def picture(width, height, label, *children, class_=None):
    """`label` is what a screen reader says of it. Drawn at its own size, or smaller where there is
    less room."""
    return tag("svg", *children, xmlns="http://www.w3.org/2000/svg", role="img", aria_label=label,
               viewBox=f"0 0 {width:.0f} {height:.0f}", width=f"{width:.0f}",
               height=f"{height:.0f}", class_=class_)
