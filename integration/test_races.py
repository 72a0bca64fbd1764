"""What the thread sanitizer says of each coordination on the running kernel."""

import contextlib
import signal
import time

import pytest

import servers
from cache import make_cold
from client import ClosedEarly, fetch_checked
from matrix import PUBLISHED, flags

pytestmark = [pytest.mark.quick,
              pytest.mark.skipif(servers.sanitizer() != "thread", reason="of the tsan build")]


def test_the_job_list_of_2006_is_a_data_race(files):
    """The loop writes down what is pending and the helper reads it, with nothing in between. (That
    the others have none is what every other test shows in this build: a report ends the server.)"""
    file = files.get(5 << 20)
    server = servers.PolluxServer(files.root, chunk="64K", open_files=0,
                                  **flags("linux-aio-sendfile", PUBLISHED)).start()
    try:
        deadline = time.monotonic() + 60
        while "WARNING: ThreadSanitizer: data race" not in server.stderr():
            assert time.monotonic() < deadline, "nothing was reported"
            make_cold(file.path)
            with contextlib.suppress(ClosedEarly, OSError):  # a report may end the server
                fetch_checked(server.port, file)
        server.signal(signal.SIGKILL)
        server.wait()
        assert "published.cc" in server.stderr() and "pollux-aio" in server.stderr()
    finally:
        server.kill()
