"""ci/bench 2006 from end to end, small: what it writes is what its module says, the plots are
drawn, and Ctrl-C leaves nothing of the disk. Nothing is said of how fast anybody is."""

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from requirements import requires

HERE = os.path.dirname(os.path.abspath(__file__))
SMALL = ["2006", "--rounds", "1", "--seconds", "0.5", "--file-mb", "25"]

pytestmark = [pytest.mark.alone, requires("fuse", "loop", "mkfs.ext4", "fio")]


def start(*arguments):
    return subprocess.Popen([sys.executable, os.path.join(HERE, "bench", "main.py"), *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def backing_file(device):
    """What lies behind a loop device; None of a free one, and of what is no loop device."""
    try:
        with open(f"/sys/block/{device}/loop/backing_file", encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def modelled_disks():
    """The loop devices on which there is one now, this run's or another's."""
    return {name for name in os.listdir("/sys/block")
            if (backing_file(name) or "").endswith("/device/disk\n")}


def test_a_small_table_is_measured_written_and_drawn(tmp_path):
    path = tmp_path / "small.json"
    run = start(*SMALL, "--connections", "2", "--contenders", "linux-aio-sendfile-1M",
                "--json", str(path))
    said, progress = run.communicate()
    assert run.returncode == 0, progress
    document = json.loads(path.read_text(encoding="utf-8"))
    name, = document["servers"]
    assert name == "pollux linux-aio-sendfile 1M"
    cells = {(row["connections"], row["files"]): row for row in document["results"]}
    assert list(cells) == [(2, "distinct"), (10, "same")]
    for row in cells.values():
        assert row["server"] == name and row["mb_per_s"]["median"] > 0
        assert row["cpu_s_per_gb"]["median"] > 0 and 0 <= row["least_share"]["median"] <= 1
    # One reader of a file suffices for all of them.
    assert cells[10, "same"]["mb_per_s"]["median"] > document["disk"]["limit_mb_per_s"]
    assert cells[2, "distinct"]["mb_per_s"]["median"] <= 1.1 * document["disk"]["limit_mb_per_s"]
    assert [row["connections"] for row in document["limit"]] == [2]
    assert document["hot"][0]["p99_ms"]["median"] >= document["hot"][0]["p50_ms"]["median"] > 0
    assert "2006: linux-sendfile" in said and name in said
    for plot in ("rates", "cpu", "latency"):
        svg = xml.etree.ElementTree.parse(tmp_path / f"small-{plot}.svg").getroot()
        assert svg.tag.endswith("svg") and name in "".join(svg.itertext())
        assert (tmp_path / f"small-{plot}.png").read_bytes().startswith(b"\x89PNG")


def test_ctrl_c_takes_the_disk_down():
    others = modelled_disks()
    run = start(*SMALL, "--connections", "1", "--contenders", "auto")
    for line in run.stderr:
        if "MB/s" in line:
            break
    ours = modelled_disks() - others
    assert ours
    run.send_signal(signal.SIGINT)
    _, said = run.communicate()
    assert (run.returncode, said.splitlines()[-1]) == (130, "ci/bench: interrupted")
    # Without its file system a device that is still bound has a file of another name.
    assert {name: backing_file(name) for name in ours} == dict.fromkeys(ours)


@pytest.mark.parametrize("arguments, wrong", [
    (["--contenders", "apache"], "apache"), (["--connections", "0"], "--connections"),
    *[([f"--seconds={seconds}"], "--seconds") for seconds in ("nan", "inf", "0", "-1")],
    (["--file-mb", "0"], "--file-mb")])
def test_a_wrong_argument_is_one_line(arguments, wrong):
    run = start("2006", *arguments)
    _, said = run.communicate()
    assert run.returncode == 2 and wrong in said.splitlines()[-1] and "Traceback" not in said
