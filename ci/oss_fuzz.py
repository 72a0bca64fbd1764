"""Whether fuzz/oss-fuzz/ does what OSS-Fuzz and ClusterFuzzLite expect, as far as it shows here.

build.sh is called as their base-builder image calls it: the sources in $SRC/pollux, the script beside
them, the compiler, its flags and the engine in the environment. Then what lies in $OUT is looked at,
and each target runs on its own seeds from there, in an environment that has nothing of this tree.
"""

import configparser
import os
import shutil
import subprocess
import tempfile
import zipfile

import planted

# What base-builder sets for libFuzzer and AddressSanitizer (google/oss-fuzz: infra/base-images/
# base-builder/Dockerfile, and `compile` of the same folder).
COMMON_FLAGS = ("-O1 -fno-omit-frame-pointer -gline-tables-only "
                "-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION")
SANITIZER_FLAGS = "-fsanitize=address -fsanitize-address-use-after-scope"
COVERAGE_FLAGS = "-fsanitize=fuzzer-no-link"
SECONDS = 2  # of fuzzing for each target: that it can add to what it was given


class CheckError(Exception):
    """What is not as it is expected."""


def check(folder, targets, run, say):
    """Raises CheckError; `run` is ci/fuzz's. Below `folder`, what is built is kept for the next time."""
    source, out, work = (os.path.join(folder, name) for name in ("src", "out", "work"))
    shutil.rmtree(out, ignore_errors=True)
    tree = planted.Slot(os.path.join(source, "pollux"))
    for path in (tree.tree, out, work):
        os.makedirs(path, exist_ok=True)
    tree.reset()
    shutil.copy(os.path.join(planted.ROOT, "fuzz", "oss-fuzz", "build.sh"), source)
    log = os.path.join(folder, "build.log")
    say(f"ci/fuzz: build.sh builds in {os.path.relpath(folder, planted.ROOT)}")
    if run([os.path.join(source, "build.sh")], log, tree.tree, {
            "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"),
            "CCACHE_DIR": os.environ.get("CCACHE_DIR", os.path.expanduser("~/.cache/ccache")),
            "CCACHE_BASEDIR": tree.tree, "CCACHE_NOHASHDIR": "1",
            "SRC": source, "OUT": out, "WORK": work, "CC": "clang", "CXX": "clang++",
            "CFLAGS": f"{COMMON_FLAGS} {SANITIZER_FLAGS} {COVERAGE_FLAGS}",
            "CXXFLAGS": f"{COMMON_FLAGS} -stdlib=libc++ {SANITIZER_FLAGS} {COVERAGE_FLAGS}",
            "LIB_FUZZING_ENGINE": "-fsanitize=fuzzer", "FUZZING_ENGINE": "libfuzzer",
            "SANITIZER": "address", "ARCHITECTURE": "x86_64"}) != 0:
        raise CheckError(f"build.sh fails; see {log}")
    for target in targets:
        count = _check_target(out, target, run, folder)
        say(f"  {target:13} runs from $OUT on {count} seeds of its own")
    return 0


def _check_target(out, target, run, folder):
    """How many seeds came with it."""
    name = f"{target}_fuzz"
    program = os.path.join(out, name)
    options = os.path.join(out, f"{name}.options")
    seeds = os.path.join(out, f"{name}_seed_corpus.zip")
    for path in (program, options, seeds):
        if not os.path.isfile(path):
            raise CheckError(f"build.sh leaves no {os.path.relpath(path, out)} in $OUT")
    parser = configparser.ConfigParser()
    parser.read(options)
    flags = dict(parser["libfuzzer"]) if parser.has_section("libfuzzer") else {}
    if not flags:
        raise CheckError(f"{name}.options has no section [libfuzzer]")
    if "dict" in flags and not os.path.isfile(os.path.join(out, flags["dict"])):
        raise CheckError(f"build.sh leaves no {flags['dict']} in $OUT")
    _check_libraries(out, program)
    with tempfile.TemporaryDirectory(prefix="oss-fuzz-") as corpus:
        with zipfile.ZipFile(seeds) as packed:
            packed.extractall(corpus)
        count = len(os.listdir(corpus))
        if count == 0:
            raise CheckError(f"{name}_seed_corpus.zip is empty")
        log = os.path.join(folder, f"{name}.log")
        # Their runners start it in $OUT, with the options as arguments.
        if run([program, f"-max_total_time={SECONDS}", "-timeout=300",
                *(f"-{flag}={value}" for flag, value in flags.items()), corpus],
               log, out, {"PATH": "/usr/bin:/bin"}) != 0:
            raise CheckError(f"{name} fails from $OUT; see {log}")
    return count


def _check_libraries(out, program):
    """The machines that run it have the C library, and what is in $OUT/lib."""
    base = ("libc.so", "libm.so", "libdl.so", "librt.so", "libpthread.so", "libgcc_s.so", "ld-linux",
            "linux-vdso")
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        name, _, path = line.strip().partition(" => ")
        if os.path.basename(name.split()[0]).startswith(base):
            continue
        if not path.startswith(os.path.join(out, "lib") + os.sep):
            raise CheckError(f"{os.path.basename(program)} takes {name} from {path or 'nowhere'}")
