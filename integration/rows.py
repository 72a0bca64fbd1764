"""What is asked, and what each must be answered with: the tables of test_rows.py.

The files that they speak of: /file.txt with CONTENT, changed at MODIFIED; /empty; /sub/ with an
index file, /bare/ without; /fifo, /socket, and /piped/ whose index file is a FIFO; /in, a link to
/file.txt; /out and /up, links that leave the root, beside which there is a secret; and what PROBE
asks for."""

import dataclasses
import email.utils

MODIFIED = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
CONTENT = b"0123456789"
PROBE = b"GET /probe HTTP/1.1\r\nHost: h\r\n\r\n"


@dataclasses.dataclass
class Row:
    name: str
    sent: bytes
    statuses: list  # of the answers, in order
    stays: bool = True
    has: dict = dataclasses.field(default_factory=dict)  # fields of the first answer
    lacks: tuple = ()
    body: bytes = None  # of the first answer


def get(fields=b"", target=b"/file.txt", method=b"GET", version=b"HTTP/1.1"):
    return method + b" " + target + b" " + version + b"\r\nHost: h\r\n" + fields + b"\r\n"


def ok(name, sent, **more):
    return Row(name, sent, [200], **more)


def bad(name, sent, status=400):
    return Row(name, sent, [status], stays=False)


def post(fields, body, *statuses, stays=True, name):
    return Row(name, get(fields, method=b"POST") + body, list(statuses), stays=stays)


LINES = [
    ok("plain", get(), body=CONTENT),
    ok("an empty line first", b"\r\n" + get()),
    ok("eight empty lines first", b"\r\n" * 8 + get()),
    bad("nine empty lines first", b"\r\n" * 9),
    bad("bare CR first", b"\r" + get()),
    bad("bare CR ends the request line", b"GET / HTTP/1.1\rHost: h\r\n\r\n"),
    bad("bare LF ends the request line", b"GET / HTTP/1.1\nHost: h\r\n\r\n"),
    bad("bare CR in a value", get(b"A: b\rc\r\n")),
    bad("bare LF in a value", get(b"A: b\nc\r\n")),
    bad("NUL in a value", get(b"A: b\0c\r\n")),
    bad("control in a value", get(b"A: b\x01c\r\n")),
    bad("DEL in a value", get(b"A: b\x7fc\r\n")),
    ok("tab before a value", get(b"A:\tb\r\n")),
    ok("high bytes in a value", get(b"A: \xc3\xa4\xff\r\n")),
    bad("space before the colon", get(b"A : b\r\n")),
    bad("tab before the colon", get(b"A\t: b\r\n")),
    bad("no colon", get(b"A\r\n")),
    bad("no name", get(b": b\r\n")),
    bad("name is no token", get(b"A(b): c\r\n")),
    bad("obs-fold", get(b"A: b\r\n c\r\n")),
    bad("obs-fold with a tab", get(b"A: b\r\n\tc\r\n")),
    bad("space before the first field", b"GET / HTTP/1.1\r\n Host: h\r\n\r\n"),
    bad("TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"),
]

