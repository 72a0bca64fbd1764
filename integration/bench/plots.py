"""The figures of ci/bench as plots.

What draws takes what a benchmark wrote as JSON; write() makes an SVG and a PNG of each. On a white
ground of their own, wherever they are shown, on which every colour has the contrast of text.
"""

import io
import re

import matplotlib

matplotlib.use("Agg")  # no display
from matplotlib import pyplot  # noqa: E402

GROUND = "#ffffff"
INK = "#56606b"
PALETTE = ("#c0362c", "#1c5cb8", "#1a7f73", "#9a5b00", "#7650c0", "#3f7a1e", "#a83a7b", "#6f6041",
           "#1f7a90")
_MARKS = "os^Dv<>pP"
_STYLE = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10,
    "figure.facecolor": GROUND, "axes.facecolor": GROUND, "savefig.facecolor": GROUND,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "axes.titlecolor": INK,
    "xtick.color": INK, "ytick.color": INK, "grid.color": INK, "grid.alpha": 0.25,
    "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
}


def _figure(name, draw, size=(8.4, 4.4)):
    """What `draw(axes)` has drawn, as a figure that is not shown anywhere."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure, axes = pyplot.subplots(figsize=size)
        figure.set_gid(name)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        draw(axes)
        figure.tight_layout()
        return figure


def _svg(name, draw, **options):
    figure = _figure(name, draw, **options)
    out = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    text = out.getvalue()
    # Several of them share a page, where an id stands for one thing.
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text[text.index("<svg"):])
    return text.rstrip() + "\n"


def _spread(axes, positions, rows, **style):
    middle = [row["median"] for row in rows]
    below = [row["median"] - row["min"] for row in rows]
    above = [row["max"] - row["median"] for row in rows]
    axes.errorbar(positions, middle, yerr=[below, above], capsize=2, linewidth=1.5, markersize=5,
                  **style)


def _look(number):
    return {"color": PALETTE[number % len(PALETTE)], "marker": _MARKS[number % len(_MARKS)]}


def _legend(axes):
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=9)


def _by_connections(document, key, label, extra=None):
    """Lines over the connection counts, which are as far apart as their names."""
    counts = sorted({row["connections"] for row in document["results"]
                     if row.get("files", "distinct") == "distinct"})
    at = {count: place for place, count in enumerate(counts)}
    names = list(dict.fromkeys(row["server"] for row in document["results"]))

    def draw(axes):
        for number, name in enumerate(names):
            rows = sorted((row for row in document["results"] if row["server"] == name
                           and row.get("files", "distinct") == "distinct"),
                          key=lambda row: row["connections"])
            _spread(axes, [at[row["connections"]] for row in rows], [row[key] for row in rows],
                    label=name, **_look(number))
        if extra:
            extra(axes, at)
        axes.set_xticks(range(len(counts)), [str(count) for count in counts])
        axes.set_xlabel("connections")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        _legend(axes)

    return draw


def _bars(rows, label, logarithmic=False):
    """`rows`: [(name, spread)]."""

    def draw(axes):
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x")
        for number, (name, measured) in enumerate(rows):
            del name
            axes.barh(number, measured["median"], color=_look(number)["color"], height=0.6, xerr=[
                [measured["median"] - measured["min"]], [measured["max"] - measured["median"]]],
                ecolor=INK, capsize=2)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.invert_yaxis()
        axes.set_xlabel(label)
        if logarithmic:
            axes.set_xscale("log")

    return draw


# --- The table of 2006.


def _draw_rates_2006(document):
    def extra(axes, at):
        limit = sorted(document["limit"], key=lambda row: row["connections"])
        if limit:
            axes.plot([at[row["connections"]] for row in limit],
                      [row["mb_per_s"]["median"] for row in limit], linestyle="--", color=INK,
                      label="fio, the best shape")
        published = {}
        for row in document["published"]:
            if row["connections"] in at:
                published.setdefault((row["server"], row["chunk"]), []).append(row)
        for number, ((server, chunk), rows) in enumerate(published.items()):
            axes.plot([at[row["connections"]] for row in rows], [row["mb_per_s"] for row in rows],
                      linestyle=":", color=INK, marker="xX+"[number % 3], markersize=6,
                      linewidth=1, label=f"2006: {server} {chunk or ''}".rstrip())

    return _by_connections(document, "mb_per_s", "MB/s", extra)


def _draw_cpu(document):
    return _by_connections(document, "cpu_s_per_gb", "the server's CPU, s per GB")


def _draw_latency_2006(document):
    return _bars([(row["server"], row["p99_ms"]) for row in document["hot"]],
                 "p99 of a hot request behind ten cold downloads, ms", logarithmic=True)


# --- The other benchmarks.


def _draw_rates_cold(document):
    return _by_connections(document, "mb_per_s", "MB/s")


def _draw_latency_stall(document):
    return _bars([(row["server"], row["p99_ms"]) for row in document["results"]],
                 "p99 of a hot request behind cold downloads, ms", logarithmic=True)


def _draw_cpu_hot(document):
    return _bars([(f"{row['case']}: {row['server']}", row["us_per_request"])
                  for row in document["results"]], "the server's CPU of a request, us",
                 logarithmic=True)


def _draw_cpu_scale(document):
    return _bars([(f"{row['server']}, {words}", row["cpu_us"][key])
                  for row in document["results"]
                  for key, words in (("alone", "alone"), ("beside", "beside idle ones"))],
                 "the server's CPU of a request, us")


_DRAWN = {
    "2006": {"rates": _draw_rates_2006, "cpu": _draw_cpu, "latency": _draw_latency_2006},
    "cold": {"rates": _draw_rates_cold, "cpu": _draw_cpu},
    "stall": {"latency": _draw_latency_stall},
    "hot": {"cpu": _draw_cpu_hot},
    "scale": {"cpu": _draw_cpu_scale},
}


def write(document, base):
    """base-NAME.svg and base-NAME.png of each plot that this benchmark has: their paths."""
    paths = []
    if not document.get("results"):
        return paths
    for name, draw in _DRAWN[document["benchmark"]].items():
        if name == "latency" and document["benchmark"] == "2006" and not document["hot"]:
            continue
        full = f"{name}-{document['benchmark']}"
        path = f"{base}-{name}"
        with open(path + ".svg", "w", encoding="utf-8") as file:
            file.write(_svg(full, draw(document)))
        figure = _figure(full, draw(document))
        figure.savefig(path + ".png", dpi=120)
        pyplot.close(figure)
        paths += [path + ".svg", path + ".png"]
    return paths
