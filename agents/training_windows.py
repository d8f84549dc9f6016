"""What people said of stretches of time as windows that a model can be taught from. Pure.

A claim is a label or a work order. ``windows`` cuts claims at the starts of regimes and leaves out what cannot be
taught, each with the reason:

- No window crosses the start of a regime of its place. Of a label each piece is a window; of an order what comes after
  the start is left out, since a person called it normal.
- A label outranks an order: an order that meets one in time and place is left out, whether it says the same or not.
- Two labels that disagree are both left out until one is retracted; so are two orders that no label decides between.

Claims disagree where their kinds do, or the failure modes they name. Both ends belong to a window.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

LABEL, ORDER = "label", "work-order"
INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Claim:
    """``sensor`` None: of every sensor of the machine. ``mode``: empty where none is named."""

    source: str
    source_id: int
    machine: int
    sensor: int | None
    start: datetime
    end: datetime
    kind: str
    mode: str = ""

    @property
    def key(self) -> tuple[str, int, datetime]:
        return self.source, self.source_id, self.start

    def meets(self, other: Claim) -> bool:
        """Whether both speak of some same instant of some same sensor."""
        same_place = self.machine == other.machine and _overlap(self.sensor, other.sensor)
        return same_place and self.start <= other.end and other.start <= self.end

    def disagrees(self, other: Claim) -> bool:
        return self.kind != other.kind or bool(self.mode and other.mode and self.mode != other.mode)

    def __str__(self) -> str:
        return f"{self.source} {self.source_id} says {self.kind} {self.mode}".rstrip()


@dataclass(frozen=True, slots=True)
class Start:
    """Of a regime: from here on what the place does is normal."""

    machine: int
    sensor: int | None
    since: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """A claim, or the piece of one. ``left_out``: why it teaches nothing; empty: it does."""

    said: Claim
    left_out: str = ""

    @property
    def is_used(self) -> bool:
        return not self.left_out


def windows(claims: Iterable[Claim], starts: Iterable[Start]) -> tuple[Window, ...]:
    """Of each claim all pieces, by machine and time; whatever order the claims come in."""
    begun = defaultdict[int, list[Start]](list)
    for start in starts:
        begun[start.machine].append(start)
    cut = [window for claim in claims for window in _pieces(claim, begun[claim.machine])]
    labels = [one.said for one in cut if one.said.source == LABEL]
    orders = [one.said for one in cut if one.said.source != LABEL and one.is_used]
    reasons = _contradictions(labels)
    covered = _outranked(orders, labels)
    reasons |= covered | _contradictions([one for one in orders if one.key not in covered])
    found = (replace(one, left_out=one.left_out or reasons.get(one.said.key, "")) for one in cut)
    return tuple(sorted(found, key=lambda one: (one.said.machine, one.said.start, one.said.end, one.said.key)))


def _overlap(one: int | None, other: int | None) -> bool:
    return one is None or other is None or one == other


def _pieces(claim: Claim, begun: Sequence[Start]) -> Iterator[Window]:
    inside = (one.since for one in begun if _overlap(one.sensor, claim.sensor) and claim.start < one.since <= claim.end)
    ends = [claim.start, *sorted(set(inside))]
    for number, start in enumerate(ends):
        end = ends[number + 1] - INSTANT if number + 1 < len(ends) else claim.end
        after = number and claim.source != LABEL
        yield Window(
            replace(claim, start=start, end=end),
            f"a new normal was declared from {ends[1]:%Y-%m-%d %H:%M} UTC on" if after else "",
        )


def _pairs(claims: Sequence[Claim]) -> Iterator[tuple[Claim, Claim]]:
    """Those that meet, the one that begins first before the other."""
    standing: list[Claim] = []
    for claim in sorted(claims, key=lambda one: (one.machine, one.start, one.key)):
        standing = [one for one in standing if one.machine == claim.machine and one.end >= claim.start]
        yield from ((one, claim) for one in standing if one.meets(claim))
        standing.append(claim)


def _contradictions(claims: Sequence[Claim]) -> dict[tuple[str, int, datetime], str]:
    against = defaultdict[tuple[str, int, datetime], set[str]](set)
    for one, other in _pairs(claims):
        if one.disagrees(other):
            against[one.key].add(str(other))
            against[other.key].add(str(one))
    return {key: f"contradicted: {'; '.join(sorted(others))}" for key, others in against.items()}


def _outranked(orders: Sequence[Claim], labels: Sequence[Claim]) -> dict[tuple[str, int, datetime], str]:
    """Why each order that meets a label gives way: what disagrees is told first."""
    same, other = (defaultdict[tuple[str, int, datetime], set[str]](set) for _ in range(2))
    for pair in _pairs([*orders, *labels]):
        label, order = sorted(pair, key=lambda one: one.source != LABEL)
        if label.source == LABEL and order.source != LABEL:
            (other if order.disagrees(label) else same)[order.key].add(str(label))
    told = {key: f"a label tells it already: {'; '.join(sorted(labels))}" for key, labels in same.items()}
    return told | {key: f"contradicted: {'; '.join(sorted(labels))}" for key, labels in other.items()}
