"""Tortures a static web server and says what it found: lost wake-ups, wrong bytes under a late
reader, hot requests stuck behind a cold disk, descriptors and memory that are lost.

    ci/torture --server nginx
    ci/torture --server pollux:backend=linux-aio-sendfile,coordination=masked
    ci/torture --server 'caddy file-server --root {root} --listen 127.0.0.1:{port}' --name caddy
    ci/torture --server lighttpd -k 'late-readers or resets' --no-soak

The server is started anew for each scenario, on a free port, with a folder of generated files as
its {root}. Five minutes, a gigabyte of disk; root is needed by two scenarios.

Exit status: 0 if every scenario that applies holds, 1 if one fails, 2 if none could
be judged, the server does not start or an argument is wrong, 130 for Ctrl-C.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time

INTEGRATION = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(INTEGRATION, "bench"), INTEGRATION]

import files  # noqa: E402
import outputs  # noqa: E402
import report  # noqa: E402
import servers  # noqa: E402
from cache import make_cold  # noqa: E402
from client import fetch  # noqa: E402
from torture import score  # noqa: E402
from torture.catalogue import CATALOGUE  # noqa: E402
from warden import end_like_ctrl_c, temporary_folder, warden  # noqa: E402

_DISK_BYTES = 10**9  # of files, as the help says
SOAK_MINUTES_MAX = 7 * 24 * 60
_TESTS_FAILED, _NO_TESTS = 1, 5  # pytest's exit statuses


class UsageError(Exception):
    """Nothing was tortured. One line, or the server's last words."""


def parse(arguments):
    names = "\n".join(f"  {one.name:15}  {one.title}" for one in CATALOGUE)
    parser = argparse.ArgumentParser(prog="ci/torture", description=__doc__,
                                     epilog=f"scenarios:\n{names}\n  {'faults':15}  calls of "
                                     "the kernel that fail, a row of fault_table.txt each",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="pollux", metavar="SERVER",
                        help="pollux, pollux:FLAG=VALUE,..., nginx, nginx-aio, lighttpd, or a "
                             "quoted command with {port} and {root} that stays in the foreground, "
                             "NAME=VALUE before it if need be (default: %(default)s)")
    parser.add_argument("--signals", default="", metavar="LIST",
                        help="of a command line: signals that do no harm while it serves, such as "
                             "HUP,USR1 (default: none)")
    parser.add_argument("-k", metavar="EXPRESSION", dest="chosen",
                        help="only some scenarios, as pytest -k has it")
    soak = parser.add_mutually_exclusive_group()
    soak.add_argument("--soak", nargs="?", type=float, default=1.0, const=30.0, metavar="MINUTES",
                      help="how long the soak takes: 1 minute without this option, 30 with it")
    soak.add_argument("--no-soak", action="store_true", help="leave the soak out")
    parser.add_argument("--all-faults", action="store_true",
                        help="every row of the injected faults, not only a quarter of them")
    parser.add_argument("--name", metavar="NAME",
                        help="of the result, out/torture-NAME.json (default: from --server)")
    parser.add_argument("--json", metavar="FILE", help="where the result goes instead")
    options = parser.parse_args(arguments)
    options.name = options.name or name_of(options.server)
    if not re.fullmatch(r"[\w.=,:+-]+", options.name):
        parser.error("--name: letters, digits and . = , : + - only")
    if not 0 < options.soak <= SOAK_MINUTES_MAX:  # nor nan
        parser.error(f"--soak: more than 0 minutes, and {SOAK_MINUTES_MAX} at most")
    try:
        servers.harmless_signals(options.signals)
    except ValueError as error:
        parser.error(f"--signals: {error}")
    return options


def name_of(spec):
    """A file's name for a server: "nginx-aio", "pollux-auto-masked", "caddy"."""
    if "{port}" in spec:
        words = [word for word in spec.split() if not re.match(r"\w+=", word)]
        spec = os.path.basename(words[0]) if words else "command"
    words = re.split(r"[:,]", spec)
    return "-".join(re.sub(r"[^\w.+]+", "-", word.partition("=")[2] or word) for word in words)


def check_starts(options):
    """Started once before anything is judged: what does not start at all is no finding."""
    if reason := servers.unavailable(options.server):
        raise UsageError(reason)
    files.check_cold(servers.scratch_folder())
    files.check_space(servers.scratch_folder(), _DISK_BYTES)
    with temporary_folder("root-", servers.scratch_folder()) as root:
        with open(os.path.join(root, "file"), "w", encoding="ascii") as file:
            file.write("hello")
        try:
            make_cold(file.name, timeout=5.0)
        except RuntimeError as error:
            raise UsageError(f"{error} ($POLLUX_SCRATCH names another folder)") from error
        try:
            with servers.make_server(options.server, root) as server:
                try:
                    answer = fetch(server.port, "/file")
                except OSError:
                    if server.ended(within=1.0):
                        raise servers.ServerError(server.report("ended soon after its start"))
                    raise
        except (servers.ServerError, OSError) as error:
            raise UsageError(str(error)) from error
        except ValueError as error:
            raise UsageError(f"GET /file: no answer that can be judged: {error}") from error
        if answer.status != 200 or answer.body != b"hello":
            raise UsageError(f"it does not serve the files of {{root}}: GET /file has status "
                             f"{answer.status} and {answer.body[:60]!r}")


