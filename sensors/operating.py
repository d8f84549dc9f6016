"""Which sensors show whether their machine runs, and from where on: the reads of OperatingRule for the flow.

A rule for the machine outranks one for its class. A class's rule names a kind of sensor: it holds where the machine has
exactly one of it, since of two nobody knows which is meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import JSONObject, Trim, Upper

from sensors.columns import Float64
from sensors.operating_models import OperatingRule

FIRST = F("machine").asc(nulls_last=True)
Rule = dict[str, Any]


def rule_of() -> Subquery:
    """Of each row of sensors, what the rule of its machine says, None where it has none."""
    own_class = Upper(Trim(OuterRef("machine__equipment_class")))
    of_class = Q(machine=None, site=OuterRef("site_id"), equipment_class=own_class)
    rules = OperatingRule.objects.filter(Q(machine=OuterRef("machine_id")) | of_class).order_by(FIRST)
    said = JSONObject(sensor="sensor_id", kind="sensor_kind", off_below="off_below", running_above="running_above")
    return Subquery(rules.values(said=said)[:1])


def bounds(
    ids: Sequence[int], machines: Sequence[int], kinds: Sequence[str], rules: Sequence[Rule | None]
) -> tuple[Float64, Float64]:
    """Below which value of each sensor its machine is off, and from which on it runs; NaN where it does not show that.

    Of whole machines: all their sensors are among the rows.
    """
    if not any(rules):
        nothing = np.full(len(ids), np.nan)
        return nothing, nothing.copy()
    of_kind = Counter(zip(machines, kinds, strict=True))
    shown = [
        rule if rule and _shows(rule, sensor, kind, alone=of_kind[machine, kind] == 1) else {}
        for sensor, machine, kind, rule in zip(ids, machines, kinds, rules, strict=True)
    ]
    off, running = (
        np.array([rule.get(name, np.nan) for rule in shown], np.float64) for name in ("off_below", "running_above")
    )
    return off, running


def _shows(rule: Rule, sensor: int, kind: str, *, alone: bool) -> bool:
    return bool(rule["sensor"] == sensor or (rule["kind"] == kind and alone))
