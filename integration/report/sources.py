"""The JSON that the measuring commands have left under out/, and what is not there."""

import dataclasses
import glob
import json
import os
import re
import shlex

BENCHMARKS = ("2006", "cold", "stall", "hot", "scale")


# What reading a document of another shape raises.
MISFITS = (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration,
           ZeroDivisionError, OverflowError)


class SourceError(Exception):
    """There is nothing to make a page of. One line."""


@dataclasses.dataclass
class Source:
    """One file. `document` None: not there, or (with `problem`) not to be used."""
    name: str
    command: str  # that measures it
    document: dict | None = None
    problem: str = ""

    def __post_init__(self):
        self.command = as_typed(self.facts.get("command"), self.command)

    @property
    def facts(self):
        facts = (self.document or {}).get("facts")
        return facts if isinstance(facts, dict) else {}


def as_typed(command, otherwise):
    """"ci/bench cold --rounds 2" of the arguments of the program behind it, for a shell."""
    if str(command).startswith("ci/"):
        return command
    try:
        program, *arguments = shlex.split(str(command))
    except ValueError:  # none, or a quote without an end
        return otherwise
    found = re.fullmatch(r"(?:.*/)?(bench|torture|validate)/main\.py", program, re.S)
    return shlex.join([f"ci/{found[1]}", *arguments]) if found else otherwise


def read_json(path):
    """The object in the file; OSError or ValueError."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)  # UnicodeDecodeError is a ValueError as well
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document


def validated(path):
    """What ci/validate wrote: no page without it."""
    shown = os.path.relpath(path)
    try:
        document = read_json(path)
    except FileNotFoundError:
        raise SourceError(f"{shown} is not there: ci/validate writes it") from None
    except OSError as error:
        raise SourceError(f"{shown}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{shown} is no JSON that ci/validate wrote: {error}") from error
    missing = [key for key in ("facts", "verdicts", "unexpected", "delays", "cold")
               if key not in document]
    if missing:
        raise SourceError(f"{shown} is not what ci/validate of this revision writes: no "
                          f"{', '.join(missing)}")
    return Source("validate", "ci/validate", document)


def _optional(path, name, command, key):
    try:
        document = read_json(path)
        if key not in document:
            raise ValueError(f"no {key}")
        return Source(name, command, document)
    except FileNotFoundError:
        return Source(name, command)
    except OSError as error:
        return Source(name, command, problem=error.strerror)
    except (ValueError, RecursionError) as error:
        return Source(name, command, problem=str(error))


def benchmark(folder, name):
    return _optional(os.path.join(folder, f"bench-{name}.json"), name, f"ci/bench {name}",
                     "benchmark")


def of_validate(document):
    """The short table of 2006 that ci/validate measures by itself."""
    found = document.get("table_2006")
    command = "ci/bench 2006"
    if not isinstance(found, dict):
        return Source("2006", command)
    if "why_not" in found:
        return Source("2006", command, problem=str(found["why_not"]))
    return Source("2006", command, found)


def torture(folder):
    """One for each server that was tortured, by name."""
    found = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "torture-*.json"))):
        name = os.path.basename(path)[len("torture-"):-len(".json")]
        found.append(_optional(path, name, f"ci/torture --server {shlex.quote(name)}",
                               "facts"))
    return found
