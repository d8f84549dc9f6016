"""The learned state of machines, loaded and saved for many at once. The only writer of ``MachineState``.

It goes and comes in the binary format of COPY: as a literal in a statement it costs more.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Literal

import numpy as np
import structlog
from django.db import connection, transaction

from mlops import state as states
from mlops.models import MachineState
from mlops.state import Fields, State
from sensors import pgcopy, pieces

log = structlog.get_logger(__name__)

Part = Literal["memory", "learned"]


def load(machine_ids: Iterable[int], *, part: Part, added: Fields | None = None) -> tuple[State, dict[int, int]]:
    """One state over the sensors of all given machines, and the last run each machine has seen.

    A machine without a row starts cold, and so does one whose state another version of this code wrote; but one that
    only lacks arrays of ``added`` gets them, as they start.
    """
    packed: dict[int, bytes] = {}
    seen: dict[int, int] = {}

    def take(machine: int, data: bytes) -> None:
        seen[machine] = pgcopy.WORD.unpack_from(data)[0]
        if len(data) > pgcopy.WORD.size:
            packed[machine] = data[pgcopy.WORD.size :]

    reader = pgcopy.Reader(ROW, instants=(), loose=_nothing_loose, packed=take)
    pieces.copy(READ.format(part=part), [list(machine_ids)], reader)
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
    if not len(machines):
        return
    packed = states.pack_apart(state, groups)
    call = next(_calls)
    rows = [pgcopy.row(call, int(machine), run_id, data=data) for machine, data in zip(machines, packed, strict=True)]
    # Without a transaction what is staged would be gone before it is kept.
    with transaction.atomic(savepoint=False), connection.wrap_database_errors, connection.cursor() as cursor:
        cursor.execute(MAKE_STAGE)
        cursor.copy_expert(COPY_STAGE, io.BytesIO(b"".join([pgcopy.HEADER, *rows, pgcopy.TRAILER])))
        cursor.execute(KEEP.format(part=part, others=OTHER[part]), [call])


TABLE, STAGE = MachineState._meta.db_table, "mlops_staged_state"
ROW = np.dtype([("machine_id", "i8"), ("nothing", "i8")])
READ = f"SELECT machine_id, NULL::bigint, int8send({{part}}_run_id) || {{part}} FROM {TABLE} WHERE machine_id = ANY(%s)"
MAKE_STAGE = f"""CREATE TEMPORARY TABLE IF NOT EXISTS {STAGE} (
    call bigint, machine_id bigint, run_id bigint, data bytea STORAGE EXTERNAL
) ON COMMIT DELETE ROWS"""
COPY_STAGE = f"COPY {STAGE} (call, machine_id, run_id, data) FROM STDIN WITH (FORMAT binary)"
KEEP = f"""
INSERT INTO {TABLE} AS old (machine_id, {{part}}, {{part}}_run_id, {{others}})
SELECT machine_id, data, run_id, '', 0 FROM {STAGE} WHERE call = %s ORDER BY machine_id
ON CONFLICT (machine_id) DO UPDATE SET
    {{part}} = excluded.{{part}}, {{part}}_run_id = greatest(old.{{part}}_run_id, excluded.{{part}}_run_id),
    updated_at = now()
"""
_calls = count(1)
"""What is staged is told apart by it: it stays until the transaction ends, since to delete it would cost more."""
OTHER = {"memory": "learned, learned_run_id", "learned": "memory, memory_run_id"}


def _nothing_loose(table: pgcopy.Table) -> None:
    raise AssertionError("every row has bytes")
