"""Does the loop stand still while files are opened and read that are nowhere in memory?

The figure is the loop's longest turn, from the server's own histogram. The verdict does not rest on
it (a busy machine makes turns long as well) but on whether the loop's thread went to sleep inside a
call that is not its wait: pollux-faulty, without faults, asks the kernel after each call. A handful
of sleeps are locks of the kernel's that another thread held; a backend that reads on the loop sleeps
once a file or more."""

import contextlib
import ctypes
import os
import re
import shutil
import subprocess

import cache
import load
import servers
from verdict import EITHER, MUST_HOLD, Cell, duration

BLOCKING = ("writev", "linux-sendfile")  # they read on the loop: that is what they are
_IMAGE_BYTES = 192 << 20
_FOLDERS, _FILES = 32, 4
_FILE_BYTES = 200_000
_HANDFUL = 5
_SLEPT = re.compile(r"^pollux-faulty: slept (\S+) (\d+) of (\d+), longest (\S+) s$", re.M)


class NotShown(AssertionError):
    """A loop that reads from a disk, and does not stand still: then nobody's rest says anything."""


_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 1 << 18


def _private_mounts():
    """A mount namespace of this process's own: its mounts go when it does, however it ends. False
    without the privilege."""
    libc = ctypes.CDLL(None, use_errno=True)
    return (libc.unshare(_CLONE_NEWNS) == 0
            and libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) == 0)


def _call(*command):
    subprocess.run(command, check=True, capture_output=True)


class ColdFolders:
    """Files whose names the kernel does not know by heart: on a small ext4 image of their own, which
    is mounted anew before each use. `path` is None where mounting is not allowed."""

    def __init__(self, folder):
        self._folder = folder
        self._image = os.path.join(folder.path, "image")
        self.path = None
        self.targets = []

    def __enter__(self):
        mkfs = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if os.geteuid() != 0 or mkfs is None or not _private_mounts():
            return self
        with open(self._image, "wb") as image:
            image.truncate(_IMAGE_BYTES)
        where = os.path.join(self._folder.path, "mounted")
        os.mkdir(where)
        try:
            _call(mkfs, "-q", "-F", self._image)
            self._mount(where)
        except subprocess.CalledProcessError:
            return self  # a container without loop devices
        self.path = where
        self._fill()
        return self

    def _fill(self):
        os.chmod(self.path, 0o755)
        for folder in range(_FOLDERS):
            os.mkdir(os.path.join(self.path, f"d{folder}"))
            for file in range(_FILES):
                name = f"d{folder}/f{file}"
                self._folder.add(f"mounted/{name}", len(self.targets) + 1, _FILE_BYTES)
                self.targets.append("/" + name)

    def _mount(self, where):
        _call("mount", "-o", "loop,noatime", self._image, where)

    def forget(self):
        """Unmounts and mounts again: nothing of it is cached, the image's own pages neither."""
        _call("umount", self.path)
        cache.make_cold(self._image)
        self._mount(self.path)

    def __exit__(self, *_):
        if self.path is not None:
            with contextlib.suppress(subprocess.CalledProcessError):
                _call("umount", "-l", self.path)


def _observed(root, backend, targets):
    server = servers.PolluxServer(
        root, backend=backend, env={"POLLUX_SLEEPS": "1"},
        binary=os.path.join(servers.build_folder(), "pollux-faulty"))
    with server:
        drained = load.drain(server.port, targets)
        longest = server.metrics().value("pollux_loop_turn_max_seconds")
    slept = {name: {"slept": int(count), "of": int(calls), "longest_s": float(time)}
             for name, count, calls, time in _SLEPT.findall(server.stderr())}
    return {"longest_turn_s": longest, "slept": slept, "bytes": drained["bytes"]}


def measure(backend, root, big, cold_folders):
    cache.make_cold(*(file.path for file in big))
    parts = {"reads": _observed(root, backend, ["/" + file.name for file in big])}
    if cold_folders.path is not None:
        cold_folders.forget()
        parts["opens"] = _observed(cold_folders.path, backend, cold_folders.targets)
    return parts


def cell(backend, root, big, cold_folders):
    parts = measure(backend, root, big, cold_folders)
    slept = sum(one["slept"] for part in parts.values() for one in part["slept"].values())
    longest = max(part["longest_turn_s"] for part in parts.values())
    if backend in BLOCKING and slept == 0:
        raise NotShown(f"{backend} was not seen to sleep: the files were not cold, or the kernel "
                       f"was not asked")
    return Cell(slept <= _HANDFUL, f"{duration(longest)}, slept {slept}x",
                EITHER if backend in BLOCKING else MUST_HOLD, {"parts": parts})
