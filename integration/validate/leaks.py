"""Nothing is left after transfers that ended well, were reset, or were refused: descriptors, chunks,
reads, files in /dev/shm."""

import collections
import os

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


def measure(root, backend, file):
    shm_before = set(os.listdir("/dev/shm"))
    with servers.PolluxServer(root, backend=backend, chunk="64K") as server:
        _some_of_everything(server, file, 3, 3)
        wait_idle(server)
        before = _kinds(server.descriptors())
        _some_of_everything(server, file, _TRANSFERS, _RESETS)
        metrics = wait_idle(server)
        after = _kinds(server.descriptors())
        left = {
            "descriptors": sum((after - before).values()),
            "which": sorted(after - before),
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