def pytest_command(options, score_path):
    tests = [os.path.join(INTEGRATION, "torture", "test_scenarios.py"),
             os.path.join(INTEGRATION, "test_faults.py")]
    command = [sys.executable, "-m", "pytest", *tests, "-n", "0", "-p", "no:cacheprovider",
               "-c", os.path.join(INTEGRATION, "pyproject.toml"), "-m", "any_server",
               "--server", options.server,
               f"--soak={options.soak}", "--score", score_path]
    if options.signals:
        command += ["--signals", options.signals]
    if options.all_faults:
        command.append("--all-faults")
    chosen = [f"({options.chosen})"] if options.chosen else []
    chosen += ["not soak"] if options.no_soak else []
    return command + (["-k", " and ".join(chosen)] if chosen else [])


def torture(options, progress, log):
    """The rows, as they come from pytest; its own output goes to `log`."""
    reading, writing = os.pipe()
    # A session of its own: Ctrl-C reaches it once, through here.
    process = subprocess.Popen(pytest_command(options, f"/dev/fd/{writing}"), stdout=log,
                               stderr=log, stdin=subprocess.DEVNULL, pass_fds=[writing],
                               start_new_session=True)
    warden.guard_group(process.pid)
    os.close(writing)
    rows = []
    try:
        with open(reading, encoding="utf-8") as lines:
            for line in lines:
                rows.append(json.loads(line))
                if rows[-1]["outcome"] == score.UNJUDGED:
                    raise UsageError(f"{rows[-1]['name']}: {rows[-1]['figure']}: no fault of the "
                                     "server ($POLLUX_SCRATCH names another folder)")
                progress(shown(rows[-1]))
        status = process.wait()
    except (KeyboardInterrupt, UsageError):
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        warden.forget_group(process.pid)
    if status == _NO_TESTS:
        os.unlink(log.name)  # of nothing
        raise UsageError(f"-k {options.chosen}: no scenario has such a name")
    if status not in (0, _TESTS_FAILED):
        raise UsageError(f"pytest ended with status {status}: see {os.path.relpath(log.name)}")
    if not rows:
        raise UsageError(f"no scenario came to its end: see {os.path.relpath(log.name)}")
    if all(row["outcome"] == score.NOT_APPLICABLE for row in rows):
        raise UsageError(f"nothing was judged, as {rows[0]['name']} does not apply to "
                         f"{options.server}: {rows[0]['figure']}")
    return rows


def shown(row):
    verdict = "FAILS" if row["outcome"] == score.FAILS else row["outcome"]
    name = f"{row['name']} {row['case']}".strip()
    return f"{name}: {verdict}" + (f", {row['figure']}" if row["figure"] else "")


def table(rows):
    width = max(len(row["name"]) for row in rows)
    lines = []
    for row in rows:
        verdict = "FAILS" if row["outcome"] == score.FAILS else row["outcome"]
        lines.append(f"{row['name']:{width}}  {verdict:14}  {row['figure']}")
    return "\n".join(lines)


def version_of(spec):
    name = spec.partition("-")[0]
    return report.first_line([name, "-v"]) if name in ("nginx", "lighttpd") else None


def summary(document):
    counts = {outcome: sum(row["outcome"] == outcome for row in document["rows"])
              for outcome in (score.HOLDS, score.FAILS, score.NOT_APPLICABLE)}
    return (f"{document['server']}: {counts['holds']} hold, {counts['fails']} fail, "
            f"{counts['not applicable']} do not apply; {document['seconds']:.0f} s")


def run(options):
    out = os.path.join(servers.REPOSITORY, "out")
    path = os.path.abspath(options.json or os.path.join(out, f"torture-{options.name}.json"))
    outputs.check_writable(path)
    check_starts(options)
    log_path = os.path.splitext(path)[0] + ".log"
    start = time.monotonic()
    with open(log_path, "w", encoding="utf-8") as log:
        rows = score.merge(torture(options, report.Progress(), log))
    document = {"schema": "torture-1", "server": options.server, "name": options.name,
                "version": version_of(options.server),
                "ok": not any(row["outcome"] == score.FAILS for row in rows),
                "seconds": round(time.monotonic() - start, 1),
                "facts": report.facts(servers.scratch_folder()), "rows": rows}
    report.write_json(path, document)
    print(report.facts_line(document["facts"]))
    print(f"\n{table(rows)}\n\n{summary(document)}\nJSON: {os.path.relpath(path)}; "
          f"more of what failed: {os.path.relpath(log_path)}")
    return 0 if document["ok"] else 1


def main():
    end_like_ctrl_c()
    options = parse(sys.argv[1:])
    try:
        return run(options)
    except (UsageError, files.UsageError, OSError) as error:
        print(f"ci/torture: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ci/torture: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
