"""Thousands of connections that keep a server busy with little, in processes of their own.

    with Crowd(port) as crowd:
        crowd.gather(idle=("/small", 1000), slow=("/large", 1000), heads=500)
        ...                                 # they stay as they are
        assert crowd.count()["alive"] == 2500

`idle` have had an answer and are silent. `slow` ask for a large file through the smallest window
there is and take a sip of it now and then. `heads` send a byte of a request's head now and then.
Each process is limited by its own RLIMIT_NOFILE, and by the ports of one address of 127.0.0.0/8.
"""

import contextlib
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time

PER_PROCESS = 4500
CONNECTING_AT_ONCE = 256
SIPS_PER_S = 25          # and as many bytes of heads, of each process
SIP_BYTES = 1 << 14
RECEIVE_BUFFER = 2048
GATHER_S = 120.0
HEAD = b"GET /x HTTP/1.1\r\nHost: localhost\r\nX: "


class Crowd:
    def __init__(self, port):
        self._port = port
        self._processes = []
        self._sources = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.kill()
        for process in self._processes:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
            process.wait()

    def gather(self, *, idle=("/", 0), slow=("/", 0), heads=0):
        """Returns when all are connected, each idle one has had its answer and each slow one its
        first bytes. `idle` and `slow` are (target, how many)."""
        for kind, target, count in (("idle", *idle), ("slow", *slow), ("heads", "-", heads)):
            while count > 0:
                here = min(count, PER_PROCESS)
                self._sources += 1
                self._processes.append(subprocess.Popen(
                    [sys.executable, os.path.abspath(__file__), kind, str(self._port),
                     f"127.0.0.{self._sources}", target, str(here)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
                count -= here
        for process in self._processes:
            if process.stdout.readline() != "ready\n":
                raise AssertionError("a crowd could not be gathered: see standard error")

    def count(self):
        """{"alive", "ended", "sips", "bytes"} of them all, as it is now."""
        total = {}
        for process in self._processes:
            process.stdin.write("count\n")
            process.stdin.flush()
            for name, value in json.loads(process.stdout.readline()).items():
                total[name] = total.get(name, 0) + value
        return total


# --- The child's side.


class _Members:
    def __init__(self, kind, port, source, target, count):
        self.kind, self.address, self.source = kind, ("127.0.0.1", port), source
        self.request = (HEAD if kind == "heads" else
                        f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.left = count
        self.epoll = select.epoll()
        self.connecting = {}  # by descriptor, until it is as its kind is
        self.members = {}
        self.ended = self.sips = self.bytes = 0

    def gather(self):
        deadline = time.monotonic() + GATHER_S
        while self.left or self.connecting:
            while self.left and len(self.connecting) < CONNECTING_AT_ONCE:
                self._connect()
            for fd, events in self.epoll.poll(1):
                self._go_on(fd, events)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.members)} gathered, {self.left} to go, "
                                   f"{len(self.connecting)} of {self.kind} wait")

    def _connect(self):
        one = socket.socket()
        one.setblocking(False)
        # The port is chosen by connect(), from those free for this pair of addresses (ip(7)).
        one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.kind == "slow":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        one.bind((self.source, 0))
        one.connect_ex(self.address)
        self.connecting[one.fileno()] = one
        self.epoll.register(one.fileno(), select.EPOLLOUT)
        self.left -= 1

    def _go_on(self, fd, events):
        one = self.connecting[fd]
        if events & select.EPOLLOUT:
            error = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            one.send(self.request)
            self.epoll.modify(fd, select.EPOLLIN)
            if self.kind != "heads":
                return
        elif self.kind == "idle":
            answer = one.recv(1 << 16)
            if not answer.startswith(b"HTTP/1.1 2") and not answer.startswith(b"HTTP/1.1 404"):
                raise AssertionError(f"an idle client was told {answer[:60]!r}")
        else:
            answer = one.recv(256)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise AssertionError(f"a slow client was told {answer[:60]!r}")
        del self.connecting[fd]
        self.members[fd] = one
        # Only an end is an event from now on; a slow one's bytes wait for its sip.
        self.epoll.modify(fd, select.EPOLLRDHUP)

    def live(self):
        """Until the parent has gone: takes its questions, and sips."""
        rng = random.Random(1)
        self.epoll.register(0, select.EPOLLIN)
        due = time.monotonic()
        turn = []
        while True:
            active = self.kind != "idle" and self.members
            for fd, events in self.epoll.poll(max(0, due - time.monotonic()) if active else -1):
                if fd == 0:
                    if not sys.stdin.readline():
                        return
                    print(json.dumps({"alive": len(self.members), "ended": self.ended,
                                      "sips": self.sips, "bytes": self.bytes}), flush=True)
                else:
                    self._end(fd)
            if active and time.monotonic() >= due:
                due = max(due + 1 / SIPS_PER_S, time.monotonic() - 0.1)
                if not turn:
                    turn = list(self.members)
                    rng.shuffle(turn)
                self._sip(turn.pop())

    def _sip(self, fd):
        one = self.members.get(fd)
        if one is None:
            return
        try:
            if self.kind == "heads":
                self.bytes += one.send(b"x")
            else:
                got = len(one.recv(SIP_BYTES, socket.MSG_TRUNC))
                if got == 0:
                    self._end(fd)
                self.bytes += got
            self.sips += 1
        except BlockingIOError:
            pass
        except ConnectionError:
            self._end(fd)

    def _end(self, fd):
        one = self.members.pop(fd, None)
        if one is not None:
            one.close()
            self.ended += 1


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    import resource
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kind, port, source, target, count = sys.argv[1:]
    members = _Members(kind, int(port), source, target, int(count))
    members.gather()
    print("ready", flush=True)
    members.live()


if __name__ == "__main__":
    main()
