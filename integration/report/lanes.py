"""A timeline as lanes: a column for each thread, for the disk and for each peer, time running down.

A step is a dot with its name, a sleep a bar, an arrow what ended a sleep or sent a signal. Virtual
time mostly stands still: a step takes a row however short it is, and where time passes there is a
wide band that says how much."""

import re

import svg

_ROW, _GAP = 18, 34
_TIME_WIDTH, _CHARACTER = 64, 6.7
_TOP = 30
_ROWS_MAX, _ROWS_FIRST, _ROWS_LAST = 60, 26, 24  # of more the middle is left out
_ARROWS = ("wake-up", "signal")


class Plan:
    """Which steps are shown, where each is."""

    def __init__(self, timeline, hidden="", first=None):
        self.timeline = timeline
        steps = timeline["steps"]
        self.first = next((step for step, _, _, name in steps if name == first), steps[0][0])
        self.violation = timeline["violation_step"]
        self.arrows = self._last_of_each(timeline["arrows"])
        pattern = re.compile(hidden) if hidden else None
        kept = {step for arrow in self.arrows for step in arrow[:2]} | {self.violation}
        shown = [step for step in steps if step[0] >= self.first
                 and (step[0] in kept or not (pattern and pattern.fullmatch(step[3])))]
        self.rows = self._collapsed(shown, kept)  # [step, time, lane, name, how many]
        self.left_out = self._elide()  # (step before, steps that are not shown), or None
        self._place()

    @staticmethod
    def _last_of_each(arrows):
        """Who is woken and finds the lock taken sleeps on: the last wake-up is the one that did."""
        return list({(end, kind): (begin, end, kind) for begin, end, kind in arrows}.values())

    @staticmethod
    def _collapsed(shown, kept):
        """Repetitions of a step by the same lane are one row, unless an arrow ends there."""
        rows = []
        for step, time, lane, name in shown:
            last = rows[-1] if rows else None
            if last and last[1:4] == [time, lane, name] and not {step, last[0]} & kept:
                last[4] += 1
            else:
                rows.append([step, time, lane, name, 1])
        return rows

    def _elide(self):
        if len(self.rows) <= _ROWS_MAX:
            return None
        last = next(number for number, row in enumerate(self.rows) if row[0] >= self.violation)
        begin = max(_ROWS_FIRST, last + 6 - _ROWS_LAST)
        count = begin - _ROWS_FIRST
        if not count:
            return None
        before = self.rows[_ROWS_FIRST - 1][0]
        self.rows = self.rows[:_ROWS_FIRST] + self.rows[begin:]
        return before, count

    def _place(self):
        self.y, self.gaps, self.elision = {}, [], None  # gaps: (top, seconds, before which step)
        y, before = _TOP + _ROW, None
        for step, time, *_ in self.rows:
            if before is not None and time > before:
                self.gaps.append((y - _ROW / 2 + 2, time - before, step))
                y += _GAP
            self.y[step] = y
            y, before = y + _ROW, time
            if self.left_out and step == self.left_out[0]:
                self.elision = y
                y += _ROW
        self.height = y

    def begin_of(self, step):
        """Where what begins with this step begins: at the last one shown until then."""
        earlier = [number for number in self.y if number <= step]
        return self.y[max(earlier)] if earlier else _TOP

    def end_of(self, step):
        later = [number for number in self.y if number >= step]
        return self.y[min(later)] if later else self.height - _ROW / 2


def _written(name, count):
    return name + (f" ×{count}" if count > 1 else "")


def _columns(timeline, rows):
    """(x of each lane, width of all): as wide as the names in it."""
    x, at = [], _TIME_WIDTH
    for number, lane in enumerate(timeline["lanes"]):
        names = [_written(name, count) for _, _, where, name, count in rows if where == number]
        x.append(at + 8)
        at += max([len(lane) + 1, *(len(name) + 3 for name in names)]) * _CHARACTER + 26
    return x, at


def _marker(kind, key):
    return svg.tag("marker", svg.tag("path", d="M0 0L7 3.5L0 7z", class_=f"tip {kind}"),
                   id=f"tip-{kind}-{key}", viewBox="0 0 7 7", refX="6.5", refY="3.5",
                   markerWidth="7", markerHeight="7", orient="auto-start-reverse",
                   markerUnits="userSpaceOnUse")


