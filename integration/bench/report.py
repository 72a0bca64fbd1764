"""What the measuring programs share: tables, machine facts, JSON beside, progress."""

import json
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time

import files
import outputs
from servers import REPOSITORY


class Progress:
    """One line on standard error a step, with the time since the start."""

    def __init__(self, stream=sys.stderr):
        self._stream = stream
        self._start = time.monotonic()

    def __call__(self, text):
        elapsed = time.monotonic() - self._start
        print(f"[{elapsed:6.1f} s] {text}", file=self._stream, flush=True)


def table(header, rows, indent=""):
    """Aligned columns; the first to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for number, row in enumerate(cells):
        line = [row[0].ljust(widths[0])]
        line += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append(indent + "  ".join(line).rstrip())
        if number == 0:
            lines.append(indent + "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def spread(values):
    """{"median", "min", "max", "values"}: what JSON keeps of repeated measurements."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "values": list(values)}


def median_interval(values):
    """(low, high) of the values that hold the true median with 95 % confidence or more, whatever
    the distribution (order statistics); None for fewer than six values."""
    ordered, n = sorted(values), len(values)
    outside, best = 0.0, None
    for rank in range(n // 2):
        outside += 2 * math.comb(n, rank) / 2**n
        if outside > 0.05:
            break
        best = (ordered[rank], ordered[n - 1 - rank])
    return best


def shown(measured, digits):
    """"median (min-max)", or the median alone if there is but one."""
    text = f"{measured['median']:.{digits}f}"
    if len(measured["values"]) > 1:
        text += f" ({measured['min']:.{digits}f}-{measured['max']:.{digits}f})"
    return text


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False,
                              env=dict(os.environ,
                                       PATH=os.environ.get("PATH", "") + ":/usr/sbin"))
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    lines = (done.stdout + done.stderr).splitlines()
    return lines[0].strip() if lines else None


def _processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def disk(folder):
    """What is known of the disk below `folder`: {"name", "model", ...}, or {} (a network's, btrfs)."""
    device = os.stat(folder).st_dev
    path = os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if os.path.exists(os.path.join(path, "partition")):
        path = os.path.dirname(path)
    found = {"name": os.path.basename(path)}
    for name, file in (("model", "device/model"), ("rotational", "queue/rotational"),
                       ("read-ahead KiB", "queue/read_ahead_kb"), ("scheduler", "queue/scheduler")):
        try:
            with open(os.path.join(path, file), encoding="utf-8") as text:
                found[name] = text.read().strip()
        except OSError:
            continue  # a virtual one has no model, a stacked one no scheduler
    return found if len(found) > 1 else {}


def facts(folder):
    """The machine, its kernel and what was measured on it. `folder`: where the files lie."""
    revision = first_line(["git", "-C", REPOSITORY, "describe", "--always", "--dirty"])
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": shlex.join(sys.argv),
        "revision": revision,
        "kernel": platform.release(),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "file_system": files.file_system(folder),
        "disk": disk(folder),
        "load_average": dict(zip(("1 min", "5 min", "15 min"),
                                 (round(load, 2) for load in os.getloadavg()))),
        "nginx": first_line(["nginx", "-v"]),
        "lighttpd": first_line(["lighttpd", "-v"]),
        "root": os.geteuid() == 0,
    }


def facts_line(known):
    gib = known["memory_bytes"] / 2**30
    return (f"Linux {known['kernel']}, {known['processors']} x {known['processor']}, "
            f"{gib:.0f} GiB, {known['file_system']}; revision {known['revision'] or 'unknown'}")


def write_json(path, document):
    outputs.write_text(path, json.dumps(document, indent=1) + "\n")
