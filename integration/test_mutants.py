"""The mutants of fakes/mutants and the command that runs them: each patch still applies, and says
what it breaks and who has to notice. That they are noticed is for ci/mutants itself."""

import importlib.machinery
import importlib.util
import os
import signal
import subprocess
import sys

import pytest

import requirements
import servers

sys.path.insert(0, os.path.join(servers.REPOSITORY, "ci"))

import planted  # noqa: E402

COMMAND = os.path.join(servers.REPOSITORY, "ci", "mutants")
FOLDER = os.path.join(servers.REPOSITORY, "fakes", "mutants")
PATCHES = planted.read_patches(FOLDER)


def load(path):
    """A command as a module: its name has no .py."""
    loader = importlib.machinery.SourceFileLoader("mutants", path)
    spec = importlib.util.spec_from_loader("mutants", loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module  # dataclasses look there
    loader.exec_module(module)
    return module


mutants = load(COMMAND)


def run(*arguments):
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_patch_applies(patch):
    planted.apply(patch, servers.REPOSITORY, check_only=True)


def test_there_are_enough_of_the_core_and_of_the_checker():
    of_core = [patch for patch in PATCHES if patch.files[0].startswith("core/")]
    assert len(of_core) >= 25
    assert len(PATCHES) - len(of_core) >= 8


def test_list_tells_what_each_breaks():
    result = run("--list")
    assert result.returncode == 0, result
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [patch.name for patch in PATCHES]
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize("arguments, words", [
    (["no-such-mutant"], ["no mutant 'no-such-mutant'", "no-punch"]),
    (["--all", "no-punch"], ["--all or names"]),
    (["--jobs", "0"], ["--jobs"]),
    (["--nonsense"], ["--nonsense"]),
])
def test_bad_usage(arguments, words):
    result = run(*arguments)
    assert result.returncode == 2, result
    for word in words:
        assert word in result.stderr


def test_ctrl_c_ends_it_and_what_it_runs():
    process = subprocess.Popen([COMMAND, "no-punch"], text=True, stderr=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        line = process.stderr.readline()
        if "another ci/mutants" in line:
            requirements.skip("ci/mutants runs in this tree")
        assert "the clean tree" in line
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "ci/mutants: stopped"
    assert "Traceback" not in rest


def test_patch_that_does_not_apply_is_named(tmp_path):
    patch = planted.Patch("stale", {}, PATCHES[0].diff.replace("\n-", "\n-no such line "))
    with pytest.raises(planted.PatchError, match="stale does not apply"):
        planted.apply(patch, servers.REPOSITORY, check_only=True)


def test_file_that_is_no_patch_is_named(tmp_path):
    (tmp_path / "bad.patch").write_text("Breaks: nothing\n")
    with pytest.raises(planted.PatchError, match="bad.patch: no diff"):
        planted.read_patches(tmp_path)


PASSES = "[ RUN      ] A.Passes\n[       OK ] A.Passes (0 ms)\n"
FAILS = "[ RUN      ] A.Fails\nx.cc:1: Failure\n[  FAILED  ] A.Fails (0 ms)\n"
FAILS_WITH = "[ RUN      ] W/A.Fails/0\n[  FAILED  ] W/A.Fails/0, where GetParam() = Linux (0 ms)\n"
SUMMARY = "[  FAILED  ] 1 test, listed below:\n[  FAILED  ] A.Fails\n\n 1 FAILED TEST\n"


@pytest.mark.parametrize("out, noticed_by", [
    (PASSES + FAILS + SUMMARY, ["A.Fails"]),
    (FAILS_WITH, ["W/A.Fails/0"]),
    (PASSES + "[ RUN      ] A.Dies\n", ["A.Dies died"]),
    (FAILS + "[ RUN      ] A.Dies\n", ["A.Fails", "A.Dies died"]),
])
def test_failed_test_or_death_in_one_notices(out, noticed_by):
    assert mutants.tests_not_passed("sys_test", -6, out, "") == noticed_by


@pytest.mark.parametrize("out", [
    "",                                # it did not start
    "[==========] Running 2 tests.\n",
    PASSES,                            # a sanitizer's complaint at the end, say
    "[ RUN      ] A.Skips\n[  SKIPPED ] A.Skips (0 ms)\n",
])
def test_program_that_ends_outside_of_its_tests_has_noticed_nothing(out):
    with pytest.raises(mutants.NotAsItMustBe, match="sys_test ended with 127.*no such library"):
        mutants.tests_not_passed("sys_test", 127, out, "no such library")
