"""What history knows of an anomaly while it is judged anew, as ``maintenance.history`` asks the database. Pure.

A label counts where it was made before the anomaly began: what people said afterwards was not known then.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence

from agents.backtests.figures import Window
from maintenance import triage
from maintenance.sightings import INSTRUMENT, Sighting
from maintenance.triage import DAY, HOUR, OFTEN, WEEK, Facts, Stretch

YEAR = 365 * DAY


def _began(one: Sighting) -> int:
    return one.started_at


class History:
    """The anomalies of one machine so far, and its labels."""

    def __init__(self, labels: Sequence[Window]) -> None:
        self._labels = labels
        self._by_detector: dict[tuple[int, str], list[Sighting]] = defaultdict(list)
        self._by_sensor: dict[int, list[Sighting]] = defaultdict(list)
        self._faults: dict[int, dict[int, Sighting]] = defaultdict(dict)

    def add(self, one: Sighting, *, key: int, before: Sighting | None) -> None:
        """A new anomaly, or what one has grown to; ``key``: the same for both."""
        if one.retrospective:
            return
        if one.nature == INSTRUMENT:
            self._faults[one.sensor_id][key] = one
            return
        for rows in (self._by_detector[one.sensor_id, one.detector], self._by_sensor[one.sensor_id]):
            if before is not None:
                rows.remove(before)
            insort(rows, one, key=_began)

    def facts(self, one: Sighting) -> Facts:
        if one.nature == INSTRUMENT or one.retrospective:
            return triage.NOTHING
        mine, began = self._by_detector[one.sensor_id, one.detector], one.started_at
        until = bisect_left(mine, began, key=_began)
        newest = [other.started_at for other in mine[max(0, until - OFTEN) : until]]
        labels = [label for label in self._labels if label.made_at <= began]
        first = bisect_left(mine, began - YEAR, key=_began) if labels else until
        judged = [is_real for earlier in mine[first:until] if (is_real := _is_real(earlier, labels, began)) is not None]
        return Facts(
            onsets=tuple(at for at in reversed(newest) if at >= began - WEEK),
            real=judged.count(True),
            false=judged.count(False),
            labels=tuple((label.kind, label.to_at) for label in labels if _told(label, one) and _holds(label, began)),
            faults=tuple(
                Stretch(fault.kind, fault.started_at, fault.ended_at)
                for _, fault in sorted(self._faults[one.sensor_id].items())
                if fault.started_at <= began and (fault.ended_at is None or fault.ended_at > began - DAY)
            ),
            neighbour_at=self._neighbour_at(one),
        )

    def _neighbour_at(self, one: Sighting) -> int | None:
        found = []
        for sensor, rows in self._by_sensor.items():
            if sensor == one.sensor_id:
                continue
            for other in rows[bisect_left(rows, one.started_at - HOUR, key=_began) :]:
                if one.ended_at is not None and other.started_at > one.ended_at:
                    break
                if not self._is_excused(other):
                    found.append(other.started_at)
                    break
        return min(found, default=None)

    def _is_excused(self, other: Sighting) -> bool:
        """Somebody had said that it is no fault."""
        at = other.started_at
        mine = (label for label in self._labels if label.made_at <= at and _told(label, other))
        return any(label.kind != triage.FAULT and _holds(label, at) for label in mine)


def _told(label: Window, one: Sighting) -> bool:
    """The label is of the anomaly's sensor, or of its machine."""
    return label.sensor_id in (None, one.sensor_id)


def _holds(label: Window, at: int) -> bool:
    return label.from_at <= at <= label.to_at


def _is_real(earlier: Sighting, labels: Sequence[Window], at: int) -> bool | None:
    """What people had said of an earlier anomaly; None = nothing."""
    kinds = {
        label.kind
        for label in labels
        if _told(label, earlier) and label.from_at <= earlier.last_at and label.to_at >= earlier.started_at
        and label.to_at >= at - YEAR and label.kind in (triage.FAULT, triage.FALSE_ALARM)
    }  # fmt: skip
    return triage.FAULT in kinds if kinds else None
