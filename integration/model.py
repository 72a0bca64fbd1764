"""What a static server must answer, in the plainest words: a request, and the one right answer.

No connection, no bytes, no time: a `Request` is a set of choices, `Model.answer` says what follows
from them by RFC 9110 and 9112 and by the choices that Pollux has made where those leave one. What
goes over the wire is Request.wire(). Nothing here was taken from the server: the two were written
from the same texts, and the test compares them.
"""

import calendar
import email.utils
import re
import urllib.parse
from dataclasses import dataclass, field
from typing import Optional

ALLOW = {"GET", "HEAD", "OPTIONS"}
REFUSED_METHODS = ["POST", "PUT", "DELETE", "PATCH", "TRACE"]
UNKNOWN_METHODS = ["BREW", "get", "GETS"]
RANGES_MAX = 16  # --max-ranges

# Framing that is not to be trusted: what the request line or a field is replaced with, and the
# status. After each the connection ends.
BAD = {
    "no version": 400, "HTTP/2": 505, "two spaces": 400, "bare CR": 400,
    "space before the colon": 400, "folded field": 400, "no host": 400, "two hosts": 400,
    "signed length": 400, "two lengths": 400, "length and coding": 400, "unknown coding": 501,
    "NUL in the path": 400, "broken escape": 400,
}


@dataclass
class Request:
    method: str = "GET"
    target: str = "/"
    minor: int = 1
    connection: Optional[str] = None
    fields: dict = field(default_factory=dict)
    content: Optional[bytes] = None
    chunked: bool = False
    bad: Optional[str] = None  # a key of BAD

    def wire(self):
        lines = [f"{self.method} {self.target} HTTP/1.{self.minor}", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.fields.items()]
        if self.connection is not None:
            lines.append(f"Connection: {self.connection}")
        content = b""
        if self.content is not None and self.chunked:
            lines.append("Transfer-Encoding: chunked")
            content = b"".join(b"%x;a=b\r\n%s\r\n" % (len(piece), piece)
                               for piece in re.findall(rb"(?s).{1,1000}", self.content))
            content += b"0\r\nTrailer: x\r\n\r\n"
        elif self.content is not None:
            lines.append(f"Content-Length: {len(self.content)}")
            content = self.content
        if self.bad:
            self._spoil(lines)
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content

    def _spoil(self, lines):
        method, target, version = lines[0].split(" ")
        line = {
            "no version": f"{method} {target}", "HTTP/2": f"{method} {target} HTTP/2.0",
            "two spaces": f"{method}  {target} {version}",
            "NUL in the path": f"{method} /%00 {version}",
            "broken escape": f"{method} /%4 {version}",
        }.get(self.bad)
        if line:
            lines[0] = line
        elif self.bad == "no host":
            lines.remove("Host: localhost")
        else:
            lines += {
                "bare CR": ["A: b\rc"], "space before the colon": ["A : b"],
                "folded field": ["A: b", " c"],
                "two hosts": ["Host: localhost"], "signed length": ["Content-Length: +1"],
                "two lengths": ["Content-Length: 1", "Content-Length: 1"],
                "length and coding": ["Content-Length: 1", "Transfer-Encoding: chunked"],
                "unknown coding": ["Transfer-Encoding: smoke, chunked"],
            }[self.bad]


@dataclass
class Answer:
    status: int
    body: Optional[bytes] = None  # None: some text, not said here which
    head: dict = field(default_factory=dict)
    parts: Optional[list] = None  # multipart: [(first, last)], of
    file: bytes = b""             # this
    ends: bool = False            # the connection ends after it


class File:
    def __init__(self, content, modified, etag=None):
        self.content, self.modified, self.etag = content, modified, etag


