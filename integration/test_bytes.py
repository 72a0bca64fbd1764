"""Every byte that arrives is the file's: each backend x coordination x event handler, cold and
warm, at the sizes and offsets where chunks, pages and blocks begin and end."""

import itertools

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies

import servers
from cache import make_cold
from client import Connection, fetch_checked
from data import Checker
from matrix import AIO_BYTES_MIN, BACKENDS, PUBLISHED, QUICK, SOUND, every
from swarm import Download, Swarm

PAGE = 4096
CHUNK = 64 * 1024
SIZES = [0, 1, PAGE - 1, PAGE, PAGE + 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 1]
LARGE = (64 if not servers.sanitizer() else 16) * 1024 * 1024

# Read by AIO whatever the backend; ends like the smaller ones do.
TALL = AIO_BYTES_MIN + 5 * CHUNK + 1

# offset, length in the last 5 chunks and a byte of a file.
RANGES = [
    (0, 1), (1, 1), (1, PAGE), (PAGE - 1, 2), (PAGE, PAGE), (PAGE + 1, PAGE - 1),
    (511, 513), (512, 512), (CHUNK - 1, 2), (CHUNK, CHUNK), (CHUNK + 1, CHUNK - 1),
    (CHUNK - 1, CHUNK + 2), (3 * CHUNK - 7, 2 * CHUNK + 8), (5 * CHUNK, 1), (5 * CHUNK - 1, 2),
    (1, 5 * CHUNK), (0, 5 * CHUNK + 1), (2 * CHUNK + PAGE // 2, PAGE),
]


def sha256_equal(server, file):
    make_cold(file.path)
    fetch_checked(server.port, file)
    fetch_checked(server.port, file)


@pytest.mark.parametrize("way", every(quick=QUICK))
def test_small_files_arrive_whole_cold_and_warm(pollux, files, way):
    server = pollux(files.root, chunk="64K", **way)
    for size in SIZES:
        sha256_equal(server, files.get(size))


@pytest.mark.parametrize("way", every(quick=QUICK))
def test_a_large_file_arrives_whole_cold_and_warm(pollux, files, way):
    sha256_equal(pollux(files.root, **way), files.get(LARGE + 1))


@pytest.mark.parametrize("way", every(quick=QUICK))
def test_ranges_off_every_boundary_on_one_connection(pollux, files, way):
    server = pollux(files.root, chunk="64K", **way)
    for file, warm in itertools.product((files.get(5 * CHUNK + 1), files.get(TALL)), (False, True)):
        with Connection(server.port) as connection:
            for offset, length in RANGES:
                offset += file.size - 5 * CHUNK - 1
                if not warm:
                    make_cold(file.path)
                connection.ask("/" + file.name, range=(offset, offset + length - 1))
                head = connection.read_head()
                assert head.status == 206
                assert head["content-range"] == (
                    f"bytes {offset}-{offset + length - 1}/{file.size}")
                connection.read_checked(Checker(file, offset, length), head)


@pytest.mark.parametrize("backend", BACKENDS)
def test_generated_ranges_are_exact(pollux, files, backend):
    size = TALL
    file = files.get(size)
    server = pollux(files.root, chunk="64K", backend=backend)

    @settings(max_examples=60, derandomize=True, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))
    @given(strategies.integers(0, size - 1), strategies.integers(1, 6 * CHUNK), strategies.booleans())
    @example(size - 1, 1, True)
    def ranges(offset, length, cold):
        if cold:
            make_cold(file.path)
        fetch_checked(server.port, file, offset=offset, length=min(length, size - offset))

    ranges()


@pytest.mark.parametrize("chunk", ["4K", "512K", "1M", "2M"])
@pytest.mark.parametrize("backend", ["linux-aio-sendfile", "linux-aio-write"])
def test_chunk_sizes_do_not_show_on_the_wire(pollux, files, backend, chunk):
    server = pollux(files.root, backend=backend, chunk=chunk)
    for size in (5 * CHUNK + 1, TALL):
        sha256_equal(server, files.get(size))


# The specimen stalls for seconds when its wake-ups are lost, hence few and small files.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", BACKENDS)
def test_published_is_slow_at_worst_never_wrong(pollux, files, backend):
    server = pollux(files.root, backend=backend, coordination=PUBLISHED[0],
                    event_handler=PUBLISHED[1], chunk="64K")
    for size in (0, 1, PAGE + 1, CHUNK + 1, 5 * CHUNK + 1):
        file = files.get(size)
        make_cold(file.path)
        fetch_checked(server.port, file)
    file = files.get(TALL)
    make_cold(file.path)
    for offset, length in RANGES[::5]:
        fetch_checked(server.port, file, offset=offset, length=length)


@pytest.mark.parametrize("way", every(ways=[SOUND[0], SOUND[2]], quick=QUICK))
def test_64_transfers_of_mixed_speed(pollux, files, way):
    """A third each: as fast as possible, moderate, and a few KiB a round through a small window;
    of the same file and of different ones, on a budget that makes them wait."""
    server = pollux(files.root, chunk="64K", buffer_budget="2M", **way)
    many = [files.get(TALL, copy) for copy in range(8)]
    make_cold(*(file.path for file in many))
    with Swarm() as swarm:
        for number in range(64):
            file = many[number % len(many)]
            pace = [{"appetite": 1 << 18}, {"appetite": 1 << 15},
                    {"appetite": 6000, "receive_buffer": 4096}][number % 3]
            length = [2 << 20, 1 << 20, 200_000][number % 3]
            part = {} if number % 16 == 0 else {"offset": 10_000 * number + 1, "length": length}
            swarm.add(Download(server.port, file, **part, **pace))
        swarm.run()
        assert all(download.done and not download.ended_early for download in swarm.all)
