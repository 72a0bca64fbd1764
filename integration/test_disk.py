"""The modelled disk under a real file system: its figures, by fio, are those of its formulas, reads
arrive as they were asked for, and nothing of it outlives its owner."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import disk as disks
from data import PatternFile
from requirements import requires
from servers.usage import children_of

pytestmark = [pytest.mark.alone, requires("fuse", "loop", "mkfs.ext4", "fio")]

MIB = 1 << 20
TRIES = 3
SPINDLE_MB_S = 58.0
# RandomReadTime of fakes/disk/shape.h for 1 MiB: command, seek, half a turn, transfer.
RANDOM_MIB_S = 0.0002 + 0.0085 + 60 / 7200 / 2 + MIB / (SPINDLE_MB_S * 1e6)


@pytest.fixture(scope="module")
def disk():
    with disks.Disk(size="4G") as made:
        yield made


def fastest(disk, path, **options):
    """MB/s: what else the machine does makes a disk slower, never faster."""
    return max(fio(disk, path, 2.5, **options)["mb_per_s"] for _ in range(TRIES))


def usual(disk, path, **options):
    """MB/s of the read that takes the median time, one at a time."""
    return MIB / 1e6 / fio(disk, path, 4, iodepth=1, **options)["median_s"]


def fio(disk, path, seconds, **options):
    """Reads it with direct I/O: {"mb_per_s", "reads", "median_s"}."""
    flags = {"name": "it", "filename": path, "direct": 1, "ioengine": "libaio", "bs": "1M",
             "nice": -19, "readonly": None, "time_based": 1, "runtime": seconds,
             "output-format": "json", **options}
    said = disk.run("fio", *(f"--{key}" if value is None else f"--{key}={value}"
                             for key, value in flags.items()))
    read = json.loads(said)["jobs"][0]["read"]
    return {"mb_per_s": read["bw_bytes"] / 1e6, "reads": read["total_ios"],
            "median_s": read["clat_ns"]["percentile"]["50.000000"] / 1e9}


def big_file(disk, size=600 * 10**6):
    path = os.path.join(disk.outside, "big")
    if not os.path.exists(path):
        disk.set_model("none")
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
            piece = bytes(MIB)
            for _ in range(size // MIB):
                file.write(piece)
        disk.make_cold()
    return os.path.join(disk.root, "big")


def test_one_read_at_a_time_is_one_spindle(disk):
    path = big_file(disk)
    disk.set_model("raid1-2006")
    assert usual(disk, path, rw="read") == pytest.approx(SPINDLE_MB_S, rel=0.10)


def test_four_reads_at_a_time_use_both_spindles(disk):
    path = big_file(disk)
    disk.set_model("raid1-2006")
    assert (1.6 * SPINDLE_MB_S <= fastest(disk, path, rw="read", iodepth=4)
            <= 2 * SPINDLE_MB_S)


def test_random_reads_take_what_the_formula_says(disk):
    disk.set_model("hdd")  # of two spindles the nearer head would go
    found = fastest(disk, disk.device, rw="randread", iodepth=1, norandommap=None)
    assert MIB / 1e6 / found == pytest.approx(RANDOM_MIB_S, rel=0.15)


@pytest.mark.parametrize("size", ["512K", "1M"])
def test_reads_reach_the_model_whole(disk, size):
    disk.set_model("raid1-2006")
    found = fio(disk, disk.device, 1, rw="randread", iodepth=4, bs=size, norandommap=None)
    seen = disk.reads()
    # Beside fio's own reads there are those of who looks at the device when it is opened.
    assert seen["reads"] <= 1.05 * found["reads"] + 20
    assert seen["pieces"] >= seen["reads"] and seen["bytes"] >= found["reads"] * MIB / 2


def test_bytes_are_what_was_written(disk):
    disk.set_model("none")
    files = [PatternFile(os.path.join(disk.outside, f"p{i}"), 10 + i, 3 * MIB + 777 * i)
             for i in range(4)]
    disk.set_model("hdd,rate=400,seek=1,rpm=0,spindles=2")
    disk.make_cold()
    for file in files:
        with open(file.path, "rb") as opened:
            file.check(opened.read())


def test_an_unknown_model_is_refused_and_the_old_one_stays(disk):
    disk.set_model("ssd")
    with pytest.raises(OSError, match="Invalid argument"):
        disk.set_model("floppy")
    with open(disk._control("model"), encoding="ascii") as model:
        assert model.read() == "ssd\n"


# Makes a disk, has a server read a file of it, says who is who, and waits to be killed.
OWNER = """
import json, os, sys, threading, urllib.request
import disk, servers
from servers.usage import children_of
with disk.Disk(size="1G") as made:
    with open(os.path.join(made.outside, "big"), "wb") as file:
        file.write(bytes(100 << 20))
    made.set_model("hdd")
    made.make_cold()
    with servers.PolluxServer(made.root, wrapper=made.wrapper) as server:
        with urllib.request.urlopen(server.url("/big")) as answer:
            answer.read(1 << 20)
            print(json.dumps({"disk": children_of(made.pid), "server": server.pids(),
                              "device": made.device, "folder": made.root}), flush=True)
            sys.stdin.read()
