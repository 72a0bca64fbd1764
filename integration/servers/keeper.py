"""Runs a command, and ends all that comes of it.

    keeper.py COMMAND [ARGUMENT...]

What goes into the background leaves its parent, its session and its process group; here this process
adopts it (PR_SET_CHILD_SUBREAPER, prctl(2)), and kills it when the command has ended, or when the
standard input ends, which is a pipe from a test run that may be killed. Ends as the command did.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys

from usage import children_of

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def end_all():
    """The number of processes that had to be ended."""
    found = set()
    while pids := children_of(os.getpid())[1:]:
        found.update(pids)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
    return len(found)


def main():
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the command's business; it ends, then this
    ended = os.pidfd_open(command.pid)
    if ended not in select.select([ended, sys.stdin], [], [])[0]:
        end_all()
        return 1
    status = command.wait()
    if left := end_all():
        print(f"the command ended and left {left} processes in the background, which were ended: a "
              "server has to stay in the foreground", file=sys.stderr)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main())
