"""What the engines that run the fuzz targets elsewhere read of this tree: ClusterFuzzLite, OSS-Fuzz
and the workflow. Neither can be run here; that what they name is there, can be seen. `ci/fuzz
--check-oss-fuzz` runs their build."""

import configparser
import pathlib
import shlex

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUZZ = ROOT / "fuzz"
TARGETS = sorted(path.name.removesuffix(".cc") for path in FUZZ.glob("*_fuzz.cc"))
# google/oss-fuzz, docs/getting-started/new_project_guide.md; clusterfuzzlite/actions/*/action.yml
ENGINES = {"libfuzzer", "afl", "honggfuzz", "centipede", "none"}
SANITIZERS = {"address", "undefined", "memory", "none"}
MODES = {"code-change", "batch", "prune", "coverage"}


def test_there_are_targets():
    assert len(TARGETS) > 10


@pytest.mark.parametrize("target", TARGETS)
def test_options_name_a_length_and_files_that_are_there(target):
    parser = configparser.ConfigParser()
    assert parser.read(FUZZ / f"{target}.options")
    options = dict(parser["libfuzzer"])
    assert int(options["max_len"]) > 0
    if "dict" in options:
        assert (FUZZ / options["dict"]).is_file()


def test_clusterfuzzlite_finds_the_files_of_oss_fuzz():
    for name in ("Dockerfile", "build.sh", "project.yaml"):
        assert (ROOT / ".clusterfuzzlite" / name).samefile(FUZZ / "oss-fuzz" / name)
    assert (FUZZ / "oss-fuzz" / "build.sh").stat().st_mode & 0o111


def test_the_project_names_engines_and_sanitizers_that_there_are():
    project = yaml.safe_load((FUZZ / "oss-fuzz" / "project.yaml").read_text())
    assert project["language"] == "c++"
    assert set(project["fuzzing_engines"]) <= ENGINES
    assert set(project["sanitizers"]) <= SANITIZERS


def test_the_image_copies_what_there_is_and_ends_in_the_sources():
    lines = (FUZZ / "oss-fuzz" / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    words = [shlex.split(line) for line in lines if line and not line.startswith("#")]
    assert words[0][:1] == ["FROM"]
    copies = [word[1:] for word in words if word[0] == "COPY"]
    assert all((ROOT / source).exists() for source, _ in copies)
    assert ["fuzz/oss-fuzz/build.sh", "$SRC/"] in copies
    assert ["WORKDIR", "$SRC/pollux"] in words


def _workflow():
    return yaml.safe_load((ROOT / ".github/workflows/fuzz.yml").read_text())


def test_the_workflow_watches_folders_that_there_are():
    triggers = _workflow()[True]  # YAML 1.1 takes `on` for a truth
    for path in triggers["pull_request"]["paths"]:
        assert (ROOT / path.removesuffix("/**")).exists(), path
    assert triggers["schedule"]


def test_the_workflow_builds_before_it_fuzzes_with_the_same_sanitizer():
    workflow = _workflow()
    project = yaml.safe_load((FUZZ / "oss-fuzz" / "project.yaml").read_text())
    job = workflow["jobs"]["fuzz"]
    assert set(job["strategy"]["matrix"]["sanitizer"]) == set(project["sanitizers"])
    build, *runs = job["steps"]
    assert "build_fuzzers" in build["uses"]
    assert all("run_fuzzers" in run["uses"] for run in runs)
    assert {run["with"]["mode"] for run in runs} <= MODES
    assert {step["with"]["sanitizer"] for step in job["steps"]} == {"${{ matrix.sanitizer }}"}


def test_each_prune_and_batch_has_its_time():
    """A schedule that the steps compare with and that is not in the list would never be met."""
    workflow = _workflow()
    schedules = [entry["cron"] for entry in workflow[True]["schedule"]]
    for step in workflow["jobs"]["fuzz"]["steps"]:
        condition = step.get("if", "")
        if "github.event.schedule" in condition:
            assert any(f"'{schedule}'" in condition for schedule in schedules), condition
