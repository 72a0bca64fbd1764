"""Plots of measurements as SVG: bars, ranges on a logarithmic axis, and a panel of lines a server.

Colours and fonts are the page's; no meaning rests on a colour alone: every bar, range and panel has
its name and its figure beside it."""

import math

import svg

_CHARACTER = 6.9
_ROW = 22


def rounded_up(value):
    """The end of an axis: 1, 2 or 5 times a power of ten, in four steps or so."""
    if value <= 0:
        return 1.0, 1.0
    step = 10 ** math.floor(math.log10(value / 2))
    step = next(step * factor for factor in (1, 2, 5, 10) if value / (step * factor) <= 6)
    return step * math.ceil(value / step), step


def compact(value):
    """Three digits: "12.5k", "0.31", "1250"."""
    if value >= 10_000:
        return f"{value / 1000:.3g}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _label_width(labels):
    return max([len(label) for label in labels], default=0) * _CHARACTER + 14


def bars(rows, unit, label, width=700):
    """rows: (name, {"median", "min", "max"}, mine). A whisker from min to max."""
    left = _label_width([name for name, _, _ in rows])
    room = width - left - 92
    end, _ = rounded_up(max([spread["max"] for _, spread, _ in rows], default=1))
    parts = []
    for number, (name, spread, mine) in enumerate(rows):
        y = 4 + number * _ROW
        long = room * spread["median"] / end
        parts.append(svg.text(left - 10, y + 14, name, "name", anchor="end"))
        parts.append(svg.rectangle(left, y + 2, max(long, 1), _ROW - 6, "bar mine" if mine else
                                   "bar", radius=2))
        last = long
        if spread["max"] > spread["min"]:
            low, high = (left + room * spread[key] / end for key in ("min", "max"))
            parts.append(svg.line(low, y + _ROW / 2 - 1, high, y + _ROW / 2 - 1, "whisker"))
            last = high - left
        parts.append(svg.text(left + max(last, 1) + 8, y + 14,
                              f"{compact(spread['median'])} {unit}", "figure"))
    parts.append(svg.line(left, 2, left, 4 + len(rows) * _ROW, "axis"))
    return svg.picture(width, 8 + len(rows) * _ROW, label, *parts, class_="chart")


class _Decades:
    """A logarithmic axis of seconds."""

    def __init__(self, lowest, highest, left, room):
        self.begin = math.floor(math.log10(max(lowest, 1e-7)))
        self.end = max(math.ceil(math.log10(max(highest, 1e-7))), self.begin + 1)
        self._left, self._room = left, room

    def x(self, value):
        part = (math.log10(max(value, 10 ** self.begin)) - self.begin) / (self.end - self.begin)
        return self._left + self._room * part

    def ticks(self):
        for power in range(self.begin, self.end + 1):
            value, unit = {0: (1, "s"), 1: (1e3, "ms"), 2: (1e6, "us")}[
                0 if power >= 0 else 1 if power >= -3 else 2]
            yield self.x(10 ** power), f"{10 ** power * value:g} {unit}"


def ranges(rows, label, width=760):
    """rows: (name, median, a high quantile, maximum in seconds, whether the maximum is bad)."""
    left = _label_width([row[0] for row in rows])
    axis = _Decades(min(row[1] for row in rows), max(row[3] for row in rows), left,
                    width - left - 30)
    bottom = 24 + len(rows) * _ROW
    parts = []
    for x, words in axis.ticks():
        parts.append(svg.line(x, 20, x, bottom, "grid"))
        parts.append(svg.text(x, 12, words, "tick", anchor="middle"))
    for number, (name, median, high, most, bad) in enumerate(rows):
        y = 20 + number * _ROW + _ROW / 2
        parts.append(svg.text(left - 10, y + 4, name, "name", anchor="end"))
        parts.append(svg.line(axis.x(median), y, axis.x(most), y, "reach bad" if bad else "reach"))
        parts.append(svg.rectangle(axis.x(median), y - 3, axis.x(high) - axis.x(median), 6, "body",
                                   radius=2))
        parts.append(svg.circle(axis.x(median), y, 4, "median"))
        x = axis.x(most)
        if bad:
            parts.append(svg.path([(x - 5, y - 5), (x + 5, y + 5)], "most bad"))
            parts.append(svg.path([(x - 5, y + 5), (x + 5, y - 5)], "most bad"))
        else:
            parts.append(svg.line(x, y - 5, x, y + 5, "most"))
    return svg.picture(width, bottom + 4, label, *parts, class_="chart")


_PANEL_WIDTH, _PANEL_HEIGHT = 268, 176
_INSET = {"left": 34, "right": 12, "top": 10, "bottom": 24}


def panel(name, series, xs, top, unit, others=(), dashed=(), dots=()):
    """One server's line over the faint ones of `others`. series and others: [(x, spread)]; dashed:
    [(label, [(x, value)])]; dots: [(x, value)]; `top`: the axis's end and step."""
    end, step = top
    room = _PANEL_WIDTH - _INSET["left"] - _INSET["right"]
    high = _PANEL_HEIGHT - _INSET["top"] - _INSET["bottom"]

    def at(x, value):
        place = xs.index(x) / max(1, len(xs) - 1)
        return _INSET["left"] + room * place, _INSET["top"] + high * (1 - min(value, end) / end)

    parts = []
    for number in range(round(end / step) + 1):
        y = at(xs[0], number * step)[1]
        parts.append(svg.line(_INSET["left"], y, _PANEL_WIDTH - _INSET["right"], y, "grid"))
        parts.append(svg.text(_INSET["left"] - 6, y + 4, compact(number * step), "tick",
                              anchor="end"))
    for x in xs:
        parts.append(svg.text(at(x, 0)[0], _PANEL_HEIGHT - 8, str(x), "tick", anchor="middle"))
    for other in others:
        parts.append(svg.path([at(x, spread["median"]) for x, spread in other], "other"))
    for words, points in dashed:
        parts.append(svg.path([at(x, value) for x, value in points], "limit"))
        x, y = at(*points[-1])
        parts.append(svg.text(x, y - 5, words, "limit", anchor="end"))
    parts.append(svg.path([at(x, spread["median"]) for x, spread in series], "own"))
    for x, spread in series:
        place, y = at(x, spread["median"])
        if spread["max"] > spread["min"]:
            parts.append(svg.line(place, at(x, spread["min"])[1], place, at(x, spread["max"])[1],
                                  "whisker"))
        parts.append(svg.circle(place, y, 3.5, "own"))
    for x, value in dots:
        place, y = at(x, value)
        parts.append(svg.tag("path", d=f"M{place:.1f} {y - 4.5:.1f}l4.5 4.5l-4.5 4.5l-4.5 -4.5z",
                             class_="dot"))
    said = ", ".join(f"{x}: {compact(spread['median'])}" for x, spread in series)
    return svg.picture(_PANEL_WIDTH, _PANEL_HEIGHT, f"{name}, {unit} by connections: {said}",
                       *parts, class_="chart panel")
