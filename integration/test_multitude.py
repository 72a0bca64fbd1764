"""Nine thousand idle connections and nine thousand slow ones, while others are served as ever.

The hard limit of descriptors may be as low as 20,000: clients are processes of their own
(crowd.py). Half of the slow ones drip a request's head, half hardly read a file that they share.
"""

import contextlib

import pytest

import gauges
import servers
from client import fetch_checked
from crowd import Crowd
from matrix import SOUND, flags
from requirements import requires
from side_by_side import SideBySide, downloads, small_requests

MIB = 1 << 20


COMMON = {"max_connections": 20_000, "idle_timeout": "10m", "header_timeout": "10m",
          "send_timeout": "10m", **flags("auto", SOUND[0])}


class Multitude:
    """The crowd, gathered, beside a server; afterwards all of it is still there."""

    def __init__(self, server, files, *, idle, heads, readers):
        self._server, self._total = server, idle + heads + readers
        small, large = files.get(1000), files.get(16 * MIB + 1)
        fetch_checked(server.port, small)
        before = server.rss()
        self._crowd = Crowd(server.port)
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._crowd)
            self._crowd.gather(idle=("/" + small.name, idle), slow=("/" + large.name, readers),
                               heads=heads)
            undo.pop_all()
        self.rss_each = (server.rss() - before) / self._total

    def __enter__(self):
        metrics = self._server.metrics()
        assert metrics.value("pollux_connections") == self._total + 1
        assert metrics.value("pollux_accept_shortages_total") == 0
        return self

    def __exit__(self, kind, *_):
        with self._crowd:
            count = self._crowd.count()
        if kind is None:
            assert (count["alive"], count["ended"]) == (self._total, 0), count
            assert count["sips"] > 0, "the slow ones never had their turn"
            gauges.wait_idle(self._server)  # they left with a reset, all at once
            assert " error " not in self._server.stderr(), self._server.stderr()


@pytest.mark.quick
def test_others_are_served_beside_hundreds(pollux, files):
    server = pollux(files.root, **COMMON)
    with Multitude(server, files, idle=300, heads=300, readers=300):
        for copy in range(4):
            fetch_checked(server.port, files.get(2 * MIB + 1, copy))
        fetch_checked(server.port, files.get(1000))


@pytest.mark.alone
@requires("descriptors")
def test_nine_thousand_idle_and_nine_thousand_slow(pollux, files):
    """Noise: see test_crowds.py."""
    free, crowded = pollux(files.root, **COMMON), pollux(files.root, **COMMON)
    with Multitude(crowded, files, idle=9000, heads=4500, readers=4500) as multitude:
        requests = SideBySide(free, crowded, small_requests(files.get(1000)))
        bulk = SideBySide(free, crowded,
                          downloads([files.get(2 * MIB + 1, copy) for copy in range(4)]))
        fetch_checked(crowded.port, files.get(16 * MIB + 1))
    told = (f"{multitude.rss_each:.0f} bytes of RSS each; small requests: {requests}; "
            f"downloads: {bulk}")
    print(told)
    if not servers.sanitizer():
        assert multitude.rss_each < 8 * 1024 and requests.bearable and bulk.bearable, told
