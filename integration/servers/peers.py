"""The servers that Pollux is compared with: Debian's nginx and lighttpd, and any command line."""

import os
import pwd
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys

from .server import Server, ServerError


_KEEPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "keeper.py")
_KEEPER_TIMEOUT_S = 10.0


def free_port():
    """A port nobody listened on just now. For servers that cannot be given port 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class NginxServer(Server):
    """Debian's nginx with one worker. aio: "" (sendfile on the loop) or "threads"."""

    name = "nginx"
    stop_signal = signal.SIGTERM
    # nginx(8): USR1 opens the logs anew, HUP replaces the workers, which end their transfers; WINCH
    # is for daemons, and else ignored.
    signals = {signal.SIGUSR1: 500, signal.SIGHUP: 10, signal.SIGWINCH: 500}

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
            f'{name}_temp_path "{self.folder}/{name}";'
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"""
daemon off;
user {_user_name()};
worker_processes 1;
worker_rlimit_nofile {_file_limit()};
pid "{self.folder}/pid";
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
    root "{self.root}";
  }}
}}
""")
        return [_program("nginx"), "-p", self.folder, "-c", path, "-e", "stderr"]

    def crash(self):
        found = re.search(r"worker process \d+ exited on signal.*", self.stderr())
        return found[0] if found else ""


class LighttpdServer(Server):
    """Debian's lighttpd."""

    name = "lighttpd"
    # HUP opens the logs anew. (USR1, the graceful restart, may end transfers after a time-out.)
    signals = {signal.SIGHUP: 500}
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


def _quoted(line, at, value):
    """`value` as the shell has to read it at `at`, where quotes may be open."""
    quote = ""
    escaped = False
    for character in line[:at]:
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif character in ("'", '"') and quote in ("", character):
            quote = "" if quote else character
    if quote == "'":
        return value.replace("'", "'\\''")
    if quote == '"':
        return re.sub(r'([$`"\\])', r"\\\1", value)
    return shlex.quote(value)


def harmless_signals(words):
    """{signal: times a second} of "HUP,USR1", for a command line's server. ValueError for a name
    that is none."""
    found = {}
    for word in filter(None, (word.strip() for word in words.split(","))):
        name = "SIG" + word.upper().removeprefix("SIG")
        if name not in signal.Signals.__members__:
            raise ValueError(f"no signal '{word}'; as in HUP,USR1")
        # By custom it has the configuration read anew, and takes some a while.
        found[signal.Signals[name]] = 10 if name == "SIGHUP" else 500
    return found


class CommandServer(Server):
    """Any command with {port} and {root}, as a shell has it. Below keeper.py, so that nothing
    of it is left, wherever it hides."""

    name = "command"
    stop_statuses = (0, -signal.SIGTERM)  # whether it handles the signal is its own business

    def __init__(self, template, root, *, signals=None, **common):
        super().__init__(root, **common)
        self._template = template
        self._stdin = subprocess.PIPE
        self.signals = dict(signals or {})

    def command(self):
        self.port = free_port()
        values = {"{port}": str(self.port), "{root}": self.root}
        line = re.sub(r"\{port\}|\{root\}",
                      lambda match: _quoted(match.string, match.start(), values[match[0]]),
                      self._template)
        # The shell goes, so that signals reach the server. env: NAME=VALUE may come first.
        return [sys.executable, "-S", _KEEPER, "/bin/sh", "-c", "exec env " + line]

    def pids(self):
        return super().pids()[1:]

    def signal(self, number):
        for pid in self.pids()[:1]:
            os.kill(pid, number)

    def kill(self):
        if self.process is not None:
            self.process.stdin.close()
            self._wait_exit(_KEEPER_TIMEOUT_S)
        super().kill()


def find_program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _program(name):
    found = find_program(name)
    if found is None:
        raise ServerError(f"{name} is not installed")
    return found


def _user_name():
    return pwd.getpwuid(os.geteuid()).pw_name


def _file_limit():
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536)
