"""Nothing is left after transfers that ended well, were reset, or were refused: descriptors, chunks,
reads, files in /dev/shm."""

import collections
import os
import time

import cache
import servers
from client import Connection, fetch
from gauges import chunks_in_use, reads_under_way, wait_idle
from verdict import Cell

_TRANSFERS = 30
_RESETS = 20


def _kinds(links):
    """How many descriptors of each kind: "socket", "anon_inode:[eventpoll]", a path, ..."""
    return collections.Counter(link.partition(":[")[0] if link.startswith(("socket:", "pipe:"))
                               else link for link in links)


def _some_of_everything(server, file, transfers, resets):
    for number in range(transfers):
        with Connection(server.port) as connection:
            connection.ask("/" + file.name, range=(number, 2_000_000 + number))
            for _ in connection.pieces(connection.read_head().length):
                pass
    for number in range(resets):
        cache.make_cold(file.path)
        connection = Connection(server.port, receive_buffer=65536)
        connection.ask("/" + file.name)
        connection.read_head()
        connection.read_body(number * 20_000)
        connection.reset()
    fetch(server.port, "/is-not-there")


def _left(server, before, patience=10.0):
    """Descriptors beyond `before`, once the server has closed the connection of the last scrape."""
    deadline = time.monotonic() + patience
    while True:
        left = _kinds(server.descriptors()) - before
        if not left or time.monotonic() > deadline:
            return left
        os.sched_yield()


def measure(root, backend, file):
    shm_before = set(os.listdir("/dev/shm"))
    with servers.PolluxServer(root, backend=backend, chunk="64K") as server:
        sockets = _kinds(server.descriptors())["socket"]  # before the first connection
        _some_of_everything(server, file, 3, 3)
        wait_idle(server)
        before = _kinds(server.descriptors())  # what is made once, at the first need
        before["socket"] = sockets
        _some_of_everything(server, file, _TRANSFERS, _RESETS)
        metrics = wait_idle(server)
        descriptors = _left(server, before)
        left = {
            "descriptors": sum(descriptors.values()),
            "which": sorted(descriptors),
            "chunks": int(chunks_in_use(metrics)),
            "reads": int(reads_under_way(metrics)),
            "shm_bytes": server.shm_bytes(),
        }
    left["dev_shm"] = len([name for name in set(os.listdir("/dev/shm")) - shm_before
                           if "pollux" in name])
    return left


def cell(root, backend, file):
    left = measure(root, backend, file)
    count = left["descriptors"] + left["chunks"] + left["reads"] + left["dev_shm"]
    return Cell(count == 0, f"{count} left", details=left)
