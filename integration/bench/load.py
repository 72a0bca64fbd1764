"""The clients of the measurements, each a process of its own: real TCP, real HTTP, little CPU.

    load.drain(port, ["/a", "/b"])       one download per connection, all at once
    load.stream(port, [["/a", "/b"], ["/c"]], warm_up, seconds)
                                         one download after the other on each connection, for a time
    with load.Probe(port, "/hot"): ...   a small request every 5 ms until the block is left

The downloads are discarded inside the kernel (recv(2) with MSG_TRUNC, tcp(7)): the client's copy
would otherwise take the processor that the server is measured on. Their lengths are verified; that
the bytes are right is the business of ci/validate and of the tests.
"""

import contextlib
import json
import math
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time

_PIECE = 1 << 20      # bytes discarded a call
_STALL_S = 120.0      # nothing at all for so long: the server hangs
_PROBE_EVERY_S = 0.005


class LoadError(AssertionError):
    """The server did not answer as it must."""


# --- The parent's side.


class _Client:
    """A child that says "ready", begins at a line, may be told to end, and answers with JSON."""

    def __init__(self, *arguments):
        self._process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._process.stdout.readline() != "ready\n":
            self.kill()
            raise LoadError("the client did not start")

    _early = ""

    def begin(self):
        self._tell("go")

    def end(self):
        self._tell("end")

    def _tell(self, word):
        try:
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: its last line says why

    def await_warm(self):
        """An error that comes instead is for result() to tell."""
        line = self._process.stdout.readline()
        self._early = "" if line == "warm\n" else line

    def result(self):
        line = self._early or self._process.stdout.readline()
        self.kill()
        if not line:
            raise LoadError("the client died")
        answer = json.loads(line)
        if "error" in answer:
            raise LoadError(answer["error"])
        return answer

    def kill(self):
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def drain(port, targets):
    """{"seconds", "bytes", "cpu_seconds"} for downloading every target at once."""
    client = _Client("drain", port, *targets)
    try:
        client.begin()
        return client.result()
    finally:
        client.kill()


def stream(port, targets, warm_up, seconds, on_warm=lambda: None):
    """Each connection downloads its list of targets, one after the other, until the time is over:
    {"bytes": [of each connection], "seconds"}, both after the warm-up, at whose end `on_warm` is
    called. The transfers that are under way at the end are broken off."""
    client = _Client("stream", port, json.dumps({"targets": targets, "warm_up": warm_up,
                                                 "seconds": seconds}))
    try:
        client.begin()
        client.await_warm()
        on_warm()
        return client.result()
    finally:
        client.kill()


class Probe:
    """Latencies of a small request every 5 ms, in `latencies` (seconds, sorted) after the block;
    `spans` are the same as (sent, took), by time.monotonic().

    The schedule does not wait for answers: a request that is due while others wait goes out on a
    connection of its own, so that a server that stands still is asked all the while."""

    def __init__(self, port, target):
        self._client = _Client("probe", port, target)
        self.latencies = []
        self.spans = []

    def __enter__(self):
        self._client.begin()
        return self

    def __exit__(self, kind, error, traceback):
        try:
            if kind is None:
                self._client.end()
                self.spans = self._client.result()["spans"]
                self.latencies = sorted(took for _, took in self.spans)
        finally:
            self._client.kill()


# --- The child's side.


def _connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=_STALL_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _request(target):
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class _Answer:
    """The head of an answer, then how much of its body is to come."""

    def __init__(self, what):
        self.what = what
        self._head = b""
        self.left = None  # unknown until the head is complete

    @property
    def begun(self):
        return bool(self._head)

    def head_part(self, data):
        """Takes bytes of the head, and of the body behind it."""
        if not data:
            raise LoadError(f"{self.what}: closed within the head")
        self._head += data
        head, end, body = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            raise LoadError(f"{self.what}: {head.splitlines()[0].decode('latin-1')}")
        lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n")
                   if line.startswith(b"content-length:")]
        if len(lengths) != 1:
            raise LoadError(f"{self.what}: no Content-Length")
        self.length = int(lengths[0])
        self.left = self.length - len(body)

    def body_part(self, count):
        if count == 0:
            raise LoadError(f"{self.what}: closed with {self.left} bytes to come")
        self.left -= count


