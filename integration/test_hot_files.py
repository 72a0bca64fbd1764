"""Hot files that change while they are served: every answer is a state that the file had, whole, and
no answer is more than a second behind. And what is only kept open is given back."""

import os
import threading
import time

import pytest

from client import Connection, fetch, request

pytestmark = pytest.mark.quick
BEHIND_S = 1.0


def content(version, size=3000):
    """Every line tells its version, so that a mixture of two shows."""
    line = f"version {version:6d} of this file\n".encode()
    return (line * (size // len(line) + 1))[:size]


def put(path, data):
    """As a mirror does: written beside, then renamed over."""
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)


def until(server, target, holds):
    """Asks until an answer `holds`; every answer before is returned with it. At most a second (and
    what a busy machine adds to one request) after the call."""
    answers = []
    deadline = time.monotonic() + BEHIND_S
    with Connection(server.port) as connection:
        while True:
            asked = time.monotonic()
            connection.ask(target)
            answer = connection.read_answer()
            answers.append(answer)
            if holds(answer):
                return answers
            assert asked < deadline, f"still {answer.status} {answer.body[:40]!r} after a second"


@pytest.fixture
def hot(own_files, pollux):
    path = os.path.join(own_files.root, "hot")
    put(path, content(0))
    server = pollux(own_files.root)
    for _ in range(3):
        assert fetch(server.port, "/hot").body == content(0)
    return server, path


def test_a_replaced_file_is_the_old_one_or_the_new_one(hot):
    server, path = hot
    for version in range(1, 6):
        new = content(version, 3000 + 100 * version)
        put(path, new)
        old = content(version - 1, 3000 + 100 * (version - 1)) if version > 1 else content(0)
        for answer in until(server, "/hot", lambda answer, new=new: answer.body == new):
            assert answer.status == 200 and answer.body in (old, new)


def test_a_file_of_equal_size_and_time_is_told_by_its_inode(hot):
    server, path = hot
    status = os.stat(path)
    with open(path + ".new", "wb") as file:
        file.write(content(1))
    os.utime(path + ".new", ns=(status.st_atime_ns, status.st_mtime_ns))
    os.rename(path + ".new", path)
    until(server, "/hot", lambda answer: answer.body == content(1))


def test_a_truncated_file_never_keeps_its_old_length(hot):
    server, path = hot
    os.truncate(path, 1000)
    for answer in until(server, "/hot", lambda answer: answer.body == content(0)[:1000]):
        assert answer.body in (content(0), content(0)[:1000])
    os.truncate(path, 0)
    until(server, "/hot", lambda answer: answer.body == b"")


def test_a_file_that_is_changed_in_place_never_has_new_bytes_under_its_old_tag(pollux, own_files):
    """Too large for the memory, so only kept open: with an old tag a client that resumes would join
    two states of the file."""
    server = pollux(own_files.root)
    path = os.path.join(own_files.root, "large")
    put(path, content(0, 100_000))
    for version in range(1, 6):
        os.utime(path, ns=(version, version))  # not in the same tick as what follows
        old = fetch(server.port, "/large")
        with open(path, "r+b", buffering=0) as file:
            file.write(content(version, 100_000))
        rest = fetch(server.port, "/large", range="bytes=50000-", If_Range=old.head["etag"])
        assert rest.status == 200 and rest.body == content(version, 100_000)
        assert rest.head["etag"] != old.head["etag"]
        os.truncate(path, 1000)
        assert fetch(server.port, "/large").body == content(version, 100_000)[:1000]
        put(path, content(version, 100_000))
        whole = content(version, 100_000)
        until(server, "/large", lambda answer, whole=whole: answer.body == whole)


def test_a_file_that_grows_is_answered_with_a_length_that_it_had(hot):
    server, path = hot
    lengths = {3000}
    with open(path, "ab", buffering=0) as file:
        for version in range(1, 20):
            piece = content(version, 100)
            lengths.add(3000 + 100 * version)
            file.write(piece)
            answer = fetch(server.port, "/hot")
            assert len(answer.body) in lengths
    whole = content(0) + b"".join(content(version, 100) for version in range(1, 20))
    for answer in until(server, "/hot", lambda answer: answer.body == whole):
        assert whole.startswith(answer.body) and len(answer.body) in lengths


def test_a_deleted_file_is_gone_and_comes_back(hot):
    server, path = hot
    os.remove(path)
    for answer in until(server, "/hot", lambda answer: answer.status == 404):
        assert answer.status == 404 or answer.body == content(0)
    put(path, content(1))
    assert fetch(server.port, "/hot").body == content(1), "that it was gone is not remembered"


def test_a_link_that_is_turned_out_of_the_root_shows_nothing_outside(hot, tmp_path):
    server, path = hot
    (tmp_path / "secret").write_bytes(b"secret")
    link = os.path.join(os.path.dirname(path), "link")
    os.symlink("hot", link)
    assert fetch(server.port, "/link").body == content(0)
    os.symlink(str(tmp_path / "secret"), link + ".new")
    os.rename(link + ".new", link)
    for answer in until(server, "/link", lambda answer: answer.status == 403):
        assert answer.status == 403 or answer.body == content(0)


def test_a_file_that_is_replaced_all_the_time_is_never_a_mixture(hot):
    server, path = hot
    versions = [content(0)]
    stop = threading.Event()

    def replace():
        version = 0
        while not stop.is_set():
            version += 1
            versions.append(content(version, 2000 + 37 * (version % 50)))
            put(path, versions[-1])

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        answers = []
        start = time.monotonic()
        with Connection(server.port) as connection:
            while time.monotonic() < start + 3 or (
                    time.monotonic() < start + 30 and len({one.body for one in answers}) < 3):
                for _ in range(20):
                    connection.ask("/hot")
                answers += [connection.read_answer() for _ in range(20)]
    finally:
        stop.set()
        writer.join()
    known = set(versions)
    assert all(answer.status == 200 and answer.body in known for answer in answers)
    assert len({answer.body for answer in answers}) > 2, "it was looked at anew"
    until(server, "/hot", lambda answer: answer.body == versions[-1])


def test_pipelined_requests_have_their_answers_in_order(own_files, pollux):
    hot, large = own_files.new(1000, "hot"), own_files.new(1_000_000, "large")
    server = pollux(own_files.root)
    fetch(server.port, "/hot")
    order = [hot, hot, large, hot, large, large, hot] * 10
    with Connection(server.port, receive_buffer=4096) as connection:
        connection.send(b"".join(request("/" + file.name) for file in order))
        for file in order:
            answer = connection.read_answer()
            assert len(answer.body) == file.size
            file.check(answer.body)


def test_only_so_many_files_are_kept_open(own_files, pollux):
    kept = [own_files.new(1000, f"kept{number}") for number in range(50)]
    server = pollux(own_files.root, open_files=20)
    for file in kept:
        file.check(fetch(server.port, "/" + file.name).body)
    assert sum("/kept" in link for link in server.descriptors()) == 20


def test_without_a_cache_nothing_is_kept(own_files, pollux):
    file = own_files.new(1000, "kept")
    server = pollux(own_files.root, open_files=0)
    for _ in range(3):
        assert fetch(server.port, "/kept").status == 200
        file.check(fetch(server.port, "/kept").body)
    # The answer is out a moment before its file is closed.
    deadline = time.monotonic() + 10
    while any("/kept" in link for link in server.descriptors()):
        assert time.monotonic() < deadline, "the file stays open"
