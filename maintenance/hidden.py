"""Which alarms are hidden and why, and the state that follows: the reads of Suppression (see ``suppressions``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Case, CharField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from maintenance import alarm_life
from maintenance.alarm_life import HIDDEN, State
from maintenance.alarm_life import Suppression as Kind
from maintenance.models import Alarm, Suppression
from maintenance.stretches import Stretch
from sensors.columns import from_instant

Standing = Mapping[tuple[int, str], Kind]
"""By machine and failure mode (empty: all of it), the strongest that stands."""
Stretches = Mapping[tuple[int, str], list[Stretch]]
TIMES = ("from_at", "over_at", "ended_at")


def standing(machine_ids: Iterable[int], *, beside: int = 0) -> Standing:
    """What hides alarms of these machines, ``beside`` one suppression where its id is given. Reliable only while the
    machines are locked. One query."""
    rows = Suppression.objects.filter(machine_id__in=list(machine_ids), ended_at=None).exclude(pk=beside).order_by()
    found: dict[tuple[int, str], Kind] = {}
    for machine_id, mode, kind in rows.values_list("machine_id", "failure_mode", "kind"):
        found[machine_id, mode] = _stronger(Kind(kind), found.get((machine_id, mode), Kind.NONE))
    return found


def for_decide(machine_ids: Iterable[int], *, since: datetime | None) -> tuple[Standing, Stretches]:
    """What hides alarms of these machines, which are locked: what stands whatever happens, and the stretches in which
    their state or the alarm of a parent does. ``since``: of these also those that ended later, None where none is asked
    for. One query."""
    wanted = Q(ended_at=None)
    if since is not None:
        wanted |= Q(Q(operating__isnull=False) | Q(parent_rule__isnull=False), ended_at__gt=since)
    rows = Suppression.objects.filter(wanted, machine_id__in=list(machine_ids)).order_by("id")
    found: dict[tuple[int, str], Kind] = {}
    by_state: dict[tuple[int, str], list[Stretch]] = defaultdict(list)
    for row in rows.only("machine_id", "failure_mode", "kind", "operating_id", "parent_rule_id", *TIMES):
        group = row.machine_id, row.failure_mode
        if row.operating_id is None and row.parent_rule_id is None:
            found[group] = _stronger(Kind(row.kind), found.get(group, Kind.NONE))
        else:
            end = row.ended_at or row.over_at
            until = None if end is None else from_instant(end)
            by_state[group].append(Stretch(row.pk, from_instant(row.from_at), until, row.ended_at is not None))
    return found, by_state


def of(found: Standing, machine_id: int, failure_mode: str) -> Kind:
    """Why alarms of a machine and failure mode are hidden, if they are."""
    return _stronger(found.get((machine_id, failure_mode), Kind.NONE), found.get((machine_id, ""), Kind.NONE))


def _stronger(one: Kind, other: Kind) -> Kind:
    return min(one, other, key=alarm_life.STRENGTH.index)


def with_state(rows: QuerySet[Alarm]) -> QuerySet[Alarm]:
    """The alarms, each with its ``suppression`` (empty: not hidden) and its ``state`` by its ISA-18.2 name."""
    mine = Suppression.objects.filter(
        Q(failure_mode="") | Q(failure_mode=OuterRef("failure_mode")), machine=OuterRef("machine_id"), ended_at=None
    )
    strength = Case(*(When(kind=kind, then=Value(rank)) for rank, kind in enumerate(alarm_life.STRENGTH)))
    strongest = Subquery(mine.order_by(strength).values("kind")[:1])
    return rows.annotate(
        suppression=Case(
            When(is_open=True, then=Coalesce(strongest, Value(""))), default=Value(""), output_field=CharField()
        ),
        state=Case(
            When(is_open=False, then=Value(State.NORMAL.value)),
            *(When(suppression=kind.value, then=Value(state.value)) for kind, state in HIDDEN.items()),
            When(is_active=False, then=Value(State.RTNUN.value)),
            When(is_acknowledged=True, then=Value(State.ACKED.value)),
            default=Value(State.UNACK.value),
            output_field=CharField(),
        ),
    )


def in_state(rows: QuerySet[Any], state: str) -> QuerySet[Any]:
    """Of the alarms ``with_state`` those in a state; only open ones are looked at for what can only be an open one."""
    return rows.filter(is_open=state != State.NORMAL.value, state=state)


def not_as_usual(
    machine_ids: Iterable[int], *, first: datetime, last: datetime
) -> list[tuple[int, datetime, datetime | None]]:
    """When these machines were worked on, or suppressed by design, between two instants: machine, begin, and end (None:
    not known yet)."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT machine_id, from_at, coalesce(over_at, ended_at, until) FROM {Suppression._meta.db_table}"
            " WHERE machine_id = ANY(%s) AND kind = ANY(%s) AND from_at <= %s AND (ended_at IS NULL OR ended_at >= %s)"
            " ORDER BY id",
            [list(machine_ids), [Kind.OUT_OF_SERVICE, Kind.BY_DESIGN], last, first],
        )
        return list(cursor.fetchall())
