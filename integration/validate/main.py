"""ci/validate: the trick of 2006 judged on this machine's kernel, with real files.

A verdict table (a row per property; columns by coordination, backend and --retire; each cell was
measured here and carries its figure), what the simulated kernel found in how many orders of events,
then throughput and CPU by backend with cold 700 MB files.
The specimens, `published` and `--retire reuse`, must be seen to fail; all else must hold.
At the end the page out/report/index.html (with --json FILE: report/index.html beside FILE) shows all
of it, and what ci/bench and ci/torture have left in the same folder (again later: ci/report).

Exit status: 0 if all is as it must be, 1 if something is not or could not be measured, 2 if nothing
could be measured or written (one line says why), 130 for Ctrl-C.
"""

import argparse
import dataclasses
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
INTEGRATION = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(INTEGRATION, "report"), os.path.join(INTEGRATION, "bench"),
                INTEGRATION]

import cold  # noqa: E402
import contenders  # noqa: E402
import coordinations  # noqa: E402
import files  # noqa: E402
import leaks  # noqa: E402
import load  # noqa: E402
import outputs  # noqa: E402
import page  # noqa: E402
import report  # noqa: E402
import schedules  # noqa: E402
import sending  # noqa: E402
import servers  # noqa: E402
import short_2006  # noqa: E402
import sources  # noqa: E402
import table_2006  # noqa: E402
import timelines  # noqa: E402
import turns  # noqa: E402
from verdict import Grid  # noqa: E402
from warden import end_like_ctrl_c  # noqa: E402


@dataclasses.dataclass
class Effort:
    read_seconds: float   # of reading by each coordination, handler and depth
    rounds: int           # of each ordered measurement of a coordination
    stalling_rounds: int  # the same for `published`, where each takes a second
    big_files: int        # of 700 MB each
    counts: tuple         # of connections, in the throughput table
    throughput_rounds: int


FULL = Effort(3.0, 50, 3, 4, (1, 4), 1)
QUICK = Effort(1.0, 10, 2, 1, (1,), 1)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="ci/validate", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="shorter measurements and one 700 MB file: the same verdicts")
    parser.add_argument("--json", metavar="FILE",
                        default=os.path.join(servers.REPOSITORY, "out", "validate.json"),
                        help="where the figures go (default: out/validate.json)")
    return parser.parse_args(arguments)


def check_programs():
    for name in ("pollux", "pollux-faulty", "pollux-sim", "pollux-validate"):
        path = os.path.join(servers.build_folder(), name)
        if not os.access(path, os.X_OK):
            raise files.UsageError(f"{path} is not built (ci/build release)")


def judge_sending(folder, big, progress):
    """Two grids: by backend and by --retire."""
    by_backend = Grid("backend", sending.BACKENDS)
    by_retire = Grid("retire", sending.RETIRES)
    chunk = sending.late_chunk_bytes()
    plain = folder.add("plain", 900, sending.FILE_BYTES)
    for retire in sending.RETIRES:
        progress(f"late readers, --retire {retire}")
        by_retire.put("bytes exact, late reader", retire, sending.late_reader_cell,
                      folder.path, "linux-aio-sendfile", plain, chunk, retire)
    with turns.ColdFolders(folder) as cold_folders:
        if cold_folders.path is None:
            progress("no mounts here: longest loop turn without cold opens")
        for number, backend in enumerate(sending.BACKENDS):
            progress(f"backend {backend}: bytes, loop turns, leaks")
            by_backend.put("bytes exact, late reader", backend, sending.late_reader_cell,
                           folder.path, backend, plain, chunk)
            by_backend.put("no unread byte sent", backend, sending.unread_cell,
                           folder, backend, plain, 910 + number)
            by_backend.put("longest loop turn", backend, turns.cell,
                           backend, folder.path, big, cold_folders)
            by_backend.put("nothing leaked", backend, leaks.cell, folder.path, backend, plain)
    return by_backend, by_retire


def throughput(folder, big, effort, progress):
    field = [contenders.pollux(backend) for backend in sending.BACKENDS]
    for name, peer in contenders.PEERS.items():
        if servers.available(name):
            field.append(peer)
        else:
            progress(f"{name} is not installed: left out")
    counts = [count for count in effort.counts if count <= len(big)]
    measured = cold.measure_rounds(field, folder.path, big, counts, effort.throughput_rounds,
                                   progress)
    return cold.rows_of(field, counts, measured)


