"""The life of a server's process, whichever server it is: launched, watched, ended."""

import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from warden import warden

from .build import scratch_folder
from .usage import Usage, children_of

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0

_SANITIZER = re.compile(
    r"(AddressSanitizer|ThreadSanitizer|LeakSanitizer|MemorySanitizer|runtime error:)")

# A sanitizer that has reported must not let the server exit with 0.
_SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "TSAN_OPTIONS": "second_deadlock_stack=1:exitcode=99",
}


class ServerError(AssertionError):
    """The server did what no server may do: died, hung, or was caught by a sanitizer."""


class Server(Usage):
    """One running server. `limits` are {resource.RLIMIT_x: (soft, hard)}; `wrapper` is a command
    that ends by exec'ing what follows it (unshare, strace -D, prlimit)."""

    name = "server"
    stop_signal = signal.SIGTERM
    stop_statuses = (0,)
    _stdin = subprocess.DEVNULL
    # What its documentation allows while it serves: {number: how many a second are sensible}. Such
    # a signal harms no transfer.
    signals = {}

    def __init__(self, root, *, env=None, limits=None, wrapper=()):
        self.root = os.fspath(root)
        self.port = 0
        self.process = None
        self.output = []  # lines of standard output, the first included
        self._env = dict(env or {})
        self._limits = dict(limits or {})
        self._wrapper = list(wrapper)
        self._folder = None
        self._first_line = threading.Event()
        self._reader = None

    # What a server kind adds.

    def command(self):
        """The argument list; may write configuration files into self.folder."""
        raise NotImplementedError

    def _await_ready(self, deadline):
        """Returns once a request can be sent; raises ServerError at the deadline."""
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._wait_exit(0.01) is not None:
                raise ServerError(self.report("did not start"))
            if time.monotonic() > deadline:
                raise ServerError(self.report("does not accept connections"))

    # Life.

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, traceback):
        if kind is None:
            self.stop()
        else:
            self.kill()

    @property
    def folder(self):
        return self._folder

    def start(self):
        self._folder = tempfile.mkdtemp(prefix=f"{self.name}-", dir=scratch_folder())
        warden.guard_folder(self._folder)
        os.chmod(self._folder, 0o755)
        try:
            self._spawn()
            self._await_ready(time.monotonic() + START_TIMEOUT_S)
        except BaseException:
            self.kill()
            raise
        return self

    def _spawn(self):
        env = dict(os.environ)
        for name, options in _SANITIZER_OPTIONS.items():
            env[name] = ":".join(filter(None, (env.get(name), options)))
        env.update(self._env)

        def prepare():
            for which, limit in self._limits.items():
                resource.setrlimit(which, limit)

        arguments = self._wrapper + self.command()
        self.arguments = arguments
        with open(self.stderr_path, "wb") as stderr:
            self.process = subprocess.Popen(
                arguments, stdin=self._stdin, stdout=subprocess.PIPE, stderr=stderr,
                env=env, preexec_fn=prepare if self._limits else None, start_new_session=True)
        if self._stdin == subprocess.DEVNULL:  # else it ends with its standard input
            warden.guard_group(self.process.pid)
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()

    def _read_output(self):
        with self.process.stdout as stream:
            for line in stream:
                self.output.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                self._first_line.set()
        self._first_line.set()

    def _wait_exit(self, timeout):
        """The exit status, or None if the process still runs after `timeout` seconds."""
        status = self.process.poll()
        if status is not None:
            return status
        pidfd = os.pidfd_open(self.process.pid)
        try:
            poller = select.poll()
            poller.register(pidfd, select.POLLIN)
            poller.poll(max(0, int(timeout * 1000)))
        finally:
            os.close(pidfd)
        return self.process.poll()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def wait(self, timeout=STOP_TIMEOUT_S):
        """The exit status; a server that is still there at the deadline is killed: ServerError."""
        if self._wait_exit(timeout) is None:
            report = self.report(f"still runs after {timeout:.0f} s", stacks=True)
            self.kill()
            raise ServerError(report)
        return self.process.returncode

    def stop(self, timeout=STOP_TIMEOUT_S):
        """Ends the server as its operator would, and checks how it went."""
        if self.process is None:
            return
        try:
            if self.process.poll() is None:
                self.signal(self.stop_signal)
            if self.wait(timeout) not in self.stop_statuses:
                raise ServerError(self.report(f"exit status {self.process.returncode}"))
            self.check_sanitizers()
        finally:
            self.kill()

    def crash(self):
        """What a part of it died of that was replaced since (a worker); "" if nothing did."""
        return ""

    def check_sanitizers(self):
        if _SANITIZER.search(self.stderr()):
            raise ServerError(self.report("a sanitizer reports"))

    def kill(self):
        """Ends everything at once; safe to call at any moment, again too."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            self._reader.join(10)
            warden.forget_group(self.process.pid)
            self._last_stderr = self.stderr()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            warden.forget_folder(self._folder)

    # What it said.

    @property
    def stderr_path(self):
        return os.path.join(self._folder, "stderr")

    _last_stderr = ""

    def stderr(self):
        try:
            with open(self.stderr_path, encoding="utf-8", errors="backslashreplace") as file:
                return file.read()
        except FileNotFoundError:
            return self._last_stderr

    def report(self, what, stacks=False):
        lines = [f"{self.name}: {what}", "command: " + " ".join(self.arguments)]
        if stacks:
            lines += self._stacks()
        lines += ["standard output:", *self.output[-20:],
                  "standard error:", self.stderr()[-8000:]]
        return "\n".join(lines)

    def _stacks(self):
        lines = []
        for pid in children_of(self.process.pid):
            for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
                where = f"/proc/{pid}/task/{task}"
                texts = []
                for name in ("comm", "wchan", "syscall"):
                    try:
                        with open(f"{where}/{name}", encoding="ascii") as file:
                            texts.append(file.read().strip())
                    except OSError:
                        texts.append("?")
                lines.append(f"thread {task}: {' | '.join(texts)}")
        return lines

    # What it uses.

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def pids(self):
        return children_of(self.process.pid)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def ended(self, within):
        """Whether it is gone, or goes within so many seconds by itself."""
        return self._wait_exit(within) is not None
