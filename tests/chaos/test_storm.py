"""The storm in short: one seed, some faults of each sort, and all invariants. ``make chaos`` is the long form."""

from __future__ import annotations

import pytest

from tests.bench import results
from tests.chaos.faults import FAULTS
from tests.chaos.storm import Plan, run_in_a_folder_of_its_own

SHORT = (
    "worker killed", "pool process killed", "Redis emptied", "Redis killed", "bells rung twice", "Postgres crashed",
    "Postgres stalled and cut off", "Postgres cut in an answer", "sinks cut off",
)  # fmt: skip


@pytest.mark.timeout(400)
def test_nothing_is_lost_or_doubled_in_a_short_storm() -> None:
    faults = tuple(fault for fault in FAULTS if fault.name in SHORT)
    assert len(faults) == len(SHORT)
    outcome = run_in_a_folder_of_its_own(Plan(seed=1, seconds=20, quiet=3, rate=10, lease=6, faults=faults))
    results.show(outcome.rows)
    assert outcome.violations == []
