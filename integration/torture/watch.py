"""Was there anything to wait for? Looks at a server's threads and at the disk 40 times a second.

A server that is slow because the machine is, or because it blocks, shows it: a thread runs or is in
the disk's sleep (state R or D, proc(5)). One that waits for an asynchronous read shows it too: a
read of its own keeps the disk busy at every look, whatever else the disk has to do. So when every
thread slept for most of a second, and the disk was seen with nothing to do, nobody was working on
the answer: what should have woken the server up was lost.
"""

import contextlib
import os
import threading
import time

LOOK_EVERY_S = 0.025
STALL_S = 0.9  # below the one second after which a time-out rescues the protocol of 2006
_LOOKS_LEAST = 10
_AWAKE_MOST = 0.1     # of the looks: a timer that is due
_DISK_IDLE_LEAST = 2  # looks


class Beside:
    """Runs _run in a thread of its own until the block is left, when _stop is set."""

    def __init__(self):
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        raise NotImplementedError

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


class Watch(Beside):
    def __init__(self, server, path):
        super().__init__()
        self._server = server
        device = os.stat(path).st_dev
        self._disk = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat"
        self._looks = []  # (when, every thread asleep, disk idle)

    def _run(self):
        while not self._stop.wait(LOOK_EVERY_S):
            self._looks.append((time.monotonic(), self._asleep(), self._disk_idle()))

    def _asleep(self):
        for pid in self._server.pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/stat", "rb") as stat:
                        if stat.read().rpartition(b")")[2].split()[0] in (b"R", b"D"):
                            return False
        return True

    def _disk_idle(self):
        try:
            with open(self._disk, encoding="ascii") as stat:
                return stat.read().split()[8] == "0"  # requests in flight (block/stat.rst)
        except FileNotFoundError:
            return True  # no block device: its waits show as state D

    def awake(self):
        """The share of the looks that found a thread which ran, or would have if it had had a
        processor: unlike CPU time no matter of what else the machine does."""
        return sum(not asleep for _, asleep, _ in self._looks) / max(1, len(self._looks))

    def idle_throughout(self, start, end):
        looks = [look for look in self._looks if start <= look[0] <= end]
        awake = sum(not asleep for _, asleep, _ in looks)
        disk_idle = sum(idle for _, _, idle in looks)
        return (len(looks) >= _LOOKS_LEAST and awake <= _AWAKE_MOST * len(looks)
                and disk_idle >= _DISK_IDLE_LEAST)
