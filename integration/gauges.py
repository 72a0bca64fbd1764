"""What the server's own numbers must say. Names are those of --metrics-path."""

import time

IN_USE = ("reading", "ready", "sending")


def chunks_in_use(metrics):
    return sum(metrics.value("pollux_chunks", state=state) for state in IN_USE)


def reads_under_way(metrics):
    return metrics.value("pollux_reads_in_flight") + metrics.value("pollux_reads_queued")


def wait_until(server, condition, what, timeout=30.0):
    """Scrapes until `condition(metrics)`; each scrape is a turn of the server's loop, so there is
    no need to sleep between them."""
    deadline = time.monotonic() + timeout
    while True:
        metrics = server.metrics()
        if condition(metrics):
            return metrics
        if time.monotonic() > deadline:
            lines = [line for line in metrics.text.splitlines()
                     if not line.startswith("#") and "_bucket" not in line]
            raise AssertionError(f"not within {timeout} s: {what}\n" + "\n".join(lines))


def wait_idle(server):
    """Nobody is served (the scrape is a connection itself): all that was taken is given back."""
    return wait_until(
        server,
        lambda metrics: (metrics.value("pollux_connections") == 1
                         and chunks_in_use(metrics) == 0 and reads_under_way(metrics) == 0),
        "one connection, no chunk in use, no read under way")


def no_stalls(metrics):
    """Nothing waited for a time-out: asserts on events, not on how fast the machine is. The bound
    is the one second after which the protocol of 2006 rescues itself."""
    assert metrics.value("pollux_timeout_rescues_total") == 0
    assert metrics.at_least("pollux_completion_to_dispatch_seconds", 0.9) == 0
    assert metrics.value("pollux_stale_completions_total") == 0


def longest_delay(metrics):
    return metrics.value("pollux_completion_to_dispatch_max_seconds")
