"""pollux-sim record and accept: a run on this machine's kernel is one that the simulated kernel allows;
one that was altered is rejected by its line, and a mangled file is refused in one line."""

import json
import os
import random
import subprocess

import pytest

import requirements
import servers

SIM = os.path.join(servers.build_folder(), "pollux-sim")


def run(*arguments, cwd):
    return subprocess.run([SIM, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, cwd=cwd, check=False)


def record(folder, name, *arguments):
    done = run("record", "-o", name, *arguments, cwd=folder)
    if "no direct I/O (O_DIRECT)" in done.stderr and not requirements.in_ci():
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done
    assert os.listdir(folder) == [name], "the file that was read is left behind"
    return done


def assert_one_line_and_2(result, *words):
    assert result.returncode == 2, result
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("pollux-sim: "), result
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("arguments", [
    ["--coordination", "published"],
    ["--coordination", "masked"],
    ["--coordination", "masked", "--event-handler", "poll"],
    ["--coordination", "eventfd"],
], ids=" ".join)
def test_real_run_is_accepted(tmp_path, arguments):
    assert "judge with: pollux-sim accept run" in record(tmp_path, "run", *arguments).stdout
    done = run("accept", "run", cwd=tmp_path)
    assert done.returncode == 0, done
    assert done.stdout.startswith("run: accepted: ")


def test_altered_run_is_rejected_by_the_line_that_was_altered(tmp_path):
    record(tmp_path, "run", "--coordination", "eventfd")
    lines = (tmp_path / "run").read_text().splitlines()
    for name, result in (("recv", "EAGAIN"), ("sendfile", "4096"), ("io_submit", "EAGAIN")):
        at = next(i for i, line in enumerate(lines) if json.loads(line).get("call") == name)
        call = json.loads(lines[at])
        said, call["result"] = call["result"], result
        (tmp_path / "altered").write_text(
            "\n".join([*lines[:at], json.dumps(call), *lines[at + 1:]]) + "\n")
        done = run("accept", "altered", "--orders-max", 50, cwd=tmp_path)
        assert done.returncode == 1, done
        assert done.stdout.startswith(f"altered:{at + 1}: rejected: ")
        assert f'{name} in thread 0: Linux said "{result}", the model says "{said}"' in done.stdout


@pytest.mark.parametrize("arguments, words", [
    (["record", "-o", "out", "--coordination", "x"], ["published, masked, eventfd"]),
    (["record", "-o", "out", "--event-handler", "x"], ["epoll, poll"]),
    (["record", "-o", "out", "--coordination", "published", "--event-handler", "epoll"], ["poll(2)"]),
    (["record", "-o", "nowhere/x"], ["cannot write nowhere/x"]),
    (["record"], ["-o"]),
    (["accept"], ["FILE"]),
    (["accept", "nowhere"], ["cannot open nowhere"]),
    (["accept", "."], ["cannot read ."]),
    (["accept", "/dev/zero"], ["/dev/zero is no recording: too large"]),
    (["accept", "/dev/null"], ["/dev/null is no recording: line 1: "]),
    (["accept", SIM], ["line 1: "]),
    (["accept", "x", "--orders-max", 0], ["--orders-max"]),
])
def test_bad_usage(tmp_path, arguments, words):
    assert_one_line_and_2(run(*arguments, cwd=tmp_path), *words)
    assert not os.listdir(tmp_path)


def test_cut_off_or_mangled_files_never_crash(tmp_path):
    record(tmp_path, "run", "--coordination", "masked")
    text = (tmp_path / "run").read_text()
    for length in (1, 100, len(text) // 2, len(text) - 2):
        (tmp_path / "cut").write_text(text[:length])
        assert_one_line_and_2(run("accept", "cut", cwd=tmp_path), "cut is no recording: line ")
    numbers = random.Random(7)
    for _ in range(60):
        mangled = list(text)
        for _ in range(numbers.choice((1, 3))):
            place = numbers.choice([i for i, c in enumerate(mangled) if c.isdigit()])
            mangled[place] = numbers.choice("0123456789-")
        (tmp_path / "mangled").write_text("".join(mangled))
        done = run("accept", "mangled", "--orders-max", 10, cwd=tmp_path)
        assert done.returncode in (0, 1, 2), done
        if done.returncode == 2:
            assert_one_line_and_2(done, "mangled is no recording: line ")
        elif done.returncode == 1:
            assert "rejected: " in done.stdout
