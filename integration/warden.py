"""Nothing is left behind, however a test run ends.

A small process that outlives the run by a moment: it holds the reading end of a pipe whose other
end only the run has. When the run dies, even by SIGKILL, the pipe ends, and the warden kills the
process groups that are still registered and removes the folders that are.

PR_SET_PDEATHSIG would not do: it is forgotten when a server changes its user (prctl(2)) and does
not reach the grandchildren.
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading


def _start_time(pid):
    """When the process started, in clock ticks: tells it from a later one with the same number."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[19].decode()
    except (FileNotFoundError, ProcessLookupError):
        return None


class Warden:
    def __init__(self):
        self._lock = threading.Lock()
        self._process = None
        self._owner = None

    def _tell(self, *words):
        with self._lock:
            if self._process is None or self._owner != os.getpid():
                self._process = subprocess.Popen(
                    [sys.executable, "-S", os.path.abspath(__file__)],
                    stdin=subprocess.PIPE, start_new_session=True)
                self._owner = os.getpid()
                atexit.register(self._end, self._process)
            self._process.stdin.write("\0".join(words).encode() + b"\n")
            self._process.stdin.flush()

    @staticmethod
    def _end(process):
        process.stdin.close()
        process.wait()

    def guard_group(self, pid):
        """`pid` leads a process group that must not outlive this process."""
        self._tell("group", str(pid), _start_time(pid) or "0")

    def forget_group(self, pid):
        self._tell("forget", str(pid))

    def guard_folder(self, path):
        self._tell("folder", os.path.abspath(path))

    def forget_folder(self, path):
        self._tell("keep", os.path.abspath(path))


warden = Warden()


@contextlib.contextmanager
def temporary_folder(prefix, parent):
    """One that others may look into, gone at the end of the block or of the process."""
    path = tempfile.mkdtemp(prefix=prefix, dir=parent)
    warden.guard_folder(path)
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        warden.forget_folder(path)


def end_like_ctrl_c():
    """SIGTERM ends like Ctrl-C, through the clean-up of every with; and Ctrl-C does so even where a
    shell has it ignored for what it starts in the background."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups, folders = {}, set()
    for line in sys.stdin.buffer:
        word, *arguments = line.rstrip(b"\n").decode().split("\0")
        if word == "group":
            groups[int(arguments[0])] = arguments[1]
        elif word == "forget":
            groups.pop(int(arguments[0]), None)
        elif word == "folder":
            folders.add(arguments[0])
        elif word == "keep":
            folders.discard(arguments[0])
    for pid, started in groups.items():
        # A group lives on while a member does; its leader may be gone. The number is safe to use
        # while the leader is the one we know, or while nobody has it.
        if _start_time(pid) in (started, None):
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
