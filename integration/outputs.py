"""Files that a command leaves behind: whole or not at all."""

import contextlib
import errno
import os
import stat


def replaceable(path):
    """True but for what is there and no regular file: /dev/stdout, /dev/null, a pipe. It is
    written to; to put a file in its place would take it from everybody."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


def check_writable(path):
    """To be said before anything is measured, not after. Leaves nothing. Raises OSError, of `path`
    itself."""
    path = os.path.abspath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    missing = _missing_folders(path)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _try(path)
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # not made; or somebody else uses it by now
                os.rmdir(folder)


def _try(path):
    if not replaceable(path):
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return
    try:
        with open(path + ".partial", "w", encoding="utf-8"):
            pass
        os.remove(path + ".partial")
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def _missing_folders(path):
    """Those above `path` that are not there, the innermost first."""
    missing, folder = [], os.path.dirname(path)
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def write_text(path, text):
    """Raises OSError."""
    path = os.path.abspath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not replaceable(path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return
    # Through links: what they name is to be replaced, not they.
    path = os.path.realpath(path)
    with open(path + ".partial", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".partial", path)