class Model:
    """`files` are {path: File}, paths beginning with "/"; every folder above one exists."""

    def __init__(self, files):
        self.files = files
        self.folders = {"/"}
        for path in files:
            while path != "/":
                path = path.rpartition("/")[0] or "/"
                self.folders.add(path)

    def answer(self, request):
        if request.bad:
            answer = Answer(BAD[request.bad], ends=True)
        elif request.content is not None and request.chunked and request.minor == 0:
            answer = Answer(400, ends=True)  # RFC 9112 section 6.1
        else:
            answer = self._answer(request)
            asked = [token.strip().lower() for token in (request.connection or "").split(",")]
            answer.ends = "close" in asked or (request.minor == 0 and "keep-alive" not in asked)
        if request.method == "HEAD" or answer.status in (204, 304):
            answer.body, answer.parts = b"", None
        return answer

    def _answer(self, request):
        if request.method == "OPTIONS":
            return Answer(204, head={"allow": ALLOW})
        if request.method in REFUSED_METHODS:
            return Answer(405, head={"allow": ALLOW})
        if request.method not in ("GET", "HEAD"):
            return Answer(501)
        path, slash, query = resolve(request.target)
        if path in self.folders:
            if not slash:
                return Answer(301, head={"location": urllib.parse.quote(path) + "/" + query})
            path = path.rstrip("/") + "/index.html"
            if path not in self.files:
                return Answer(403)
        elif slash:
            return Answer(404)
        if path not in self.files:
            return Answer(404)
        return self._file(request, self.files[path])

    def _file(self, request, file):
        fields = {name.lower(): value for name, value in request.fields.items()}
        common = {"etag": file.etag,
                  "last-modified": email.utils.formatdate(file.modified, usegmt=True)}
        # RFC 9110 section 13.2.2, in its order.
        since = date(fields.get("if-unmodified-since"))
        if "if-match" in fields:
            if not listed(fields["if-match"], file.etag, strong=True):
                return Answer(412)
        elif since is not None and file.modified > since:
            return Answer(412)
        since = date(fields.get("if-modified-since"))
        if "if-none-match" in fields:
            if listed(fields["if-none-match"], file.etag, strong=False):
                return Answer(304, b"", common)
        elif since is not None and file.modified <= since:
            return Answer(304, b"", common)
        ranges = None
        if request.method == "GET" and "range" in fields and (
                "if-range" not in fields
                or fields["if-range"] == file.etag or date(fields["if-range"]) == file.modified):
            ranges = satisfiable(fields["range"], len(file.content))
        size = len(file.content)
        if ranges == []:
            return Answer(416, head={"content-range": f"bytes */{size}"})
        if ranges is None:
            return Answer(200, file.content, {**common, "accept-ranges": "bytes"})
        if len(ranges) > 1:
            return Answer(206, None, common, parts=ranges, file=file.content)
        first, last = ranges[0]
        return Answer(206, file.content[first:last + 1],
                      {**common, "content-range": f"bytes {first}-{last}/{size}"})


def resolve(target):
    """(path without a slash at its end, whether it had one, "?query"). Dot segments go after
    decoding, once; the path never climbs above the root; empty segments count for nothing."""
    if target.lower().startswith("http://"):
        target = "/" + target[7:].partition("/")[2]
    path, mark, query = target.partition("?")
    path = urllib.parse.unquote(path, "latin-1")
    kept = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept), segments[-1] in ("", ".", ".."), mark + query


def date(text):
    """Seconds since the epoch; None for what is no date."""
    if text is None or not text.endswith(" GMT"):
        return None
    parts = email.utils.parsedate(text)
    return calendar.timegm(parts) if parts else None


def listed(text, etag, strong):
    if text.strip() == "*":
        return True
    for tag in re.findall(r'(?:W/)?"[^"]*"', text):
        if tag == etag or (not strong and tag.removeprefix("W/") == etag):
            return True
    return False


def satisfiable(text, size):
    """[(first, last)] of those that can be had; None if the field is not understood."""
    unit, _, specs = text.partition("=")
    found = [re.fullmatch(r"(\d*)-(\d*)", spec.strip()) for spec in specs.split(",")]
    if unit.lower() != "bytes" or not all(found) or len(found) > RANGES_MAX:
        return None
    ranges = []
    for first, last in (match.groups() for match in found):
        if not first and not last or first and last and int(last) < int(first):
            return None
        if first:
            first, last = int(first), min(int(last or size), size - 1)
        else:
            # All of an empty file is satisfiable (RFC 9110 section 14.1.2), and no 206 can say so.
            if size == 0 and int(last):
                return None
            first, last = max(0, size - int(last)), size - 1
        if first <= last:
            ranges.append((first, last))
    return ranges
