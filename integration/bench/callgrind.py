"""Instructions of one request in user space: callgrind's count of a server that answers many, less
that of one that answers few, so that start and end are not in it. A figure that other work on the
machine does not move."""

import os
import re
import signal
import socket
import statistics

import report
import servers
from files import UsageError
from load import LoadError

_FEW, _MANY = 200, 2200
_RUNS = 3
_HEAD_MOST = 1 << 16


class _Counted(servers.PolluxServer):
    """Pollux under callgrind, with openat2(2) as openat(2), which valgrind knows."""

    def __init__(self, root):
        super().__init__(root, binary=os.path.join(servers.build_folder(), "pollux-plain-open"))

    def command(self):
        return ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                *super().command()]

    def instructions(self):
        found = re.search(r"Collected : (\d+)", self.stderr())
        if not found:
            raise LoadError("callgrind counted nothing: " + self.stderr()[-500:])
        return int(found[1])


def _ask(port, target, count):
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for _ in range(count):
            connection.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer and len(answer) < _HEAD_MOST:
                answer += _some(connection)
            head, _, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if not head.startswith(b"HTTP/1.1 200 ") or not length:
                raise LoadError(head.decode("latin-1"))
            left = int(length[1]) - len(body)
            while left > 0:
                left -= len(_some(connection))


def _some(connection):
    data = connection.recv(1 << 16)
    if not data:
        raise LoadError("closed in the middle of an answer")
    return data


def _count(root, target, requests):
    server = _Counted(root)
    with server:
        _ask(server.port, target, requests)
        server.signal(signal.SIGTERM)
        server.wait()
        return server.instructions()


def instructions_per_request(root, target, progress):
    if not servers.find_program("valgrind"):
        raise UsageError("valgrind is not installed (ci/setup)")
    values = []
    for number in range(_RUNS):
        few, many = (_count(root, target, requests) for requests in (_FEW, _MANY))
        values.append((many - few) / (_MANY - _FEW))
        progress(f"run {number + 1} of {_RUNS}: {values[-1]:.1f} instructions per request")
    if statistics.median(values) < 1:
        raise LoadError("callgrind saw no requests")
    return report.spread(values)
