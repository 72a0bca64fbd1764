"""The score of a server: how each scenario came out.

out/torture-NAME.json, written by ci/torture:

    {"schema": "torture-1",
     "server": "nginx-aio",                      # as --server has it
     "name": "nginx-aio",                        # of the file, and of a column
     "version": "nginx version: nginx/1.22.1",   # or null
     "ok": true,                                 # nothing fails
     "seconds": 171.2,
     "facts": {...},                             # machine, kernel, revision: bench/report.py
     "rows": [{"name": "late-readers",           # the scenario
               "title": "who reads only when ...",
               "outcome": "holds",               # "holds", "fails" or "not applicable"
               "figure": "4 late readers, 19 MB",  # in words; why, if it does not hold
               "count": 1, "failed": 0, "skipped": 0,  # tests in this row
               "seconds": 0.8}, ...]}
"""

import errno
import json
import re

HOLDS, FAILS, NOT_APPLICABLE = "holds", "fails", "not applicable"
UNJUDGED = "unjudged"  # there is no room for files: ends everything, and is in no document
# What only the clients' own files bring about.
_PLACE = re.compile(rf"OSError: \[Errno ({errno.ENOSPC}|{errno.EROFS}|{errno.EDQUOT})\]")
_FIGURE_CHARACTERS = 300


class Score:
    """pytest's side: a line of JSON for each test that has ended, the row of that test alone. The
    test says what it is by record_property: "row" (a name; those of one name are a row together),
    "title", "figure"."""

    def __init__(self, path):
        self._file = open(path, "w", encoding="utf-8", buffering=1)
        self._reports = {}

    def pytest_runtest_logstart(self, nodeid, location):
        del location
        self._reports[nodeid] = []

    def pytest_runtest_logreport(self, report):
        self._reports.setdefault(report.nodeid, []).append(report)

    def pytest_runtest_logfinish(self, nodeid, location):
        del location
        document = row_of(nodeid, self._reports.pop(nodeid, []))
        self._file.write(json.dumps(document) + "\n")

    def pytest_unconfigure(self):
        self._file.close()


def row_of(nodeid, reports):
    """The row of one test, of pytest's reports of its set-up, call and tear-down."""
    properties = {name: value for report in reports for name, value in report.user_properties}
    failed = next((report for report in reports if report.failed), None)
    skipped = next((report for report in reports if report.skipped), None)
    if failed is not None:
        outcome = UNJUDGED if _PLACE.match(_message(failed)) else FAILS
        figure = _why_failed(failed)
    elif skipped is not None:
        outcome, figure = NOT_APPLICABLE, _why_skipped(skipped)
    else:
        outcome, figure = HOLDS, properties.get("figure", "")
    function, _, case = nodeid.rpartition("::")[2].partition("[")
    name, case = properties.get("row", function), case.rstrip("]")
    return {"name": name, "case": "" if case == name else case,
            "title": properties.get("title", ""), "outcome": outcome, "figure": figure,
            "count": 1, "failed": int(outcome == FAILS),
            "skipped": int(outcome == NOT_APPLICABLE),
            "seconds": round(sum(report.duration for report in reports), 2)}


def _message(report):
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message if crash else str(report.longrepr)


def _why_failed(report):
    message = _message(report)
    kind, colon, rest = message.partition(": ")
    if colon and "." not in kind and " " not in kind and rest and kind.endswith("Error"):
        message = rest if kind == "AssertionError" else message
    elif colon and " " not in kind:
        message = rest  # scenario.Died: ..., data.WrongBytes: ...
    first = next((line for line in message.splitlines() if line.strip()), "no reason given")
    return first.strip()[:_FIGURE_CHARACTERS]


def _why_skipped(report):
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def merge(rows):
    """One row a name, in the order of appearance. Of several tests the worst outcome counts, and
    the first reason."""
    merged = {}
    for row in rows:
        known = merged.setdefault(row["name"], {**row, "count": 0, "failed": 0, "skipped": 0,
                                                "seconds": 0.0})
        for key in ("count", "failed", "skipped", "seconds"):
            known[key] = round(known[key] + row[key], 2)
        if _badness(row) > _badness(known):
            known.update(outcome=row["outcome"], figure=row["figure"], case=row["case"])
    for row in merged.values():
        case = row.pop("case")
        if row["count"] > 1:
            held = row["count"] - row["failed"] - row["skipped"]
            told = f"; {case}: {row['figure']}" if row["outcome"] == FAILS else ""
            row["figure"] = (f"{held} hold, {row['failed']} fail, {row['skipped']} do not apply"
                             + told)
    return list(merged.values())


def _badness(row):
    return (NOT_APPLICABLE, HOLDS, FAILS).index(row["outcome"])
