"""pollux-sim: what it finds it can replay and shrink, and what is wrong with a command line or a file
is said in one line."""

import json
import os
import re
import signal
import subprocess

import pytest

import servers

SIM = os.path.join(servers.build_folder(), "pollux-sim")


# Under the thread sanitizer `published` is caught at its races before its other defects show
# (tests/fakes/races_test.cc looks for those).
ENVIRONMENT = {**os.environ,
               "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "") + ":report_bugs=0"}


def run(*arguments, cwd=None):
    return subprocess.run([SIM, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, cwd=cwd, env=ENVIRONMENT)


def assert_one_line_and_2(result, *words):
    assert result.returncode == 2, result
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("pollux-sim: "), result
    for word in words:
        assert word in result.stderr


def test_finds_the_lost_wake_up_and_replays_it(tmp_path):
    found = run("run", "one-chunk", "--coordination", "published", cwd=tmp_path)
    assert found.returncode == 1, found
    assert "timeout rescue: a completion waited" in found.stdout
    command = re.search(r"^replay with: pollux-sim (.*)$", found.stdout, re.M).group(1)
    once, again = (run(*command.split(), cwd=tmp_path) for _ in range(2))
    assert once.returncode == again.returncode == 1
    assert once.stdout == again.stdout
    assert "timeout rescue: a completion waited" in once.stdout
    assert "another build" not in once.stderr


def test_shrinks_it_to_a_handful_of_choices(tmp_path):
    assert run("run", "one-chunk", "--coordination", "published", "--save", "found",
               cwd=tmp_path).returncode == 1
    shrunk = run("shrink", "found", "-o", "small", cwd=tmp_path)
    assert shrunk.returncode == 0, shrunk
    assert len(json.loads((tmp_path / "small").read_text())["choices"]) <= 30
    assert run("replay", "small", "--quiet", cwd=tmp_path).returncode == 1


def test_every_schedule_of_the_control_is_clean(tmp_path):
    result = run("explore", "two-chunks", "--coordination", "eventfd", cwd=tmp_path)
    assert result.returncode == 0, result
    assert "nothing found" in result.stdout
    assert "\nexhausted (" in result.stdout


@pytest.mark.parametrize("coordination", ["masked", "eventfd"])
def test_as_many_signals_and_faults_as_it_says(tmp_path, coordination):
    result = run("explore", "two-chunks", "--coordination", coordination, "--signals", 8,
                 "--faults", 8, "--early-timeouts", 100, "--max-seconds", 1, cwd=tmp_path)
    assert result.returncode == 0, result
    assert "stopped by a limit" in result.stdout


def test_run_without_an_end_is_a_violation(tmp_path):
    result = run("run", "one-chunk", "--steps-max", 20, cwd=tmp_path)
    assert result.returncode == 1, result
    assert "spin: no end after 20 steps" in result.stdout


@pytest.mark.parametrize("arguments, words", [
    (["run", "nonsense"], ["no scenario 'nonsense'", "two-chunks"]),
    (["run", "one-chunk", "--coordination", "x"], ["published, masked, eventfd"]),
    (["run", "download", "--backend", "x"], ["linux-aio-sendfile"]),
    (["run", "one-chunk", "--strategy", "x"], ["random, pct, exhaustive"]),
    (["explore", "download"], ["too large", "random or pct"]),
    (["run", "one-chunk", "--seed", "x"], ["seed"]),
    (["explore", "one-chunk", "--coordination", "eventfd", "--signals", 40], ["--signals", "16"]),
    (["explore", "one-chunk", "--signals", 100], ["--signals", "16"]),
    (["explore", "one-chunk", "--signals", 9, "--faults", 8], ["--faults", "16"]),
    (["run", "one-chunk", "--seed", "-1"], ["--seed"]),
    (["run", "one-chunk", "--seed", 2**64], ["--seed", f"'{2**64}' is no whole number"]),
    (["run", "one-chunk", "--runs", 0], ["--runs"]),
    (["run", "one-chunk", "--runs", 10**20], ["--runs", "is no whole number"]),
    (["run", "one-chunk", "--steps-max", 10**30], ["--steps-max", "is no whole number"]),
    (["explore", "one-chunk", "--max-seconds", "nan"], ["--max-seconds"]),
    (["explore", "one-chunk", "--max-seconds", "inf"], ["--max-seconds"]),
    (["run", "one-chunk", "--steps-max", "-5"], ["--steps-max"]),
    (["explore", "one-chunk", "--preemptions", "-1"], ["--preemptions"]),
    (["explore", "one-chunk", "--max-seconds", "-1"], ["--max-seconds"]),
    (["run", "one-chunk", "--save", "/nonexistent/x"], ["cannot write /nonexistent/x"]),
    (["replay", "nowhere"], ["cannot open nowhere"]),
    (["replay", "."], ["cannot read ."]),
    (["shrink", ".", "-o", "out"], ["cannot read ."]),
    (["replay", "/dev/zero"], ["/dev/zero", "too large"]),
    (["run", "download", "--disk", "tape"], ["no disk 'tape'", "raid1-2006"]),
    (["trace", "nowhere", "-o", "out"], ["cannot open nowhere"]),
    (["trace", ".", "-o", "out"], ["cannot read ."]),
    (["table", "--backend", "x"], ["no backend 'x'", "threads-sendfile"]),
    (["table", "--coordination", "x"], ["published, masked, eventfd"]),
    (["table", "--disk", "hdd,speed=3"], ["speed=3", "rate (MB/s)"]),
    (["table", "--disk", "none"], ["--disk none"]),
    (["table", "--disk", "hdd,rate=1e6,spindles=64"], ["20 TB", "--seconds"]),
    (["table", "--connections", 0], ["--connections"]),
    (["table", "--chunk", "5K"], ["--chunk"]),
    (["table", "--seconds", 0], ["--seconds"]),
])
def test_bad_usage(tmp_path, arguments, words):
    assert_one_line_and_2(run(*arguments, cwd=tmp_path), *words)


def test_files_that_are_cut_off_or_foreign(tmp_path):
    assert run("run", "one-chunk", "--coordination", "published", "--save", "whole",
               cwd=tmp_path).returncode == 1
    whole = (tmp_path / "whole").read_text()
    for name, text in {
            "cut": whole[:len(whole) // 2],
            "empty": "",
            "foreign": "[1, 2, 3]",
            "later": whole.replace("replay 1", "replay 9"),
            "story": whole.replace('"one-chunk"', '"no-chunk"'),
            "option": whole.replace('"published"', '"private"'),
            "part": whole.replace('"signals": 0', '"signals": 0.5'),
            "negative": whole.replace('"faults": 0', '"faults": -1'),
            "wrapped": whole.replace('"early_timeouts": 0', '"early_timeouts": 4294967296'),
            "word": whole.replace('"steps_max": 200000', '"steps_max": true'),
    }.items():
        assert text != whole, name
        (tmp_path / name).write_text(text)
        for command in (["replay", name], ["shrink", name, "-o", "out"], ["trace", name, "-o", "out"]):
            assert_one_line_and_2(run(*command, cwd=tmp_path), name)


def test_place_for_the_find_is_made_sure_of_first(tmp_path):
    published = ["run", "one-chunk", "--coordination", "published"]
    result = run(*published, "--save", "nowhere/x", cwd=tmp_path)
    assert_one_line_and_2(result, "cannot write nowhere/x")
    assert result.stdout == ""
    assert run(*published, "--save", "found", cwd=tmp_path).returncode == 1
    assert_one_line_and_2(run("shrink", "found", "-o", "nowhere/x", cwd=tmp_path), "nowhere/x")
    assert os.listdir(tmp_path) == ["found"]


def test_find_is_told_although_the_disk_is_full(tmp_path):
    result = run("run", "one-chunk", "--coordination", "published", "--save", "/dev/full",
                 cwd=tmp_path)
    assert result.returncode == 1, result
    assert "timeout rescue: a completion waited" in result.stdout
    assert "replay with" not in result.stdout
    assert "cannot write /dev/full" in result.stderr


def run_with_output(redirection, *arguments, cwd):
    return subprocess.run(["sh", "-c", f'exec "$0" "$@" {redirection}', SIM, *arguments],
                          stderr=subprocess.PIPE, text=True, timeout=60, cwd=cwd, env=ENVIRONMENT,
                          check=False)


def test_closed_standard_output_does_not_go_into_the_replay_file(tmp_path):
    found = run_with_output(">&-", "run", "one-chunk", "--coordination", "published",
                            "--save", "found", cwd=tmp_path)
    assert found.returncode == 1, found
    assert found.stderr == "pollux-sim: cannot write to standard output\n"
    assert run("replay", "found", "--quiet", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["run", "one-chunk", "--runs", "1"]])
def test_full_standard_output_is_said(tmp_path, arguments):
    assert_one_line_and_2(run_with_output(">/dev/full", *arguments, cwd=tmp_path),
                          "cannot write to standard output")


def test_leaves_no_file_if_nothing_is_found_and_an_old_one_alone(tmp_path):
    (tmp_path / "old").write_text("kept")
    assert run("run", "one-chunk", "--runs", 5, cwd=tmp_path).returncode == 0
    assert run("run", "one-chunk", "--runs", 5, "--save", "old", cwd=tmp_path).returncode == 0
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "kept"


def test_finds_of_different_backends_have_different_names(tmp_path):
    for backend in ("linux-aio-sendfile", "linux-aio-write"):
        assert run("run", "download", "--coordination", "published", "--backend", backend,
                   cwd=tmp_path).returncode == 1
    assert sorted(os.listdir(tmp_path)) == ["download-published-linux-aio-sendfile-punch.replay",
                                            "download-published-linux-aio-write-punch.replay"]


def test_what_does_not_happen_any_more_has_a_status_of_its_own(tmp_path):
    assert run("run", "one-chunk", "--coordination", "published", "--save", "found",
               cwd=tmp_path).returncode == 1
    found = json.loads((tmp_path / "found").read_text())
    (tmp_path / "mended").write_text(json.dumps(found | {"coordination": "eventfd"}))
    replayed = run("replay", "mended", "--quiet", cwd=tmp_path)
    assert replayed.returncode == 3, replayed
    assert "timeout rescue does not happen any more" in replayed.stdout
    shrunk = run("shrink", "mended", "-o", "small", cwd=tmp_path)
    assert shrunk.returncode == 3, shrunk
    assert "timeout rescue does not happen any more" in shrunk.stderr
    assert not (tmp_path / "small").exists()
    # Another violation is one, but not the one that the file was saved for.
    (tmp_path / "other").write_text(json.dumps(found | {"oracle": "leak"}))
    other = run("replay", "other", "--quiet", cwd=tmp_path)
    assert other.returncode == 1, other
    assert "timeout rescue: " in other.stdout and "leak does not happen any more" in other.stdout


@pytest.mark.parametrize("arguments, number", [
    (["run", "two-chunks", "--runs", "1000000000"], signal.SIGINT),
    (["explore", "two-chunks", "--reduction", "none"], signal.SIGTERM),
])
def test_ctrl_c_ends_a_search_with_its_summary(tmp_path, arguments, number):
    process = subprocess.Popen([SIM, *arguments], cwd=tmp_path, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert "executions" in process.stderr.readline()  # it is under way
        for _ in range(2):  # as `timeout` does: the child, and the child's group
            process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert re.search(r"^[a-z-]+: [1-9]\d* executions, .*: nothing found$", out, re.M), out
    assert "stopped by Ctrl-C" in out
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("arguments", [["frobnicate"], []])
def test_without_a_known_subcommand_one_line_lists_them(arguments):
    wrong = run(*arguments)
    assert wrong.returncode == 2 and wrong.stdout == "", wrong
    assert len(wrong.stderr.splitlines()) == 1
    assert wrong.stderr.endswith(": list, run, explore, replay, shrink, trace, table, record, "
                                 "accept\n"), wrong


SCRIPT = b"\0GET /small HTTP/1.1\r\nHost: a\r\n\r\n\xffcGET /large HTTP/1.0\r\n\r\n"


def test_an_input_of_the_fuzzer_is_a_replay_file(tmp_path):
    (tmp_path / "input").write_bytes(b"PXF1\1\1\5" + SCRIPT + b"\xffe" + bytes(range(40)))
    replayed = run("replay", "input", cwd=tmp_path)
    assert replayed.returncode == 0, replayed
    assert "client speaks" in replayed.stdout and "nothing is violated" in replayed.stdout
    assert replayed.stderr == ""


def test_clients_say_what_a_script_has_them_say(tmp_path):
    (tmp_path / "script").write_bytes(SCRIPT)
    told = run("run", "conversation", "--script", "script", "--runs", 20, cwd=tmp_path)
    assert told.returncode == 0, told
    assert "20 executions" in told.stdout
    assert_one_line_and_2(run("run", "conversation", "--script", "none", cwd=tmp_path), "none")


def test_a_violated_script_shrinks_with_its_schedule(tmp_path):
    (tmp_path / "script").write_bytes(SCRIPT + b"\xffn" + SCRIPT[1:])
    found = run("run", "conversation", "--script", "script", "--steps-max", 200, "--save", "found",
                cwd=tmp_path)
    assert found.returncode == 1 and "spin" in found.stdout, found
    shrunk = run("shrink", "found", "-o", "small", cwd=tmp_path)
    assert shrunk.returncode == 0, shrunk
    script = json.loads((tmp_path / "small").read_text())["script"]
    assert len(script) < len(SCRIPT)
    replayed = run("replay", "small", "--quiet", cwd=tmp_path)
    assert replayed.returncode == 1 and replayed.stderr == "", replayed


def test_a_trace_is_a_timeline_with_paired_arrows(tmp_path):
    assert run("run", "one-chunk", "--coordination", "published", "--save", "found",
               cwd=tmp_path).returncode == 1
    result = run("trace", "found", "-o", "trace.json", cwd=tmp_path)
    assert result.returncode == 0, result
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    lanes = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {"thread main", "disk"} <= lanes
    assert [event["name"] for event in events if event["ph"] == "i"] == ["timeout rescue"]
    begins, ends = ([event["id"] for event in events if event["ph"] == kind] for kind in "sf")
    assert begins and sorted(begins) == sorted(ends)
    assert_one_line_and_2(run("trace", "found", "-o", "nowhere/x", cwd=tmp_path), "nowhere/x")


def test_finds_on_a_modelled_disk_can_be_replayed(tmp_path):
    found = run("run", "late-reader", "--retire", "reuse", "--disk", "raid1-2006", "--save", "found",
                cwd=tmp_path)
    assert found.returncode == 1, found
    assert json.loads((tmp_path / "found").read_text())["disk"] == "raid1-2006"
    replayed = run("replay", "found", "--quiet", cwd=tmp_path)
    assert replayed.returncode == 1 and "another build" not in replayed.stderr, replayed


def test_the_table_of_2006(tmp_path):
    arguments = ["table", "--seconds", 2, "--backend", "linux-aio-sendfile,writev", "--connections",
                 "1,10"]
    result = run(*arguments, "--json", cwd=tmp_path)
    assert result.returncode == 0, result
    assert "6 of 6" in result.stderr
    cells = json.loads(result.stdout)["cells"]
    assert len(cells) == 6  # two sizes of chunks, where there are chunks
    for cell in cells:
        assert 5 < cell["mb_per_second"] < 116
        assert (cell["ratio"] is None) == (cell["backend"] == "writev")
    text = run(*arguments, cwd=tmp_path).stdout
    assert "107.50" in text and "What differs from 2006" in text


def test_ctrl_c_ends_the_table_with_what_is_there(tmp_path):
    with subprocess.Popen([SIM, "table", "--seconds", "200"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, cwd=tmp_path) as table:
        assert "1 of" in table.stderr.readline()
        table.send_signal(signal.SIGINT)
        stdout, _ = table.communicate(timeout=60)
    assert table.returncode == 130
    assert "linux-sendfile" in stdout
