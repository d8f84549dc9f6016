from __future__ import annotations

from datetime import timedelta

import pytest

from agents import timetable
from config.celery import app


@pytest.mark.parametrize("job", timetable.PERIODS)
def test_a_period_has_several_ticks_so_that_a_failure_is_tried_again_within_it(job: str) -> None:
    tick: timedelta = app.conf.beat_schedule[job]["schedule"]
    assert tick == timetable.tick(job)
    assert timedelta(seconds=1) <= tick <= min(timetable.PERIODS[job] / 2, timetable.LONGEST_TICK)


def test_beat_ticks_for_the_jobs_of_the_timetable_and_nothing_else() -> None:
    assert set(app.conf.beat_schedule) == set(timetable.PERIODS)