def _arrow(plan, x, arrow, labels, key):
    """From dot to dot, but for a side on which a label stands: from or to its end."""
    begin, end, kind = arrow
    if begin not in plan.y or end not in plan.y:
        return svg.Markup("")
    kind = kind if kind in _ARROWS else _ARROWS[0]
    (lane1, width1), (lane2, width2) = labels[begin], labels[end]
    rightwards = x[lane2] > x[lane1]
    x1 = x[lane1] + (14 + width1 if rightwards else -5)
    x2 = x[lane2] + (-6 if rightwards else 14 + width2)
    y1, y2 = plan.y[begin], plan.y[end]
    bend = max(24, abs(x2 - x1) / 2) * (1 if rightwards else -1)
    d = (f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} "
         f"{x2:.1f} {y2:.1f}")
    return svg.tag("path", d=d, class_=f"arrow {kind}", marker_end=f"url(#tip-{kind}-{key})")


def _struck_lane(timeline):
    """The lane that slept until its time-out, if that is what is wrong."""
    found = re.search(r"time-out of \S+ in (thread \S+)", timeline["text"])
    return timeline["lanes"].index(found[1]) if found and found[1] in timeline["lanes"] else None


def _sleep(plan, x, sleep, struck_lane):
    lane, begin, end = sleep
    if end < plan.first:
        return svg.Markup("")
    top, bottom = plan.begin_of(begin), plan.end_of(end)
    struck = lane == struck_lane and begin <= plan.violation < end
    return svg.rectangle(x[lane] - 4, top, 8, bottom - top, "sleep struck" if struck else "sleep",
                         radius=4)


def _bands(plan, width):
    """What passes of time, and what goes wrong."""
    after = min((step for _, _, step in plan.gaps if step > plan.violation), default=None)
    y = plan.end_of(plan.violation)
    yield svg.rectangle(0, y - _ROW / 2, width, _ROW, "violation")
    for top, passed, step in plan.gaps:
        # A sleep that should have ended goes on through the gap behind the step.
        struck = " struck" if step == after and _struck_lane(plan.timeline) is not None else ""
        yield svg.rectangle(_TIME_WIDTH - 6, top, width - _TIME_WIDTH + 6, _GAP - 4, "gap" + struck)
        yield svg.text(width - 8, top + _GAP / 2 + 2, f"{seconds(passed)} pass", "passed" + struck,
                       anchor="end")


def seconds(value):
    return f"{value:.3f} s"


def drawing(timeline, key, label, hidden="", first=None):
    """`key` tells its parts from those of other drawings of the page."""
    plan = Plan(timeline, hidden, first)
    x, width = _columns(timeline, plan.rows)
    labels = {step: (lane, len(_written(name, count)) * _CHARACTER)
              for step, _, lane, name, count in plan.rows}
    struck_lane = _struck_lane(timeline)
    parts = [svg.tag("defs", *(_marker(kind, key) for kind in _ARROWS)), *_bands(plan, width)]
    for number, lane in enumerate(timeline["lanes"]):
        parts.append(svg.text(x[number] - 5, 16, lane, "lane"))
        parts.append(svg.line(x[number], _TOP - 6, x[number], plan.height, "lane"))
    parts += [_sleep(plan, x, sleep, struck_lane) for sleep in timeline["sleeps"]]
    parts += [_arrow(plan, x, arrow, labels, key) for arrow in plan.arrows]
    before = None
    for step, time, lane, name, count in plan.rows:
        y = plan.y[step]
        if time != before:
            parts.append(svg.text(_TIME_WIDTH - 12, y + 4, seconds(time), "time", anchor="end"))
        before = time
        parts.append(svg.circle(x[lane], y, 3, "step struck" if step == plan.violation else "step"))
        parts.append(svg.text(x[lane] + 10, y + 4, _written(name, count), "step"))
    if plan.elision is not None:
        parts.append(svg.text(x[0] + 10, plan.elision + 4, _elided(plan), "elided"))
    return svg.picture(width, plan.height + 4, label, *parts, class_="lanes")


def _elided(plan):
    return f"… {plan.left_out[1]} more like these …"


def as_list(timeline, hidden="", first=None):
    """The same in words: [(time, lane, step, "" or what is wrong)]."""
    plan = Plan(timeline, hidden, first)
    rows = []
    for step, time, lane, name, count in plan.rows:
        rows.append((seconds(time), timeline["lanes"][lane], _written(name, count),
                     timeline["oracle"] if step == plan.violation else ""))
        if plan.left_out and step == plan.left_out[0]:
            rows.append(("", "", _elided(plan), ""))
    return rows
