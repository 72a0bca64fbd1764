"""Ten thousand requests leave nothing behind: no descriptor, no shared memory, no memory."""

import time

import pytest

import gauges
import servers
from cache import make_cold
from client import Connection, fetch, request
from data import Checker
from matrix import AIO_BYTES_MIN, SOUND, every

CHUNK = 64 * 1024
TALL = AIO_BYTES_MIN + 1
KIB = 1 << 10


def work(server, several, requests):
    """A mixture of everything cheap: connections kept and thrown away, whole files and ranges, cold
    and cached, HEADs, errors, resets. `requests` in all."""
    done = 0
    while done < requests:
        with Connection(server.port) as connection:
            for number in range(40):
                file = several[(done + number) % len(several)]
                offset = (done * 37 + number * 40_001) % (file.size - 1)
                length = min(2000 + number * 50, file.size - offset)
                connection.ask("/" + file.name, range=(offset, offset + length - 1))
                connection.read_checked(Checker(file, offset, length))
            connection.send(request("/missing") + request("/" + several[0].name, method="HEAD"))
            assert connection.read_answer().status == 404
            connection.read_answer("HEAD")
        with Connection(server.port) as connection:
            connection.ask("/" + several[done % 7].name)
            connection.read_checked(Checker(several[done % 7]))
            connection.ask("/" + several[0].name)
            connection.reset()
        fetch(server.port, "/missing", method="BREW")
        done += 45
        if done % 450 == 0:
            make_cold(*(file.path for file in several))


def holdings(server, timeout=20):
    """Kinds of descriptors, shared memory, threads, memory; once everything is given back. The
    scrape's own connection may still be closing, so the sockets are waited for: one is left, the
    listener. Memory is without linux-aio-write's chunks: they are committed on first touch and kept,
    so what is there of them, up to the budget, tells how many were ever in use at once."""
    gauges.wait_idle(server)
    deadline = time.monotonic() + timeout
    while True:
        kinds = sorted(link.split(":")[0] for link in server.descriptors())
        if kinds.count("socket") == 1:
            return kinds, server.shm_bytes(), server.threads(), server.heap_bytes()
        assert time.monotonic() < deadline, f"sockets are left: {kinds}"


@pytest.mark.parametrize("way", every(ways=[SOUND[0]]) + every(["linux-aio-sendfile", "auto"],
                                                               [SOUND[2]]))
def test_nothing_grows_over_10000_requests(pollux, files, way):
    server = pollux(files.root, chunk="64K", buffer_budget="1M", **way)
    several = [files.get(2 * CHUNK + 1, copy) for copy in range(7)] + [files.get(TALL)]
    work(server, several, 500)
    holdings(server)  # the scrape's own buffers
    work(server, several, 1000)  # every pool, cache and thread has its size now
    kinds, shm, threads, memory = holdings(server)
    work(server, several, 10_000)
    kinds_after, shm_after, threads_after, memory_after = holdings(server)
    assert kinds_after == kinds
    assert shm_after <= max(shm, 1 << 20), "more shared memory than the budget"
    assert threads_after <= max(threads, 40)
    if not servers.sanitizer():  # theirs is a quarantine, and grows
        grown = memory_after - memory
        print(f"memory {memory // KIB} KiB, grown by {grown // KIB} KiB; "
              f"shared {shm // KIB} -> {shm_after // KIB} KiB; {threads_after} threads")
        # Eleven bytes a request would show.
        assert grown <= 100 * KIB + 300 * KIB * (threads_after - threads)


@pytest.mark.quick
@pytest.mark.parametrize("way", every(["linux-aio-sendfile", "auto", "threads-sendfile"],
                                      [SOUND[0]]))
def test_no_descriptor_grows_over_1000_requests(pollux, files, way):
    server = pollux(files.root, chunk="64K", buffer_budget="1M", **way)
    several = [files.get(2 * CHUNK + 1, copy) for copy in range(7)] + [files.get(TALL)]
    work(server, several, 500)
    kinds, *_ = holdings(server)
    work(server, several, 1000)
    kinds_after, shm, *_ = holdings(server)
    assert kinds_after == kinds
    assert shm <= 1 << 20
