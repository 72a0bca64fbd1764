"""No completion is overlooked: from the server's own numbers, after downloads from a cold cache.

One read at a time with nothing else going on is what a lost wake-up needs to become a stall: no
other event comes to the rescue. So many small cold files are fetched one after the other; then many
at once, for the crowded ring.
"""

import pytest

import gauges
from cache import make_cold
from client import Connection
from data import Checker
from matrix import AIO_BACKENDS, QUICK, every
from swarm import Download, Swarm

CHUNK = 64 * 1024


@pytest.mark.parametrize("way", every(backends=AIO_BACKENDS, quick=QUICK))
def test_one_cold_read_at_a_time_never_stalls(pollux, files, way):
    server = pollux(files.root, chunk="64K", **way)
    several = [files.get(CHUNK, copy) for copy in range(100)]
    make_cold(*(file.path for file in several))
    with Connection(server.port) as connection:
        for file in several:
            connection.ask("/" + file.name)
            connection.read_checked(Checker(file))
    metrics = server.metrics()
    assert metrics.value("pollux_reads_completed_total") >= len(several), "not what was meant"
    assert metrics.count("pollux_completion_to_dispatch_seconds") >= len(several)
    gauges.no_stalls(metrics)


@pytest.mark.parametrize("way", every(backends=AIO_BACKENDS, quick=QUICK))
def test_many_cold_reads_at_once_never_stall(pollux, files, way):
    server = pollux(files.root, chunk="64K", aio_depth=8, **way)
    several = [files.get(4 * CHUNK + 1, copy) for copy in range(32)]
    for _ in range(2):
        make_cold(*(file.path for file in several))
        with Swarm([Download(server.port, file) for file in several]) as swarm:
            swarm.run()
    metrics = server.metrics()
    assert metrics.value("pollux_reads_completed_total") >= 2 * len(several)
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
