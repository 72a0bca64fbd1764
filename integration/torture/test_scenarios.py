"""Every scenario on the server that --server names."""

import pytest

from requirements import requires
from torture import clients, shortages, soak, transfers, waking
from torture.scenario import SCENARIOS, NotApplicable

MODULES = [module.__name__ for module in (transfers, clients, waking, shortages, soak)]
QUICK = ("random-load", "resets", "signal-storm")


def marks(one):
    found = []
    if one.requires:
        found.append(requires(*one.requires))
    if one.alone:
        found.append(pytest.mark.alone)
    if one.name in QUICK:
        found.append(pytest.mark.quick)
    if one.name == "soak":
        found.append(pytest.mark.soak)
    return found


# That of the score. The soak comes last, unless it has others beside it (conftest.py).
ORDER = sorted(SCENARIOS.values(), key=lambda one: MODULES.index(one.function.__module__))


@pytest.mark.any_server
@pytest.mark.parametrize("one", [pytest.param(one, id=one.name, marks=marks(one))
                                 for one in ORDER])
def test_scenario(server, files, record_property, request, one):
    sizes = {}
    if one.name == "soak":
        sizes["minutes"] = request.config.getoption("--soak")
    record_property("title", one.title)
    try:
        figure = one.run(server, files, **sizes)
    except NotApplicable as reason:
        pytest.skip(str(reason))
    record_property("figure", figure)
    print(figure)
