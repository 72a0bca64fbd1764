"""Pollux, built here."""

import os
import re
import signal
import time
import urllib.request

from metrics import Metrics

from .build import build_folder
from .server import Server, ServerError


class PolluxServer(Server):
    """build/<preset>/pollux. Keyword arguments are flags: chunk="64K" is --chunk 64K, True is a
    flag without a value, None and False leave it out; `extra` is passed as it is."""

    name = "pollux"
    # SIGHUP opens the access log anew; SIGUSR1 is its own, and nobody else's does harm.
    signals = {signal.SIGHUP: 500, signal.SIGUSR1: 5000}
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
            raise ServerError(self.report("said nothing before the deadline"
                                           if self.alive() else "did not start"))
        match = self._READY.match(self.output[0])
        if not match:
            raise ServerError(self.report("its first line is not the agreed one"))
        self.port = int(match[3])

    def metrics(self):
        with urllib.request.urlopen(self.url(self.metrics_path), timeout=30) as answer:
            return Metrics(answer.read().decode())
