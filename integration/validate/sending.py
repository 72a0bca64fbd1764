"""Bytes on the wire: exact under a reader that reads late, and never one that was not read."""

import os
import re
import socket

import numpy

import cache
import servers
from client import ClosedEarly, Connection
from data import WORD
from gauges import wait_until
from verdict import MUST_FAIL, MUST_HOLD, Cell, share

BACKENDS = ("writev", "linux-sendfile", "linux-aio-sendfile", "linux-aio-write",
            "threads-sendfile", "auto")
RETIRES = ("punch", "fresh", "reuse")
CHUNKED = ("linux-aio-sendfile", "linux-aio-write")  # every byte goes through chunks

# Answers are ranges of a large file: `auto` sends small ones through the page cache.
FILE_BYTES = 32 << 20
OFFSET = (1 << 20) + 8
CHUNKS = 24           # in an answer that is read late
_CHUNKS_AT_ONCE = 4   # the buffer budget
_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>; beyond net.core.rmem_max, for root


class NotShown(AssertionError):
    """The order of events that a cell rests on did not come about."""


def wrong_bytes(received, file, offset):
    """In units of 8 bytes, which know their place: one that comes from elsewhere may have most of
    its bytes in common with the right one."""
    assert offset % WORD == 0
    right = file.bytes(offset, len(received))
    end = len(received) // WORD * WORD
    words = numpy.frombuffer(received, "u8", end // WORD) != numpy.frombuffer(right, "u8",
                                                                              end // WORD)
    return WORD * int(numpy.count_nonzero(words)) + (received[end:] != right[end:])


# --- A reader that reads late.


def _queue_room(connection):
    """Bytes of contents that the connection's receive queue takes without being read: a quarter of
    the buffer, since what the kernel keeps for its own counts as well (socket(7), SO_RCVBUF)."""
    try:
        connection.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
    except PermissionError:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    return connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 4


def late_chunk_bytes():
    """64 KiB, or what an unprivileged client's receive queue allows."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with Connection(listener.getsockname()[1]) as connection:
            room = _queue_room(connection)
    return max(4096, min(65536, room // CHUNKS // 4096 * 4096))


def late_reader(root, backend, file, chunk, retire="punch", readers=3):
    """(wrong, all) bytes of late readers, one after the other. The client does not read the first
    byte before the server's socket has accepted the last one; by then every chunk of the server was
    used several times over. (The server's word is taken, and not the client's receive queue: while
    TCP is short of memory, poll with SO_RCVLOWAT answers early, and part waits at the sender.)"""
    wrong = total = 0
    length = CHUNKS * chunk + 1
    with servers.PolluxServer(root, backend=backend, retire=retire, chunk=str(chunk),
                              buffer_budget=str(_CHUNKS_AT_ONCE * chunk)) as server:
        for _ in range(readers):
            cache.make_cold(file.path)  # so that auto, too, reads from disk
            with Connection(server.port) as connection:
                _queue_room(connection)
                connection.ask("/" + file.name, range=(OFFSET, OFFSET + length - 1))
                wait_until(server, lambda seen: seen.value("pollux_file_bytes_sent_total")
                           >= total + length, "every byte accepted by the socket")
                received = connection.read_body(connection.read_head().length)
            wrong += wrong_bytes(received, file, OFFSET)
            total += len(received)
        seen = server.metrics()
    if total != readers * length:
        raise NotShown(f"{backend}: {total} bytes received of {readers * length}")
    if backend in CHUNKED and seen.value("pollux_chunk_bytes_max") > _CHUNKS_AT_ONCE * chunk:
        raise NotShown(f"{backend}: more chunks than its budget")
    if backend in CHUNKED and seen.value("pollux_reads_completed_total") < readers * CHUNKS:
        raise NotShown(f"{backend}: the file was not read in chunks")
    return wrong, total


def late_reader_cell(root, backend, file, chunk, retire="punch"):
    expected = MUST_FAIL if retire == "reuse" else MUST_HOLD
    wrong, total = late_reader(root, backend, file, chunk, retire)
    return Cell(wrong == 0, f"{share(wrong, total)} wrong", expected,
                {"wrong_bytes": wrong, "bytes": total})


# --- Reads that fail, end early, or meet a file that has become shorter.

_SENDFILE_FAULTS = [("sendfile:short=5000:every=2", True), ("sendfile:EIO:first=3:every=5", False)]
_AIO_FAULTS = [("aio_read:short=4096:every=3", True), ("aio_read:EIO:first=3:every=7", False),
               ("io_submit:short=1:every=2", True), ("io_submit:EAGAIN:every=3", True)]
# What is injected, and whether every answer must still be complete.
FAULTS = {
    "writev": [("pread:short=5000:every=2", True), ("pread:EIO:first=3:every=7", False)],
    "linux-sendfile": _SENDFILE_FAULTS,
    "threads-sendfile": _SENDFILE_FAULTS,
    "linux-aio-sendfile": _AIO_FAULTS,
    "linux-aio-write": _AIO_FAULTS,
    "auto": _AIO_FAULTS + _SENDFILE_FAULTS,  # it depends on the disk which of them it meets
}
_ANSWERS = 12
_ANSWER_BYTES = (2 << 20) + 1
_STRUCK = re.compile(r"^pollux-faulty: struck (\S+) (\d+) of (\d+)$", re.M)


def _read_what_comes(connection, length):
    received = bytearray()
    try:
        for piece in connection.pieces(length):
            received += piece
    except ClosedEarly:
        pass
    return bytes(received)


def under_fault(root, backend, file, rule, complete):
    """{"wrong", "bytes", "answers", "cut", "struck"} for answers under an injected fault."""
    server = servers.PolluxServer(
        root, backend=backend, chunk="64K", env={"POLLUX_FAULTS": rule},
        binary=os.path.join(servers.build_folder(), "pollux-faulty"))
    tally = {"rule": rule, "wrong": 0, "bytes": 0, "answers": 0, "cut": 0}
    with server:
        for _ in range(_ANSWERS):
            cache.make_cold(file.path)
            with Connection(server.port) as connection:
                connection.ask("/" + file.name, range=(OFFSET, OFFSET + _ANSWER_BYTES - 1))
                received = _read_what_comes(connection, connection.read_head().length)
            tally["answers"] += 1
            tally["cut"] += len(received) < _ANSWER_BYTES
            tally["wrong"] += wrong_bytes(received, file, OFFSET)
            tally["bytes"] += len(received)
    tally["struck"] = sum(int(count) for _, count, _ in _STRUCK.findall(server.stderr()))
    if complete and tally["cut"]:
        raise servers.ServerError(f"{backend}: {rule}: {tally['cut']} answers were cut short")
    return tally


def _until_it_stops(server):
    """Bytes of files that sockets took, once that and the reads no longer change. A scrape is a
    turn of the loop; a hundred turns without change, with no read under way, is a full socket."""
    last, same = None, 0
    while same < 100:
        seen = server.metrics()
        now = (seen.value("pollux_file_bytes_sent_total"), seen.value("pollux_reads_in_flight"))
        same = same + 1 if now == last and now[0] > 0 and now[1] == 0 else 0
        last = now
    return int(last[0])


def under_truncation(root, backend, file):
    """The same for a file that becomes shorter while it is sent, beyond what has been sent so far:
    the client does not read until the server has stopped sending and the file is short."""
    cache.make_cold(file.path)
    with servers.PolluxServer(root, backend=backend, chunk="64K") as server:
        with Connection(server.port, receive_buffer=65536) as connection:
            connection.ask("/" + file.name)
            head = connection.read_head()
            sent = _until_it_stops(server)
            os.truncate(file.path, (sent + file.size) // 2 // 4096 * 4096)
            received = _read_what_comes(connection, head.length)
    return {"rule": "truncation", "wrong": wrong_bytes(received, file, 0), "bytes": len(received),
            "answers": 1, "cut": int(len(received) < file.size), "sent_before": sent}


def unread_cell(folder, backend, file, number):
    tallies = [under_fault(folder.path, backend, file, rule, complete)
               for rule, complete in FAULTS[backend]]
    missed = [tally["rule"] for tally in tallies if tally["struck"] == 0]
    if len(missed) == len(tallies) or (missed and backend != "auto"):
        raise NotShown(f"{backend}: nothing was struck by {', '.join(missed)}")
    silent = [tally["rule"] for tally in tallies if tally["bytes"] == 0]
    if silent:
        raise NotShown(f"{backend}: not a byte came under {', '.join(silent)}")
    shrinking = folder.add(f"shrinks-{backend}", number, FILE_BYTES)
    tallies.append(under_truncation(folder.path, backend, shrinking))
    os.remove(shrinking.path)
    if not tallies[-1]["cut"]:
        raise NotShown(f"{backend}: the file did not become shorter in time")
    wrong, cut, answers = (sum(tally[name] for tally in tallies)
                           for name in ("wrong", "cut", "answers"))
    return Cell(wrong == 0, f"{wrong} bytes, {cut} of {answers} cut", MUST_HOLD,
                {"tallies": tallies})
