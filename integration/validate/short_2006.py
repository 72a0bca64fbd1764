"""A short table of 2006 on the modelled disk, so that the page has one after one command: two
counts of connections, one round. `ci/bench 2006` measures all of it."""

import argparse

import disk
import report
import servers
import table_2006

_FULL = ["--connections", "1,10", "--contenders",
         "linux-sendfile,linux-aio-sendfile-1M,auto,nginx-aio,lighttpd"]
_QUICK = ["--connections", "10", "--contenders", "linux-sendfile,auto", "--no-hot"]
_BOTH = ["--rounds", "1", "--seconds", "2", "--no-fio", "--no-same"]


def measure(quick, progress):
    """What ci/bench 2006 would write, or {"why_not"}."""
    reason = disk.why_not()
    if reason:
        progress(f"no table of 2006: {reason}")
        return {"why_not": reason}
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int)
    table_2006.add_arguments(parser)
    arguments = (_QUICK if quick else _FULL) + _BOTH
    document = table_2006.run(parser.parse_args(arguments), progress)
    document["facts"] = report.facts(servers.scratch_folder())
    document["facts"]["command"] = " ".join(["ci/bench", "2006", *arguments])
    return document
