"""HTTP/1.1 over a plain socket: nothing is hidden, everything can be done wrong on purpose."""

import socket
import struct
import time

TIMEOUT_S = 60.0
HEAD_BYTES_MAX = 1 << 20


class ClosedEarly(ConnectionError):
    """The server closed, or reset, before the answer was complete."""


class Head:
    """Status line and fields of an answer. Field names are lower case; repeats are joined."""

    def __init__(self, raw):
        self.raw = raw
        lines = raw.decode("latin-1").split("\r\n")
        self.version, _, rest = lines[0].partition(" ")
        code, _, self.reason = rest.partition(" ")
        if not (self.version.startswith("HTTP/") and code.isascii() and code.isdigit()):
            raise ValueError(f"no status line: {lines[0][:60]!r}")
        self.status = int(code)
        self.fields = {}
        for line in lines[1:]:
            if not line:
                continue
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise ValueError(f"not a field line: {line!r}")
            name, value = name.lower(), value.strip()
            self.fields[name] = f"{self.fields[name]}, {value}" if name in self.fields else value

    def __getitem__(self, name):
        return self.fields[name.lower()]

    def get(self, name, default=None):
        return self.fields.get(name.lower(), default)

    @property
    def length(self):
        if "content-length" not in self.fields:
            raise ValueError("the answer has no Content-Length")
        return int(self.fields["content-length"])

    @property
    def keeps_alive(self):
        tokens = [t.strip().lower() for t in self.get("connection", "").split(",")]
        if self.version == "HTTP/1.0":
            return "keep-alive" in tokens
        return "close" not in tokens


class Answer:
    def __init__(self, head, body):
        self.head = head
        self.status = head.status
        self.body = body


def request(target, *, method="GET", host="localhost", version="HTTP/1.1", range=None,
            close=False, **fields):
    """The bytes of a request. range=(first, last) or a string; fields: If_Match="x"."""
    lines = [f"{method} {target} {version}", f"Host: {host}"]
    if range is not None:
        value = range if isinstance(range, str) else f"bytes={range[0]}-{range[1]}"
        lines.append(f"Range: {value}")
    if close:
        lines.append("Connection: close")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Connection:
    """One connection. `receive_buffer` is SO_RCVBUF in bytes, set before connecting, so that it
    bounds the window that is ever announced."""

    def __init__(self, port, *, receive_buffer=None, timeout=TIMEOUT_S, host="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            if receive_buffer is not None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            # Two small sends in a row must not wait for the server's delayed ACK.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.settimeout(timeout)
            self.socket.connect((host, port))
        except BaseException:
            self.socket.close()
            raise
        self._buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def fileno(self):
        return self.socket.fileno()

    def reset(self):
        """Closes with RST instead of FIN (SO_LINGER with time 0, socket(7))."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, target, **options):
        self.send(request(target, **options))

    def _fill(self):
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError as error:
            raise ClosedEarly("reset by the server") from error
        if not data:
            raise ClosedEarly("closed by the server")
        self._buffer += data

    def read_head(self):
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end >= 0:
                raw = bytes(self._buffer[:end])
                del self._buffer[:end + 4]
                return Head(raw)
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise ValueError("the head does not end")
            self._fill()

    def read_line(self):
        """Up to the next CRLF, without it."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise ValueError("the line does not end")
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[:end + 2]
        return line

    def pieces(self, length, piece=1 << 18):
        """The next `length` bytes of the body, as they come. ClosedEarly if they do not all."""
        left = length
        if self._buffer and left:
            first = bytes(self._buffer[:left])
            del self._buffer[:left]
            left -= len(first)
            yield first
        buffer = bytearray(min(piece, left)) if left else b""
        view = memoryview(buffer)
        while left:
            try:
                count = self.socket.recv_into(view, min(len(buffer), left))
            except ConnectionResetError as error:
                raise ClosedEarly(f"reset with {left} of {length} bytes to come") from error
            if count == 0:
                raise ClosedEarly(f"closed with {left} of {length} bytes to come")
            left -= count
            yield view[:count]

    def read_body(self, length):
        return b"".join(bytes(piece) for piece in self.pieces(length))

    def read_answer(self, method="GET"):
        head = self.read_head()
        empty = method == "HEAD" or head.status in (204, 304) or head.status < 200
        return Answer(head, b"" if empty else self.read_body(head.length))

    def read_checked(self, checker, head=None):
        """Reads an answer whose body must be what `checker` expects; returns its head."""
        head = head or self.read_head()
        if head.length != checker.length:
            raise AssertionError(f"{head.status}: Content-Length {head.length}, "
                                 f"expected {checker.length}")
        self.read_rest(checker)
        return head

    def read_rest(self, checker):
        """What is still to come of a body that `checker` has seen the beginning of."""
        for piece in self.pieces(checker.length - checker.received):
            checker.update(piece)
        checker.finish()

    def read_to_end(self):
        """Everything until the server closes; a reset is an error."""
        parts = [bytes(self._buffer)]
        self._buffer.clear()
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError as error:
                raise ClosedEarly("reset by the server") from error
            if not data:
                return b"".join(parts)
            parts.append(data)

    def ended(self, timeout):
        """Whether the server ends the connection (FIN or RST) within `timeout` seconds, sending
        nothing more than what is already there."""
        self.socket.settimeout(timeout)
        deadline = time.monotonic() + timeout
        try:
            while time.monotonic() < deadline:
                if not self.socket.recv(1 << 16):
                    return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            pass
        return False

    def queued(self):
        """Bytes that wait in this socket's receive queue (FIONREAD, tcp(7))."""
        import fcntl
        import termios
        return struct.unpack("i", fcntl.ioctl(self.socket, termios.FIONREAD, b"\0" * 4))[0]


def fetch(port, target, *, method="GET", receive_buffer=None, **options):
    """One request on a connection of its own."""
    with Connection(port, receive_buffer=receive_buffer) as connection:
        connection.ask(target, method=method, **options)
        return connection.read_answer(method)


def fetch_checked(port, file, *, offset=None, length=None, target=None, receive_buffer=None):
    """Fetches a PatternFile, or a range of it, and checks every byte; returns the head."""
    from data import Checker
    with Connection(port, receive_buffer=receive_buffer) as connection:
        target = target or "/" + file.name
        if offset is None:
            connection.ask(target)
            checker, status = Checker(file), 200
        else:
            connection.ask(target, range=(offset, offset + length - 1))
            checker, status = Checker(file, offset, length), 206
        head = connection.read_head()
        assert head.status == status, f"{head.status} {head.reason}"
        return connection.read_checked(checker, head)