def measure(effort, progress):
    """(what goes into the JSON, the grids). What cannot be measured does not take the rest with it:
    it is among the "unexpected"."""
    wrong = []

    def part(what, nothing, measure_it, *arguments):
        try:
            return measure_it(*arguments)
        except (AssertionError, RuntimeError, TimeoutError, ValueError, KeyError,
                files.UsageError) as error:
            wrong.append(f"{what}: {error}")
            return nothing

    simulated = schedules.measure(progress)
    shown = {"timelines": part("timelines", [], timelines.measure, progress),
             "simulated_2006": part("the simulated table of 2006", None,
                                    schedules.table_of_2006, progress)}
    with files.Folder("validate") as folder:
        big = folder.add_big(effort.big_files, progress)
        by_coordination, delays = coordinations.measure(big[0].path, effort, progress)
        by_backend, by_retire = judge_sending(folder, big, progress)
        rows = part("throughput", [], throughput, folder, big, effort, progress)
    shown["table_2006"] = part("the table of 2006", None, short_2006.measure, effort is QUICK,
                               progress)
    grids = [by_coordination, simulated, by_backend, by_retire]
    wrong = [line for grid in grids for line in grid.unexpected()] + wrong
    return {"ok": not wrong, "unexpected": wrong,
            "verdicts": [grid.as_json() for grid in grids], "delays": delays,
            "cold": {"file_bytes": files.BIG_BYTES, "results": rows}, **shown}, grids


def check_writable(path):
    """Said before anything is measured, not after."""
    os.makedirs(schedules.folder(), exist_ok=True)
    try:
        with files.Folder("validate"):
            pass
    except OSError as error:
        raise files.UsageError(f"{error.filename}: {error.strerror} ($POLLUX_SCRATCH names another "
                               "folder for what is measured)") from error
    outputs.check_writable(path)
    if page_path(path):
        outputs.check_writable(page_path(path))


def text(document, grids):
    parts = [report.facts_line(document["facts"]), *(grid.text() for grid in grids),
             coordinations.delay_text(document["delays"])]
    if document["cold"]["results"]:
        parts.append(cold.text(document["cold"]))
    if "results" in (document["table_2006"] or {}):
        parts.append(table_2006.text(document["table_2006"]))
    parts += [schedules.replays(grids[1]),
              "`published` and `reuse` are specimens of 2006 and must fail."]
    return "\n\n".join(parts)


def main():
    end_like_ctrl_c()
    options = parse(sys.argv[1:])
    try:
        progress = report.Progress()
        check_programs()
        check_writable(options.json)
        load_before = os.getloadavg()[0]
        document, grids = measure(QUICK if options.quick else FULL, progress)
        document |= {"quick": options.quick, "facts": report.facts(servers.scratch_folder())}
        document["facts"]["load_average"]["1 min, before"] = round(load_before, 2)
        report.write_json(options.json, document)
        progress("done")
        print(text(document, grids))
        for line in document["unexpected"]:
            print(f"NOT AS IT MUST BE: {line}")
        print(f"{'' if document['ok'] else 'not '}as it must be. JSON: "
              f"{os.path.relpath(options.json)}; page: {write_page(options.json)}")
    except (files.UsageError, sources.SourceError) as error:
        print(f"ci/validate: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = error.filename or servers.scratch_folder()
        print(f"ci/validate: {where}: {error.strerror or error}", file=sys.stderr)
        return 2
    except (AssertionError, RuntimeError) as error:  # ServerError, LoadError, NotShown, ...
        print(f"ci/validate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ci/validate: interrupted", file=sys.stderr)
        return 130
    return 0 if document["ok"] else 1


def page_path(json_path):
    """Of the page: in out/, or beside JSON that was put elsewhere. "" if that is no file to read
    again: /dev/stdout."""
    if not outputs.replaceable(json_path):
        return ""
    return os.path.join(os.path.dirname(os.path.abspath(json_path)), "report", "index.html")


def write_page(json_path):
    path = page_path(json_path)
    if not path:
        return "none, since the JSON went to no file"
    page.write(os.path.dirname(os.path.abspath(json_path)), path, os.path.basename(json_path))
    return os.path.relpath(path)


if __name__ == "__main__":
    sys.exit(main())
