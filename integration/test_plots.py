"""The plots of ci/bench: their colours can be read, and told from each other. That they are drawn at
all is test_bench.py's."""

import itertools
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "bench"))

import plots  # noqa: E402

SPREAD = {"median": 2.0, "min": 1.0, "max": 3.0, "values": [1.0, 2.0, 3.0]}
COLD = {"benchmark": "cold", "results": [
    {"server": f"server {number}", "connections": count, "mb_per_s": SPREAD, "cpu_s_per_gb": SPREAD}
    for number in range(len(plots.PALETTE)) for count in (1, 4)]}


def light(colour):
    """Relative luminance, WCAG 2.1."""
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    return sum(weight * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
               for weight, part in zip((0.2126, 0.7152, 0.0722), parts))


def contrast(one, other):
    darker, lighter = sorted((light(one), light(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_wcag():
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


def test_every_colour_can_be_read_on_its_ground():
    for colour in (plots.INK, *plots.PALETTE):
        assert contrast(colour, plots.GROUND) >= 4.5, colour


def test_colours_and_marks_differ():
    looks = [tuple(plots._look(number).items()) for number in range(len(plots.PALETTE))]
    for one, other in itertools.combinations(looks, 2):
        assert one[0] != other[0] and one[1] != other[1]


def test_a_drawing_has_no_other_colours(tmp_path):
    for path in plots.write(COLD, str(tmp_path / "cold")):
        if path.endswith(".svg"):
            with open(path, encoding="utf-8") as file:
                found = set(re.findall(r"#[0-9a-f]{6}\b", file.read()))
            assert found == {plots.GROUND, plots.INK, *plots.PALETTE}
