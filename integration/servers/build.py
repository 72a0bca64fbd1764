"""Which build is tested, and where the suite may write."""

import os

REPOSITORY = os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def build_folder():
    return os.path.abspath(os.environ.get("POLLUX_BUILD")
                           or os.path.join(REPOSITORY, "build", "release"))


def sanitizer():
    """"" for an ordinary build, else what CMake was told: "address,undefined", "thread"."""
    try:
        with open(os.path.join(build_folder(), "CMakeCache.txt"), encoding="utf-8") as cache:
            for line in cache:
                if line.startswith("POLLUX_SANITIZE:"):
                    return line.partition("=")[2].strip()
    except FileNotFoundError:
        pass
    return ""


def scratch_folder():
    """Parent of everything that is written: under the repository's out/, on a real file system
    (direct I/O), not on a tmpfs. $POLLUX_SCRATCH moves it."""
    path = os.environ.get("POLLUX_SCRATCH") or os.path.join(REPOSITORY, "out", "integration")
    os.makedirs(path, exist_ok=True)
    return path