def _drain(port, targets, begin):
    connections = {}
    poller = select.epoll()
    for target in targets:
        connection = _connect(port)
        poller.register(connection, select.EPOLLIN)
        connections[connection.fileno()] = (connection, _Answer(target))
    begin()
    start, cpu = time.monotonic(), time.process_time()
    for (connection, _), target in zip(list(connections.values()), targets):
        connection.sendall(_request(target))
        connection.setblocking(False)
    piece, total = bytearray(_PIECE), 0
    while connections:
        ready = poller.poll(_STALL_S)
        if not ready:
            raise LoadError(f"nothing came for {_STALL_S:.0f} s")
        for number, _ in ready:
            connection, answer = connections[number]
            if answer.left is None:
                answer.head_part(connection.recv(4096))
            else:
                answer.body_part(connection.recv_into(piece, min(_PIECE, answer.left),
                                                      socket.MSG_TRUNC))
            if answer.left == 0:
                total += answer.length
                del connections[number]
                connection.close()
    return {"seconds": time.monotonic() - start, "bytes": total,
            "cpu_seconds": time.process_time() - cpu}


class _Downloads:
    """One connection's targets, one after the other, discarded as they come."""

    def __init__(self, port, targets):
        self.socket = _connect(port)
        self.bytes = 0
        self._targets = list(targets)
        self._answer = None

    def ask(self):
        if not self._targets:
            raise LoadError("all files were read before the time was over: give more of them")
        self._answer = _Answer(self._targets.pop(0))
        self.socket.sendall(_request(self._answer.what))

    def take(self, piece):
        if self._answer.left is None:
            self._answer.head_part(self.socket.recv(4096))
            self.bytes += (self._answer.length - self._answer.left
                           if self._answer.left is not None else 0)
        else:
            got = self.socket.recv_into(piece, min(_PIECE, self._answer.left), socket.MSG_TRUNC)
            self._answer.body_part(got)
            self.bytes += got
        if self._answer.left == 0:
            self.ask()


def _stream(port, plan, begin):
    downloads = [_Downloads(port, targets) for targets in plan["targets"]]
    by_number = {one.socket.fileno(): one for one in downloads}
    poller = select.epoll()
    for number in by_number:
        poller.register(number, select.EPOLLIN)
    begin()
    start = time.monotonic()
    for one in downloads:
        one.ask()
    piece = bytearray(_PIECE)
    since, warm = start, None
    while (now := time.monotonic()) < start + plan["warm_up"] + plan["seconds"]:
        if warm is None and now >= start + plan["warm_up"]:
            since, warm = now, [one.bytes for one in downloads]
            print("warm", flush=True)
        for number, _ in poller.poll(0.05):
            by_number[number].take(piece)
    return {"bytes": [one.bytes - before for one, before in zip(downloads, warm)],
            "seconds": now - since}


def _received(connection):
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def _readable(numbers, seconds):
    """poll(2): a server that stalls for long makes more descriptors than select(2) can name."""
    poller = select.poll()
    for number in numbers:
        poller.register(number, select.POLLIN)
    return [number for number, _ in poller.poll(math.ceil(seconds * 1000))]


def _probe(port, target, begin):
    request = _request(target)
    idle = [_connect(port)]
    waiting = {}  # descriptor: (connection, answer, when it was sent)
    spans = []  # (sent, took)
    begin()
    due, ending = time.monotonic(), False
    while waiting or not ending:
        if not ending and time.monotonic() >= due:
            connection = idle.pop() if idle else _connect(port)
            waiting[connection.fileno()] = (connection, _Answer(target), time.monotonic())
            connection.sendall(request)
            due = max(due + _PROBE_EVERY_S, time.monotonic())
        watched = [*waiting, *(connection.fileno() for connection in idle)]
        left = _STALL_S if ending else max(0.0, due - time.monotonic())
        ready = _readable(watched if ending else [0, *watched], left)
        if ending and not ready:
            raise LoadError(f"{len(waiting)} requests unanswered for {_STALL_S:.0f} s")
        for number in ready:
            if number == 0:
                ending = True
                continue
            if number not in waiting:  # the server's idle time-out, as of one that is seldom used
                ended = next(one for one in idle if one.fileno() == number)
                idle.remove(ended)
                ended.close()
                continue
            connection, answer, sent = waiting[number]
            data = _received(connection)
            if not data and not answer.begun:
                # A time-out that crossed the request: asked again (RFC 9112, 9.3.1), on its time.
                del waiting[number]
                connection.close()
                connection = _connect(port)
                waiting[connection.fileno()] = (connection, _Answer(target), sent)
                connection.sendall(request)
                continue
            answer.head_part(data)
            if answer.left == 0:
                spans.append((sent, time.monotonic() - sent))
                del waiting[number]
                idle.append(connection)
    return {"spans": spans}


def main():
    # Ctrl-C reaches the terminal's whole process group; the parent ends its clients itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kind, port, *targets = sys.argv[1:]

    def begin():
        print("ready", flush=True)
        if not os.read(0, 3):
            sys.exit(1)

    try:
        if kind == "drain":
            answer = _drain(int(port), targets, begin)
        elif kind == "stream":
            answer = _stream(int(port), json.loads(targets[0]), begin)
        else:
            answer = _probe(int(port), targets[0], begin)
    except (LoadError, OSError) as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
