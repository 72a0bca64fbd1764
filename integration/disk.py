"""A modelled disk with ext4 on it (build/<preset>/pollux-disk, integration/disk/).

    with Disk(size="8G") as disk:
        make_files(disk.outside)           # the file system, seen from here
        disk.set_model("raid1-2006")
        disk.make_cold()
        with servers.PolluxServer(disk.root, wrapper=disk.wrapper): ...

The mounts are in a namespace of their own: who is started with `wrapper`, or has called enter(),
sees them at `root`. Nothing is left behind, however this process ends.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
import time

import servers
from warden import warden

_CLONE_FS = 0x00000200  # sched.h
_CLONE_NEWNS = 0x00020000
_UNMOUNT_TIMEOUT_S = 20.0


class DiskError(Exception):
    """The disk could not be made. One line."""


def program():
    return os.path.join(servers.build_folder(), "pollux-disk")


def why_not():
    """Why there can be no modelled disk here, in a few words; None if there can."""
    if os.geteuid() != 0:
        return "a modelled disk needs root"
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.path.exists(device):
            return f"a modelled disk needs {device}"
    if shutil.which("mkfs.ext4", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
        return "a modelled disk needs mkfs.ext4 (e2fsprogs)"
    if not os.access(program(), os.X_OK):
        return f"{program()} is not built (ci/build)"
    return None


class Disk:
    def __init__(self, size="8G", model="none", read_ahead="128K"):
        self._arguments = ["--size", size, "--model", model, "--read-ahead", read_ahead]
        self._process = None
        self._folder = None
        self.device = None  # /dev/loopN

    def __enter__(self):
        reason = why_not()
        if reason:
            raise DiskError(reason)
        self._folder = tempfile.mkdtemp(prefix="disk-", dir=servers.scratch_folder())
        warden.guard_folder(self._folder)
        os.chmod(self._folder, 0o755)
        # It ends when its standard input does, which only this process holds.
        self._process = subprocess.Popen(
            [program(), self._folder, *self._arguments], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        line = self._process.stdout.readline()
        if not line:
            _, said = self._process.communicate()
            self._forget()
            raise DiskError(said.strip() or "pollux-disk said nothing")
        self.device = line.partition(" is on ")[2].partition(",")[0]
        return self

    def __exit__(self, *_):
        self._process.communicate()
        self._forget()

    def _forget(self):
        shutil.rmtree(self._folder, ignore_errors=True)
        warden.forget_folder(self._folder)

    @property
    def pid(self):
        return self._process.pid

    @property
    def root(self):
        """The file system, for those inside of the namespace."""
        return os.path.join(self._folder, "files")

    @property
    def outside(self):
        """The same for those who are not."""
        return f"/proc/{self.pid}/root{self.root}"

    @property
    def wrapper(self):
        """In front of a command: runs it inside."""
        return ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--wd=/", "--"]

    def enter(self):
        """Moves this thread, and what it starts, inside for good."""
        libc = ctypes.CDLL(None, use_errno=True)
        here = os.getcwd()
        with open(f"/proc/{self.pid}/ns/mnt", "rb") as namespace:
            # Threads of libraries share the working folder, which setns(2) would take from them.
            if (libc.unshare(_CLONE_FS) != 0
                    or libc.setns(namespace.fileno(), _CLONE_NEWNS) != 0):
                raise DiskError(f"setns: {os.strerror(ctypes.get_errno())}")
        os.chdir(here)

    def _control(self, name):
        return f"/proc/{self.pid}/root{self._folder}/device/{name}"

    def set_model(self, words):
        """raid1-2006, hdd, ssd, none, or numbers: see pollux-disk --help. "held": no read is answered
        until there is another model."""
        with open(self._control("model"), "w", encoding="ascii") as model:
            model.write(words)

    def reads(self):
        """{"pieces", "reads", "bytes"} since the model was set."""
        with open(self._control("reads"), encoding="ascii") as file:
            return {name: int(number) for name, number in (line.split() for line in file)}

    def run(self, *command):
        """Runs a command inside; CalledProcessError if it fails. Its standard output."""
        return subprocess.run([*self.wrapper, *command], check=True, capture_output=True,
                              text=True).stdout

    def make_cold(self):
        """Mounts it anew: no data, name or extent is cached. Nobody may have a file open; what
        ended a moment ago is waited for."""
        deadline = time.monotonic() + _UNMOUNT_TIMEOUT_S
        while True:
            try:
                self.run("umount", self.root)
                break
            except subprocess.CalledProcessError as error:
                if "busy" not in error.stderr or time.monotonic() > deadline:
                    raise DiskError(error.stderr.strip()) from None
                time.sleep(0.02)
        self.run("mount", "-t", "ext4", "-o", "noatime", self.device, self.root)
