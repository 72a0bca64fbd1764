"""Folders listed (--listing): HTML and JSON against what is really there, by raw sockets."""

import concurrent.futures
import email.utils
import html.parser
import json
import os
import time
import urllib.parse

import pytest

import gauges
from client import Connection, fetch, request
from data import Checker
from listings import entries, listing, read_listing

pytestmark = pytest.mark.quick


class Page(html.parser.HTMLParser):
    """The links of a page, each with its text and what stands behind it in its row."""

    def __init__(self, text):
        super().__init__()
        self.rows, self._href, self._open = [], None, []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link"):
            self._open.append(tag)
        if tag == "tr":
            self.rows.append({"href": None, "text": "", "date": None})
        if tag == "a" and "tbody" in self._open:
            self.rows[-1]["href"] = dict(attrs)["href"]
        if tag == "time":
            self.rows[-1]["date"] = dict(attrs)["datetime"]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "a" in self._open and "tbody" in self._open:
            self.rows[-1]["text"] += data

    def entries(self):
        return [row for row in self.rows if row["href"] not in (None, "../")]


@pytest.fixture
def tree(own_files):
    root = own_files.root
    for folder in ("Zoo", "apes", "apes/deeper"):
        os.mkdir(os.path.join(root, folder))
    for size, name in [(0, "empty"), (999, "part 10"), (123_456, "part 2"), (5, "a & b <c>.txt"),
                       (7, "ünï.txt"), (1, ".hidden"), (2, "q?#%41;x")]:
        own_files.new(size, name)
    with open(os.fsencode(root) + b"/\xff\n\"'\xe2\x82", "wb") as file:
        file.write(b"odd")
    os.symlink("apes/../part 2", os.path.join(root, "link"))
    os.symlink("/etc/passwd", os.path.join(root, "out"))
    os.symlink("nowhere", os.path.join(root, "broken"))
    os.mkfifo(os.path.join(root, "fifo"))
    return own_files


NAMES = [b"apes", b"Zoo", b"a & b <c>.txt", b"empty", b"link", b"part 2", b"part 10", b"q?#%41;x",
         "ünï.txt".encode(), b"\xff\n\"'\xe2\x82"]


def test_json_is_what_is_there(pollux, tree):
    server = pollux(tree.root, listing=True)
    found = entries(server, "/")
    assert found["path"] == "/" and found["sorted"] is True
    assert [urllib.parse.unquote_to_bytes(entry["href"]).rstrip(b"/")
            for entry in found["entries"]] == NAMES
    for entry, name in zip(found["entries"], NAMES):
        there = os.stat(os.path.join(os.fsencode(tree.root), name))
        if entry["type"] == "directory":
            assert os.path.isdir(os.path.join(os.fsencode(tree.root), name))
            assert "size" not in entry and entry["href"].endswith("/")
        else:
            assert entry["type"] == "file" and entry["size"] == there.st_size
            assert len(fetch(server.port, "/" + entry["href"]).body) == there.st_size
        assert entry["modified"] == time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                                  time.gmtime(there.st_mtime))
        assert entry["name"] == name.decode("utf-8", "replace") or name.startswith(b"\xff")


def test_html_says_the_same(pollux, tree):
    server = pollux(tree.root, listing=True)
    head, content = listing(server, "/", Accept="text/html")
    assert head["content-type"] == "text/html; charset=utf-8"
    page = Page(content.decode("utf-8"))
    rows = page.entries()
    found = entries(server, "/")["entries"]
    assert [row["href"] for row in rows] == [entry["href"] for entry in found]
    assert [row["date"] for row in rows] == [entry["modified"] for entry in found]
    shown = {row["text"] for row in rows}
    assert {"apes/", "a & b <c>.txt", "part 10", "ünï.txt", "q?#%41;x"} <= shown
    assert b"<c>" not in content
    assert b"120 KiB<small>123,456 B</small>" in content


@pytest.mark.parametrize("accept,kind", [
    (None, "text/html"), ("*/*", "text/html"), ("application/json", "application/json"),
    ("text/html;q=0.4, application/json;q=0.5", "application/json"),
    ("text/html;q=0.5, application/json;q=0.5", "text/html"),
    ("application/*", "application/json"), ("text/html;q=0, */*", "application/json"),
    ("image/png", "text/html"),
])
def test_accept_decides(pollux, tree, accept, kind):
    server = pollux(tree.root, listing=True)
    fields = {} if accept is None else {"Accept": accept}
    head, _ = listing(server, "/", **fields)
    assert head["content-type"].startswith(kind)
    assert head["vary"] == "Accept" and head["cache-control"] == "no-cache"
    assert abs(email.utils.parsedate_to_datetime(head["date"]).timestamp() - time.time()) < 60


