"""The table of 2006 in fakes/README.md is the one that pollux-sim prints: virtual time knows no busy
machines, so that every figure must be the same."""

import json
import os
import re
import subprocess

import servers

SIM = os.path.join(servers.build_folder(), "pollux-sim")
README = os.path.join(servers.REPOSITORY, "fakes", "README.md")
CONNECTIONS = (1, 2, 5, 10)
TIMEOUT_S = 600  # with a sanitizer, on a busy machine; it takes 5 s


def figures_of_the_readme():
    """By backend, chunk and connections: what stands in the cell."""
    with open(README, encoding="utf-8") as file:
        rows = re.findall(r"^\| `([a-z-]+)` \| (\d+[KM])? *\|((?: [^|]+\|){4})$", file.read(), re.M)
    return {(backend, chunk, connections): cell.strip()
            for backend, chunk, cells in rows
            for connections, cell in zip(CONNECTIONS, cells.split("|"))}


def figures_of_the_program():
    table = subprocess.run([SIM, "table", "--json"], capture_output=True, text=True, check=True,
                           stdin=subprocess.DEVNULL, timeout=TIMEOUT_S)
    figures = {}
    for cell in json.loads(table.stdout)["cells"]:
        text = f"{cell['mb_per_second']:.0f}"
        if cell["ratio"] is not None:
            text += f" ({cell['published_2006']:.0f}, {cell['ratio']:.2f})"
        figures[cell["backend"], cell["chunk"] or "", cell["connections"]] = text
    return figures


def test_readme_has_the_figures_that_the_program_prints():
    program = figures_of_the_program()
    assert len(program) == 36
    assert figures_of_the_readme() == program
