"""How the defects of 2006 come about, step by step: for each the shortest execution on the
simulated kernel that shows it, as lanes of steps, sleeps and arrows. `pollux-sim run` finds it,
`shrink` makes it small, `trace` writes it down; the same on every machine."""

import dataclasses
import json
import os
import re
import shlex
import subprocess
import tempfile
import typing

import servers

_TIMEOUT_S = 60
_SEEDS = 40
_STEPS_AFTER = 4  # kept behind the step that is the violation


@dataclasses.dataclass(frozen=True)
class Defect:
    name: str
    arguments: tuple   # of pollux-sim run
    oracle: str        # what must say so
    # Of a trace: whether it shows the defect in the form that it is known by. The first seed's that
    # does is taken; without one that does, the first find.
    textbook: typing.Callable = lambda timeline: True


class NotFound(AssertionError):
    """No execution shows the defect."""


def _kicked_before_its_sleep(timeline):
    """The helper's kill comes while the main thread is on its way from its check to its sleep."""
    main = timeline["lanes"].index("thread main")
    asleep = [(begin, end) for lane, begin, end in timeline["sleeps"] if lane == main]
    judged = timeline["violation_step"]
    return any(name == "kill" and lane != main and not any(b < step < e for b, e in asleep)
               and any(step < b <= judged < e for b, e in asleep)
               for step, _, lane, name in timeline["steps"])


DEFECTS = (
    Defect("lost-wake-up", ("two-at-once", "--coordination", "published", "--strategy", "pct"),
           "timeout rescue", _kicked_before_its_sleep),
    Defect("kick-that-never-lands", ("slow-read", "--coordination", "published"),
           "timeout rescue"),
    Defect("foreign-signal", ("foreign-signal", "--coordination", "published"), "foreign EINTR"),
    Defect("early-reuse", ("late-reader", "--coordination", "eventfd", "--retire", "reuse"),
           "page references"),
)


def _simulate(*words):
    program = os.path.join(servers.build_folder(), "pollux-sim")
    try:
        return subprocess.run([program, *map(str, words)], capture_output=True, text=True,
                              timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise NotFound(f"pollux-sim {words[0]}: no end within {_TIMEOUT_S} s") from error


def _violation_step(replay, oracle, steps):
    """The step at which `oracle` first had something to say: the smallest bound on the number of
    steps with which an execution is given up no earlier."""
    with open(replay, encoding="utf-8") as file:
        kept = json.load(file)
    low, high = 1, steps
    while low < high:
        kept["steps_max"] = middle = (low + high) // 2
        bounded = replay + ".bounded"
        with open(bounded, "w", encoding="utf-8") as file:
            json.dump(kept, file)
        said = _simulate("replay", "--quiet", bounded).stdout
        if re.search(rf"^{re.escape(oracle)}:", said, re.M):
            high = middle
        else:
            low = middle + 1
    return low


def reduced(events, violation_step=None):
    """What a drawing needs of Chrome trace events: lanes by name, steps as (number, virtual time in
    seconds, lane, name), sleeps as (lane, step that begins it, step that ends it), arrows as (from
    step, to step, kind)."""
    order = {event["tid"]: event["args"]["sort_index"] for event in events
             if event["name"] == "thread_sort_index"}
    names = {event["tid"]: event["args"]["name"] for event in events
             if event["name"] == "thread_name"}
    lanes = sorted(names, key=lambda tid: order[tid])
    slices = [event for event in events if event["ph"] == "X"]
    taken = sorted((event["args"]["step"], event["args"]["virtual_time_s"],
                    lanes.index(event["tid"]), event["name"])
                   for event in slices if event["cat"] != "sleep")
    at = {(event["tid"], event["ts"]): event["args"]["step"] for event in slices
          if event["cat"] != "sleep"}
    sleeps = []
    for event in slices:
        if event["cat"] == "sleep":
            lane, end = lanes.index(event["tid"]), event["args"]["step"]
            sleeps.append((lane, max(step for step, _, where, _ in taken
                                     if where == lane and step < end), end))
    ends = {event["id"]: event for event in events if event["ph"] == "f"}
    arrows = [(at[event["tid"], event["ts"] - 0.5],
               at[ends[event["id"]]["tid"], ends[event["id"]]["ts"] - 0.5], event["name"])
              for event in events if event["ph"] == "s"]
    return {"lanes": [names[tid] for tid in lanes], "steps": taken, "sleeps": sleeps,
            "arrows": arrows, "violation_step": violation_step or taken[-1][0]}


def _cut(timeline):
    """Without what comes after the violation: the story's orderly end."""
    last = timeline["violation_step"] + _STEPS_AFTER
    return {**timeline,
            "steps": [step for step in timeline["steps"] if step[0] <= last],
            "sleeps": [sleep for sleep in timeline["sleeps"] if sleep[1] <= last],
            "arrows": [arrow for arrow in timeline["arrows"] if arrow[1] <= last]}


def _from_seed(defect, seed, folder):
    """The timeline of the seed's execution, or None if it shows nothing."""
    found, small, trace = (os.path.join(folder, name) for name in ("found", "small", "trace"))
    run = ["run", *defect.arguments, "--seed", str(seed), "--runs", "1"]
    done = _simulate(*run, "--save", found)
    if done.returncode != 1 or not done.stdout.startswith(defect.oracle + ":"):
        return None
    for words in (("shrink", found, "-o", small), ("trace", small, "-o", trace)):
        done = _simulate(*words)
        if done.returncode != 0:
            raise NotFound(f"pollux-sim {words[0]}: exit status {done.returncode}: "
                           f"{done.stderr.strip()}")
    with open(trace, encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    said = next(event for event in events if event["ph"] == "i")
    steps = max(event["args"]["step"] for event in events if event["ph"] == "X")
    timeline = reduced(events, _violation_step(small, said["name"], steps))
    save = f"{defect.name}.replay"
    return {"name": defect.name, "oracle": said["name"], "text": said["args"]["text"],
            "commands": [shlex.join(["build/release/pollux-sim", *run, "--save", save]),
                         f"build/release/pollux-sim shrink {save} -o small.replay",
                         "build/release/pollux-sim replay small.replay"],
            **_cut(timeline)}


def find(defect):
    first = None
    with tempfile.TemporaryDirectory(prefix="timelines-", dir=servers.scratch_folder()) as folder:
        for seed in range(1, _SEEDS + 1):
            timeline = _from_seed(defect, seed, folder)
            if timeline is not None and defect.textbook(timeline):
                return timeline
            first = first or timeline
    if first is None:
        raise NotFound(f"{defect.name}: not shown by {_SEEDS} executions")
    return first


def measure(progress):
    progress("timelines of the defects")
    return [find(defect) for defect in DEFECTS]