def test_head_and_the_connection_stay_whole(pollux, tree):
    server = pollux(tree.root, listing=True)
    file = tree.new(100, "file")
    with Connection(server.port) as connection:
        connection.send(request("/", method="HEAD") + request("/") + request("/file")
                        + request("/apes/") + request("/file"))
        head, _ = read_listing(connection, method="HEAD")
        same, content = read_listing(connection)
        assert {k: v for k, v in head.fields.items() if k != "date"} == {
            k: v for k, v in same.fields.items() if k != "date"}
        assert content.endswith(b"</html>\n")
        connection.read_checked(Checker(file))
        assert b"deeper" in read_listing(connection)[1]
        connection.read_checked(Checker(file))


def test_split_at_every_byte(pollux, tree):
    server = pollux(tree.root, listing=True)
    text = request("/apes/", Accept="application/json")
    with Connection(server.port) as connection, Connection(server.port) as other:
        for at in range(1, len(text)):
            connection.send(text[:at])
            other.ask("/missing")
            assert other.read_answer().status == 404
            connection.send(text[at:])
            assert json.loads(read_listing(connection)[1])["entries"][0]["name"] == "deeper"


def test_http_1_0_reads_to_the_end(pollux, tree):
    server = pollux(tree.root, listing=True)
    with Connection(server.port) as connection:
        connection.send(b"GET /apes/ HTTP/1.0\r\nAccept: application/json\r\n"
                        b"Connection: keep-alive\r\n\r\n")
        head = connection.read_head()
        assert head.status == 200 and not head.keeps_alive
        assert not {"transfer-encoding", "content-length"} & head.fields.keys()
        assert json.loads(connection.read_to_end())["path"] == "/apes/"


def test_every_worker_lists(pollux, tree):
    server = pollux(tree.root, listing=True, workers=3)
    expected = entries(server, "/")
    for _ in range(20):  # each on a connection of its own, which any of them may get
        assert entries(server, "/") == expected


def test_many_at_once_leave_no_folder_open(pollux, own_files):
    """Workers read folders; the loop alone counts who has one open."""
    names = {f"file {number}" for number in range(300)}
    for name in names:
        with open(os.path.join(own_files.root, name), "wb"):
            pass
    server = pollux(own_files.root, listing=True, open_files=0)

    def visit(client):
        with Connection(server.port) as connection:
            for _ in range(60):
                connection.ask("/", Accept="application/json")
                found = json.loads(read_listing(connection)[1])["entries"]
                assert {entry["name"] for entry in found} == names
        for stage in range(20):
            leaves = Connection(server.port)
            leaves.send(request("/") * 3)
            if (client + stage) % 2:
                leaves.read_head()
            leaves.reset()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(8)))
    gauges.wait_idle(server)
    # A worker may still read a folder for somebody who has left.
    gauges.wait_until(server, lambda metrics: metrics.value("pollux_open_files") == 0,
                      "no folder is open")
    assert len(entries(server, "/")["entries"]) == len(names)


def test_without_the_flag_and_with_an_index(pollux, tree):
    assert fetch(pollux(tree.root).port, "/apes/").status == 403
    index = tree.new(50, "apes/index.html")
    server = pollux(tree.root, listing=True)
    with Connection(server.port) as connection:
        connection.ask("/apes/")
        connection.read_checked(Checker(index))
    assert fetch(server.port, "/apes").head["location"] == "/apes/"
    assert fetch(server.port, "/none/").status == 404


def test_links_are_listed_as_they_are_followed(pollux, tree):
    for symlinks, links in (("inside", {"link"}), ("follow", {"link", "out"}), ("none", set())):
        server = pollux(tree.root, listing=True, symlinks=symlinks)
        names = {entry["name"] for entry in entries(server, "/")["entries"]}
        assert names & {"link", "out", "broken", "fifo", ".hidden"} == links
        for link in links:
            assert fetch(server.port, "/" + link).status == 200


def test_a_folder_that_vanishes(pollux, tree):
    """Made, filled, emptied and removed all the time: each answer is a whole listing or an error."""
    server = pollux(tree.root, listing=True)
    folder = os.path.join(tree.root, "sometimes")
    seen = set()

    def flicker():
        for _ in range(150):
            os.mkdir(folder)
            for name in "abc":
                with open(os.path.join(folder, name), "w", encoding="ascii"):
                    pass
            for name in "abc":
                os.remove(os.path.join(folder, name))
            os.rmdir(folder)

    with concurrent.futures.ThreadPoolExecutor(1) as pool, Connection(server.port) as connection:
        flickering = pool.submit(flicker)
        while not flickering.done():
            connection.ask("/sometimes/", Accept="application/json")
            head = connection.read_head()
            seen.add(head.status)
            if head.status != 200:
                connection.read_body(head.length)
                continue
            content = b""
            while size := int(connection.read_line(), 16):
                content += connection.read_body(size + 2)[:-2]
            assert connection.read_body(2) == b"\r\n"
            names = [entry["name"] for entry in json.loads(content)["entries"]]
            assert names == sorted(names) and set(names) <= set("abc")
        flickering.result()
    assert 404 in seen and seen <= {200, 404}
