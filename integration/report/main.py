"""ci/report: the page of what was measured, out/report/index.html, from the JSON that ci/validate,
ci/bench and ci/torture have left under out/. Measures nothing: what is not there is named with the
command that measures it.

Exit status: 0 if the page was written, 2 if it could not be (one line says why).
"""

import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
INTEGRATION = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(INTEGRATION, "validate"), os.path.join(INTEGRATION, "bench"),
                INTEGRATION]

try:
    import page
    import sources
except ImportError as error:  # jinja2, markupsafe or numpy
    print(f"ci/report: {error} (ci/setup installs it)", file=sys.stderr)
    sys.exit(2)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="ci/report", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="folder", metavar="FOLDER",
                        default=os.path.dirname(os.path.dirname(page.default_path())),
                        help="where the JSON is (default: out)")
    parser.add_argument("--output", metavar="FILE", default=page.default_path(),
                        help="the page (default: out/report/index.html)")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    try:
        page.write(options.folder, options.output)
    except sources.SourceError as error:
        print(f"ci/report: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"ci/report: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    print(os.path.relpath(options.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
