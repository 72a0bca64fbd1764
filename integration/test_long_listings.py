"""A folder of 100,000 files, listed: complete, in order, at a bounded cost, beside other requests."""

import concurrent.futures
import os
import tempfile

import pytest

import gauges
from client import Connection, fetch
from listings import entries, listing

# One worker makes the folder for all of them.
pytestmark = pytest.mark.xdist_group("crowded")
MANY = 100_000


@pytest.fixture(scope="module")
def crowded():
    """100,000 files, made once."""
    with tempfile.TemporaryDirectory(prefix="pollux-many-", dir="/dev/shm") as root:
        folder = os.path.join(root, "many")
        os.mkdir(folder)
        at = os.open(folder, os.O_PATH)
        for number in range(MANY):
            os.close(os.open(f"file number {number}.iso", os.O_CREAT | os.O_WRONLY, 0o644,
                             dir_fd=at))
        os.close(at)
        yield root


def test_a_hundred_thousand_entries(pollux, crowded):
    server = pollux(crowded, listing=True)
    listing(server, "/many/")
    before = server.rss()
    found = entries(server, "/many/")
    assert found["sorted"] is True
    assert [entry["name"] for entry in found["entries"]] == [
        f"file number {number}.iso" for number in range(MANY)]
    _, page = listing(server, "/many/")
    assert page.count(b"<time ") == MANY and b"100,000 files" in page
    assert server.rss() - before < 8 << 20


def test_too_many_to_sort_are_all_there(pollux, crowded):
    server = pollux(crowded, listing=True, listing_memory="2M")
    found = entries(server, "/many/")
    assert found["sorted"] is False
    assert sorted(entry["name"] for entry in found["entries"]) == sorted(
        f"file number {number}.iso" for number in range(MANY))
    _, page = listing(server, "/many/")
    assert b"too many entries to sort" in page


def test_others_are_served_while_many_are_listed(pollux, crowded):
    with open(os.path.join(crowded, "small"), "wb") as file:
        file.write(b"small")
    server = pollux(crowded, listing=True)

    def list_it():
        return len(entries(server, "/many/")["entries"])

    with concurrent.futures.ThreadPoolExecutor(4) as pool, Connection(server.port) as connection:
        running = [pool.submit(list_it) for _ in range(4)]
        answers = 0
        while not all(one.done() for one in running):
            connection.ask("/small")
            assert connection.read_answer().body == b"small"
            answers += 1
        assert [one.result() for one in running] == [MANY] * 4
    assert answers > 100


def test_clients_that_stop_reading_cost_little(pollux, crowded):
    server = pollux(crowded, listing=True, send_timeout="2s")
    listing(server, "/many/")
    before = server.rss()
    stuck = [Connection(server.port, receive_buffer=4096) for _ in range(30)]
    for connection in stuck:
        connection.ask("/many/")
        assert connection.read_head().status == 200
    # Names of 26 bytes and eight more each, at most half of 32 MiB for one listing; sorted or not.
    assert server.rss() - before < 64 << 20
    assert fetch(server.port, "/many").status == 301
    gauges.wait_until(server, lambda m: m.value("pollux_send_timeouts_total") == len(stuck),
                      "every stuck client given up on")
    for connection in stuck:
        connection.close()
    assert len(entries(server, "/many/")["entries"]) == MANY
