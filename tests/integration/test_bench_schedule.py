"""The benchmark of the schedule in small: that it runs, and that it counts what is booked twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.schedule import greedy
from agents.schedule.problem import Instance, Visits
from tests.bench import schedule


def test_the_solver_is_not_behind_greedy_and_nothing_is_booked_twice() -> None:
    found = {one["name"]: one for one in schedule.bench({20: 1.0})}
    assert [one["ok"] for name, one in found.items() if name.endswith("violations")] == [True] * 3
    points = [one["value"] for name, one in found.items() if not name.endswith("violations")]
    assert points[0] <= points[1] <= points[2]


def test_who_is_booked_twice_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    make = greedy.whoever_is_free

    def twice(instance: Instance) -> Visits:
        visits = make(instance)
        one, other = sorted(visits)[:2]
        return {**visits, other: replace(visits[one], order=other)}

    monkeypatch.setattr(greedy, "whoever_is_free", twice)
    found = [one for one in schedule.bench({20: 1.0}) if one["name"].endswith("whoever is free: violations")]
    assert [one["ok"] for one in found] == [False]


def test_a_cost_of_moves_keeps_people_where_they_were() -> None:
    dear, free = (one["value"] for one in schedule.moves(20, 1.0))
    assert dear <= free
