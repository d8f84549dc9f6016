"""The learned state of machines, loaded and saved for many at once. The only writer of ``MachineState``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import structlog
from django.db import connection
from psycopg2.extras import execute_values

from mlops import state as states
from mlops.models import MachineState
from mlops.state import Fields, State

log = structlog.get_logger(__name__)

Part = Literal["memory", "learned"]


def load(machine_ids: Iterable[int], *, part: Part, added: Fields | None = None) -> tuple[State, dict[int, int]]:
    """One state over the sensors of all given machines, and the last run each machine has seen.

    A machine without a row starts cold, and so does one whose state another version of this code wrote; but one that
    only lacks arrays of ``added`` gets them, as they start.
    """
    rows = MachineState.objects.filter(machine_id__in=list(machine_ids)).values_list(
        "machine_id", part, f"{part}_run_id"
    )
    packed: dict[int, bytes] = {}
    seen: dict[int, int] = {}
    for machine, data, run_id in rows.order_by("machine_id"):
        seen[machine] = run_id
        if data:
            packed[machine] = bytes(data)
    try:
        found = states.unpack_together(list(packed.values()))
    except states.NotState:
        found = _readable(packed, part)
    return together([states.completed(one, added or {}) for one in found]), seen


def _readable(packed: Mapping[int, bytes], part: Part) -> list[State]:
    """One state for each machine, but for those that cannot be read."""
    found = []
    for machine, data in packed.items():
        try:
            found.append(states.unpack(data))
        except states.NotState as error:
            log.error("mlops.machine-states.unreadable", machine_id=machine, part=part, error=str(error))
    return found


def together(found: Sequence[State]) -> State:
    """States of different sensors as one, sorted by sensor, with the arrays that all have in the same shape: what
    another version of the code has left out, or learned otherwise, starts cold for all of them."""
    if not found:
        return State(np.empty(0, np.int64), {})
    forms = [{(name, array.dtype, array.shape[1:]) for name, array in one.arrays.items()} for one in found]
    names = sorted(name for name, *_ in set.intersection(*forms))
    ids = np.concatenate([one.sensor for one in found])
    order = np.argsort(ids, kind="stable")
    return State(ids[order], {name: np.concatenate([one.arrays[name] for one in found])[order] for name in names})


def save(state: State, *, machine_of: Mapping[int, int], part: Part, run_id: int) -> None:
    """Write the state back, a row for each machine, in one statement of the caller's transaction.

    ``machine_of``: machine of every sensor in the state that is to be saved; sensors not in it are left as they are.
    """
    known = np.array([machine_of.get(sensor, 0) for sensor in state.sensor.tolist()], np.int64)
    machines, order = np.unique(known[known > 0]), np.argsort(known, kind="stable")
    groups = np.split(order, np.searchsorted(known[order], machines))[1:]
    packed = states.pack_apart(state, groups)
    rows = [(int(machine), data, run_id) for machine, data in zip(machines, packed, strict=True)]
    if not rows:
        return
    with connection.wrap_database_errors, connection.cursor() as cursor:
        execute_values(
            cursor.cursor,
            f"INSERT INTO {MachineState._meta.db_table} AS old (machine_id, {part}, {part}_run_id, {OTHER[part]})"
            f" VALUES %s ON CONFLICT (machine_id) DO UPDATE SET {part} = excluded.{part},"
            f" {part}_run_id = greatest(old.{part}_run_id, excluded.{part}_run_id), updated_at = now()",
            rows,
            template="(%s, %s, %s, '', 0)",
        )


OTHER = {"memory": "learned, learned_run_id", "learned": "memory, memory_run_id"}
