"""The judgement of ci/validate and the clients of ci/bench: a table that cannot fail says nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

import servers

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, "validate"), os.path.join(HERE, "bench")]

import coordinations  # noqa: E402
import files as bench_files  # noqa: E402
import load  # noqa: E402
import report  # noqa: E402
import schedules  # noqa: E402
import stall  # noqa: E402
import timelines  # noqa: E402
from verdict import EITHER, MUST_FAIL, MUST_HOLD, Cell, Grid, duration, share  # noqa: E402


@pytest.mark.parametrize("holds, expected, ok", [
    (True, MUST_HOLD, True), (False, MUST_HOLD, False),
    (True, MUST_FAIL, False), (False, MUST_FAIL, True),
    (True, EITHER, True), (False, EITHER, True), (None, EITHER, True),
    (None, MUST_HOLD, False), (None, MUST_FAIL, False)])
def test_a_specimen_must_fail_and_the_rest_must_hold(holds, expected, ok):
    assert Cell(holds, "", expected).ok == ok


def test_what_cannot_be_measured_is_never_as_it_must_be():
    def breaks():
        raise TimeoutError("nothing came")

    grid = Grid("retire", ["punch", "reuse"])
    grid.put("exact", "punch", lambda: Cell(True, "0 %"))
    grid.put("exact", "reuse", breaks)
    assert grid.unexpected() == ["exact, retire reuse: TimeoutError: nothing came"]
    assert "not measured" in grid.text()


def _measured(**changes):
    sound = {"lost_wakeup": {"held": 3, "stalled": 0, "longest_s": 1e-5},
             "kick": {"has_helper": True, "kicks": 3, "landed": 3, "longest_s": 1e-5},
             "foreign_signals": {"interrupted": 3, "misread": 0, "dispatched_wrongly": 0, "late": 0,
                                 "longest_turn_s": 1e-5}}
    for name, values in changes.items():
        sound[name] = {**sound[name], **values}
    return [sound]


@pytest.mark.parametrize("judge, broken, unshown", [
    (coordinations._lost_wakeup, {"lost_wakeup": {"stalled": 1}}, {"lost_wakeup": {"held": 0}}),
    (coordinations._kick, {"kick": {"landed": 2}}, {"kick": {"kicks": 0, "landed": 0}}),
    (coordinations._kick, {"kick": {"landed": 2}}, {"kick": {"has_helper": False, "kicks": 0}}),
    (coordinations._foreign, {"foreign_signals": {"misread": 1}},
     {"foreign_signals": {"interrupted": 0}}),
    (coordinations._foreign, {"foreign_signals": {"dispatched_wrongly": 1}},
     {"foreign_signals": {"interrupted": 0}}),
])
def test_a_coordination_is_judged_by_what_was_brought_about(judge, broken, unshown):
    assert judge(_measured(), MUST_HOLD).ok and not judge(_measured(), MUST_FAIL).ok
    assert not judge(_measured(**broken), MUST_HOLD).ok
    assert judge(_measured(**broken), MUST_FAIL).ok
    # An order of events that never came about satisfies nobody.
    assert not judge(_measured(**unshown), MUST_HOLD).ok
    assert not judge(_measured(**unshown), MUST_FAIL).ok


def test_a_search_is_judged_by_what_it_found_and_by_whether_it_saw_all():
    found = ("timeout rescue: a completion waited\nfound by execution 3, after 0.001 s; 5 choices\n"
             "replay with: pollux-sim replay out/x.replay\n")
    cell = schedules.judge(["explore", "x"], 1, found, "", MUST_FAIL)
    assert cell.ok and str(cell) == "FAILS by order 3: timeout rescue"
    assert cell.details["replay"].endswith("replay out/x.replay")
    assert not schedules.judge(["explore", "x"], 1, found, "", MUST_HOLD).ok
    clean = "x: 211 executions, 12132 steps, 12999 executions a second: nothing found\n"
    for end, words, all_seen in (
            ("exhausted (31 of them redundant)\n", "211 orders, all of them", True),
            ("stopped by a limit: not all were seen\n", "211 orders, not all", False)):
        cell = schedules.judge(["explore", "x"], 0, clean + end, "", MUST_HOLD)
        assert cell.ok == all_seen and words in str(cell)
        assert schedules.judge(["run", "x"], 0, clean + end, "", MUST_HOLD).ok
        assert not schedules.judge(["explore", "x"], 0, clean + end, "", MUST_FAIL).ok
    # A specimen that crashes has not shown what it is there for.
    with pytest.raises(schedules.ProgramError, match="leak"):
        schedules.judge(["explore", "x"], 1, found.replace("timeout rescue", "leak"), "", MUST_FAIL)
    for status, out in ((0, ""), (1, ""), (2, ""), (-6, clean)):
        with pytest.raises(schedules.ProgramError):
            schedules.judge(["explore", "x"], status, out, "why", MUST_HOLD)


def test_a_recording_is_judged_by_what_accept_says():
    def said(status, out):
        return subprocess.CompletedProcess([], status, out, "why")
    held = schedules.judge_recording("x", said(0, "x: accepted: 71 calls of 2 threads, by order 3\n"))
    assert held.ok and str(held) == "holds 71 calls, by order 3"
    failed = schedules.judge_recording("x", said(1, "x:24: rejected: call 22 of 71\n1 orders\n"))
    assert not failed.ok and "line 24" in str(failed)
    for status, out in ((0, ""), (1, ""), (2, ""), (-6, "x:24: rejected: y\n")):
        with pytest.raises(schedules.ProgramError):
            schedules.judge_recording("x", said(status, out))


@pytest.mark.parametrize("coordination", ["published", "masked", "eventfd"])
def test_a_real_run_is_judged_by_what_the_programs_say(coordination, tmp_path, monkeypatch):
    monkeypatch.setattr(schedules, "folder", lambda: str(tmp_path))
    cell = schedules.real_run(coordination)
    assert cell.ok and "calls, by order" in str(cell)


def test_figures_are_readable():
    assert [duration(s) for s in (1.0012, 0.9997, 0.0123, 0.00185, 41e-6)] == [
        "1.00 s", "1.00 s", "12 ms", "1.85 ms", "41 us"]
    assert [share(0, 9), share(1, 10_000), share(84, 100)] == ["0 %", "0.01 %", "84 %"]
    assert report.shown(report.spread([3.0, 1.0, 2.0]), 0) == "2 (1-3)"
    assert [stall.quantile(list(range(1, 101)), q) for q in (0.5, 0.99)] == [50, 99]
    assert stall.quantile([7.0], 0.99) == 7.0


class OneAnswer:
    """A server that gives each connection the same bytes and closes it."""

    def __init__(self, data):
        self._data = data
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(self._data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()


def test_downloads_are_counted_to_the_byte():
    body = b"x" * 300_000
    with OneAnswer(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + body) as server:
        assert load.drain(server.port, ["/a", "/b"])["bytes"] == 600_000


@pytest.mark.parametrize("answer, words", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nnine byte", "closed with 1 bytes to come"),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10", "closed within the head"),
    (b"HTTP/1.1 200 OK\r\n\r\nbody", "no Content-Length"),
])
def test_a_download_that_is_not_whole_is_no_measurement(answer, words):
    with OneAnswer(answer) as server, pytest.raises(load.LoadError, match=words):
        load.drain(server.port, ["/a"])


def test_a_full_disk_and_a_tmpfs_are_named_before_anything_is_measured(tmp_path, monkeypatch):
    with pytest.raises(bench_files.UsageError, match="are needed"):
        bench_files.check_space(str(tmp_path), 1 << 60)
    if bench_files.file_system("/dev/shm") == "tmpfs":
        monkeypatch.setattr(bench_files, "scratch_folder", lambda: "/dev/shm")
        with pytest.raises(bench_files.UsageError, match="tmpfs"):
            with bench_files.Folder("x"):
                pass


@pytest.mark.parametrize("arguments", [
    ["bench/main.py", "cold", "--rounds", "0"], ["bench/main.py", "cold", "--connections", "1,x"],
    ["bench/main.py", "cold", "--backends", "fast"], ["bench/main.py", "stall", "--peers", "caddy"],
    ["bench/main.py"], ["validate/main.py", "--no-such-flag"]])
def test_mistakes_on_the_command_line_end_with_status_2(arguments):
    done = subprocess.run([sys.executable, os.path.join(HERE, arguments[0]), *arguments[1:]],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr and not done.stdout


def test_the_defects_of_2006_come_about_step_by_step():
    found = {one["name"]: one for one in timelines.measure(lambda text: None)}
    assert [one.name for one in timelines.DEFECTS] == list(found)
    for defect in timelines.DEFECTS:
        timeline = found[defect.name]
        assert timeline["oracle"] == defect.oracle
        assert defect.textbook(timeline), "no seed shows it in the form that it is known by"
        steps = {step for step, *_ in timeline["steps"]}
        assert timeline["violation_step"] in steps
        assert all(begin in steps and end in steps for begin, end, _ in timeline["arrows"])
        assert all(begin < end and begin in steps for _, begin, end in timeline["sleeps"])
    # The orderly end of the story is no part of the drawing.
    assert "io_destroy" not in {name for *_, name in found["early-reuse"]["steps"]}


VALIDATE = [sys.executable, os.path.join(HERE, "validate", "main.py"), "--quick"]


@pytest.mark.parametrize("scratch, where", [("file/x", "x.json"), ("", "file/x.json")])
def test_a_place_that_cannot_be_written_is_named_before_anything_is_measured(tmp_path, scratch,
                                                                             where):
    (tmp_path / "file").touch()
    done = subprocess.run([*VALIDATE, "--json", str(tmp_path / where)], capture_output=True,
                          text=True, timeout=60, check=False,
                          env={**os.environ, "POLLUX_SCRATCH": str(tmp_path / scratch)})
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("ci/validate: ") and done.stderr.count("\n") == 1, done.stderr
    assert str(tmp_path / "file") in done.stderr


def test_ctrl_c_is_a_line_and_status_130(tmp_path):
    with subprocess.Popen([*VALIDATE, "--json", str(tmp_path / "x.json")], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, start_new_session=True,
                          env={**os.environ, "POLLUX_SCRATCH": str(tmp_path)}) as judge:
        assert "simulated kernel" in judge.stderr.readline()
        os.killpg(judge.pid, signal.SIGINT)
        said = judge.stderr.read()
        assert judge.wait(60) == 130
    assert said.splitlines()[-1] == "ci/validate: interrupted" and "Traceback" not in said
    assert os.listdir(tmp_path) == []


def test_pollux_validate_shows_what_2006_lost():
    """The specimen and the control, one round each: the order of events decides, not luck."""
    program = os.path.join(servers.build_folder(), "pollux-validate")
    if not os.access(program, os.X_OK):
        pytest.fail(f"{program} is not built")
    found = {}
    for name in ("published", "eventfd"):
        done = subprocess.run([program, "--coordination", name, "--rounds", "3",
                               "--stalling-rounds", "1"],
                              capture_output=True, text=True, timeout=60, check=True)
        found[name] = json.loads(done.stdout)
    assert not coordinations._lost_wakeup([found["published"]], MUST_HOLD).ok
    assert not coordinations._kick([found["published"]], MUST_HOLD).ok
    assert not coordinations._foreign([found["published"]], MUST_HOLD).ok
    assert coordinations._lost_wakeup([found["eventfd"]], MUST_HOLD).ok
    assert coordinations._foreign([found["eventfd"]], MUST_HOLD).ok


def test_bad_fault_rules_are_one_line_and_status_2(tmp_path):
    done = subprocess.run([os.path.join(servers.build_folder(), "pollux-faulty"), str(tmp_path)],
                          env={"POLLUX_FAULTS": "close:EIO"}, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == ("pollux-faulty: POLLUX_FAULTS: 'close' cannot be struck: "
                           "skipped, it would leak\n")


def test_a_place_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path):
    (tmp_path / "report").write_text("where the page's folder would be")

    def judged(path, **environment):
        done = subprocess.run([sys.executable, os.path.join(HERE, "validate", "main.py"), "--json",
                               str(path)], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, **environment})
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
        return done.stderr

    assert "/report" in judged(tmp_path / "x.json")
    told = judged(tmp_path / "x.json", POLLUX_SCRATCH="/proc/nowhere")
    assert "/proc/nowhere" in told and "POLLUX_SCRATCH" in told
    assert "/proc/sys" in judged(tmp_path / "free" / "x.json", POLLUX_SCRATCH="/proc/sys")
    assert os.listdir(tmp_path) == ["report"]
