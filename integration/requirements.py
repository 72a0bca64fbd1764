"""What a test needs of the place where it runs.

    @requires("root", "fuse")
    def test_...

Where something is missing the test skips itself and says what. Continuous integration ($CI is
"true") is a place where nothing may be missing: there the same test fails, or a suite that lost its
rights would go on to look green. Plain skips are for what is no fault of the place: a sanitizer's
build, another kind of server.
"""

import fcntl
import functools
import os
import resource
import socket

import pytest

import servers

_LOOP_CTL_GET_FREE = 0x4C82  # <linux/loop.h>


def _root():
    return "needs root" if os.geteuid() != 0 else ""


def _openable(path, what, request=None):
    """`request`: an ioctl that the device has to know."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if request is not None:
                fcntl.ioctl(fd, request)
        finally:
            os.close(fd)
    except OSError as error:
        return f"needs {what}: {path}: {error.strerror}"
    return ""


def _ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        return f"needs ::1, the loopback of IPv6: {error.strerror}"
    return ""


def _descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return "" if hard >= 20_000 else f"needs 20,000 descriptors, not {hard} (ulimit -Hn)"


def _program(name, package=None):
    if servers.find_program(name):
        return ""
    return f"needs {name} (ci/setup installs {package or name})"


# A name, and what says why it is not to be had here ("" if it is).
_CHECKS = {
    "root": _root,
    "ipv6": _ipv6,
    "descriptors": _descriptors,
    "fuse": lambda: _root() or _openable("/dev/fuse", "FUSE"),
    "loop": lambda: _root() or _openable("/dev/loop-control", "loop devices", _LOOP_CTL_GET_FREE),
    "nginx": lambda: _program("nginx", "nginx-light"),
    "lighttpd": lambda: _program("lighttpd"),
    "strace": lambda: _program("strace"),
    "fio": lambda: _program("fio"),
    "mkfs.ext4": lambda: _program("mkfs.ext4", "e2fsprogs"),
    "setpriv": lambda: _root() or _program("setpriv", "util-linux"),
    "chromium": lambda: _program("chromium-headless-shell"),
}
NAMES = tuple(_CHECKS)


@functools.cache
def missing(name):
    """Why `name` is not to be had here; "" if it is."""
    return _CHECKS[name]()


def requires(*names):
    """The mark that pytest_runtest_setup of conftest.py obeys."""
    unknown = [name for name in names if name not in _CHECKS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of {', '.join(NAMES)}")
    return pytest.mark.requires(*names)


def in_ci():
    return os.environ.get("CI") == "true"


def skip(reason):
    """Of a test that has found out by itself what is missing."""
    if in_ci():
        pytest.fail(f"CI must run this test: {reason}", pytrace=False)
    pytest.skip(reason)


def enforce(item):
    """Skips `item` if something that it requires is missing; in CI it fails."""
    names = [name for mark in item.iter_markers("requires") for name in mark.args]
    reasons = sorted({missing(name) for name in names} - {""})
    if reasons:
        skip("; ".join(reasons))


def summary():
    """A line for the head of the report."""
    here = [name for name in NAMES if not missing(name)]
    gone = [name for name in NAMES if missing(name)]
    text = "here: " + (", ".join(here) or "nothing")
    if gone:
        text += f"; missing: {', '.join(gone)}"
        text += " (tests that require it fail: $CI)" if in_ci() else " (tests that require it skip)"
    return text
