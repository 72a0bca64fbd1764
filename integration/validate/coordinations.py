"""The properties of the coordinations, measured by pollux-validate in one process per coordination
and event handler; a column shows the worse of its handlers."""

import json
import os
import shlex
import subprocess

import report
import servers
from verdict import EITHER, MUST_FAIL, MUST_HOLD, Cell, Grid, duration

COORDINATIONS = {"published": ["poll"], "masked": ["epoll", "poll"], "eventfd": ["epoll", "poll"]}
_TIMEOUT_S = 240


class ProgramError(AssertionError):
    """pollux-validate could not measure, or died."""


def _run(coordination, handler, path, effort):
    command = [os.path.join(servers.build_folder(), "pollux-validate"),
               "--coordination", coordination, "--event-handler", handler, "--file", path,
               "--seconds", str(effort.read_seconds), "--rounds", str(effort.rounds),
               "--stalling-rounds", str(effort.stalling_rounds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S,
                              check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{' '.join(command)}: no end within {_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise ProgramError(f"{' '.join(command)}: exit status {done.returncode}: "
                           f"{done.stderr.strip()}")
    # The file is gone by then: FILE is to be any other of its size.
    again = ["build/release/pollux-validate", *("FILE" if word == path else word
                                                for word in command[1:])]
    return {**json.loads(done.stdout), "command": shlex.join(again)}


def _not_shown(expected, measured):
    """The order of events was never brought about: no verdict, so never the one that must be."""
    return Cell(expected == MUST_FAIL, "not shown", expected, {"measured": measured})


def _lost_wakeup(measured, expected):
    lost = [one["lost_wakeup"] for one in measured]
    if any(one["held"] == 0 for one in lost):
        return _not_shown(expected, lost)
    longest = max(one["longest_s"] for one in lost)
    return Cell(sum(one["stalled"] for one in lost) == 0, duration(longest), expected,
                {"measured": lost})


def _kick(measured, expected):
    kicks = [one["kick"] for one in measured]
    if expected == EITHER:  # its completions need none
        some = any(one["has_helper"] for one in kicks)
        return Cell(None, "no helper to kick", MUST_HOLD if some else EITHER, {"measured": kicks})
    if any(not one["has_helper"] or one["kicks"] == 0 for one in kicks):
        return _not_shown(expected, kicks)
    sent, landed = sum(one["kicks"] for one in kicks), sum(one["landed"] for one in kicks)
    longest = max(one["longest_s"] for one in kicks)
    return Cell(landed == sent, f"{landed} of {sent}, {duration(longest)}", expected,
                {"measured": kicks})


def _foreign(measured, expected):
    signals = [one["foreign_signals"] for one in measured]
    if any(one["interrupted"] == 0 for one in signals):
        return _not_shown(expected, signals)
    sent = sum(one["interrupted"] for one in signals)
    misread = sum(one["misread"] for one in signals)
    harm = misread + sum(one["dispatched_wrongly"] + one["late"] for one in signals)
    longest = max(one["longest_turn_s"] for one in signals)
    return Cell(harm == 0, f"{misread} of {sent} misread, {duration(longest)}", expected,
                {"measured": signals})


def _left_alone(measured, expected):
    """Nobody holds anything: plain reads with an idle socket. `published` usually stalls here, but
    whether it does within a few seconds is luck: the ordered rows carry its verdict."""
    delays = [delay for one in measured for delay in one["delays"]]
    reads, stalls = (sum(delay[name] for delay in delays) for name in ("reads", "stalls"))
    longest = max(delay["longest_s"] for delay in delays)
    if expected == MUST_FAIL and stalls == 0:
        return Cell(None, f"0 of {reads} this time", EITHER)
    return Cell(stalls == 0, f"{stalls} of {reads}, {duration(longest)}",
                MUST_HOLD if expected == MUST_HOLD else EITHER)


ROWS = {"no lost wake-up": _lost_wakeup, "the kick lands": _kick,
        "foreign EINTR harmless": _foreign, "no stall when left alone": _left_alone}


def _unmeasured(error):
    raise ProgramError(str(error))


def measure(path, effort, progress):
    """(Grid, delays as rows for the second table)."""
    grid = Grid("coordination", COORDINATIONS)
    delays = []
    for name, handlers in COORDINATIONS.items():
        expected = MUST_FAIL if name == "published" else MUST_HOLD
        try:
            measured = []
            for handler in handlers:
                progress(f"coordination {name} with {handler}")
                measured.append(_run(name, handler, path, effort))
                delays += [{"coordination": name, "event_handler": handler,
                            "command": measured[-1]["command"], **delay}
                           for delay in measured[-1]["delays"]]
        except (ProgramError, ValueError) as error:  # its answer is no JSON
            for row in ROWS:
                grid.put(row, name, _unmeasured, error)
            continue
        for row, judge in ROWS.items():
            # The completions of eventfd need no helper.
            grid.put(row, name, judge, measured,
                     EITHER if judge is _kick and name == "eventfd" else expected)
            grid.rows[row][name].details["commands"] = [one["command"] for one in measured]
    return grid, delays


def delay_text(delays):
    rows = [[f"{row['coordination']}, {row['event_handler']}", row["in_flight"], row["reads"],
             f"{row['p50_s'] * 1e6:.0f}", f"{row['p99_s'] * 1e6:.0f}",
             duration(row["longest_s"]), row["stalls"]] for row in delays]
    return report.table(["from completion to dispatch, 512 KiB reads", "in flight", "reads",
                         "p50 us", "p99 us", "longest", ">= 0.9 s"], rows)
