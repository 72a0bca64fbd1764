"""Random conversations with the real server, compared with a model of what it must answer.

Hypothesis makes up conversations (requests, pipelined, cut anywhere, several connections at once,
with pauses, half-closes and aborts), model.py says what each must be answered, and what does not
agree is shrunk to the shortest conversation that does not. The same ones every time; for others:

    POLLUX_EXAMPLES=5000 POLLUX_SEED=7 /usr/bin/python3 -m pytest integration/test_model.py
"""

import dataclasses
import os
import re

import hypothesis
import pytest
from hypothesis import strategies as st

import gauges
from client import Connection
from model import BAD, REFUSED_METHODS, UNKNOWN_METHODS, File, Model, Request, resolve

pytestmark = pytest.mark.quick

EXAMPLES = int(os.environ.get("POLLUX_EXAMPLES", "120"))
SEED = os.environ.get("POLLUX_SEED")

LARGE = 300_001
MODIFIED = 1_000_000_000  # Sun, 09 Sep 2001 01:46:40 GMT
DATES = [f"Sun, 09 Sep 2001 01:46:{second} GMT" for second in (39, 40, 41)] + ["yesterday"]

# --- What is asked.

numbers = st.sampled_from([0, 1, 9, 10, 11, LARGE - 1, LARGE, LARGE + 1, 1 << 63, (1 << 64) + 1])
one_range = st.one_of(
    st.builds("{}-{}".format, numbers, numbers), st.builds("{}-".format, numbers),
    st.builds("-{}".format, numbers))


@st.composite
def several_ranges(draw):
    """In order and apart from each other: nothing to sort, nothing to join."""
    starts = sorted(draw(st.sets(st.integers(0, 18), min_size=2, max_size=18)))
    return ", ".join(f"{1000 * k}-{1000 * k + draw(st.integers(0, 500))}" for k in starts)


ranges = st.one_of(
    st.builds("bytes={}".format, one_range), st.builds("bytes={}".format, several_ranges()),
    st.sampled_from(["bytes=", "bytes", "items=0-1", "bytes=a-b", "bytes=1", "bytes=--1"]))
tags = st.sampled_from(["{etag}", "W/{etag}", '"other"', "*", '"other", {etag}', '"a", "b"'])
conditions = st.fixed_dictionaries({}, optional={
    "Range": ranges, "If-Match": tags, "If-None-Match": tags,
    "If-Range": st.sampled_from(["{etag}", "W/{etag}", '"other"', *DATES]),
    "If-Modified-Since": st.sampled_from(DATES), "If-Unmodified-Since": st.sampled_from(DATES)})
fields = st.one_of(st.just({}), st.fixed_dictionaries({"Range": ranges}), conditions,
                   st.fixed_dictionaries({"Range": ranges, "If-Range": st.just("{etag}")}))

there = st.sampled_from(["/small", "/large", "/empty", "/dir/", "/dir/index.html", "/bare/deep.bin",
                         "/a%20b", "/%73mall", "http://localhost/large?a=b"])
known = st.sampled_from([
    "/small", "/large", "/empty", "/dir", "/dir/", "/dir/index.html", "/bare", "/bare/",
    "/bare/deep.bin", "/a%20b", "/missing", "/small/", "/small?x=y", "/dir?x=%20", "//small",
    "http://localhost/small", "http://h", "http://h/dir?q", "/%73mall", "/%2573mall"])
segments = st.sampled_from(["dir", "bare", "small", "missing", ".", "..", "", "%2e", "%2e%2e",
                            "..%2f", "%2f", "%5c", "..;", "%c0%ae%c0%ae", "etc", "passwd"])
paths = st.lists(segments, max_size=6).map(lambda some: "/" + "/".join(some))
targets = st.one_of(there, there, known, paths)
contents = st.one_of(st.none(), st.none(), st.binary(max_size=3000))

simple = st.builds(Request, target=there, fields=fields)
good = st.builds(
    Request,
    method=st.sampled_from(["GET"] * 12 + ["HEAD"] * 4 + ["OPTIONS"] + REFUSED_METHODS
                           + UNKNOWN_METHODS),
    target=targets, minor=st.sampled_from([1, 1, 1, 1, 0, 2]), fields=fields, content=contents,
    chunked=st.booleans(), connection=st.sampled_from([None] * 6 + [
        "keep-alive", "close", "x, Close", "Keep-Alive, y"]))
bad = st.builds(Request, target=known, bad=st.sampled_from(sorted(BAD)))
middles = st.lists(st.one_of(simple, simple, simple, good, good), max_size=5)
lasts = st.one_of(simple, good, good, bad)


@dataclasses.dataclass
class Conversation:
    requests: list
    cuts: list       # where its bytes are cut into pieces, as parts of 1000
    end: str         # "close", "half-close", "reset" before reading, "half a head" and no more


conversations = st.builds(
    Conversation,
    requests=st.builds(lambda some, last: [*some, last], middles, lasts),
    cuts=st.lists(st.integers(0, 1000), max_size=6).map(sorted),
    end=st.sampled_from(["close"] * 4 + ["half-close"] * 2 + ["reset", "half a head"]))
examples = st.lists(conversations, min_size=1, max_size=3)

# --- What must come back.


