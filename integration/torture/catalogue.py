"""All scenarios, in the order of the score: what is wrong first, what runs out, what takes long."""

from . import clients, cold_disk, shortages, soak, transfers, waking
from .scenario import SCENARIOS

_MODULES = [module.__name__ for module in (transfers, clients, waking, cold_disk, shortages, soak)]
CATALOGUE = sorted(SCENARIOS.values(),
                   key=lambda one: _MODULES.index(one.function.__module__))
