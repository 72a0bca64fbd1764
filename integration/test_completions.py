"""No completion is overlooked: from the server's own numbers, after downloads from a cold cache.

One read at a time with nothing else going on is what a lost wake-up needs to become a stall: no
other event comes to the rescue. So a cold file is fetched chunk by chunk, one request after the
other; then many at once, for the crowded ring. Direct reads leave the file cold.
"""

import pytest

import gauges
from cache import make_cold
from client import Connection
from data import Checker
from matrix import AIO_BACKENDS, QUICK, every
from swarm import Download, Swarm

CHUNK = 64 * 1024
READS = 120


def assert_read_by_aio(way, metrics, least):
    """That the test tested what it is for. `auto` decides by the device: where read-ahead
    is long it leaves cold files to threads, and has no completions to overlook."""
    completed = metrics.value("pollux_reads_completed_total")
    if way["backend"] == "auto" and completed == 0:
        return
    assert completed >= least
    assert metrics.count("pollux_completion_to_dispatch_seconds") >= least


@pytest.mark.parametrize("way", every(backends=AIO_BACKENDS, quick=QUICK))
def test_one_cold_read_at_a_time_never_stalls(pollux, files, way):
    server = pollux(files.root, chunk="64K", **way)
    file = files.get((8 << 20) + 1)
    make_cold(file.path)
    with Connection(server.port) as connection:
        for number in range(READS):
            offset = number * CHUNK
            connection.ask("/" + file.name, range=(offset, offset + CHUNK - 1))
            connection.read_checked(Checker(file, offset, CHUNK))
    metrics = server.metrics()
    assert_read_by_aio(way, metrics, READS)
    gauges.no_stalls(metrics)


@pytest.mark.parametrize("way", every(backends=AIO_BACKENDS, quick=QUICK))
def test_many_cold_reads_at_once_never_stall(pollux, files, way):
    server = pollux(files.root, chunk="64K", aio_depth=8, **way)
    several = [files.get((8 << 20) + 1, copy) for copy in range(4)]
    for _ in range(2):
        make_cold(*(file.path for file in several))
        with Swarm() as swarm:
            for number in range(32):
                swarm.add(Download(server.port, several[number % 4],
                                   offset=number * 4 * CHUNK + 1, length=4 * CHUNK))
            swarm.run()
    metrics = server.metrics()
    # Downloads at the same place may share a read.
    assert_read_by_aio(way, metrics, 2 * 32)
    gauges.no_stalls(metrics)
    gauges.wait_idle(server)


def test_connections_at_the_same_place_share_reads(pollux, files):
    """Sixteen clients of one cold file do not read it sixteen times."""
    server = pollux(files.root, backend="linux-aio-sendfile", chunk="64K")
    file = files.get((8 << 20) + 1)
    make_cold(file.path)
    with Swarm([Download(server.port, file) for _ in range(16)]) as swarm:
        swarm.run()
    metrics = server.metrics()
    assert metrics.value("pollux_reads_shared_total") > 0
    assert metrics.value("pollux_bytes_read_total") < 8 * file.size
