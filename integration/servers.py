"""Real servers as objects: started, observed, stopped, whatever happens.

    with PolluxServer(root, backend="auto") as server:
        fetch(server.port, "/file")
        server.metrics().value("pollux_connections")

Nothing here needs pytest: the tests, ci/validate and ci/bench all use it. Every server has the
same interface (Server). Each gets a free port, a temporary folder for its configuration and its
output, and a process group of its own that dies with this process (warden.py). A server is ready
when its first line of output says so (Pollux) or when it accepts connections (the others). A
shutdown that hangs, an exit status other than 0 and a sanitizer's report are errors that name the
server's last output.
"""

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
import urllib.request

from metrics import Metrics
from warden import warden

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

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


def build_folder():
    return os.path.abspath(os.environ.get("POLLUX_BUILD")
                           or os.path.join(REPOSITORY, "build", "release"))


def sanitizer():
    """"" for an ordinary build, else what CMake was told: "address,undefined", "thread"."""
    try:
        with open(os.path.join(build_folder(), "CMakeCache.txt"), encoding="utf-8") as cache:
            for line in cache:
                if line.startswith("POLLUX_SANITIZE:"):
                    return line.partition("=")[2].strip()
    except FileNotFoundError:
        pass
    return ""


def scratch_folder():
    """Parent of everything that is written: under the repository's out/, on a real file system
    (direct I/O), not on a tmpfs. $POLLUX_SCRATCH moves it."""
    path = os.environ.get("POLLUX_SCRATCH") or os.path.join(REPOSITORY, "out", "integration")
    os.makedirs(path, exist_ok=True)
    return path


def free_port():
    """A port nobody listened on just now. For servers that cannot be given port 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def children_of(pid):
    """The process and everything below it."""
    found, queue = [], [pid]
    while queue:
        parent = queue.pop()
        found.append(parent)
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as children:
                    queue.extend(int(child) for child in children.read().split())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


class Server:
    """One running server. `limits` are {resource.RLIMIT_x: (soft, hard)}; `wrapper` is a command
    that ends by exec'ing what follows it (unshare, strace -D, prlimit)."""

    name = "server"
    stop_signal = signal.SIGTERM
    stop_statuses = (0,)

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
                raise ServerError(self._report("did not start"))
            if time.monotonic() > deadline:
                raise ServerError(self._report("does not accept connections"))

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
                arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                env=env, preexec_fn=prepare if self._limits else None, start_new_session=True)
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
            report = self._report(f"still runs after {timeout:.0f} s", stacks=True)
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
                raise ServerError(self._report(f"exit status {self.process.returncode}"))
            self.check_sanitizers()
        finally:
            self.kill()

    def check_sanitizers(self):
        if _SANITIZER.search(self.stderr()):
            raise ServerError(self._report("a sanitizer reports"))

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

    def _report(self, what, stacks=False):
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

    def cpu_seconds(self):
        """User and system time of all its processes, threads that have ended included, to the
        nanosecond: the process's own CPU clock (clock_getcpuclockid(3))."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids())

    def cpu_user_system(self):
        """The same split, in clock ticks' resolution (usually 10 ms)."""
        user = system = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/stat", "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
            user += int(fields[11])
            system += int(fields[12])
        tick = os.sysconf("SC_CLK_TCK")
        return user / tick, system / tick

    def memory(self):
        """Bytes by the names of /proc/PID/smaps_rollup, summed: Rss, Pss_Anon, Pss_Shmem, ..."""
        total = {}
        for pid in self.pids():
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                for line in file:
                    words = line.split()
                    if len(words) == 3 and words[2] == "kB":
                        key = words[0].rstrip(":")
                        total[key] = total.get(key, 0) + int(words[1]) * 1024
        return total

    def rss(self):
        return self.memory()["Rss"]

    def descriptors(self):
        """What each open descriptor is: a list of link texts ("socket:[1]", "/memfd:chunk ...")."""
        links = []
        for pid in self.pids():
            for name in os.listdir(f"/proc/{pid}/fd"):
                try:
                    links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
                except FileNotFoundError:
                    pass  # closed between the two calls
        return links

    def shm_bytes(self):
        """Memory in memfds and /dev/shm files that it holds open (each counted once)."""
        seen = {}
        for pid in self.pids():
            for name in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{name}"
                try:
                    link = os.readlink(path)
                    if link.startswith(("/memfd:", "/dev/shm/")):
                        status = os.stat(path)
                        seen[status.st_dev, status.st_ino] = status.st_blocks * 512
                except FileNotFoundError:
                    pass
        return sum(seen.values())

    def threads(self):
        return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in self.pids())


