"""Each scenario can fail: a server that is right but for one defect is found out, and one without
any passes them all."""

import os
import signal
import sys

import pytest

import servers
from requirements import requires, skip
from torture import scenario
from torture.catalogue import CATALOGUE
from torture.scenario import NotApplicable
from torture.soak import BYTES_A_REQUEST, judge
from torture.cold_disk import overtaken

SCENARIOS = {one.name: one for one in CATALOGUE}
pytestmark = pytest.mark.skipif(bool(servers.sanitizer()),
                                reason="nothing of Pollux is in it")
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "broken_server.py")
MIB = 1 << 20

# Enough to show the defect, for a server that is a Python program.
SIZES = {
    "random-load": {"connections": 200}, "late-readers": {"readers": 2},
    "replacement": {"rounds": 1}, "slow-heads": {"clients": 5}, "pipelining": {"rounds": 5},
    "half-close": {"clients": 4},
    "resets": {"clients": 25}, "signal-storm": {"rounds": 1},
    "lost-wakeups": {"transfers": 5, "small": 20},
    "hot-behind-cold": {"downloads": 3, "size": 4 * MIB + 1, "requests": 50, "rounds": 1},
    "hot-requests": {"connections": 2, "each": 100}, "soak": {"minutes": 0.01, "batches": 2},
}

# What finds it, and in which words.
FOUND = [
    ("WrongByte", "random-load", "offset .* of file"),
    ("ReusesBuffers", "late-readers", "holds byte .* bytes are wrong"),
    ("Pads", "truncation", "zeros"),
    ("OpensAgain", "replacement", "holds byte .* of file"),
    ("OneAtATime", "slow-heads", "no answer within 2 s"),
    ("LosesPipelined", "pipelining", "answer .* of 40"),
    ("EndsAtHalfClose", "half-close", "closed with .* bytes to come|reset with"),
    ("LeaksOnReset", "resets", "descriptors more after another 25 resets"),
    ("StopsAtSignals", "signal-storm", "bytes came"),
    ("LosesWakeUps", "lost-wakeups", "while the server slept"),
    ("ReadsOnItsLoop", "hot-behind-cold", "is not answered while the disk keeps 3 downloads"),
    ("DawdlesOnItsLoop", "hot-behind-cold", "downloads slow hot requests down"),
    ("ForgetsOne", "hot-behind-cold", "after a later one"),
    ("ForgetsOne", "hot-requests", "for nothing"),
    ("EndsWithoutDescriptors", "descriptors", "the server ended with status 1"),
    ("SpinsWithoutDescriptors", "descriptors", "it spins"),
    ("SendsUnread", "dev-shm", "holds .* zeros"),
    ("NeedsAio", "aio-max-nr", "did not start"),
    ("LeaksMemory", "soak", "it grows"),
]


def run(starter, files, name, defect=""):
    def start(root, **options):
        line = f"{sys.executable} {PROGRAM} {{port}} {{root}} {defect}"
        return starter.start(servers.make_server(line, root, signals={signal.SIGUSR1: 500},
                                                 **options))

    try:
        return SCENARIOS[name].run(start, files, **SIZES.get(name, {}))
    except NotApplicable as reason:
        skip(str(reason))


def rows(table):
    marked = []
    for row in table:
        one = SCENARIOS[row[1]]
        marks = [requires(*one.requires)] if one.requires else []
        marks += [pytest.mark.alone] if one.alone else []
        marked.append(pytest.param(*row, id="-".join(row[:2]), marks=marks))
    return marked


@pytest.mark.parametrize("defect, name, words", rows(FOUND))
def test_a_defect_is_found(starter, files, monkeypatch, request, defect, name, words):
    if name in ("slow-heads", "pipelining", "hot-behind-cold"):
        monkeypatch.setattr(scenario, "PATIENCE_S", 2.0)  # for an answer that never comes
    monkeypatch.setattr(scenario, "KEPT_S", 0.5)
    with pytest.raises((AssertionError, OSError), match=f"(?s){words}"):
        run(starter, files, name, defect)
    for server in request.node.servers:
        server.kill()  # how it would have ended is no matter


@pytest.mark.parametrize("_, name", rows((("no-defect", name) for name in SCENARIOS)))
def test_without_a_defect_nothing_is_found(starter, files, _, name):
    assert run(starter, files, name)


def test_every_scenario_is_shown_to_fail():
    assert {name for _, name, _ in FOUND} == set(SCENARIOS)


def test_a_request_is_overtaken_only_by_later_ones():
    # (sent, took): all wait for a server that stands still; then one is forgotten.
    assert overtaken([(0.0, 1.0), (0.5, 0.5), (0.9, 0.1)]) == 0
    assert overtaken([(0.0, 1.0), (0.1, 0.01), (0.2, 0.01)]) == pytest.approx(0.89)


def test_flat_means_less_than_an_allocation_a_request():
    def samples(bytes_a_request, descriptors=10):
        return [(number * 10_000, 50 * MIB + int(number * 10_000 * bytes_a_request), descriptors)
                for number in range(30)]

    judge(samples(0))
    judge(samples(BYTES_A_REQUEST))
    for leak in (32, 100):
        with pytest.raises(AssertionError, match="it grows"):
            judge(samples(leak))
    with pytest.raises(AssertionError, match="1 descriptors more"):
        judge(samples(0)[:20] + samples(0, descriptors=11)[20:])
    judge(samples(0)[:29] + samples(0, descriptors=11)[29:])  # a file that is kept for a while
