"""Where it was measured."""

import sources


def _bytes(count):
    return f"{count / 2**30:.1f} GiB"


def when(facts):
    """"2026-11-22 21:52 UTC" of "2026-11-22T21:52:50Z"."""
    time = str(facts.get("time", "at an unknown time"))
    date, _, clock = time.partition("T")
    return f"{date} {clock[:5]} UTC" if clock.endswith("Z") else time


def table(facts):
    disk = facts.get("disk") or {}
    load = facts.get("load_average") or {}
    rows = [
        ("Kernel", facts["kernel"] and f"Linux {facts['kernel']}"),
        ("Processors", f"{facts['processors']} × {facts['processor']}"),
        ("Memory", _bytes(facts["memory_bytes"])),
        ("File system", facts["file_system"]),
        ("Disk", ", ".join(f"{name}: {value}" for name, value in disk.items())),
        ("Load average", ", ".join(f"{value} ({name})" for name, value in load.items())),
        ("nginx", facts["nginx"] or "not installed"),
        ("lighttpd", facts["lighttpd"] or "not installed"),
        ("Run as root", "yes" if facts["root"] else "no"),
        ("Revision", facts["revision"] or "unknown"),
        ("Measured", when(facts)),
        ("Command", sources.as_typed(facts["command"], facts["command"])),
    ]
    return {"facts": [row for row in rows if row[1]]}