class Tree:
    def __init__(self, files, server):
        self.server = server
        os.makedirs(os.path.join(files.root, "dir"))
        os.makedirs(os.path.join(files.root, "bare"))
        known_files = {}
        for name, size in (("small", 10), ("large", LARGE), ("empty", 0), ("dir/index.html", 77),
                           ("bare/deep.bin", 4097), ("a b", 5)):
            made = files.new(size, name)
            os.utime(made.path, (MODIFIED, MODIFIED))
            known_files["/" + name] = File(made.bytes(0, size), MODIFIED)
        # Entity tags are the server's to choose: learnt, once, and from then on always the same.
        with Connection(server.port) as connection:
            for path, file in known_files.items():
                connection.ask(path.replace(" ", "%20"), method="HEAD")
                file.etag = connection.read_answer("HEAD").head["etag"]
        self.model = Model(known_files)

    def fill_in(self, request):
        """Entity tags in the place of {etag}: those of the file that is asked for."""
        path, slash, _ = resolve(request.target)
        file = self.model.files.get(path.rstrip("/") + "/index.html" if slash else path)
        etag = file.etag if file else '"none"'
        return dataclasses.replace(request, fields={
            name: value.replace("{etag}", etag) for name, value in request.fields.items()})


def parts_of(body, boundary):
    """[(Content-Range, bytes)] of a multipart/byteranges body, which must be nothing but that."""
    pieces = body.split(b"\r\n--" + boundary)
    if not body.startswith(b"\r\n--"):
        pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    assert pieces[0] == b"" and pieces[-1].startswith(b"--"), "no multipart body"
    found = []
    for piece in pieces[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        found.append((re.search(rb"(?i)content-range: (.*)", head)[1].strip().decode(), content))
    return found


def compare(request, expected, got):
    told = f"{request}\nexpected {expected.status}, got {got.head.raw!r}"
    head = got.head
    assert got.status == expected.status, told
    assert head.version == "HTTP/1.1" and "date" in head.fields, told
    assert head.keeps_alive == (not expected.ends), told
    for name, value in expected.head.items():
        if isinstance(value, set):
            assert value <= {word.strip() for word in head[name].split(",")}, told
        else:
            assert head.get(name) == value, told
    if expected.status in (204, 304):
        assert "transfer-encoding" not in head.fields, told
        assert expected.status == 304 or "content-length" not in head.fields, told
    if expected.parts:
        boundary = re.fullmatch(r'multipart/byteranges; boundary="?([^"]+)"?', head["content-type"])
        file = expected.file
        assert parts_of(got.body, boundary[1].encode()) == [
            (f"bytes {first}-{last}/{len(file)}", file[first:last + 1])
            for first, last in expected.parts], told
    elif expected.body is not None:
        assert got.body == expected.body, told
    else:
        assert got.body, told


class Talk:
    """One conversation on a connection of its own."""

    def __init__(self, tree, conversation):
        self.tree, self.end = tree, conversation.end
        self.requests = [tree.fill_in(request) for request in conversation.requests]
        text = b"".join(request.wire() for request in self.requests)
        if self.end == "half a head":
            text += b"GET /small HTTP/1.1\r\nHo"
        at = [0, *(len(text) * cut // 1000 for cut in conversation.cuts), len(text)]
        self.pieces = [text[a:b] for a, b in zip(at, at[1:])]
        self.connection = Connection(tree.server.port, timeout=20)

    def send(self, piece):
        try:
            self.connection.send(piece)
        except ConnectionError:
            pass  # the server has answered for the last time; what it said is still there to read

    def finish(self):
        with self.connection:
            if self.end == "reset":
                self.connection.reset()
                return
            if self.end in ("half-close", "half a head"):
                try:
                    self.connection.half_close()
                except OSError:
                    pass  # as in send()
            for request in self.requests:
                expected = self.tree.model.answer(request)
                compare(request, expected, self.connection.read_answer(request.method))
                if expected.ends:
                    assert self.connection.read_to_end() == b"", "something follows the last answer"
                    return
            if self.end != "close":
                rest = self.connection.read_to_end()
                assert rest == b"" or self.end == "half a head" and rest.startswith(b"HTTP/1.1 4")


def test_the_server_agrees_with_the_model(pollux, own_files):
    server = pollux(own_files.root, backend="auto")
    tree = Tree(own_files, server)

    def check(example):
        talks = [Talk(tree, conversation) for conversation in example]
        try:
            with Connection(server.port) as other:
                # Piece by piece, in turns; between them the loop has a turn to read the last ones.
                for number in range(max(len(talk.pieces) for talk in talks)):
                    for talk in talks:
                        if number < len(talk.pieces):
                            talk.send(talk.pieces[number])
                    other.ask("/small")
                    assert other.read_answer().status == 200
            for talk in talks:
                talk.finish()
        finally:
            for talk in talks:
                talk.connection.close()

    run = hypothesis.given(examples)(check)
    run = hypothesis.settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=SEED is None,
        suppress_health_check=list(hypothesis.HealthCheck), print_blob=True)(run)
    if SEED is not None:
        run = hypothesis.seed(int(SEED))(run)
    run()
    gauges.wait_idle(server)
    assert " error " not in server.stderr(), server.stderr()
