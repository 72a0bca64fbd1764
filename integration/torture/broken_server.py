"""A small static server, right as it is, and wrong in one way for each defect that can be named.

    python3 broken_server.py PORT ROOT [DEFECT]

A class a defect, each of which changes what it must of `Exchange`. test_broken.py says which
scenario has to find it.
"""

import concurrent.futures
import ctypes
import os
import re
import signal
import socket
import struct
import sys
import threading
import time

PIECE = 64 * 1024
_RANGE = re.compile(rb"\r\nRange: bytes=(\d+)-(\d+)\r\n")


class Exchange:
    """One connection, from its first request to its end."""

    def __init__(self, connection, root):
        self.connection = connection
        self.root = root
        self.buffer = b""

    # The order of things.

    def serve(self):
        while (head := self.next_head()) is not None:
            if not self.answer(head) or b"\r\nConnection: close\r\n" in head:
                return

    def next_head(self):
        while b"\r\n\r\n" not in self.buffer:
            data = self.connection.recv(65536)
            if not data:
                return None
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head + b"\r\n"

    def answer(self, head):
        """False if the connection must end."""
        method, target, _ = head.split(b" ", 2)
        path = os.path.join(self.root, os.path.basename(target.decode()))
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            self.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return True
        except OSError:
            self.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            return True
        try:
            return self.send_file(fd, path, head, with_body=method != b"HEAD")
        finally:
            self.give_back(fd)

    def send_file(self, fd, path, head, with_body):
        size = os.fstat(fd).st_size
        status, first, length = "200 OK", 0, size
        if (wanted := _RANGE.search(head)) and int(wanted[1]) < size:
            first = int(wanted[1])
            length = min(int(wanted[2]), size - 1) - first + 1
            status = "206 Partial Content"
        self.send(f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n".encode())
        return self.send_body(fd, path, first, length) if with_body else True

    def send_body(self, fd, path, first, length):
        end = first + length
        while first < end:
            sent = self.send_piece(fd, path, first, min(PIECE, end - first))
            if sent == 0:
                return False  # shorter than it was: the promise cannot be kept
            first += sent
        return True

    # What a defect may change.

    def send(self, data):
        self.connection.sendall(data)

    def send_piece(self, fd, path, first, length):
        return os.sendfile(self.connection.fileno(), fd, first, length)

    def give_back(self, fd):
        os.close(fd)


class WrongByte(Exchange):
    """One byte in some 2 MB is another."""

    sent = 0

    def send_piece(self, fd, path, first, length):
        data = bytearray(os.pread(fd, length, first))
        WrongByte.sent += len(data)
        if WrongByte.sent > 2 << 20:
            WrongByte.sent = 0
            data[len(data) // 2] ^= 1
        self.send(data)
        return len(data)


class ReusesBuffers(Exchange):
    """As in 2006: sendfile() from a buffer that is filled again while sockets refer to it."""

    def serve(self):
        self.memory = os.memfd_create("buffer")
        try:
            super().serve()
        finally:
            os.close(self.memory)

    def send_piece(self, fd, path, first, length):
        data = os.pread(fd, length, first)
        os.pwrite(self.memory, data, 0)
        sent = 0
        while sent < len(data):
            sent += os.sendfile(self.connection.fileno(), self.memory, sent, len(data) - sent)
        return sent


class Pads(Exchange):
    """Keeps its promise of a length with zeros."""

    def send_piece(self, fd, path, first, length):
        data = os.pread(fd, length, first)
        self.send(data + bytes(length - len(data)))
        return length


class OpensAgain(Exchange):
    """Opens the file by its name for each piece."""

    def send_piece(self, fd, path, first, length):
        again = os.open(path, os.O_RDONLY)
        try:
            return super().send_piece(again, path, first, length)
        finally:
            os.close(again)


class OneAtATime(Exchange):
    """Waits for a head while others wait for it: see main()."""


class LosesPipelined(Exchange):
    """What came behind a head is dropped, now and then, as far as it is whole."""

    heads = 0

    def next_head(self):
        head = super().next_head()
        LosesPipelined.heads += 1
        if LosesPipelined.heads % 50 == 0:
            self.buffer = self.buffer.rpartition(b"\r\n\r\n")[2]
        return head


class EndsAtHalfClose(Exchange):
    """Takes the end of what a client sends for the end of the client."""

    def send_piece(self, fd, path, first, length):
        try:
            if not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                return 0
        except BlockingIOError:
            pass
        return super().send_piece(fd, path, first, length)


class LeaksOnReset(Exchange):
    """The file of an answer that could not be sent stays open."""

    def give_back(self, fd):
        if sys.exc_info()[0] is None:
            os.close(fd)


class StopsAtSignals(Exchange):
    """Takes an interrupted wait for the end of the file."""

    interrupted = False

    def send_piece(self, fd, path, first, length):
        if StopsAtSignals.interrupted:
            StopsAtSignals.interrupted = False
            return 0
        return super().send_piece(fd, path, first, length)


class LosesWakeUps(Exchange):
    """Now and then nothing but a time-out goes on with a transfer."""

    pieces = 0

    def send_piece(self, fd, path, first, length):
        LosesWakeUps.pieces += 1
        if LosesWakeUps.pieces % 200 == 0:
            time.sleep(1)
        return super().send_piece(fd, path, first, length)


class ForgetsOne(Exchange):
    """Now and then a small request waits a second and a half while others are answered."""

    answers = 0

    def answer(self, head):
        ForgetsOne.answers += 1
        if ForgetsOne.answers % 60 == 0:
            time.sleep(1.5)
        return super().answer(head)


class ReadsOnItsLoop(Exchange):
    """One thing at a time, and what it waits for is the disk."""

    loop = threading.Lock()

    def send_piece(self, fd, path, first, length):
        with ReadsOnItsLoop.loop:
            return super().send_piece(fd, path, first, length)


class DawdlesOnItsLoop(Exchange):
    """Reads aside, but has something to do with every MiB before it goes on, and all pieces of all
    connections take their turns, as on a loop."""

    loop = concurrent.futures.ThreadPoolExecutor(max_workers=1)

    def send_piece(self, fd, path, first, length):
        os.pread(fd, length, first)
        return self.loop.submit(self.take_turn, fd, path, first, length).result()

    def take_turn(self, fd, path, first, length):
        if first >> 20 != (first + length) >> 20:
            time.sleep(0.25)  # much longer than the disk needs for it
        return super().send_piece(fd, path, first, length)


class EndsWithoutDescriptors(Exchange):
    """See main()."""


class SpinsWithoutDescriptors(Exchange):
    """See main()."""


class SendsUnread(Exchange):
    """Reads into a file of /dev/shm, and does not look whether it could."""

    def serve(self):
        self.memory = os.open(f"/dev/shm/{os.getpid()}-{self.connection.fileno()}",
                              os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            os.ftruncate(self.memory, PIECE)
            super().serve()
        finally:
            os.close(self.memory)

    def send_piece(self, fd, path, first, length):
        data = os.pread(fd, length, first)
        try:
            os.pwrite(self.memory, data, 0)
        except OSError:
            pass
        self.send(os.pread(self.memory, len(data), 0))
        return len(data)


class NeedsAio(Exchange):
    """Does not start without an AIO context."""

    @staticmethod
    def prepare():
        context = ctypes.c_ulong(0)
        if ctypes.CDLL(None).syscall(206, ctypes.c_uint(64), ctypes.byref(context)) != 0:
            sys.exit("io_setup failed")


class LeaksMemory(Exchange):
    """A little for each answer."""

    kept = []

    def answer(self, head):
        LeaksMemory.kept.append(bytearray(os.urandom(1000)))
        return super().answer(head)


DEFECTS = {kind.__name__: kind for kind in (
    WrongByte, ReusesBuffers, Pads, OpensAgain, OneAtATime, LosesPipelined, EndsAtHalfClose,
    LeaksOnReset, StopsAtSignals, LosesWakeUps, ForgetsOne, ReadsOnItsLoop, DawdlesOnItsLoop,
    EndsWithoutDescriptors, SpinsWithoutDescriptors, SendsUnread, NeedsAio, LeaksMemory)}


def serve(kind, connection, root):
    with connection:
        try:
            kind(connection, root).serve()
        except OSError:
            # Gone in the middle of something: nothing more is owed.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def interrupt(*_):
    StopsAtSignals.interrupted = True


def main():
    port, root, *defect = sys.argv[1:]
    kind = DEFECTS[defect[0]] if defect else Exchange
    if kind is NeedsAio:
        NeedsAio.prepare()
    signal.signal(signal.SIGUSR1, interrupt)
    threading.stack_size(256 * 1024)
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=4096)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            if kind is EndsWithoutDescriptors:
                os._exit(1)
            if kind is not SpinsWithoutDescriptors:
                time.sleep(0.05)
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if kind is OneAtATime:
            serve(kind, connection, root)
        else:
            threading.Thread(target=serve, args=(kind, connection, root), daemon=True).start()


if __name__ == "__main__":
    main()