class PolluxServer(Server):
    """build/<preset>/pollux. Keyword arguments are flags: chunk="64K" is --chunk 64K, True is a
    flag without a value, None and False leave it out; `extra` is passed as it is."""

    name = "pollux"
    _READY = re.compile(r"^pollux: listening on http://(?:\[([^\]]+)\]|([^:]+)):(\d+)$")

    def __init__(self, root, *, env=None, limits=None, wrapper=(), extra=(), binary=None,
                 listen="127.0.0.1:0", metrics_path="/metrics", **flags):
        super().__init__(root, env=env, limits=limits, wrapper=wrapper)
        self.binary = binary or os.path.join(build_folder(), "pollux")
        self.metrics_path = metrics_path
        self.flags = {"listen": listen, "metrics_path": metrics_path, **flags}
        self._extra = list(extra)
        if flags.get("user"):
            # A process that changed its user cannot be traced by its like (ptrace(2), dumpable),
            # which is how leaks are looked for at its end.
            self._env.setdefault("ASAN_OPTIONS", "detect_leaks=0:exitcode=99")

    def command(self):
        arguments = [self.binary, self.root]
        for name, value in self.flags.items():
            flag = "--" + name.replace("_", "-")
            if value is True:
                arguments.append(flag)
            elif value is not None and value is not False:
                arguments += [flag, str(value)]
        return arguments + self._extra

    def _await_ready(self, deadline):
        if not self._first_line.wait(deadline - time.monotonic()) or not self.output:
            raise ServerError(self._report("said nothing before the deadline"
                                           if self.alive() else "did not start"))
        match = self._READY.match(self.output[0])
        if not match:
            raise ServerError(self._report("its first line is not the agreed one"))
        self.port = int(match[3])

    def metrics(self):
        with urllib.request.urlopen(self.url(self.metrics_path), timeout=30) as answer:
            return Metrics(answer.read().decode())


class NginxServer(Server):
    """Debian's nginx with one worker. aio: "" (sendfile on the loop) or "threads"."""

    name = "nginx"
    stop_signal = signal.SIGTERM

    def __init__(self, root, *, aio="", sendfile=True, threads=32, open_file_cache=False,
                 extra="", **common):
        super().__init__(root, **common)
        self._aio = f"aio {aio};" if aio else ""
        self._sendfile = "on" if sendfile else "off"
        self._threads = threads
        self._cache = "open_file_cache max=1000 inactive=60s;" if open_file_cache else ""
        self._extra = extra

    def command(self):
        self.port = free_port()
        temporary = "".join(
            f"{name}_temp_path {self.folder}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"""
daemon off;
user {_user_name()};
worker_processes 1;
worker_rlimit_nofile {_file_limit()};
pid {self.folder}/pid;
error_log stderr warn;
thread_pool default threads={self._threads} max_queue=65536;
events {{ worker_connections {_file_limit() // 2}; }}
http {{
  types {{ text/html html; text/plain txt; }}
  default_type application/octet-stream;
  access_log off;
  sendfile {self._sendfile};
  {self._aio}
  {self._cache}
  tcp_nopush on;
  keepalive_requests 1000000000;
  {temporary}
  {self._extra}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    root {self.root};
  }}
}}
""")
        return [_program("nginx"), "-p", self.folder, "-c", path, "-e", "stderr"]


class LighttpdServer(Server):
    """Debian's lighttpd."""

    name = "lighttpd"
    stop_statuses = (0, 1)  # 1 if a connection was still open

    def __init__(self, root, *, network_backend="sendfile", extra="", **common):
        super().__init__(root, **common)
        self._backend = network_backend
        self._extra = extra

    def command(self):
        self.port = free_port()
        path = os.path.join(self.folder, "lighttpd.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"""
server.document-root = "{self.root}"
server.bind = "127.0.0.1"
server.port = {self.port}
server.network-backend = "{self._backend}"
server.listen-backlog = 4096
server.max-fds = {_file_limit()}
server.max-connections = {_file_limit() // 2}
server.max-keep-alive-requests = 1000000000
server.errorlog = "{self.folder}/error.log"
index-file.names = ( "index.html" )
mimetype.assign = ( ".html" => "text/html", "" => "application/octet-stream" )
{self._extra}
""")
        return [_program("lighttpd"), "-D", "-f", path]

    def stderr(self):
        text = super().stderr()
        try:
            with open(os.path.join(self.folder, "error.log"), encoding="utf-8") as file:
                text += file.read()
        except (FileNotFoundError, TypeError):
            pass
        return text


class CommandServer(Server):
    """Any command line with {port} and {root}."""

    name = "command"
    stop_statuses = (0, -signal.SIGTERM)  # whether it handles the signal is its own business

    def __init__(self, template, root, **common):
        super().__init__(root, **common)
        self._template = template

    def command(self):
        self.port = free_port()
        line = self._template.replace("{port}", str(self.port)).replace("{root}", self.root)
        return ["/bin/sh", "-c", "exec " + line]


def make_server(spec, root, **options):
    """The server that --server names: pollux, nginx, nginx-aio, lighttpd or a command line."""
    if spec == "pollux":
        return PolluxServer(root, **options)
    if spec == "nginx":
        return NginxServer(root, **options)
    if spec == "nginx-aio":
        return NginxServer(root, aio="threads", **options)
    if spec == "lighttpd":
        return LighttpdServer(root, **options)
    if "{port}" in spec:
        return CommandServer(spec, root, **options)
    raise ValueError(f"{spec!r} is neither a known server nor a command line with {{port}}")


def available(spec):
    """Whether the server can be started here at all."""
    if spec == "pollux":
        return os.access(os.path.join(build_folder(), "pollux"), os.X_OK)
    if spec.startswith("nginx") or spec == "lighttpd":
        return _find_program(spec.partition("-")[0]) is not None
    return True


def _find_program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _program(name):
    found = _find_program(name)
    if found is None:
        raise ServerError(f"{name} is not installed")
    return found


def _user_name():
    import pwd
    return pwd.getpwuid(os.geteuid()).pw_name


def _file_limit():
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536)
