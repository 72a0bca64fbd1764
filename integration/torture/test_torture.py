"""ci/torture itself: what it prints, what it writes, how it ends."""

import contextlib
import errno
import json
import os
import select
import signal
import subprocess
import sys
import types

import pytest

import servers
from servers.usage import children_of
from torture.score import FAILS, HOLDS, NOT_APPLICABLE, UNJUDGED, merge, row_of
from warden import temporary_folder

pytestmark = pytest.mark.skipif(bool(servers.sanitizer()),
                                reason="nothing of Pollux is in it")
HERE = os.path.dirname(os.path.abspath(__file__))
MAIN = os.path.join(HERE, "main.py")
PROGRAM = os.path.join(HERE, "broken_server.py")
RIGHT = f"{sys.executable} {PROGRAM} {{port}} {{root}}"


def torture(*arguments, **environment):
    return subprocess.run([sys.executable, MAIN, *arguments], capture_output=True, text=True,
                          timeout=100, check=False, env={**os.environ, **environment})


def test_a_row_of_several_tests_is_as_good_as_its_worst():
    def row(outcome, case, figure=""):
        return {"name": "faults", "case": case, "title": "", "outcome": outcome, "figure": figure,
                "count": 1, "failed": int(outcome == FAILS),
                "skipped": int(outcome == NOT_APPLICABLE), "seconds": 0.5}

    held, skipped = row(HOLDS, "a"), row(NOT_APPLICABLE, "b", "it has none")
    [merged] = merge([skipped, held])
    assert (merged["outcome"], merged["seconds"]) == (HOLDS, 1.0)
    assert merged["figure"] == "1 hold, 0 fail, 1 do not apply"
    [merged] = merge([held, row(FAILS, "c", "it leaks"), row(FAILS, "d", "it ends"), skipped])
    assert merged["outcome"] == FAILS
    assert merged["figure"] == "1 hold, 2 fail, 1 do not apply; c: it leaks"
    [alone] = merge([skipped])
    assert (alone["outcome"], alone["figure"]) == (NOT_APPLICABLE, "it has none")


@pytest.mark.parametrize("error, outcome", [
    (OSError(errno.ENOSPC, "No space left on device"), UNJUDGED),
    (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), FAILS),
    # A server that maps its files keeps their pages.
    (RuntimeError("x: 3 pages do not leave the page cache"), FAILS)])
def test_what_the_place_brings_about_is_not_held_against_the_server(error, outcome):
    def fails():
        raise error

    call = pytest.CallInfo.from_call(fails, "call")
    crash = types.SimpleNamespace(message=call.excinfo.exconly())
    report = types.SimpleNamespace(user_properties=[], failed=True, skipped=False, duration=0.1,
                                   longrepr=types.SimpleNamespace(reprcrash=crash))
    assert row_of("test_scenarios.py::test_it[resets]", [report])["outcome"] == outcome


def test_a_server_that_does_not_start_is_shown_with_its_last_words():
    done = torture("--server", "sh -c 'echo these last words >&2; exit 3' {port}")
    assert done.returncode == 2 and not done.stdout
    assert "did not start" in done.stderr and "these last words" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments, words", [
    (["--server", "apache"], "'apache' is none of pollux, nginx"),
    (["--server", "true {port}", "--name", "../x"], "--name"),
    (["--soak", "often"], "--soak"),
    (["--soak", "nan"], "--soak"),
])
def test_a_wrong_argument_is_a_line_and_status_2(arguments, words):
    done = torture(*arguments)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_cold_is_no_fault_of_the_server():
    with temporary_folder("torture-", "/dev/shm") as scratch:
        done = torture("--server", RIGHT, "-k", "random-load", POLLUX_SCRATCH=scratch)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert "tmpfs" in done.stderr and "POLLUX_SCRATCH" in done.stderr


def test_the_score_of_a_broken_server_is_a_table_and_json(tmp_path):
    path = tmp_path / "score.json"
    done = torture("--server", RIGHT + " Pads", "--json", str(path), "-k",
                   "truncation or slow-heads or signal-storm")
    assert done.returncode == 1, done.stderr
    score = json.loads(path.read_text())
    outcomes = {row["name"]: row["outcome"] for row in score["rows"]}
    assert outcomes == {"truncation": FAILS, "slow-heads": HOLDS, "signal-storm": NOT_APPLICABLE}
    assert "zeros" in next(row for row in score["rows"] if row["name"] == "truncation")["figure"]
    assert "1 hold, 1 fail, 1 do not apply" in done.stdout and not score["ok"]


@pytest.mark.parametrize("chosen, words", [
    ("zzz", "no scenario has such a name"),
    ("signal-storm", "nothing was judged, as signal-storm does not apply"),
])
def test_what_judges_nothing_is_no_success(chosen, words, tmp_path):
    done = torture("--server", RIGHT, "-k", chosen, "--json", str(tmp_path / "score.json"))
    assert (done.returncode, done.stdout) == (2, "") and words in done.stderr, done
    assert not (tmp_path / "score.json").exists()
    assert chosen != "zzz" or not os.listdir(tmp_path)


def command_lines(pids):
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
                yield file.read()


def test_an_interrupt_ends_it_and_leaves_nothing(tmp_path):
    with subprocess.Popen([sys.executable, MAIN, "--server", RIGHT, "-k", "soak", "--json",
                           str(tmp_path / "score.json")], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        lines = ""
        while "-m\0pytest" not in lines or f"{PROGRAM}\0" not in lines:
            assert process.poll() is None, process.stderr.read()
            below = children_of(process.pid)
            lines = " ".join(command_lines(below))
        ends = [os.pidfd_open(pid) for pid in below]
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
    assert process.returncode == 130 and told.endswith("ci/torture: interrupted\n") and not out
    for end in ends:
        assert select.select([end], [], [], 10)[0], f"something is left of {lines}"
        os.close(end)


def test_what_asks_pollux_itself_skips_for_others_with_the_reason():
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider",
                           os.path.join(os.path.dirname(HERE), "test_timeouts.py"), "--server",
                           "true {port}"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "asks Pollux itself" in done.stdout
    assert "skipped" in done.stdout.splitlines()[-1] and "passed" not in done.stdout
