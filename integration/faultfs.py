"""A folder behind a file system that fails on purpose (pollux-faultfs), for the server alone.

    with FaultFs(files.root, "big:EIO:from=1048576") as fs:
        server = pollux(fs.root, wrapper=fs.wrapper)

It is mounted in a mount namespace of its own, which only the server shares (nsenter): nobody else
sees it, and it is gone with the last of the two. What keeps a killed test from leaving a process
behind: pollux-faultfs ends when its standard input does, and a FUSE connection whose /dev/fuse is
closed is aborted by the kernel, which fails every read that was held (fuse.txt, "Aborting a
filesystem connection": the same as writing to /sys/fs/fuse/connections/N/abort, where that exists).
Until then nothing ends a process that waits for one, not even SIGKILL.
"""

import os
import shutil
import subprocess
import tempfile
import threading

import servers
from warden import warden

TIMEOUT_S = 30.0


class FaultFs:
    def __init__(self, folder, *rules):
        self._folder = os.fspath(folder)
        self._rules = rules
        self._process = None
        self._reader = None
        self._news = threading.Condition()
        self._ended = False
        self.struck = []  # (path, offset, bytes) of each read that a rule struck
        self.root = None  # where the server finds it

    def __enter__(self):
        self.root = tempfile.mkdtemp(prefix="faultfs-", dir=servers.scratch_folder())
        warden.guard_folder(self.root)
        rules = [word for rule in self._rules for word in ("--rule", rule)]
        program = os.path.join(servers.build_folder(), "pollux-faultfs")
        try:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", program, self._folder,
                 self.root, *rules], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                start_new_session=True)
            warden.guard_group(self._process.pid)
            first = self._process.stdout.readline()
            if first != b"pollux-faultfs: serving\n":
                raise servers.ServerError(f"pollux-faultfs did not start: {first!r}")
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
        except BaseException:
            self.abort()
            raise
        return self

    def __exit__(self, *_):
        self.abort()

    @property
    def wrapper(self):
        """What makes a server see it (Server's `wrapper`)."""
        return ["nsenter", f"--mount=/proc/{self._process.pid}/ns/mnt", "--"]

    def abort(self):
        """Ends it at once: reads that are held, and all that come, fail. Safe to call again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._reader is not None:
                self._reader.join(10)
            self._process.stdin.close()
            self._process.stdout.close()
            warden.forget_group(self._process.pid)
            self._process = None
        if self.root is not None:
            # Empty: the mount was in the other namespace.
            shutil.rmtree(self.root, ignore_errors=True)
            warden.forget_folder(self.root)
            self.root = None

    def _tell(self, line):
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def add(self, rule):
        """One rule more, in front of the others."""
        self._tell(f"rule {rule}")

    def clear(self):
        self._tell("clear")

    def release(self):
        """Every read that is held is answered, as if nothing had been."""
        self._tell("release")

    def wait_struck(self, count=1):
        """Returns when that many reads have been struck; a read that is held is under way then."""
        with self._news:
            if not self._news.wait_for(lambda: len(self.struck) >= count or self._ended,
                                       TIMEOUT_S):
                raise AssertionError(f"{len(self.struck)} reads struck of {count}: {self.struck}")
        assert len(self.struck) >= count, "pollux-faultfs has ended"

    def _read(self):
        for line in self._process.stdout:
            word, _, rest = line.decode("utf-8", "backslashreplace").rstrip("\n").partition(" ")
            if word == "struck":
                path, offset, size = rest.rsplit(" ", 2)
                with self._news:
                    self.struck.append((path, int(offset), int(size)))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()
