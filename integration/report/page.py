"""The report: one page, with all that it needs inside it."""

import base64
import dataclasses
import hashlib
import os

import jinja2
from markupsafe import Markup

import history
import machine
import outputs
import parts
import servers
import sources
import stories

_HERE = os.path.dirname(os.path.abspath(__file__))


@dataclasses.dataclass
class Section:
    id: str
    title: str
    parts: list
    text: tuple = ()
    stamp: str = ""
    key: bool = False


def _stamp(source, newest):
    """When and of what it was measured; whether that is older than the verdicts."""
    facts = source.facts
    words = f"Measured {machine.when(facts)}"
    if facts.get("revision"):
        words += f", revision {facts['revision']}"
    if facts.get("revision") != newest.facts.get("revision"):
        words += " (another one than that of the verdicts)"
    return words + "."


def _absent(source, title):
    return {"title": title, "problem": source.problem, "command": source.command}


def _real(source):
    grids = {part["kind"]: part for part in source.document["verdicts"]}
    delays = parts.delays(source.document["delays"], source.command)
    return [parts.grid(grids["coordination"], source.command), delays,
            parts.grid(grids["backend"], source.command),
            parts.grid(grids["retire"], source.command)]


def _simulated(source):
    return [parts.grid(part, source.command) for part in source.document["verdicts"]
            if "simulated" in part["kind"]]


def _servers(folder, validated):
    """The benchmarks on this machine's own disk: each with its own date."""
    backends = parts.cold(validated.document["cold"]["results"], validated.command,
                          "Cold files of 700 MB, each backend once")
    backends.notes += (_stamp(validated, validated),)
    shown = [backends] if backends.rows else []
    for name, title in (("cold", "Cold files"), ("stall", "A hot request behind cold downloads"),
                        ("hot", "Hot files"), ("scale", "Many connections")):
        source = sources.benchmark(folder, name)
        made = []
        if source.document is not None:
            try:
                made = parts.benchmark(name, source.document, source.command)
            except sources.MISFITS as error:
                source.problem = f"{type(error).__name__}: {error}"
        for table in made:
            table.notes += (_stamp(source, validated),)
        shown += made or [_absent(source, title)]
    return shown


def _torture(folder, validated):
    found = sources.torture(folder)
    for source in found:
        try:
            if source.document is not None:
                parts.torture([source.document])  # one that cannot be shown keeps none from it
        except sources.MISFITS as error:
            source.document, source.problem = None, f"{type(error).__name__}: {error}"
    usable = sorted((source for source in found if source.document is not None),
                    key=lambda source: not source.name.startswith("pollux"))
    shown = [_absent(source, f"The server {source.name}") for source in found
             if source.document is None]
    if usable:
        table = parts.torture([source.document for source in usable])
        table.notes += tuple(f"{source.name}: {_stamp(source, validated)}" for source in usable)
        table.commands = [(source.name, source.command) for source in usable]
        shown.insert(0, table)
    return shown or [{"title": "Scores", "problem": "", "command": "ci/torture"}]


def sections(folder, validated):
    document, stamp = validated.document, _stamp(validated, validated)
    return [
        Section("real", "On the real kernel", _real(validated), stamp=stamp, key=True),
        Section("simulated", "In every order of events", _simulated(validated), stamp=stamp),
        Section("timelines", "How the defects come about", stories.drawn(document), (
            "For each defect the shortest execution that shows it, found and made small by the "
            "simulated kernel. Time runs down; a column is a thread, the disk, or a peer. Dots are "
            "steps, bars are sleeps, wide bands are virtual time in which nothing happens. A solid "
            "arrow ended a sleep, a dashed one is a signal. Red is where it goes wrong.",),
                stamp=stamp),
        Section("table-2006", "The table of 2006", history.parts_of(
            folder, validated, lambda source: _stamp(source, validated))),
        Section("servers", "Beside other servers", _servers(folder, validated)),
        Section("torture", "Tortured", _torture(folder, validated), (
            "Any server under what goes wrong in the world: late readers, resets, slow heads, "
            "truncated files, exhausted descriptors. A server may fail; Pollux may not.",)),
        Section("machine", "Machine and kernel", [machine.table(validated.facts)], stamp=stamp),
    ]


def _outcome(document):
    """(as it must be, in a sentence)"""
    wrong = document["unexpected"]
    if wrong:
        return False, f"Not as it must be: {len(wrong)} of the verdicts"
    return True, "As it must be: the specimens of 2006 fail, all else holds"


def _tiles(document):
    counts = parts.tally(document["verdicts"])
    tiles = [(f"{counts['must fail'][0]} of {counts['must fail'][1]}",
              "defects of the specimens of 2006 shown"),
             (f"{counts['must hold'][0]} of {counts['must hold'][1]}",
              "properties of the corrected design hold"),
             (f"{parts.orders(document['verdicts']):,}",
              "orders of events in which nothing was found")]
    return tiles


def _hash(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _read(name):
    with open(os.path.join(_HERE, name), encoding="utf-8") as file:
        return file.read()


def html(folder, verdicts="validate.json"):
    """The page of the JSON in `folder`, in which `verdicts` is that of ci/validate. SourceError if
    there is none to make it of."""
    path = os.path.join(folder, verdicts)
    validated = sources.validated(path)
    try:
        ok, outcome = _outcome(validated.document)
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE), autoescape=True,
            undefined=jinja2.ChainableUndefined, trim_blocks=True)
        style, script = _read("style.css"), _read("script.js")
        # Nothing is loaded and nothing runs but what is here, even if an escape were missing.
        policy = (f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
                  f"script-src {_hash(script)}")
        return environment.get_template("template.html").render(
            ok=ok, outcome=outcome, tiles=_tiles(validated.document),
            unexpected=validated.document["unexpected"], sections=sections(folder, validated),
            style=Markup(style), script=Markup(script), policy=policy,
            closing="Made by ci/report from out/*.json. Pollux is free software.")
    except sources.MISFITS as error:
        raise sources.SourceError(
            f"{os.path.relpath(path)} is not what ci/validate of this revision writes "
            f"({type(error).__name__}: {error})") from error


def write(folder, path, verdicts="validate.json"):
    """The page at `path`; OSError if it cannot be written."""
    outputs.write_text(path, html(folder, verdicts))


def default_path():
    return os.path.join(servers.REPOSITORY, "out", "report", "index.html")
