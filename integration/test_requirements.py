"""What continuous integration must have run: a test that skips for want of rights is green, and has
seen nothing. Goal: such a skip says what is missing, and in CI it is a failure. Method: a suite of
its own, run by a pytest of its own where nothing is to be had."""

import glob
import os
import re
import subprocess
import sys

import pytest

import requirements
from requirements import requires

HERE = os.path.dirname(os.path.abspath(__file__))
SUITE = """
import pytest
import requirements
from requirements import requires

requirements.missing = lambda name: f"needs {name}" if name == "loop" else ""

@requires("loop")
def test_that_needs_what_is_missing():
    raise SystemError("run all the same")

@requires("root", "fuse")
def test_that_has_what_it_needs():
    pass

@pytest.mark.skip(reason="of another kind of server")
def test_that_is_not_meant():
    pass
"""
CONFTEST = """
import requirements

def pytest_runtest_setup(item):
    requirements.enforce(item)
"""


@pytest.mark.parametrize("ci,outcome", [("", "1 passed, 2 skipped"),
                                        ("false", "1 passed, 2 skipped"),
                                        ("true", "1 passed, 1 skipped, 1 error")])
def test_what_is_missing_skips_and_fails_in_ci(tmp_path, ci, outcome):
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {HERE}\n"
                                         "markers =\n    requires: of requirements.py\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra", "."],
                          cwd=tmp_path, env={**os.environ, "CI": ci}, capture_output=True,
                          text=True, check=False)
    assert outcome in done.stdout, done.stdout
    assert "needs loop" in done.stdout
    assert ("CI must run this test: needs loop" in done.stdout) == (ci == "true")
    assert "run all the same" not in done.stdout


def test_every_name_is_known_where_it_is_written():
    with pytest.raises(ValueError, match="'rooot' is none of root, ipv6"):
        requires("rooot")


def test_no_test_skips_for_want_of_rights_by_itself():
    """Those skips would be green in CI."""
    lonely = re.compile(r"skip.*(geteuid|[Nn]eeds root|shutil\.which)|reason=.needs root")
    for path in glob.glob(os.path.join(HERE, "**", "test_*.py"), recursive=True):
        if path == os.path.abspath(__file__):
            continue
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                assert not lonely.search(line), f"{path}:{number}: use requirements.requires"


def test_the_report_says_what_is_here():
    text = requirements.summary()
    for name in requirements.NAMES:
        assert re.search(rf"\b{name}\b", text)
