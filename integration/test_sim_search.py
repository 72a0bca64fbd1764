"""pollux-sim at work: large stories from another seed each day, the same execution in every build,
and the memory it takes."""

import datetime
import glob
import os
import subprocess
import sys

import pytest

import requirements
import servers

SIM = os.path.join(servers.build_folder(), "pollux-sim")
SERVER_STORIES = ["small-request", "download", "late-reader", "ten-downloads", "crowd"]
# Seeds of different days are far apart: an execution takes its own and leaves the next to the next.
SEED_OF_THE_DAY = int(datetime.date.today().strftime("%Y%m%d")) * 1_000_000
SMALLER = 20 if servers.sanitizer() else 1
MEMORY_MAX = 500 * 1024 * 1024
GROWTH_MAX = 4 * 1024 * 1024  # by 450 executions, some of which are larger than those before


# Under the thread sanitizer `published` is caught at its races before its other defects show
# (tests/fakes/races_test.cc looks for those).
WITHOUT_RACES = {**os.environ,
                 "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "") + ":report_bugs=0"}


def run(*arguments, sim=SIM, cwd=None, env=None):
    return subprocess.run([sim, *map(str, arguments)], capture_output=True, text=True, timeout=100,
                          stdin=subprocess.DEVNULL, cwd=cwd, env=env)


@pytest.mark.parametrize("strategy", ["random", "pct"])
@pytest.mark.parametrize("coordination", ["masked", "eventfd"])
@pytest.mark.parametrize("story, runs", [("crowd", 200), ("ten-downloads", 400)])
def test_large_story_from_the_seed_of_the_day(tmp_path, story, runs, coordination, strategy):
    arguments = ["run", story, "--coordination", coordination, "--strategy", strategy,
                 "--seed", SEED_OF_THE_DAY, "--runs", runs // SMALLER]
    print("pollux-sim", *arguments)
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result
    assert "nothing found" in result.stdout


def builds():
    """Each pollux-sim in build/ that was linked after the last change of its sources."""
    sources = [path for folder in ("core", "fakes")
               for path in glob.glob(os.path.join(servers.REPOSITORY, folder, "**", "*.*"),
                                     recursive=True) if path.endswith((".cc", ".h"))]
    changed = max(os.path.getmtime(path) for path in sources)
    found = glob.glob(os.path.join(servers.REPOSITORY, "build", "*", "pollux-sim"))
    return sorted({SIM} | {path for path in found if os.path.getmtime(path) >= changed})


@pytest.mark.parametrize("coordination", ["published", "masked", "eventfd"])
def test_same_seed_is_the_same_execution_in_every_build(tmp_path, coordination):
    assert len(builds()) > 1 or not requirements.in_ci(), "there is nothing to compare with"
    for story in ["two-chunks", "slow-read", "timer", *SERVER_STORIES]:
        traces = {}
        for sim in [SIM, *builds()]:
            result = run("run", story, "--coordination", coordination, "--seed", SEED_OF_THE_DAY,
                         "--runs", 3, "--faults", 1, "--signals", 1, sim=sim, cwd=tmp_path,
                         env=WITHOUT_RACES)
            assert result.returncode in (0, 1), result
            words = result.stdout.split()
            traces.setdefault(words[words.index("trace") + 1], []).append(sim)
        assert len(traces) == 1, f"{story}: {traces}"


# A process begins with the peak of the one that forked it (execve(2) carries ru_maxrss over), and
# pytest's own may be large: a small one in between asks for its children's.
PEAK_OF_CHILD = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(status)
"""


@pytest.mark.skipif(bool(servers.sanitizer()), reason="theirs is many times as much")
@pytest.mark.parametrize("story", SERVER_STORIES)
@pytest.mark.parametrize("retire", ["punch", "fresh"])
def test_memory_does_not_grow_with_executions(tmp_path, story, retire):
    def peak(runs):
        command = [SIM, "run", story, "--retire", retire, "--runs", str(runs)]
        result = subprocess.run([sys.executable, "-c", PEAK_OF_CHILD, *command], cwd=tmp_path,
                                capture_output=True, text=True, timeout=100, check=False)
        assert result.returncode == 0, result
        return int(result.stdout)

    few, many = peak(50), peak(500)
    assert many < MEMORY_MAX
    assert many - few < GROWTH_MAX, f"{few} bytes at most in 50 executions, {many} in 500"
