"""The soak: everything at once for as long as it takes, and then again. What is held must be flat.

Flat is said of two figures, each taken when all clients have left (scenario.quiet):

descriptors   The fewest of the last third of the cycles are no more than the fewest of the second.
              Every cycle does the same, and before they are counted every file has just been asked
              for, those that were removed as well: what a server keeps open for the sake of the
              next request, for seconds, is the same each time, however fast the cycles were. A
              server that needs one more than before has lost one.
memory        Private memory, anonymous and shared, of all its processes (Pss of smaps_rollup), of
              which the kernel's page cache is no part. Caches fill and allocators keep what they
              got, so the first third is warm-up; between the medians of the second and of the last
              third it may grow by 16 bytes a request, less than any allocation of glibc's takes
              (32), and by 512 KiB for arenas, stacks and fragments. A minute has some 50,000
              requests: what loses an allocation in each of them shows; what loses 100 bytes in
              every hundredth needs the 30 minutes.
"""

import itertools
import os
import random
import statistics
import time

from cache import make_cold
from client import fetch, request

from .clients import leave, pipelining, slow_heads
from .scenario import NotApplicable, connect, descriptors, quiet, scenario
from .transfers import MIB, random_load, truncated

BYTES_A_REQUEST = 16
NOISE_BYTES = 512 << 10
CYCLES_LEAST = 6


def hot(server, file, batches, connections=8, batch=50):
    """Pipelined small requests: many for little of the client's time."""
    text = request("/" + file.name) * batch
    for _ in range(connections):
        with connect(server) as connection:
            for _ in range(batches):
                connection.send(text)
                for _ in range(batch):
                    assert connection.read_answer().status == 200
    return connections * batches * batch


def cycle(server, files, number, batches):
    """A mixture of everything; returns the number of requests."""
    rng = random.Random(number)
    file = files.get(5 * MIB + 1)
    make_cold(file.path)
    random_load(server, files, connections=60, seed=number)
    for _ in range(30):
        leave(server, file, rng)
    slow_heads(server, files, clients=5)
    requests = 60 + 30 + 5 + 9
    try:
        pipelining(server, files, rounds=3, seed=number)
        requests += 3 * 40 + hot(server, files.get(1000), batches)
    except NotApplicable:
        pass
    if number % 4 == 0:
        cut, _ = truncated(server, files, 16 * MIB + 1, 8 * MIB)
        os.unlink(cut.path)
        fetch(server.port, "/" + cut.name, method="HEAD")  # gone: no reason to keep it open
    ask_for_all(server, files)
    return requests


def ask_for_all(server, files):
    for file in files.known():
        fetch(server.port, "/" + file.name, method="HEAD")


def private_memory(server):
    memory = server.memory()
    return memory["Pss_Anon"] + memory["Pss_Shmem"]


@scenario("soak", "everything at once, again and again: memory and descriptors stay flat")
def soak(server, files, minutes=1.0, batches=20):
    samples = []  # (requests so far, memory, descriptors)
    requests, start = 0, time.monotonic()
    for number in itertools.count():
        if number >= CYCLES_LEAST and time.monotonic() - start >= 60 * minutes:
            break
        requests += cycle(server, files, number, batches)
        quiet(server)
        samples.append((requests, private_memory(server), descriptors(server)))
    return judge(samples)


def judge(samples):
    third = len(samples) // 3
    middle, last = samples[third:-third], samples[-third:]
    left = min(row[2] for row in last) - min(row[2] for row in middle)
    assert left <= 0, f"{left} descriptors more than {third} cycles before"
    made, before, after = (
        statistics.median(row[0] for row in last) - statistics.median(row[0] for row in middle),
        statistics.median(row[1] for row in middle), statistics.median(row[1] for row in last))
    told = (f"{samples[-1][0]:,} requests in {len(samples)} cycles; memory {before / MIB:.1f} -> "
            f"{after / MIB:.1f} MiB, {min(row[2] for row in last)} descriptors")
    assert after - before <= NOISE_BYTES + BYTES_A_REQUEST * made, f"it grows: {told}"
    return told