REQUEST_LINES = [
    bad("two spaces", b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n"),
    bad("no version", b"GET /\r\n\r\n"),
    bad("no target", b"GET HTTP/1.1\r\nHost: h\r\n\r\n"),
    bad("space in the target", b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"),
    bad("fragment", get(target=b"/file.txt#x")),
    bad("garbage", b"GARBAGE\r\n\r\n"),
    bad("HTTP/2.0", get(version=b"HTTP/2.0"), 505),
    bad("HTTP/3.0", get(version=b"HTTP/3.0"), 505),
    bad("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    bad("lower case version", get(version=b"http/1.1")),
    bad("two digits", get(version=b"HTTP/1.10")),
    ok("HTTP/1.2 is served as 1.1", get(version=b"HTTP/1.2"), lacks=("connection",)),
    ok("absolute form", get(target=b"http://other/file.txt")),
    ok("absolute form in upper case", get(target=b"HTTP://other:80/file.txt")),
    Row("absolute form without a path", get(target=b"http://other"), [403]),
    Row("absolute form with a query only", get(target=b"http://other?x"), [403]),
    bad("absolute form without a host", get(target=b"http:///file.txt")),
    bad("absolute form and no Host", b"GET http://h/file.txt HTTP/1.1\r\n\r\n"),
    bad("asterisk with GET", get(target=b"*")),
    Row("asterisk with OPTIONS", get(target=b"*", method=b"OPTIONS"), [204],
        has={"allow": "GET, HEAD, OPTIONS"}, lacks=("content-length", "content-type")),
    bad("authority form with GET", get(target=b"h:80")),
    Row("authority form with CONNECT", get(target=b"h:80", method=b"CONNECT"), [405], stays=False),
    ok("a line of 8,000 bytes", get(target=b"/file.txt?" + b"x" * 7978)),
    bad("a target over the limit", get(target=b"/" + b"x" * 8192), 414),
    Row("a target at the limit", get(target=b"/" + b"x" * 8191), [404]),
]

HOSTS = [
    bad("missing", b"GET / HTTP/1.1\r\n\r\n"),
    bad("repeated", get(b"Host: h\r\n")),
    bad("a list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    bad("with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    bad("with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    bad("with a user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    bad("with a bad port", b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    ok("with a port", b"GET /file.txt HTTP/1.1\r\nHost: a:8080\r\n\r\n"),
    ok("IPv6", b"GET /file.txt HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
    ok("missing in 1.0", b"GET /file.txt HTTP/1.0\r\n\r\n", stays=False),
]

BODIES = [
    post(b"Content-Length: 5\r\n", b"hello", 405, name="length"),
    Row("length with GET", get(b"Content-Length: 5\r\n") + b"hello", [200]),
    Row("the content looks like a request", get(b"Content-Length: %d\r\n" % len(PROBE)) + PROBE,
        [200]),
    post(b"Content-Length: 0\r\n", b"", 405, name="no content"),
    post(b"Content-Length: 1048577\r\n", b"", 405, stays=False, name="more than is skipped"),
    Row("more than is skipped with GET", get(b"Content-Length: 1048577\r\n"), [413], stays=False),
    *[post(b"Content-Length: " + value + b"\r\n", b"hello", 400, stays=False,
           name="length " + repr(value))
      for value in (b"+5", b"-5", b"0x5", b"a", b"1_0", b"5 5", b"5,5", b"5,", b"", b"5.0", b'"5"',
                    b"18446744073709551616", b"99999999999999999999999999")],
    post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello", 400, stays=False,
         name="two lengths"),
    post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello", 400, stays=False,
         name="the same length twice"),
    post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", 400, stays=False,
         name="length and coding"),
    post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", 405, name="chunked"),
    post(b"Transfer-Encoding: chunked\r\n", b"5;x=\"y\"\r\nhello\r\n0;z\r\nT: u\r\n\r\n", 405,
         name="chunked with extensions and a trailer"),
    Row("chunked with GET", get(b"Transfer-Encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\n\r\n",
        [200]),
    post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n", 501, stays=False,
         name="unknown coding"),
    post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n", 400, stays=False,
         name="chunked is not last"),
    post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n", 400, stays=False,
         name="a coding that only ends in chunked"),
    post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", 400,
         stays=False, name="chunked twice"),
    Row("coding in 1.0", get(b"Transfer-Encoding: chunked\r\n", version=b"HTTP/1.0"), [400],
        stays=False),
    *[post(b"Transfer-Encoding: chunked\r\n", body + PROBE, 400, stays=False,
           name="chunk " + repr(body))
      for body in (b"0x5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n",
                   b"5 \r\nhello\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n",
                   b"10000000000000005\r\nhello\r\n0\r\n\r\n", b"5\r\nhello!\r\n0\r\n\r\n",
                   b"5\r\nhello\n0\r\n\r\n", b"\r\n", b"0\r\nX\r\n\r\n",
                   b"1;" + b"x" * 300 + b"\r\n")],
    post(b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\n", 413, stays=False,
         name="a chunk of 2^64 - 1"),
]

EXPECTATIONS = [
    post(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"", 405, stays=False,
         name="an answer at once"),
    Row("an answer at once to GET", get(b"Content-Length: 5\r\nExpect: 100-Continue\r\n"), [200],
        stays=False),
    ok("without content it is nothing", get(b"Expect: 100-continue\r\n")),
    Row("no 1xx in 1.0", get(b"Content-Length: 5\r\nExpect: 100-continue\r\n",
                             version=b"HTTP/1.0") + b"hello", [200], stays=False),
    bad("another expectation", get(b"Expect: tea\r\n"), 417),
]

PERSISTENCE = [
    ok("1.1", get()),
    ok("close", get(b"Connection: close\r\n"), stays=False, has={"connection": "close"}),
    ok("close in a list", get(b"Connection: x, Close , y\r\n"), stays=False),
    ok("close wins", get(b"Connection: keep-alive\r\nConnection: close\r\n"), stays=False),
    ok("1.0", get(version=b"HTTP/1.0"), stays=False),
    ok("1.0 with keep-alive", get(b"Connection: Keep-Alive\r\n", version=b"HTTP/1.0"),
       has={"connection": "keep-alive"}),
    ok("1.0 with both", get(b"Connection: keep-alive, close\r\n", version=b"HTTP/1.0"),
       stays=False),
    Row("pipelined", get() + get(target=b"/none") + get(b"Range: bytes=1-2\r\n")
        + get(method=b"OPTIONS"), [200, 404, 206, 204]),
    Row("pipelined up to close", get() + get(b"Connection: close\r\n") + get(), [200, 200],
        stays=False),
    Row("pipelined up to a bad one", get() + b"BAD\r\n\r\n" + get(), [200, 400], stays=False),
]

METHODS = [
    Row("HEAD", get(method=b"HEAD"), [200], has={"content-length": "10"}),
    Row("HEAD of nothing", get(method=b"HEAD", target=b"/none"), [404]),
    Row("OPTIONS", get(method=b"OPTIONS"), [204], has={"allow": "GET, HEAD, OPTIONS"},
        lacks=("content-length",)),
    *[Row(method.decode(), get(method=method), [405], has={"allow": "GET, HEAD, OPTIONS"})
      for method in (b"POST", b"PUT", b"DELETE", b"PATCH", b"TRACE")],
    *[Row(method.decode(), get(method=method), [501]) for method in (b"get", b"BREW", b"GETT")],
    bad("no token", get(method=b"G(T")),
    bad("an endless method", b"M" * 33, 501),
]

DATE, EARLIER, LATER = (email.utils.formatdate(MODIFIED + s, usegmt=True).encode()
                        for s in (0, -1, 1))


def conditions(etag):
    """`etag` is the file's."""
    weak = b"W/" + etag
    not_modified = dict(has={"etag": etag.decode()},
                        lacks=("content-length", "content-type"), body=b"")
    rows = [
        ("If-Match: *", 200), (b"If-Match: " + etag, 200), (b"If-Match: " + weak, 412),
        (b'If-Match: "x", ' + etag, 200), ('If-Match: "x"', 412), ("If-Match: x", 412),
        (b"If-Unmodified-Since: " + DATE, 200), (b"If-Unmodified-Since: " + EARLIER, 412),
        ("If-Unmodified-Since: yesterday", 200),
        (b'If-Match: "x"\r\nIf-Unmodified-Since: ' + DATE, 412),
        (b"If-Match: " + etag + b"\r\nIf-Unmodified-Since: " + EARLIER, 200),
        ("If-None-Match: *", 304), (b"If-None-Match: " + etag, 304),
        (b"If-None-Match: " + weak, 304), (b'If-None-Match: "x", ' + weak, 304),
        (b'If-None-Match: "x"\r\nIf-None-Match: ' + etag, 304), ('If-None-Match: "x"', 200),
        (b"If-Modified-Since: " + DATE, 304), (b"If-Modified-Since: " + LATER, 304),
        (b"If-Modified-Since: " + EARLIER, 200), ("If-Modified-Since: 0", 200),
        ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT", 304),
        ("If-Modified-Since: Sun Nov  6 08:49:37 1994", 304),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 CET", 200),
        (b'If-None-Match: "x"\r\nIf-Modified-Since: ' + DATE, 200),
        (b"If-None-Match: " + etag + b"\r\nIf-Modified-Since: " + EARLIER, 304),
        (b"If-None-Match: " + etag + b'\r\nIf-Match: "x"', 412),
        (b"If-None-Match: " + etag + b"\r\nRange: bytes=0-0", 304),
        (b"If-Match: " + etag + b"\r\nRange: bytes=0-0", 206),
        (b"Range: bytes=0-0\r\nIf-Range: " + etag, 206),
        (b"Range: bytes=0-0\r\nIf-Range: " + weak, 200),
        (b'Range: bytes=0-0\r\nIf-Range: "x"', 200),
        (b"Range: bytes=0-0\r\nIf-Range: " + DATE, 206),
        (b"Range: bytes=0-0\r\nIf-Range: " + LATER, 200),
        (b"Range: bytes=10-\r\nIf-Range: " + EARLIER, 200),
    ]
    for fields, status in rows:
        fields = fields.encode() if isinstance(fields, str) else fields
        more = not_modified if status == 304 else {}
        yield Row(fields.decode(), get(fields + b"\r\n"), [status], **more)


def ranges():
    rows = [
        ("bytes=0-0", "0-0"), ("bytes=0-", "0-9"), ("bytes=2-3", "2-3"), ("bytes=9-9", "9-9"),
        ("bytes=5-100", "5-9"), ("bytes=-1", "9-9"), ("bytes=-10", "0-9"), ("bytes=-11", "0-9"),
        ("BYTES=1-1", "1-1"), ("bytes= 1-1 ,", "1-1"), ("bytes=0-18446744073709551615", "0-9"),
        ("bytes=-18446744073709551616", "0-9"), ("bytes=0-4,5-9", "0-9"), ("bytes=3-4,4-6", "3-6"),
        ("bytes=10-,2-3", "2-3"), ("bytes=0-0,2-2", None),
        ("bytes=10-", 416), ("bytes=10-11", 416), ("bytes=-0", 416),
        ("bytes=18446744073709551616-", 416), ("bytes=10-,11-,-0", 416),
        ("bytes=", 200), ("bytes", 200), ("bytes=-", 200), ("bytes=4-3", 200), ("bytes=x-y", 200),
        ("bytes=0-0,x", 200), ("bytes=+1-2", 200), ("bytes 0-1", 200), ("lines=0-1", 200),
        ("bytes=0-,0-", 200), ("bytes=0-5,0-5", 200),
        ("bytes=-9223372036854774591,-623", 200),
        ("bytes=" + ",".join(["0-0"] * 17), 200),
    ]
    for value, expected in rows:
        sent = get(b"Range: " + value.encode() + b"\r\n")
        if expected is None:
            yield Row(value, sent, [206], lacks=("content-range",))
        elif isinstance(expected, str):
            first, last = map(int, expected.split("-"))
            yield Row(value, sent, [206], body=CONTENT[first:last + 1],
                      has={"content-range": f"bytes {expected}/10"})
        elif expected == 416:
            yield Row(value, sent, [416], has={"content-range": "bytes */10"})
        else:
            yield Row(value, sent, [200], body=CONTENT, lacks=("content-range",))
    yield Row("HEAD has none", get(b"Range: bytes=0-0\r\n", method=b"HEAD"), [200],
              has={"content-length": "10"}, lacks=("content-range",))
    yield Row("none of an empty file", get(b"Range: bytes=0-\r\n", target=b"/empty"), [416],
              has={"content-range": "bytes */0"})
    yield Row("a suffix of an empty file", get(b"Range: bytes=-5\r\n", target=b"/empty"), [200],
              body=b"")


def targets():
    odd = b"".join(b"%%%02x" % byte for byte in range(1, 256) if byte != 0x2f)
    rows = [
        (b"/file.txt", 200), (b"/./file.txt", 200), (b"/sub/../file.txt", 200),
        (b"//file.txt", 200), (b"/%66ile%2etxt", 200), (b"/sub%2f..%2ffile.txt", 200),
        (b"/file.txt?a=b&c=%zz", 200), (b"/file.txt/", 404), (b"/file.txt/below", 404),
        (b"/none", 404), (b"/" + b"n" * 256, 404), (b"/" + odd[:3 * 254], 200),
        (b"/%2541", 404), (b"/%00", 400), (b"/file.txt%00", 400), (b"/%", 400), (b"/%4", 400),
        (b"/%zz", 400), (b"/%u002e%u002e/secret", 400), (b"file.txt", 400),
        (b"/sub/", 200), (b"/bare/", 403), (b"/", 403), (b"/fifo", 403), (b"/fifo/", 404),
        (b"/piped/", 403), (b"/socket", 403),
    ]
    for dots in (b"/../secret", b"/%2e%2e/secret", b"/.%2E/secret", b"/..%2fsecret",
                 b"/sub/..%2f..%2fsecret", b"/..%5csecret", b"/..\\secret", b"/..;/secret",
                 b"/%252e%252e/secret", b"/%c0%ae%c0%ae/secret", b"//../secret",
                 b"/..%2f..%2f..%2fetc%2fpasswd"):
        rows.append((dots, 404))
    rows += [(b"/out", 403), (b"/up/secret", 403), (b"/in", 200)]
    for target, status in rows:
        keeps = status != 400
        yield Row(target.decode("latin-1")[:60], get(target=target), [status], stays=keeps)
    for target, location in [
            (b"/sub", "/sub/"), (b"/sub?a=b", "/sub/?a=b"), (b"//sub", "/sub/"),
            (b"//sub?//x", "/sub/?//x"), (b"/%73ub/../sub", "/sub/"),
            (b"http://other/sub", "/sub/"), (b"/a%0d%0aSet-Cookie:%20x", None),
            (b"/%20%0d%0ax", "/%20%0D%0Ax/")]:
        if location is None:
            yield Row("no such folder", get(target=target), [404], lacks=("set-cookie",))
        else:
            yield Row("Location of " + target.decode(), get(target=target), [301],
                      has={"location": location}, lacks=("set-cookie",))
