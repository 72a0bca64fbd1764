"""What processes use: CPU, memory, descriptors, threads, by /proc (proc(5))."""

import contextlib
import os
import select
import time


def children_of(pid):
    """The process and everything below it."""
    found, queue = [], [pid]
    while queue:
        parent = queue.pop()
        found.append(parent)
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as children:
                    queue.extend(int(child) for child in children.read().split())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def still_there(pids, within):
    """Those of the processes that do not end within so many seconds. By pidfds: nothing is polled
    for, and nobody who gets a number later is meant."""
    ends = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            ends[pid] = os.pidfd_open(pid)
    try:
        deadline = time.monotonic() + within
        return [pid for pid, end in ends.items()
                if not select.select([end], [], [], max(0, deadline - time.monotonic()))[0]]
    finally:
        for end in ends.values():
            os.close(end)


class Usage:
    """Questions about the processes that pids() names, all together."""

    def pids(self):
        raise NotImplementedError

    def cpu_seconds(self):
        """User and system time of all its processes, threads that have ended included, to the
        nanosecond: the process's own CPU clock (clock_getcpuclockid(3))."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids())

    def cpu_user_system(self):
        """The same split, in clock ticks' resolution (usually 10 ms)."""
        user = system = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/stat", "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
            user += int(fields[11])
            system += int(fields[12])
        tick = os.sysconf("SC_CLK_TCK")
        return user / tick, system / tick

    def memory(self):
        """Bytes by the names of /proc/PID/smaps_rollup, summed: Rss, Pss_Anon, Pss_Shmem, ..."""
        total = {}
        for pid in self.pids():
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                for line in file:
                    words = line.split()
                    if len(words) == 3 and words[2] == "kB":
                        key = words[0].rstrip(":")
                        total[key] = total.get(key, 0) + int(words[1]) * 1024
        return total

    def heap_bytes(self):
        """Anonymous memory, but for mappings that want huge pages (madvise(2), MADV_HUGEPAGE): heap,
        stacks, the writable data of libraries."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
                for line in file:
                    words = line.split()
                    if words[0] == "Anonymous:":
                        anonymous = int(words[1]) * 1024
                    elif words[0] == "VmFlags:" and "hg" not in words:
                        total += anonymous  # the flags end the lines of a mapping
        return total

    def rss(self):
        return self.memory()["Rss"]

    def descriptors(self):
        """What each open descriptor is: a list of link texts ("socket:[1]", "/memfd:chunk ...")."""
        links = []
        for pid in self.pids():
            for name in os.listdir(f"/proc/{pid}/fd"):
                try:
                    links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
                except FileNotFoundError:
                    pass  # closed between the two calls
        return links

    def shm_bytes(self):
        """Memory in memfds and /dev/shm files that it holds open (each counted once)."""
        seen = {}
        for pid in self.pids():
            for name in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{name}"
                try:
                    link = os.readlink(path)
                    if link.startswith(("/memfd:", "/dev/shm/")):
                        status = os.stat(path)
                        seen[status.st_dev, status.st_ino] = status.st_blocks * 512
                except FileNotFoundError:
                    pass
        return sum(seen.values())

    def threads(self):
        return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in self.pids())
