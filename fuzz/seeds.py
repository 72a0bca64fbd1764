#!/usr/bin/python3
"""Writes the seeds of every fuzz target: usage: seeds.py FOLDER, for FOLDER/TARGET/NAME.

One request for each rule of RFC 9110 and 9112 that Pollux implements, named by its clause, and what
real clients send. What fuzzing has added to them is in fuzz/corpus/.
"""

import os
import struct
import sys

HOST = "Host: sim\r\n"


def get(target="/small", fields="", version="1.1", method="GET", host=HOST):
    return f"{method} {target} HTTP/{version}\r\n{host}{fields}\r\n"


def field(name, value, **more):
    return get(fields=f"{name}: {value}\r\n", **more)


CHUNKED = "Transfer-Encoding: chunked\r\n"
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"

# By RFC 9112 (m: messages) and RFC 9110 (s: semantics).
REQUESTS = {
    "m2.2-empty-line-first": "\r\n" + get(),
    "m2.2-nine-empty-lines": "\r\n" * 9 + get(),
    "m2.2-bare-lf": "GET / HTTP/1.1\nHost: a\n\n",
    "m2.2-bare-cr": get(fields="A: b\rc\r\n"),
    "m2.2-space-before-first-field": "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "m2.3-version-1.2": get(version="1.2"),
    "m2.3-version-1.0": get(version="1.0", host=""),
    "m2.3-version-2.0": get(version="2.0"),
    "m2.3-no-version": "GET /\r\n\r\n",
    "m3-two-spaces": "GET  / HTTP/1.1\r\n" + HOST + "\r\n",
    "m3-long-method": "A" * 40 + " / HTTP/1.1\r\n\r\n",
    "m3-long-target": get("/" + "a" * 9000),
    "m3-utf8-target": get("/\u00e4"),
    "m3.2-origin-form": get("/dir/../small?query=%20"),
    "m3.2-absolute-form": get("http://sim:80/small?x"),
    "m3.2-absolute-form-empty": get("http://sim"),
    "m3.2-authority-form": get("sim:80", method="CONNECT"),
    "m3.2-asterisk-form": get("*", method="OPTIONS"),
    "m3.2-asterisk-for-get": get("*"),
    "m3.2-fragment": get("/small#x"),
    "m3.2-no-host": get(host=""),
    "m3.2-two-hosts": get(host=HOST * 2),
    "m3.2-bad-host": get(host="Host: a b\r\n"),
    "m3.2-ipv6-host": get(host="Host: [::1]:8080\r\n"),
    "m3.2-empty-host": get(host="Host:\r\n"),
    "m5-hundred-fields": get(fields="A: b\r\n" * 99),
    "m5-hundred-and-one": get(fields="A: b\r\n" * 100),
    "m5-too-many-fields": get(fields="A: b\r\n" * 101),
    "m5-head-too-large": get(fields="A: " + "b" * 17000 + "\r\n"),
    "m5.1-space-before-colon": get(fields="A : b\r\n"),
    "m5.2-line-folding": get(fields="A: b\r\n c\r\n"),
    "m6.1-chunked-in-1.0": get(fields=CHUNKED, version="1.0", method="POST") + "0\r\n\r\n",
    "m6.1-both-framings": get(fields="Content-Length: 5\r\n" + CHUNKED) + "0\r\n\r\n",
    "m6.1-unknown-coding": get(fields="Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n",
    "m6.3-chunked-not-last": get(fields="Transfer-Encoding: chunked, gzip\r\n") + "0\r\n\r\n",
    "m6.3-chunked-twice": get(fields=CHUNKED * 2) + "0\r\n\r\n",
    "m6.3-two-lengths": get(fields="Content-Length: 1\r\nContent-Length: 2\r\n") + "ab",
    "m6.3-equal-lengths": get(fields="Content-Length: 1\r\nContent-Length: 1\r\n") + "a",
    "m6.3-list-of-lengths": field("Content-Length", "1, 1") + "a",
    "m6.3-signed-length": field("Content-Length", "+1") + "a",
    "m6.3-length-overflows": field("Content-Length", "18446744073709551616"),
    "m6.3-content": field("Content-Length", "5", method="POST") + "hello" + get(),
    "m6.3-content-of-get": field("Content-Length", "5") + "hello" + get(),
    "m6.3-content-too-large": field("Content-Length", "99999999"),
    "m6.3-upload-too-large": field("Content-Length", "99999999", method="PUT"),
    "m7.1-chunks": get(fields=CHUNKED, method="POST") + "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n"
                   + get(),
    "m7.1-chunk-extension": get(fields=CHUNKED) + '5 ;a="b"\r\nhello\r\n0;x\r\n\r\n' + get(),
    "m7.1-chunk-size-overflows": get(fields=CHUNKED) + "1" + "0" * 16 + "\r\n",
    "m7.1-chunk-too-large": get(fields=CHUNKED) + "fffffff\r\n",
    "m7.1-chunk-without-end": get(fields=CHUNKED) + "1\r\nab\r\n",
    "m7.1-no-chunk": get(fields=CHUNKED) + "x\r\n",
    "m7.1-control-in-extension": get(fields=CHUNKED) + "1;\n\r\n",
    "m7.1-long-chunk-line": get(fields=CHUNKED) + "1;" + "a" * 300,
    "m7.1.2-trailers": get(fields=CHUNKED) + "0\r\nA: b\r\nC: d\r\n\r\n" + get(),
    "m7.1.2-bad-trailer": get(fields=CHUNKED) + "0\r\nA b\r\n\r\n",
    "m7.1.2-long-trailers": get(fields=CHUNKED) + "0\r\nA: " + "b" * 5000,
    "m9.3-close": field("Connection", "close"),
    "m9.3-keep-alive-1.0": field("Connection", "Keep-Alive", version="1.0") + get(),
    "m9.3-close-and-keep-alive": field("Connection", "keep-alive, close") + get(),
    "m9.3.2-pipelining": get() + get("/large") + get("/empty", method="HEAD") + get("/a%20b"),
    "s5.5-control-in-field": get(fields="A: \x01\r\n"),
    "s5.5-obs-text": get(fields="User-Agent: \xe9\r\nReferer: \"\\\x80\r\n"),
    "s9.1-unknown-method": get(method="BREW"),
    "s9.1-case-of-methods": get(method="get"),
    "s9.3.2-head": get(method="HEAD"),
    "s9.3.3-post": get(method="POST"),
    "s9.3.7-options": get(method="OPTIONS"),
    "s9.3.8-trace": get(method="TRACE"),
    "s10.1.1-expect-continue": get(fields="Expect: 100-continue\r\nContent-Length: 5\r\n",
                                   method="PUT"),
    "s10.1.1-expect-without-content": field("Expect", "100-continue") + get(),
    "s10.1.1-expect-other": field("Expect", "x"),
    "s12.5.1-accept": field("Accept", "text/html;q=0.5, application/json", target="/bare/"),
    "s13.1.1-if-match": field("If-Match", '"a", "b"'),
    "s13.1.1-if-match-any": field("If-Match", "*"),
    "s13.1.2-if-none-match-any": field("If-None-Match", "*"),
    "s13.1.2-if-none-match": field("If-None-Match", 'W/"a",, "b"'),
    "s13.1.3-if-modified-since": field("If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 GMT"),
    "s13.1.3-modified": field("If-Modified-Since", DATE),
    "s13.1.4-if-unmodified-since": field("If-Unmodified-Since", DATE),
    "s13.1.5-if-range": get(fields=f"Range: bytes=1-2\r\nIf-Range: {DATE}\r\n"),
    "s13.1.5-if-range-tag": get(fields='Range: bytes=1-2\r\nIf-Range: "x"\r\n'),
    "s14.1.2-suffix": field("Range", "bytes=-3"),
    "s14.1.2-open": field("Range", "bytes=3-"),
    "s14.2-unsatisfiable": field("Range", "bytes=100-"),
    "s14.2-other-unit": field("Range", "items=0-1"),
    "s14.2-overlapping": field("Range", "bytes=0-5,3-7,9-"),
    "s14.2-too-many": field("Range", "bytes=" + ",".join(["0-0"] * 20)),
    "s14.6-multipart": field("Range", "bytes=1000-2000,0-1,-5", target="/large"),
    "s14.6-multipart-of-html": field("Range", "bytes=0-1,5-6", target="/page.html"),
    "s15.4.2-folder": get("/dir?a=b"),
    "s15.5.4-no-index": get("/bare/"),
    "s15.5.5-missing": get("/missing") + get("/small/") + get("/small/x"),
    "s4.2.3-escapes": get("/%73mall") + get("/%2573mall") + get("/a%2"),
    "s4.2.3-outside": get("/../secret") + get("/%2e%2e/secret") + get("/dir/..%2f../secret"),
    "s4.2.3-nul": get("/%00"),
    "s4.2.3-odd-segments": get("//dir/.//./index.html") + get("/dir/..;/small"),
    "metrics": get("/metrics"),
    "curl": ("GET /small HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/7.88.1\r\n"
             "Accept: */*\r\n\r\n"),
    "curl-resume": ("GET /large HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nRange: bytes=100-\r\n"
                    "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"),
    "curl-upload": ("PUT /small HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/7.88.1\r\n"
                    "Accept: */*\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc"),
    "wrk": "GET /small HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n" * 3,
    "ab": "GET /small HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nUser-Agent: ApacheBench/2.3\r\n"
          "Accept: */*\r\n\r\n",
    "browser": (
        "GET /dir/ HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive\r\n"
        'sec-ch-ua: "Chromium";v="120", "Not?A_Brand";v="8"\r\nsec-ch-ua-mobile: ?0\r\n'
        "Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) "
        "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nAccept-Encoding: gzip, deflate, br\r\n"
        "Accept-Language: en-US,en;q=0.9\r\n\r\n"),
    "browser-again": (
        "GET /page.html HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive\r\n"
        "Cache-Control: max-age=0\r\nReferer: http://localhost:8080/\r\n"
        f'If-None-Match: "1000-0-5"\r\nIf-Modified-Since: {DATE}\r\n\r\n'),
}

MARK = b"\xff"

# What clients do beside asking, for the server alone.
CONVERSATIONS = {
    "cuts": MARK.join([b"GET /sm", b"call HTTP/1.", b"c1\r", b"c\nHost: s", b"cim\r\n\r\n"]),
    "pause-in-head": b"GET /small HTTP/1.1\r\n" + MARK + b"p" + MARK + b"pHost: a\r\n\r\n",
    "pause-in-content": (field("Content-Length", "9", method="POST").encode() + b"abc" + MARK + b"p"
                         + MARK + b"pdef" + MARK + b"s"),
    "stays": get().encode() + MARK + b"s",
    "stays-with-half-a-head": b"GET /small HT" + MARK + b"s",
    "stays-after-close": field("Connection", "close").encode() + MARK + b"s",
    "late": get("/large").encode() + get("/large").encode() + MARK + b"l",
    "late-and-pauses": MARK + b"l" + get("/large").encode() + (MARK + b"p") * 10,
    "resets": get("/large").encode() + MARK + b"r",
    "pauses-then-resets": get("/large").encode() + MARK + b"p" + MARK + b"r",
    "closes": get("/large").encode() + MARK + b"q",
    "half-closes": get("/large").encode() + MARK + b"h",
    "lingers": b"bad\r\n\r\n" + MARK + b"c" + b"x" * 500 + MARK + b"p" + b"more",
    "huge": get("/huge").encode() + get("/huge", method="HEAD").encode(),
    "huge-late": MARK + b"l" + field("Range", "bytes=1-", target="/huge").encode(),
    "two": get().encode() + MARK + b"n" + get("/large").encode(),
    "four": (MARK + b"n").join([get("/large").encode()] * 4),
    "many-pipelined": get().encode() * 40,
    "terminate-while-sending": get("/large").encode() + MARK + b"T" + get().encode(),
    "terminate-before-asking": MARK + b"T" + get().encode() + MARK + b"n" + get().encode(),
    "terminate-twice": get("/huge").encode() + MARK + b"l" + (MARK + b"T") * 2,
    "terminate-one-who-stays": get("/huge").encode() + MARK + b"T" + MARK + b"l" + MARK + b"s",
    "terminate-half-a-head": b"GET /small HT" + MARK + b"T" + MARK + b"s",
    "hangup": get().encode() + MARK + b"H" + get().encode() + MARK + b"p" + get().encode(),
    "range-of-a-kept-file": (MARK + b"p").join(
        [get().encode()] * 3 + [field("Range", "bytes=3-4").encode()]),
    "evicts-files": (MARK + b"p").join(get(path).encode() for path in (
        "/small", "/page.html", "/a%20b", "/dir/", "/empty", "/large", "/small", "/page.html")),
    "head-in-many-pieces": (MARK + b"c").join(
        [b"GET /small HTTP/1.1\r\nHost: sim\r\n"] + [b"A: " + b"b" * 300 + b"\r\n"] * 4 + [b"\r\n"]),
    "troubles": MARK + b"F" + get().encode() + get("/large").encode() + get("/dir/").encode(),
    "many-troubles": ((MARK + b"F") * 8 + get("/huge").encode() + get("/bare/").encode() + MARK
                      + b"n" + get().encode() + MARK + b"H"),
    "upload-while-sending": (get("/large").encode() + field("Content-Length", "200000",
                                                            method="POST").encode() + b"x" * 2000),
}

# Of folders without index file, where they are listed.
LISTINGS = {
    "root": get("/"),
    "html": field("Accept", "text/html", target="/bare/") + get(),
    "json": field("Accept", "application/json", target="/") + get("/bare/"),
    "head": get("/bare/", method="HEAD") + get(),
    "1.0": get("/", version="1.0") + get(),
    "1.0-keep-alive": field("Connection", "keep-alive", version="1.0", target="/bare/") + get(),
    "if-none-match-any": field("If-None-Match", "*", target="/") + get(),
    "if-match-any": field("If-Match", "*", target="/") + get(),
    "if-match": field("If-Match", '"x"', target="/") + get(),
    "folder-with-index": get("/dir/") + get("/missing/"),
}


def write(folder, target, name, data):
    os.makedirs(os.path.join(folder, target), exist_ok=True)
    with open(os.path.join(folder, target, name), "wb") as out:
        out.write(data)


def server_input(script, backend=0, threads=0, troubles=0, settings=0, choices=b""):
    data = b"PXF1" + bytes([backend, threads, troubles, settings]) + script
    return data + (MARK + b"e" + choices if choices else b"")


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    folder = sys.argv[1]
    for name, text in REQUESTS.items():
        data = text.encode("latin-1") if name.startswith(("s5.5", "m2")) else text.encode()
        write(folder, "request_head", name, b"\x07" + data[:3071])
        write(folder, "differential", name, data)
        head, _, rest = text.partition("\r\n\r\n")
        lines = head.split("\r\n")
        if lines[0].count(" ") == 2:
            write(folder, "target", name, lines[0].split(" ")[1].encode())
        if "Transfer-Encoding" in head:
            write(folder, "body", name, b"\x02\x00" + rest.encode())
            write(folder, "body", name + "-small-limits", b"\x02\x26" + rest.encode())
        script = data.replace(MARK, MARK * 2)
        write(folder, "server", name, server_input(script))
        write(folder, "server", name + "-small-limits", server_input(script, settings=64 | 3 | 4))
    # The limits of its own that the target has.
    for name, text in {"twenty-fields": get(fields="A: b\r\n" * 19),
                       "twenty-one-fields": get(fields="A: b\r\n" * 20),
                       "longest-target": get("/" + "a" * 1023),
                       "too-long-target": get("/" + "a" * 1024),
                       "largest-head": get(fields="A: " + "b" * (2048 - 39) + "\r\n")}.items():
        write(folder, "request_head", name, b"\x07" + text.encode())
    write(folder, "body", "content", b"\x01\x0b" + b"hello")
    write(folder, "body", "content-too-large", b"\x01\xff" + b"hello")
    for name, script in CONVERSATIONS.items():
        for backend in range(6):
            for variant in range(2):
                write(folder, "server", f"{name}-{backend}-{variant}", server_input(
                    script, backend, variant, [0, 5][variant], [0, 1 | 4 | 8 | 16 | 32][variant],
                    bytes(range(1, 200, 7)) if variant else b""))
    for name, text in LISTINGS.items():
        script = text.encode()
        for number, (end, settings) in enumerate([
                (b"", 0), (MARK + b"r", 0), (MARK + b"l", 1), (MARK + b"F" + MARK + b"p", 32)]):
            write(folder, "server", f"listing-{name}-{number}",
                  server_input(script + end, settings=128 | settings))
    for size in (0, 1, 10, 4096, 2**32, 2**63 - 1, 2**63, 2**64 - 1):
        for number, value in enumerate([
                "bytes=0-0", "bytes=-1", f"bytes={size - 1}-", f"bytes=0-{size}", f"bytes=-{size + 1}",
                f"bytes={size}-", "bytes=0-0,5-6,2-4", f"bytes=0-1, {size // 2}-{size // 2 + 3},,-2",
                f"bytes={size - 2}-{2**64 + 1}", "bytes=0-0, 0-0 ,\t1-1", "BYTES=00-009"]):
            write(folder, "range", f"{size}-{number}", struct.pack("<QB", size % 2**64, 16)
                  + value.encode())
    for number, (fields, lines) in enumerate([
            (2, ['"e"', '"e"']), (2, ['"e"', 'W/"e", "f"']), (2, ['W/"e"', 'W/"e"']), (4, ['"e"', '*']),
            (4, ['W/"e"', '"a", W/"e"']), (8, ['"e"', DATE]), (16, ['"e"', DATE]),
            (32 | 64, ['"e"', '"e"']), (32 | 64, ['"e"', DATE]), (32 | 64, ['"e"', 'W/"e"']),
            (62, ['"e"', '"e"', '"x",,"y"', DATE, DATE, DATE]),
            (24, ['', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994']),
            (24, ['', 'Monday, 29-Feb-99 08:49:60 GMT', 'Sat Feb 29 08:49:37 1992']),
            (24, ['', 'Wed, 31 Jun 1994 24:00:00 GMT', 'Fri Nov 18 08:49:37 0000']),
            (128 | 2, ['"e"', '"f"']), (1 | 2, ['"e"', '"f"'])]):
        for now in (784111777, 2**40, -5):
            write(folder, "conditions", f"{number}-{now}", struct.pack("<qqB", now, 784111777, fields)
                  + "\n".join(lines).encode())
    listing = {
        "mixed": "text/html\nb.txt\na\u00e4.txt\nfile 10\nfile 9\n<&>\"'\nA\na\nx.tar.gz\n",
        "accept": 'text/*;q=0.3, application/json;q=0.9;a="b,c", */*;q=x\nname\n',
        "numbers": "text/html\nfile 10\nfile 9\nfile 09\nfile 9\nFile 010x\nfile 10y\n007\n7\n0\n00\n",
        "deep": "text/html\ndeep\ndeeper <&>\n",
        "broken": "application/json\n\\\t\x7f\nname\nsome\\name\n\u2028\n",
    }
    for name, text in listing.items():
        write(folder, "listing", name, text.encode())
    write(folder, "listing", "no-utf8", b"*/*\n\xff\xfe\n\xc0\x80\n\xed\xa0\x80\n\xf4\x90\x80\x80\n\xe2\x82\n")
    write(folder, "access_log", "plain", b"\1" + b"\0" * 12 + b"GET\n/small\nhttp://a/\ncurl/8")
    write(folder, "access_log", "forged", b"\0" + b"\xff" * 12 + b'GET\n/" 200|1.2.3.4\n\\x22\\\n\x80\x7f"')
    write(folder, "access_log", "empty", b"")
    write(folder, "access_log", "long", b"\1" * 13 + (b"a\"" * 1000 + b"\n") * 4)
    lines = [
        "/srv", "--help", "--version", "", "--listen\n[::1]:8080", "--listen\n127.0.0.1:0", "--listen\nx",
        "--chunk\n512K\n--buffer-budget\n1M", "--chunk\n5000", "--chunk\n6K", "--chunk\n4M", "--chunk\n1M\n--buffer-budget\n1M",
        "--backend\nauto\n--retire\nreuse", "--coordination\npublished",
        "--coordination\npublished\n--event-handler\npoll", "--event-handler\nx",
        "--symlinks\nnone\n--listing\n--listing-memory\n1G", "--user\n", "--user\nnobody",
        "--workers\n4\n--max-connections\n0", "--header-timeout\n500ms\n--idle-timeout\n2m",
        "--drain-timeout\n0\n--send-timeout\n25h", "--send-timeout\n5", "--metrics-path\nmetrics",
        "--metrics-path\n/m\n--access-log\n-", "--error-log-level\ndebug", "--error-log-level\nx",
        "--max-head\n256\n--max-headers\n1\n--max-target\n64\n--max-ranges\n1000", "--max-ranges\n-1",
        "--open-files\n0\n--small-file-cache\n0\n--small-file-max\n1K", "--io-threads\n300",
        "--aio-depth\n99999999999999999999", "--listen\n127.0.0.1:1\n--listen\n127.0.0.1:2", "a\nb", "-x",
        "--max-unsent\n4K\n--max-unsent-total\n1M", "--shm-dir\n/dev/shm\n--backend\nwritev", "--nonsense",
        "--max-head\n256\n--max-target\n512"]
    for number, text in enumerate(lines):
        write(folder, "command_line", str(number), text.encode())
        write(folder, "command_line", f"{number}-with-root", b"/srv\n" + text.encode())
    # A wait, then what is asked of the kernel meanwhile: 6 one speaks, 4 one dies, 5 one hears,
    # 1 SIGHUP, 0 SIGTERM, ...
    for number, data in enumerate([
            b"", b"\1\0\0" + b"\6\0\0" * 3 + b"\0", b"\0\0\0\6\0\0\4\0\0\2\0\0\6\0\0\1\1\0\0",
            b"\3" + bytes([0, 0, 6, 0, 0, 14, 0, 0, 22, 0, 0, 30, 0, 0, 4, 2, 0, 0, 3, 200]),
            b"\0\0\0\4\0\0\200", b"\0\17\2\0\17\2\0\0\6\0\0\0\0",
            # Ready; a hangup, heard, and another one; two of them, unheard.
            b"\0\0\0\6\0\0\1\5\1\0", b"\0\0\0\6\0\0\1\1\5\1\0"]):
        write(folder, "supervisor", str(number), data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
