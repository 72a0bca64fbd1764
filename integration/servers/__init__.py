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
from .peers import CommandServer, LighttpdServer, NginxServer, find_program
from .pollux import PolluxServer
from .server import Server, ServerError

__all__ = ["REPOSITORY", "build_folder", "sanitizer", "scratch_folder", "Server", "ServerError",
           "PolluxServer", "NginxServer", "LighttpdServer", "CommandServer", "make_server",
           "available", "find_program"]


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
        return find_program(spec.partition("-")[0]) is not None
    return True