"""


def left_of(seen):
    """What is still there of an owner's disk: a list of words."""
    left = [f"process {pid}" for pid in seen["disk"] + seen["server"]
            if os.path.exists(f"/proc/{pid}")]
    if os.path.exists(f"/sys/block/{os.path.basename(seen['device'])}/loop/backing_file"):
        left.append(seen["device"])
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/mountinfo", encoding="utf-8") as mounts:
                left += [f"a mount, seen by {name}" for line in mounts if seen["folder"] in line]
        except OSError:
            pass  # it has ended
    return left


def await_gone(seen):
    deadline = time.monotonic() + 30
    while left_of(seen) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_of(seen) == []


@pytest.mark.parametrize("victim", ["owner", "supervisor", "file system", "nobody"])
def test_nothing_outlives_its_owner(victim):
    suite = os.path.dirname(os.path.abspath(__file__))
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=dict(os.environ, PYTHONPATH=suite))
    try:
        line = owner.stdout.readline()
        assert line, owner.communicate()[1]
        seen = json.loads(line)
        assert left_of(seen), "nothing was there to be left behind"
        if victim != "nobody":
            os.kill({"owner": owner.pid, "supervisor": seen["disk"][0],
                     "file system": seen["disk"][1]}[victim], signal.SIGKILL)
        owner.communicate()
    finally:
        owner.kill()
        owner.wait()
    await_gone(seen)
    assert not os.path.exists(os.path.dirname(seen["folder"]))


# A command of pollux-disk: leaves a daemon behind, in a session of its own, which works on the disk
# and waits for a read that is not answered; says who is who; ends when its standard input does.
COMMAND = """
import json, os, sys
root, said = sys.argv[1], os.pipe()
with open(root + "/files/file", "wb") as file:
    file.write(os.urandom(1 << 20))
    file.flush()
    os.fsync(file.fileno())
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir(root + "/files")
        with open(root + "/device/model", "w") as model:
            model.write("held")
        os.write(said[1], str(os.getpid()).encode())
        open("file", "rb").read()
    os._exit(0)
os.wait()
with open("/proc/self/mountinfo") as mounts:
    device = next(line.split()[-2] for line in mounts if root + "/files" in line)
print(json.dumps({"disk": [], "server": [int(os.read(said[0], 20))], "device": device,
                  "folder": root}), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("victim", ["supervisor", "file system", "nobody"])
def test_what_a_command_leaves_running_ends_with_the_disk(tmp_path, victim):
    with subprocess.Popen([disks.program(), str(tmp_path), "--size", "256M", "--", sys.executable,
                           "-c", COMMAND, str(tmp_path)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as disk:
        seen = json.loads(disk.stdout.readline())
        seen["disk"] = children_of(disk.pid)
        assert len(left_of(seen)) > 4, "nothing was there to be left behind"
        if victim != "nobody":
            os.kill(seen["disk"][0 if victim == "supervisor" else 1], signal.SIGKILL)
        disk.stdin.close()
        disk.wait()
        await_gone(seen)
