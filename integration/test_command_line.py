"""The command line: what is wrong is said in one line, with exit status 2; --help tells units and
defaults; the first line of output is the agreed one."""

import os
import re
import socket
import subprocess

import pytest

import servers
from client import fetch
from requirements import requires

pytestmark = pytest.mark.quick
POLLUX = os.path.join(servers.build_folder(), "pollux")


def run(*arguments, **options):
    return subprocess.run([POLLUX, *map(str, arguments)], capture_output=True, text=True,
                          timeout=30, stdin=subprocess.DEVNULL, **options)


def assert_one_line_and_2(result, *words):
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr.endswith("\n"), result.stderr
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("arguments", [
    ["--no-such-flag"], ["--backend", "magic"], ["--backend"], ["--coordination", "hope"],
    ["--event-handler", "select"], ["--retire", "never"], ["--chunk", "0"], ["--chunk", "5000"],
    ["--chunk", "4096x"], ["--chunk", "-4K"], ["--aio-depth", "0"], ["--aio-depth", "many"],
    ["--buffer-budget", "1"], ["--buffer-budget", "99999999999G"], ["--max-connections", "0"],
    ["--listen", "nowhere"], ["--listen", "127.0.0.1:65536"], ["--listen", "127.0.0.1"],
    ["--idle-timeout", "1"], ["--idle-timeout", "-1s"], ["--idle-timeout", "1h"],
    ["--metrics-path", "metrics"], ["--user", "no-such-user-here"],
    ["--chunk", "1M", "--buffer-budget", "1M"],
    ["--user", ""], ["--access-log", ""], ["--shm-dir", ""],
    ["--coordination", "published"],
    ["--coordination", "published", "--event-handler", "epoll"],
], ids=" ".join)
def test_mistakes(tmp_path, arguments):
    result = run(tmp_path, "--listen", "127.0.0.1:0", *arguments)
    assert_one_line_and_2(result)
    if arguments[0] != "--no-such-flag":
        assert arguments[0].lstrip("-") in result.stderr or arguments[-2].lstrip("-") in (
            result.stderr), "the flag is not named"


def test_a_flag_twice(tmp_path):
    result = run(tmp_path, "--chunk", "64K", "--chunk", "64K")
    assert_one_line_and_2(result, "--chunk is given 2 times")


def test_control_bytes_in_arguments_do_not_break_the_line(tmp_path):
    assert_one_line_and_2(run(tmp_path, "--backend", "a\nb\x1b[31m"))


def test_too_many_roots(tmp_path):
    assert_one_line_and_2(run(tmp_path, tmp_path))


def test_a_root_that_is_not_there(tmp_path):
    assert_one_line_and_2(run(tmp_path / "missing", "--listen", "127.0.0.1:0"), "missing")


def test_a_root_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    assert_one_line_and_2(run(tmp_path / "file", "--listen", "127.0.0.1:0"), "file")


@requires("root")  # to become someone who may not read
def test_a_root_that_may_not_be_read(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    binary = os.path.dirname(POLLUX)
    result = run(folder, "--listen", "127.0.0.1:0", user=65534, group=65534, extra_groups=[])
    del binary
    assert_one_line_and_2(result, "private")


def test_a_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run(tmp_path, "--listen", f"127.0.0.1:{port}")
    assert_one_line_and_2(result, str(port))


def test_an_access_log_that_cannot_be_opened(tmp_path):
    log = tmp_path / "no" / "log"
    assert_one_line_and_2(run(tmp_path, "--listen", "127.0.0.1:0", "--access-log", log), str(log))


def test_help_tells_each_flag_with_its_unit_and_default():
    result = run("--help")
    assert result.returncode == 0 and result.stderr == ""
    text = " ".join(result.stdout.split())
    for flag in ("--listen", "--backend", "--coordination", "--event-handler", "--chunk",
                 "--aio-depth", "--buffer-budget", "--retire", "--max-connections",
                 "--access-log", "--user", "--metrics-path", "--header-timeout", "--idle-timeout",
                 "--send-timeout", "--drain-timeout"):
        assert re.search(re.escape(flag) + r"\b[^\[]*\[[^\]]+\]", text), f"{flag}: no default"
    for flag in ("--user", "--access-log"):
        assert re.search(flag + r" [^\[]*folder[^\[]*must be writable", text), flag
    assert re.search(r"--chunk [^\[]*\[bytes[^\]]*1M\]", text)
    assert re.search(r"--buffer-budget [^\[]*\[bytes[^\]]*256M\]", text)
    assert re.search(r"--idle-timeout [^\[]*\[ms, s or m[^\]]*\]", text)


def test_version():
    result = run("--version")
    assert result.returncode == 0 and re.fullmatch(r"pollux \d+\.\d+\.\d+\n", result.stdout)


@pytest.mark.parametrize("listen,host", [
    ("127.0.0.1:0", "127.0.0.1"), pytest.param("[::1]:0", "::1", marks=requires("ipv6"))])
def test_the_first_line_tells_where_it_listens(pollux, files, listen, host):
    server = pollux(files.root, listen=listen)
    from client import Connection
    with Connection(server.port, host=host) as connection:
        connection.ask("/no-such-file")
        assert connection.read_answer().status == 404
    assert server.output == [f"pollux: listening on http://{listen[:-1]}{server.port}"]


@pytest.mark.parametrize("flags,words", [
    ({"coordination": "published", "event_handler": "poll"}, "published"),
    ({"backend": "linux-aio-sendfile", "retire": "reuse"}, "reuse"),
])
def test_specimens_warn_at_start(pollux, files, flags, words):
    server = pollux(files.root, **flags)
    assert fetch(server.port, "/missing").status == 404
    assert words in server.stderr()


def test_sound_defaults_have_nothing_to_warn_of(pollux, files):
    server = pollux(files.root)
    assert fetch(server.port, "/missing").status == 404
    assert "warn" not in server.stderr().lower()


def test_the_access_log_on_standard_output(pollux, files):
    """Combined format. What a client sends cannot end a field or a line: quotes, backslashes and
    bytes that are not ASCII are escaped; other controls are refused before they are logged."""
    server = pollux(files.root, access_log="-")
    file = files.get(4097)
    fetch(server.port, "/" + file.name, User_Agent='a"b\\c\xe4', Referer="http://x/")
    fetch(server.port, "/missing", method="HEAD")
    server.stop()
    _, first, second = server.output
    when = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]"
    assert re.fullmatch(
        rf'127\.0\.0\.1 - - {when} "GET /{file.name} HTTP/1\.1" 200 4097 '
        r'"http://x/" "a\\x22b\\x5cc\\xe4"', first, re.IGNORECASE), first
    assert re.fullmatch(
        rf'127\.0\.0\.1 - - {when} "HEAD /missing HTTP/1\.1" 404 (0|-) "-" "-"', second), second
