"""Prometheus text, read back (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

import math
import re

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One scrape: {(name, {label: value}): number}, with the questions that tests ask."""

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            match = _SAMPLE.match(line)
            if not match:
                raise ValueError(f"not a sample: {line!r}")
            name, labels, value = match.groups()
            self.samples.append((name, dict(_LABEL.findall(labels or "")), float(value)))

    def all(self, name, **labels):
        return [(found, value) for sample, found, value in self.samples
                if sample == name and labels.items() <= found.items()]

    def value(self, name, **labels):
        """The one sample of that name and those labels; KeyError lists what there is."""
        found = self.all(name, **labels)
        if len(found) != 1:
            names = sorted({sample for sample, _, _ in self.samples})
            raise KeyError(f"{name} {labels}: {len(found)} samples; there are {names}")
        return found[0][1]

    def sum(self, name, **labels):
        found = self.all(name, **labels)
        if not found:
            raise KeyError(name)
        return sum(value for _, value in found)

    def count(self, histogram, **labels):
        return self.value(histogram + "_count", **labels)

    def below(self, histogram, bound, **labels):
        """How many observations are known to be at most `bound`: those of the largest bucket that
        does not exceed it."""
        buckets = [(float(found["le"]), value)
                   for found, value in self.all(histogram + "_bucket", **labels)]
        if not buckets:
            raise KeyError(histogram + "_bucket")
        return max((value for le, value in buckets if le <= bound), default=0.0)

    def at_least(self, histogram, bound, **labels):
        """How many observations are known to exceed `bound`: those above the smallest bucket that
        reaches it."""
        buckets = [(float(found["le"]), value)
                   for found, value in self.all(histogram + "_bucket", **labels)]
        if not buckets:
            raise KeyError(histogram + "_bucket")
        within = min((value for le, value in buckets if le >= bound), default=0.0)
        return self.count(histogram, **labels) - within

    def quantile(self, histogram, q, **labels):
        """The upper bound of the bucket that holds the q-quantile; NaN without observations."""
        buckets = sorted((float(found["le"]), value)
                         for found, value in self.all(histogram + "_bucket", **labels))
        if not buckets:
            raise KeyError(histogram + "_bucket")
        total = buckets[-1][1]
        if total == 0:
            return math.nan
        return next(le for le, value in buckets if value >= q * total)
