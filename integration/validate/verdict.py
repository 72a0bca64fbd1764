"""Cells and grids of the verdict table."""

import dataclasses

import report

HOLDS, FAILS = "holds", "FAILS"

# What a cell must come out as. A baseline (a blocking backend) may do either: its figure is shown.
MUST_HOLD, MUST_FAIL, EITHER = "must hold", "must fail", "either"


@dataclasses.dataclass
class Cell:
    """One property of one column. `holds` None: there is nothing to judge (the figure says why),
    which is as it must be only where EITHER is."""
    holds: bool | None
    figure: str
    expected: str = MUST_HOLD
    details: dict = dataclasses.field(default_factory=dict)
    error: str = ""  # why it could not be measured: never as it must be

    @property
    def ok(self):
        if self.error:
            return False
        if self.expected == EITHER:
            return True
        return self.holds is not None and self.holds == (self.expected == MUST_HOLD)

    def __str__(self):
        if self.error:
            return "not measured (!)"
        if self.holds is None:
            return self.figure + ("" if self.ok else " (!)")
        word = HOLDS if self.holds else FAILS
        return f"{word} {self.figure}" + ("" if self.ok else " (!)")

    def complaint(self):
        return f"{self.expected}, but {self}"

    def as_json(self):
        return {"holds": self.holds, "figure": self.figure, "expected": self.expected,
                "ok": self.ok, "error": self.error, **self.details}


class Grid:
    """One part of the table: properties by columns of one kind."""

    def __init__(self, kind, columns):
        self.kind = kind  # "coordination", "backend", "retire"
        self.columns = list(columns)
        self.rows = {}  # property: {column: Cell}

    def put(self, row, column, measure, *arguments, **options):
        """Measures the cell. What goes wrong in one cell does not take the table with it."""
        try:
            cell = measure(*arguments, **options)
        except (AssertionError, RuntimeError, TimeoutError, KeyError, OSError) as error:
            cell = Cell(None, "", error=f"{type(error).__name__}: {error}")
        self.rows.setdefault(row, {})[column] = cell

    def unexpected(self):
        """What did not come out as it must, one line each."""
        return [f"{row}, {self.kind} {column}: {cell.error or cell.complaint()}"
                for row, cells in self.rows.items()
                for column, cell in cells.items() if not cell.ok]

    def text(self):
        rows = [[row, *(str(cells.get(column, "")) for column in self.columns)]
                for row, cells in self.rows.items()]
        return report.table([f"by {self.kind}", *self.columns], rows)

    def as_json(self):
        return {"kind": self.kind, "columns": self.columns,
                "rows": {row: {column: cell.as_json() for column, cell in cells.items()}
                         for row, cells in self.rows.items()}}


def duration(seconds):
    """Three digits and a unit: "1.00 s", "12 ms", "850 us"."""
    for scale, unit in ((1, "s"), (1e3, "ms")):
        value = seconds * scale
        if value >= 0.9995:  # 999.6 ms are 1.00 s
            return f"{value:.2f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds * 1e6:.0f} us"


def share(part, whole):
    """"0 %", "83 %", and never 0 % for something."""
    if part == 0 or whole == 0:
        return "0 %"
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 1 else f"{percent:.2g} %"
