"""What the simulated kernel says of the coordinations: the core, unmodified, in every order of events
of small stories, and in some thousands of orders of large ones. By number of executions, not by
time: the same on every machine. And whether it allows what this machine's kernel does in a real
run."""

import json
import os
import re
import shlex
import subprocess

import servers
from verdict import MUST_FAIL, MUST_HOLD, Cell, Grid

COORDINATIONS = ("published", "masked", "eventfd")
_TIMEOUT_S = 240
_SUMMARY = re.compile(r"^[a-z-]+: (\d+) executions, (\d+) steps", re.M)
_FOUND = re.compile(r"^found by execution (\d+),", re.M)
_ACCEPTED = re.compile(r": accepted: (\d+) calls of \d+ threads?, by order (\d+)$", re.M)
_REJECTED = re.compile(r":(\d+): rejected: ", re.M)
_REPLAY = re.compile(r"^replay with: pollux-sim (.*)$", re.M)

# What `published` was written to show. A find of another kind (a leak, a crash) says nothing of it.
DEFECTS_OF_2006 = ("timeout rescue", "foreign EINTR", "turn bound")

# In each of these the defects of `published` show.
ROWS = (
    ("one read, every order", ["explore", "one-chunk"]),
    ("a client's byte during a read, every order", ["explore", "slow-read"]),
    ("a foreign signal during a read, every order", ["explore", "foreign-signal"]),
    ("two reads and a client's byte, every order", ["explore", "two-chunks"]),
    ("one read, two foreign signals, two early time-outs, every order",
     ["explore", "one-chunk", "--signals", "2", "--early-timeouts", "2"]),
    ("one read, two foreign signals, a fault, every order",
     ["explore", "one-chunk", "--signals", "2", "--faults", "1"]),
    ("one read, a foreign signal, two early time-outs, a fault, every order",
     ["explore", "one-chunk", "--signals", "1", "--early-timeouts", "2", "--faults", "1"]),
    ("two reads at once, every order", ["explore", "two-at-once"]),
    ("the server, a late reader, 500 orders", ["run", "late-reader", "--runs", "500"]),
    ("the server, ten clients, 200 orders", ["run", "ten-downloads", "--runs", "200"]),
    ("the server, failed reads, 500 orders", ["run", "leaver", "--runs", "500", "--faults", "3"]),
)


class ProgramError(AssertionError):
    """pollux-sim could not search, or died."""


def _simulate(*words):
    program = os.path.join(servers.build_folder(), "pollux-sim")
    try:
        return subprocess.run([program, *words], capture_output=True, text=True,
                              timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{shlex.join(['pollux-sim', *words])}: no end within {_TIMEOUT_S} s"
                           ) from error


def folder():
    """Where the finds are saved."""
    return os.path.join(servers.REPOSITORY, "out", "schedules")


def _again(words):
    """The command of a replay, as it is typed in the repository."""
    program = os.path.join(servers.build_folder(), "pollux-sim")
    return shlex.join([os.path.relpath(program, servers.REPOSITORY),
                       *(os.path.relpath(word, servers.REPOSITORY) if os.path.isabs(word) else word
                         for word in shlex.split(words))])


def judge(command, status, out, err, expected):
    """The cell that pollux-sim's answer makes."""
    details = {"command": shlex.join(["pollux-sim", *command])}
    found, summary = _FOUND.search(out), _SUMMARY.search(out)
    if status == 1 and found:
        replay = _REPLAY.search(out)
        details |= {"oracle": out.partition(":")[0], "executions": int(found.group(1)),
                    "replay": _again(replay.group(1)) if replay else ""}
        if expected == MUST_FAIL and details["oracle"] not in DEFECTS_OF_2006:
            raise ProgramError(f"{details['command']}: found {details['oracle']}, which is none of "
                               f"{', '.join(DEFECTS_OF_2006)}")
        return Cell(False, f"by order {details['executions']}: {details['oracle']}", expected,
                    details)
    if status != 0 or not summary:
        raise ProgramError(f"{details['command']}: exit status {status}: {err.strip()}")
    exhausted = "\nexhausted (" in out
    details |= {"executions": int(summary.group(1)), "exhausted": exhausted}
    count = details["executions"]
    seen = f"{count} order{'' if count == 1 else 's'}, {'all of them' if exhausted else 'not all'}"
    if command[0] == "explore" and not exhausted:  # its row says: every order
        return Cell(None, seen, expected, details)
    return Cell(True, seen, expected, details)


def _search(arguments, coordination, expected):
    os.makedirs(folder(), exist_ok=True)
    words = [word.lstrip("-") for word in arguments[1:]]
    kept = os.path.join(folder(), f"{'-'.join(words)}-{coordination}.replay")
    command = [*arguments, "--coordination", coordination]
    done = _simulate(*command, "--save", kept)
    return judge(command, done.returncode, done.stdout, done.stderr, expected)


def real_run(coordination):
    """A run of the loop on this machine's kernel: is all that it saw allowed by the simulated one?"""
    os.makedirs(folder(), exist_ok=True)
    kept = os.path.join(folder(), f"real-run-{coordination}.recording")
    recorded = _simulate("record", "-o", kept, "--coordination", coordination)
    if recorded.returncode != 0:
        raise ProgramError(f"pollux-sim record: exit status {recorded.returncode}: "
                           f"{recorded.stderr.strip()}")
    return judge_recording(kept, _simulate("accept", kept))


def judge_recording(path, done):
    """The cell that the answer of pollux-sim accept makes."""
    details = {"command": _again(shlex.join(["accept", path])), "answer": done.stdout.strip()}
    accepted = _ACCEPTED.search(done.stdout)
    if done.returncode == 0 and accepted:
        return Cell(True, f"{accepted.group(1)} calls, by order {accepted.group(2)}",
                    MUST_HOLD, details)
    rejected = _REJECTED.search(done.stdout)
    if done.returncode == 1 and rejected:
        return Cell(False, f"line {rejected.group(1)}", MUST_HOLD, details)
    raise ProgramError(f"pollux-sim accept: exit status {done.returncode}: {done.stderr.strip()}")


def measure(progress):
    grid = Grid("coordination, simulated", COORDINATIONS)
    for coordination in COORDINATIONS:
        progress(f"the simulated kernel, {coordination}")
        expected = MUST_FAIL if coordination == "published" else MUST_HOLD
        for name, arguments in ROWS:
            grid.put(name, coordination, _search, arguments, coordination, expected)
        grid.put("a real run, accepted by the model", coordination, real_run, coordination)
    return grid


def replays(grid):
    """Each find with the command that replays it, one a line."""
    lines = []
    for row, cells in grid.rows.items():
        for coordination, cell in cells.items():
            if cell.details.get("replay"):
                lines.append(f"{coordination}, {row}: {cell.details['oracle']}: "
                             f"{cell.details['replay']}")
    return "\n".join(lines)


def table_of_2006(progress):
    """The published benchmark on the simulated kernel, as pollux-sim says it."""
    progress("the table of 2006 on the simulated kernel")
    done = _simulate("table", "--json")
    if done.returncode != 0:
        raise ProgramError(f"pollux-sim table: exit status {done.returncode}: "
                           f"{done.stderr.strip()}")
    return json.loads(done.stdout)
