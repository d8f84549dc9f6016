"""The detectors that judge all readings, by name. To add one: a file with a ``contract.Detector``, a name here."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

from mlops.detectors.adaptive import Adaptive
from mlops.detectors.contract import Detector
from mlops.detectors.limits import Limits
from mlops.detectors.rate import Rate
from mlops.detectors.relation import Relation
from mlops.detectors.zones import Zones

KINDS: tuple[Callable[..., Detector], ...] = (Limits, Rate, Zones, Adaptive, Relation)


def default(*, false_alarms_per_week: float | None = None) -> dict[str, Detector]:
    """With their defaults; another number of false alarms a week (see there, of what) goes to those that take one."""
    budget = {} if false_alarms_per_week is None else {"false_alarms_per_week": false_alarms_per_week}
    made = [kind(**{n: v for n, v in budget.items() if n in signature(kind).parameters}) for kind in KINDS]
    return {detector.name: detector for detector in made}


DETECTORS: dict[str, Detector] = default()
