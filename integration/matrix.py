"""What a file can be sent with: --backend, --coordination, --event-handler."""

import pytest

BACKENDS = ["writev", "linux-sendfile", "linux-aio-sendfile", "linux-aio-write",
            "threads-sendfile", "auto"]
AIO_BACKENDS = ["linux-aio-sendfile", "linux-aio-write", "auto"]
# Coordination and event handler. The two that must be free of stalls ...
SOUND = [("eventfd", "epoll"), ("eventfd", "poll"), ("masked", "epoll"), ("masked", "poll")]
# ... and the specimen of 2006, which may stall for seconds but must send the right bytes.
PUBLISHED = ("published", "poll")

# `auto` sends cold files below 4 MiB through the page cache; if it uses AIO at all, then above.
AIO_BYTES_MIN = 4 << 20


def flags(backend, way):
    return {"backend": backend, "coordination": way[0], "event_handler": way[1]}


def every(backends=tuple(BACKENDS), ways=tuple(SOUND), quick=()):
    """Rows for @pytest.mark.parametrize("way", ...): dictionaries of flags, with readable names.
    `quick` are the (backend, coordination, handler) that sanitizer builds run too."""
    rows = []
    for backend in backends:
        for way in ways:
            marks = [pytest.mark.quick] if (backend, *way) in quick else []
            rows.append(pytest.param(flags(backend, way), id="-".join((backend, *way)),
                                     marks=marks))
    return rows


# A selection in which each backend, coordination and handler occurs: what sanitizers can afford.
QUICK = [("writev", "eventfd", "poll"), ("linux-sendfile", "masked", "epoll"),
         ("linux-aio-sendfile", "eventfd", "epoll"), ("linux-aio-sendfile", "masked", "poll"),
         ("linux-aio-write", "masked", "epoll"), ("linux-aio-write", "eventfd", "poll"),
         ("threads-sendfile", "eventfd", "epoll"), ("auto", "eventfd", "epoll"),
         ("auto", "masked", "epoll")]
