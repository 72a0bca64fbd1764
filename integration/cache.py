"""Cold files: put out of the page cache one by one, without touching the rest of the machine."""

import ctypes
import mmap
import os
import socket
import time

_NR_CACHESTAT = 451  # the same on every architecture
_libc = ctypes.CDLL(None, use_errno=True)


class _CachestatRange(ctypes.Structure):
    _fields_ = [("off", ctypes.c_uint64), ("len", ctypes.c_uint64)]


class _Cachestat(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in
                ("nr_cache", "nr_dirty", "nr_writeback", "nr_evicted", "nr_recently_evicted")]


def _mincore(fd, size):
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as view:
        pages = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
        vector = (ctypes.c_ubyte * pages)()
        # from_buffer wants a writable object, so the address comes from a read-only buffer view.
        address = _address_of(view)
        if _libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), vector) != 0:
            raise OSError(ctypes.get_errno(), "mincore")
        return sum(page & 1 for page in vector)


def _address_of(view):
    class PyBuffer(ctypes.Structure):
        _fields_ = [("buf", ctypes.c_void_p), ("obj", ctypes.py_object),
                    ("len", ctypes.c_ssize_t), ("itemsize", ctypes.c_ssize_t),
                    ("readonly", ctypes.c_int), ("ndim", ctypes.c_int),
                    ("format", ctypes.c_char_p), ("shape", ctypes.c_void_p),
                    ("strides", ctypes.c_void_p), ("suboffsets", ctypes.c_void_p),
                    ("internal", ctypes.c_void_p)]
    buffer = PyBuffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(buffer), 0)
    address = buffer.buf
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))
    return address


def cached_pages(path):
    """Pages of the file in the page cache: cachestat(2), before Linux 6.5 mincore(2) (which tells
    the truth to root and to the file's owner only)."""
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        if size == 0:
            return 0
        asked, answer = _CachestatRange(0, 0), _Cachestat()
        if _libc.syscall(_NR_CACHESTAT, fd, ctypes.byref(asked), ctypes.byref(answer), 0) == 0:
            return answer.nr_cache
        return _mincore(fd, size)
    finally:
        os.close(fd)


def _flush_deferred_skbs():
    """Since Linux 5.19 a socket buffer that was consumed on another CPU is freed by the next
    network softirq there; until then it refers to the file's pages. A datagram to oneself on each
    CPU is that softirq."""
    cpus = os.sched_getaffinity(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as itself:
        itself.bind(("127.0.0.1", 0))
        try:
            for cpu in cpus:
                os.sched_setaffinity(0, {cpu})
                itself.sendto(b"x", itself.getsockname())
        finally:
            os.sched_setaffinity(0, cpus)


def make_cold(*paths, timeout=20.0):
    """Writes the files back, drops their pages and makes sure that they are gone. Pages that a read
    or a read-ahead still fills, or that a socket's queue refers to, cannot be dropped: tried again
    until the deadline."""
    deadline = time.monotonic() + timeout
    for path in paths:
        while True:
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fdatasync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)
            left = cached_pages(path)
            if left == 0:
                break
            if time.monotonic() > deadline:
                raise RuntimeError(f"{path}: {left} pages do not leave the page cache")
            _flush_deferred_skbs()
            time.sleep(0.001)


def make_warm(*paths):
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            buffer = bytearray(1 << 20)
            while file.readinto(buffer):
                pass
