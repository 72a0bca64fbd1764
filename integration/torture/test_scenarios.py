"""Every scenario on the server that --server names."""

import pytest

import servers
from requirements import requires, skip
from torture.catalogue import CATALOGUE
from torture.scenario import NotApplicable

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
        found += [pytest.mark.soak, pytest.mark.skipif(
            bool(servers.sanitizer()), reason="a sanitizer keeps what was freed: memory grows")]
    return found


@pytest.mark.any_server
@pytest.mark.parametrize("one", [pytest.param(one, id=one.name, marks=marks(one))
                                 for one in CATALOGUE])
def test_scenario(server, files, record_property, request, one):
    sizes = {}
    if one.name == "soak":
        sizes["minutes"] = request.config.getoption("--soak")
    record_property("row", one.name)
    record_property("title", one.title)
    try:
        figure = one.run(server, files, **sizes)
    except NotApplicable as reason:
        if request.config.getoption("--server").partition(":")[0] == "pollux":
            skip(str(reason))  # Pollux has all that is asked for
        pytest.skip(str(reason))
    record_property("figure", figure)
    print(figure)
