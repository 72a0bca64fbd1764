"""wrk(1) as a client: many keep-alive connections, little CPU of its own."""

import re
import subprocess

from load import LoadError

_SPARE_S = 60


def run(server, target, connections, seconds):
    """{"requests", "per_s"}. An answer other than 2xx or a broken connection is a LoadError."""
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "30s",
               server.url(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False,
                              timeout=seconds + _SPARE_S)
    except FileNotFoundError:
        raise LoadError("wrk is not installed (ci/setup)") from None
    except subprocess.TimeoutExpired:
        raise LoadError(f"{server.name}: wrk did not end") from None
    requests = re.search(r"(\d+) requests in", done.stdout)
    per_s = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    wrong = re.search(r"(Socket errors:.*|Non-2xx.*)", done.stdout)
    if done.returncode != 0 or not requests or not per_s or wrong or int(requests[1]) == 0:
        raise LoadError(f"{server.name}: {wrong[1] if wrong else done.stdout + done.stderr}")
    return {"requests": int(requests[1]), "per_s": float(per_s[1])}
