"""ci/bench: Pollux beside other servers. One file of this folder is one benchmark: HELP,
add_arguments(parser), run(options, progress) -> what goes into the JSON, text(that) -> tables."""

import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import cold  # noqa: E402
import hot  # noqa: E402
import outputs  # noqa: E402
import report  # noqa: E402
import scale  # noqa: E402
import servers  # noqa: E402
import stall  # noqa: E402
import table_2006  # noqa: E402
from files import UsageError  # noqa: E402
from load import LoadError  # noqa: E402
from warden import end_like_ctrl_c  # noqa: E402

BENCHMARKS = {"2006": table_2006, "cold": cold, "stall": stall, "hot": hot, "scale": scale}


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="ci/bench", description="Measures Pollux side by side with nginx and lighttpd: "
        "alternating rounds, medians with minimum and maximum.")
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, module in BENCHMARKS.items():
        one = commands.add_parser(name, help=module.HELP, description=module.__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        one.add_argument("--rounds", type=int, default=3, metavar="N",
                         help="measurements of each contender (default: %(default)s)")
        one.add_argument("--json", metavar="FILE",
                         default=os.path.join(servers.REPOSITORY, "out", f"bench-{name}.json"),
                         help=f"where the figures go (default: out/bench-{name}.json)")
        module.add_arguments(one)
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    return options


def main():
    end_like_ctrl_c()
    options = parse(sys.argv[1:])
    module = BENCHMARKS[options.benchmark]
    try:
        outputs.check_writable(options.json)
        document = module.run(options, report.Progress())
        document["facts"] = report.facts(servers.scratch_folder())
        report.write_json(options.json, document)
        import plots  # seconds of matplotlib, not for --help or a mistake
        drawn = plots.write(document, os.path.splitext(os.path.abspath(options.json))[0])
    except (UsageError, OSError) as error:
        print(f"ci/bench: {error}", file=sys.stderr)
        return 2
    except (LoadError, servers.ServerError) as error:
        print(f"ci/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ci/bench: interrupted", file=sys.stderr)
        return 130
    print(report.facts_line(document["facts"]))
    print()
    print(module.text(document))
    print(f"\nJSON: {os.path.relpath(options.json)}")
    if drawn:
        print("plots: " + " ".join(os.path.relpath(path) for path in drawn))
    return 0


if __name__ == "__main__":
    sys.exit(main())
