"""The real files that are served while something is measured: contents on disk, not holes."""

import os
import shutil
import tempfile

from data import PatternFile
from servers import scratch_folder
from warden import warden

BIG_BYTES = 700 * 10**6  # as in the article of 2006
HOT_BYTES = 1000
_SPARE_BYTES = 512 * 2**20  # left free for others


class UsageError(Exception):
    """Nothing was measured: what was asked for, or the place, will not do. One line."""


def file_system(path):
    """The type of the file system that holds `path`, as in mount(8)."""
    path = os.path.realpath(path)
    best, kind = "", "unknown"
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        for line in mounts:
            mounted, _, source = line.partition(" - ")
            point = mounted.split()[4].encode().decode("unicode_escape")  # octal escapes, proc(5)
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):  # of two on one point the later one is seen
                best, kind = point, source.split()[0]
    return kind


def check_cold(folder):
    """Some file systems have no cache to leave."""
    kind = file_system(folder)
    if kind in ("tmpfs", "ramfs"):
        raise UsageError(f"{folder} is on {kind}: nothing there is ever cold ($POLLUX_SCRATCH names "
                         "another folder)")


def check_space(folder, wanted):
    free = shutil.disk_usage(folder).free
    if free < wanted + _SPARE_BYTES:
        raise UsageError(f"{folder}: {(wanted + _SPARE_BYTES) / 1e9:.1f} GB are needed, "
                         f"{free / 1e9:.1f} GB are free ($POLLUX_SCRATCH names another folder)")


class Folder:
    """A document root of its own under the scratch folder, gone afterwards whatever happens."""

    def __init__(self, purpose):
        self._purpose = purpose
        self.path = None

    def __enter__(self):
        check_cold(scratch_folder())
        self.path = tempfile.mkdtemp(prefix=self._purpose + "-", dir=scratch_folder())
        warden.guard_folder(self.path)
        os.chmod(self.path, 0o755)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)
        warden.forget_folder(self.path)

    def add(self, name, number, size):
        return PatternFile(os.path.join(self.path, name), number, size)

    def add_big(self, count, progress, size=BIG_BYTES):
        """`count` files big1, big2, ... of 700 MB each, on disk when this returns."""
        check_space(self.path, count * size)
        made = []
        for number in range(1, count + 1):
            progress(f"writing file {number} of {count}, {size / 1e6:.0f} MB")
            made.append(self.add(f"big{number}", number, size))
        # Written back now, not while something is measured.
        os.sync()
        return made

    def add_hot(self):
        return self.add("hot", 1000, HOT_BYTES)
