"""Fixtures: files to serve, and servers that are stopped and judged at the end of each test."""

import argparse
import os
import resource
import signal

import pytest

import faults
import requirements
import servers
from data import Files
from torture.score import Score
from warden import temporary_folder


def _minutes(text):
    minutes = float(text)
    if not 0 < minutes < float("inf"):  # nor nan
        raise argparse.ArgumentTypeError("more than 0 minutes")
    return minutes


def pytest_addoption(parser):
    group = parser.getgroup("pollux")
    group.addoption("--server", default="pollux", metavar="SERVER",
                    help="whom the tests of any server ask: pollux, pollux:FLAG=VALUE,..., nginx, "
                         "nginx-aio, lighttpd, or a command line with {port} and {root}")
    group.addoption("--signals", default="", metavar="LIST",
                    help="of a command line: signals that do no harm while it serves (HUP,USR1)")
    group.addoption("--soak", nargs="?", type=_minutes, default=1.0, const=30.0, metavar="MINUTES",
                    help="how long the soak takes: 1 minute without the option, 30 with it alone")
    group.addoption("--score", metavar="FILE",
                    help="a line of JSON there for each test that has ended: torture/score.py")
    group.addoption("--all-faults", action="store_true",
                    help="every row of fault_table.txt, not a quarter chosen by the commit")


def pytest_configure(config):
    if config.getoption("--score") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Score(config.getoption("--score")))
    # The clients of a thousand connections live in this process.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    del soft
    # A job in the background of a script ignores SIGINT, and so would all that is started here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config):
    built = "there" if servers.available("pollux") else "NOT BUILT"
    return [f"pollux: {servers.build_folder()} ({built}), "
            f"sanitizer: {servers.sanitizer() or 'none'}, scratch: {servers.scratch_folder()}",
            requirements.summary(),
            faults.summary(config.getoption("--all-faults"), config.getoption("--server"))]


def _folder():
    return temporary_folder("root-", servers.scratch_folder())


@pytest.fixture(scope="session")
def files():
    """Files that all tests share; a test that changes a file uses `own_files`."""
    with _folder() as path:
        yield Files(path)


@pytest.fixture
def own_files():
    with _folder() as path:
        yield Files(path)


def pytest_runtest_setup(item):
    requirements.enforce(item)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    setattr(item, "report_" + report.when, report)
    if report.failed:
        for server in getattr(item, "servers", []):
            report.sections.append((f"{server.name} on port {server.port}", "\n".join(
                [" ".join(getattr(server, "arguments", [])), *server.output[-10:],
                 server.stderr()[-8000:]])))


class Starter:
    """Starts servers for one test; after a test that passed each must also end well."""

    def __init__(self, item):
        self._item = item
        item.servers = []

    def __call__(self, root, **flags):
        # Who names a backend asks how files are opened and sent: nothing is kept in between.
        if "backend" in flags:
            flags.setdefault("open_files", 0)
        if flags.get("coordination") == "published" and servers.sanitizer() == "thread":
            pytest.skip("tsan ends it: the data race of 2006, which test_races.py demands")
        return self.start(servers.PolluxServer(root, **flags))

    def start(self, server):
        self._item.servers.append(server)
        return server.start()

    def finish(self, failed):
        try:
            for server in self._item.servers:
                if not failed and server.folder and os.path.isdir(server.folder):
                    server.stop()
        finally:
            for server in self._item.servers:
                server.kill()


@pytest.fixture
def starter(request):
    one = Starter(request.node)
    yield one
    report = getattr(request.node, "report_call", None)
    one.finish(failed=report is None or report.failed)


@pytest.fixture
def pollux(starter):
    """pollux(root, backend="auto", ...) -> a running PolluxServer."""
    return starter


@pytest.fixture
def server(starter, request):
    """server(root, limits=..., wrapper=...) -> whichever server --server names, running."""
    spec = request.config.getoption("--server")
    signals = servers.harmless_signals(request.config.getoption("--signals"))
    return lambda root, **options: starter.start(
        servers.make_server(spec, root, signals=signals, **options))


def pytest_collection_modifyitems(config, items):
    if config.getoption("--server").partition(":")[0] != "pollux":
        for item in items:
            if not item.get_closest_marker("any_server"):
                item.add_marker(pytest.mark.skip(reason="asks Pollux itself"))
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.timeout(60 * config.getoption("--soak") + 120))
    if hasattr(config, "workerinput"):
        # What takes a minute begins first, so that the rest runs beside it.
        items.sort(key=lambda item: item.get_closest_marker("soak") is None)
    # Ratios need the machine for themselves: under xdist all such tests go to one worker, and
    # ci/test runs them in a phase of their own.
    for item in items:
        if item.get_closest_marker("alone"):
            item.add_marker(pytest.mark.xdist_group("alone"))
