"""Real servers as objects: started, observed, stopped, whatever happens.

    with PolluxServer(root, backend="auto") as server:
        fetch(server.port, "/file")
        server.metrics().value("pollux_connections")

Nothing here needs pytest: the tests, ci/validate and ci/bench all use it. Every server has the
same interface (server.py). Each gets a free port, a temporary folder for its configuration and its
output, and a process group of its own that dies with this process (warden.py). A server is ready
when its first line of output says so (Pollux) or when it accepts connections (the others). A
shutdown that hangs, an exit status other than 0 and a sanitizer's report are errors that name the
server's last output.
"""

import os

from .build import REPOSITORY, build_folder, sanitizer, scratch_folder
from .peers import CommandServer, LighttpdServer, NginxServer, find_program, harmless_signals
from .pollux import PolluxServer
from .server import Server, ServerError

__all__ = ["REPOSITORY", "build_folder", "sanitizer", "scratch_folder", "Server", "ServerError",
           "PolluxServer", "NginxServer", "LighttpdServer", "CommandServer", "make_server",
           "available", "unavailable", "find_program", "harmless_signals"]

_PEERS = {"nginx": (NginxServer, {}), "nginx-aio": (NginxServer, {"aio": "threads"}),
          "lighttpd": (LighttpdServer, {})}


def make_server(spec, root, *, signals=None, **options):
    """The server that --server names:

        pollux                                  as it comes
        pollux:backend=auto,coordination=masked with these flags
        nginx, nginx-aio, lighttpd              Debian's
        "caddy file-server --root {root} ..."   any command line with {port}

    `signals` are those that a command line's server allows while it serves (Server.signals)."""
    if "{port}" in spec:
        return CommandServer(spec, root, signals=signals, **options)
    if spec in _PEERS:
        kind, more = _PEERS[spec]
        return kind(root, **more, **options)
    name, _, flags = spec.partition(":")
    if name == "pollux":
        return PolluxServer(root, **{**_flags(flags), **options})
    raise ValueError(f"{spec!r} is none of pollux, {', '.join(_PEERS)}, nor a command line with "
                     "{port}")


def _flags(text):
    """"a-b=c,d" as {"a_b": "c", "d": True}."""
    pairs = (flag.partition("=") for flag in text.split(",") if flag)
    return {name.replace("-", "_"): value if equals else True for name, equals, value in pairs}


def unavailable(spec):
    """Why the server cannot be started here at all; "" if it can."""
    try:
        make_server(spec, "/")
    except ValueError as error:
        return str(error)
    if spec.partition(":")[0] == "pollux":
        program = os.path.join(build_folder(), "pollux")
        return "" if os.access(program, os.X_OK) else f"{program} is not built (ci/build release)"
    if spec in _PEERS and find_program(spec.partition("-")[0]) is None:
        return f"{spec.partition('-')[0]} is not installed (ci/setup)"
    return ""


def available(spec):
    return not unavailable(spec)
