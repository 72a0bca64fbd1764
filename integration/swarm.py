"""Many downloads in one thread, each as greedy or as slow as wanted.

The swarm goes round: in every round each download whose socket has bytes may take as many as its
appetite. A slow client is one with a small appetite (and a small receive buffer), not one that
sleeps, so that a run is as fast as the machine and the mix of speeds is the same everywhere.
"""

import select
import socket
import time

from client import ClosedEarly, Connection, Head, request
from data import Checker

FAST = 1 << 18


class Download:
    """One request, `file` from `offset`, checked as it arrives. `reset_after`: the client goes away
    with RST after that many bytes of the body. `may_end_early`: a closed connection is an outcome
    (ended_early), not an error; what came must still be right. `checker`: another than the
    file's."""

    def __init__(self, port, file, offset=None, length=None, *, appetite=FAST,
                 receive_buffer=None, reset_after=None, may_end_early=False, target=None,
                 checker=None):
        self.file = file
        self.checker = checker or Checker(file, offset or 0, length)
        self.appetite = appetite
        self.reset_after = reset_after
        self.may_end_early = may_end_early
        self.ended_early = False
        self.done = False
        self.head = None
        self._raw = bytearray()
        self._status = 200 if offset is None else 206
        self.connection = Connection(port, receive_buffer=receive_buffer)
        wanted = None if offset is None else (offset, offset + self.checker.length - 1)
        self.connection.send(request(target or "/" + file.name, range=wanted))
        self.connection.socket.setblocking(False)

    def fileno(self):
        return self.connection.fileno()

    @property
    def received(self):
        return self.checker.received

    def take(self):
        """Reads at most `appetite` bytes. True when this download is over."""
        try:
            data = self.connection.socket.recv(self.appetite)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            if not self.may_end_early:
                raise ClosedEarly(f"{self.file.name}: {self.received} of "
                                  f"{self.checker.length} bytes came")
            self.ended_early = True
            return self._over()
        if self.head is None:
            self._raw += data
            end = self._raw.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.head = Head(bytes(self._raw[:end]))
            assert self.head.status == self._status, self.head.raw
            assert self.head.length == self.checker.length, self.head.raw
            data = bytes(self._raw[end + 4:])
        self.checker.update(data)
        if self.reset_after is not None and self.received >= self.reset_after:
            self.connection.reset()
            self.done = True
            return True
        if self.received == self.checker.length:
            self.checker.finish()
            return self._over()
        return False

    def _over(self):
        self.connection.close()
        self.done = True
        return True


class Swarm:
    """`patience`: seconds in which something must arrive for somebody."""

    def __init__(self, downloads=(), patience=60.0):
        self._patience = patience
        self._epoll = select.epoll()
        self._by_fd = {}
        self.all = []
        for download in downloads:
            self.add(download)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for download in self.all:
            download.connection.close()
        self._epoll.close()

    def add(self, download):
        self.all.append(download)
        self._by_fd[download.fileno()] = download
        self._epoll.register(download.fileno(), select.EPOLLIN)
        return download

    @property
    def running(self):
        return len(self._by_fd)

    @property
    def received(self):
        return sum(download.received for download in self.all)

    def round(self):
        """One round; TimeoutError if nothing at all arrives."""
        ready = self._epoll.poll(self._patience, max(1, len(self._by_fd)))
        if not ready:
            waiting = [(d.file.name, d.received, d.checker.length) for d in self._by_fd.values()]
            raise TimeoutError(f"nothing arrives any more; (file, received, of): {waiting[:10]}")
        for fd, _ in ready:
            download = self._by_fd[fd]
            # A finished download has closed its socket, and with it left the epoll set.
            if download.take():
                del self._by_fd[fd]

    def drain(self):
        """Takes what is there, and waits for nothing."""
        while self._by_fd and self._epoll.poll(0):
            self.round()

    def run(self, until=None, each_round=None, deadline=110.0):
        """Rounds until all downloads are over, or until `until(self)`."""
        end = time.monotonic() + deadline
        while self._by_fd and not (until and until(self)):
            if time.monotonic() > end:
                raise TimeoutError(f"{self.running} downloads still run after {deadline} s")
            self.round()
            if each_round:
                each_round()


def wait_queued(connection, count, timeout=30.0):
    """Blocks until `count` bytes wait in the connection's receive queue, without reading any: poll
    with SO_RCVLOWAT (socket(7)). Also returns for a connection that has ended."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
    poller = select.poll()
    poller.register(connection.socket, select.POLLIN | select.POLLRDHUP)
    deadline = time.monotonic() + timeout
    try:
        # While TCP is short of memory (net.ipv4.tcp_mem), poll answers before the mark is reached.
        while connection.queued() < count:
            events = poller.poll(max(0, deadline - time.monotonic()) * 1000)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{connection.queued()} of {count} bytes are queued")
            if events and events[0][1] & (select.POLLRDHUP | select.POLLHUP | select.POLLERR):
                return
    finally:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
