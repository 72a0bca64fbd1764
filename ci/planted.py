"""Defects kept as patch files, and trees to build them in.

A patch file begins with header lines ("Word: text", a line that begins with blanks goes on), then an
empty line, then a diff as git makes it, against the root of the repository. The header says what the
defect is and who has to notice; what words there are is the affair of whoever keeps the patches.

A Slot is a copy of the source tree below build/, with a build folder of its own: the defect is put
into the copy, only what it touches is compiled again, and the next defect takes its place. The copy
lies so that the compiler is called as in a fresh clone: ccache knows most of it already.
"""

import dataclasses
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class PatchError(Exception):
    """A patch file that is none, or that does not apply."""


class BuildError(Exception):
    """A tree that cannot be built; the text is what the compiler said."""


@dataclasses.dataclass
class Patch:
    name: str      # of the file, without .patch
    header: dict   # word: text; of a word that is there twice, both, a line each
    diff: str

    @property
    def files(self):
        return [line[6:].strip() for line in self.diff.splitlines() if line.startswith("+++ b/")]


def read_patch(path):
    name = os.path.basename(path).removesuffix(".patch")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    begin = text.find("\ndiff --git ")
    if begin < 0:
        raise PatchError(f"{path}: no diff as git makes it")
    header, word = {}, None
    for line in text[:begin].splitlines():
        if not line.strip():
            continue
        if line[0].isspace() and word:
            header[word] += " " + line.strip()
            continue
        word, colon, rest = line.partition(":")
        if not colon or not word.isalpha():
            raise PatchError(f"{path}: no header line: {line}")
        header[word] = f"{header[word]}\n{rest.strip()}" if word in header else rest.strip()
    return Patch(name, header, text[begin + 1:])


def read_patches(folder):
    """All of a folder, by name."""
    return [read_patch(os.path.join(folder, file))
            for file in sorted(os.listdir(folder)) if file.endswith(".patch")]


def apply(patch, tree, check_only=False):
    """Into `tree`, which need not be a repository. Raises PatchError, and changes nothing then."""
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": os.path.dirname(os.path.abspath(tree))}
    done = subprocess.run(["git", "apply", *(["--check"] if check_only else []), "-"], cwd=tree,
                          env=environment, input=patch.diff, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise PatchError(f"{patch.name} does not apply: {done.stderr.strip()}")


def sources():
    """Tracked files and new ones as they are now: {path from the root: (bytes, mode)}."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = {}
    for path in sorted(set(listed.split("\0"))):
        full = os.path.join(ROOT, path)
        if path and os.path.isfile(full):
            found[path] = (_read(full), os.stat(full).st_mode & 0o777)
    return found


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _run(command, cwd, environment):
    done = subprocess.run(command, cwd=cwd, env=environment, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout, done.stderr


class Slot:
    """One tree at a time. `folder` is below build/ and is kept from one run to the next."""

    def __init__(self, folder, preset="release", run=_run):
        """`run` as _run above: for who wants to end what is under way."""
        self.tree = os.path.abspath(folder)
        self.preset = preset
        self._run = run
        self.build_folder = os.path.join(self.tree, "build", preset)
        self._environment = {**os.environ, "CCACHE_BASEDIR": self.tree, "CCACHE_NOHASHDIR": "1"}

    def reset(self, files=None):
        """The clean tree (of sources()): only what differs is written, so that little is built."""
        files = sources() if files is None else files
        for folder, folders, names in os.walk(self.tree):
            at_root = folder == self.tree
            folders[:] = [name for name in folders if not (at_root and name == "build")]
            for name in names:
                path = os.path.join(folder, name)
                if os.path.relpath(path, self.tree) not in files:
                    os.remove(path)
        for file, (data, mode) in files.items():
            copy = os.path.join(self.tree, file)
            if os.path.exists(copy) and _read(copy) == data:
                continue
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            with open(copy, "wb") as out:
                out.write(data)
            os.chmod(copy, mode)

    def plant(self, patch, files=None):
        """The clean tree with the defect in it."""
        self.reset(files)
        apply(patch, self.tree)

    def configure(self, *options):
        if os.path.exists(os.path.join(self.build_folder, "build.ninja")):
            return
        self._must(["cmake", "--preset", self.preset, "-DPOLLUX_WERROR=ON", *options])

    def build(self, *targets, jobs=1):
        self._must(["cmake", "--build", self.build_folder, "-j", str(jobs), "--target", *targets])

    def program(self, name):
        return os.path.join(self.build_folder, name)

    def _must(self, command):
        status, out, err = self._run(command, self.tree, self._environment)
        if status != 0:
            raise BuildError((out + err)[-4000:])
