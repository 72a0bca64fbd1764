"""Who is measured: Pollux by backend, and the servers that people use today."""

import servers
from files import UsageError

POLLUX_BACKENDS = ("auto", "writev", "linux-sendfile", "linux-aio-sendfile", "linux-aio-write",
                   "threads-sendfile")


class Contender:
    def __init__(self, name, make):
        self.name = name
        self.make = make  # root -> Server, not yet started


def pollux(backend, **flags):
    chunk = f" {flags['chunk']}" if "chunk" in flags else ""
    return Contender(f"pollux {backend}{chunk}",
                     lambda root: servers.PolluxServer(root, backend=backend, **flags))


PEERS = {
    "nginx": Contender("nginx sendfile", servers.NginxServer),
    "nginx-aio": Contender("nginx aio threads",
                           lambda root: servers.NginxServer(root, aio="threads")),
    "lighttpd": Contender("lighttpd", servers.LighttpdServer),
}


def add_arguments(parser, known=None):
    """`known`: the peers of this benchmark, if they are others than PEERS."""
    parser.add_argument(
        "--backends", default="auto", metavar="LIST",
        help="Pollux's backends, separated by commas, or 'all' (default: auto)")
    parser.add_argument(
        "--peers", default=",".join(known or PEERS), metavar="LIST",
        help="other servers, separated by commas, or 'none' (default: %(default)s); those that "
             "are not installed are left out with a note")


def counts_of(options):
    """--connections as numbers."""
    try:
        counts = [int(word) for word in options.connections.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise UsageError(f"--connections: {options.connections!r} is no list of numbers")
    return counts


def chosen(options, note, known=None, **flags):
    """The contenders that the options name, Pollux (with these flags) first; `note` is told who is
    left out."""
    known = known or PEERS
    if not servers.available("pollux"):
        raise UsageError(f"{servers.build_folder()}/pollux is not built (ci/build release)")
    backends = POLLUX_BACKENDS if options.backends == "all" else options.backends.split(",")
    for backend in backends:
        if backend not in POLLUX_BACKENDS:
            raise UsageError(f"--backends: {backend!r} is none of {', '.join(POLLUX_BACKENDS)}")
    peers = [] if options.peers == "none" else options.peers.split(",")
    found = [pollux(backend, **flags) for backend in backends]
    for peer in peers:
        if peer not in known:
            raise UsageError(f"--peers: {peer!r} is none of {', '.join(known)}")
        if servers.available(peer):
            found.append(known[peer])
        else:
            note(f"{peer} is not installed: left out")
    return found
