"""Backtests that are asked for, kept, and asked for again. Light: pages and REST import it, the work is elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models.functions import Now

from agents import errand
from agents.backtests import proposal
from agents.backtests.history import Asked, Target
from agents.backtests.proposal import Proposal
from agents.models import Backtest
from sensors.columns import to_instant

MOST_WAITING = 20
"""Of a site, that are not finished."""
LONGEST = timedelta(days=3_660)
MOST_LOOK_BACK_DAYS = 3_660


class Refused(Exception):
    """It cannot be asked for; the message says why. ``field``: of which of its own, empty where of none."""

    def __init__(self, text: str, *, field: str = "") -> None:
        super().__init__(text)
        self.field = field


def ask(
    target: Target,
    *,
    from_at: datetime,
    to_at: datetime,
    look_back_days: float,
    proposed: Mapping[str, object],
    actor: User,
) -> Backtest:
    """The backtest that will be done. Raises ``Refused``, and ``proposal.BadProposal``."""
    check_period(from_at, to_at, look_back_days)
    read = proposal.read(proposed, present=target.limits)
    waiting = Backtest.objects.filter(site=target.site, status__in=Backtest.UNFINISHED).count()
    if waiting >= MOST_WAITING:
        raise Refused(f"{waiting} backtests of this site are not done yet: wait for these.")
    return Backtest.objects.create(**_asked(target, read), from_at=from_at, to_at=to_at,
                                   look_back_days=look_back_days, asked_by=actor)  # fmt: skip


def check_period(from_at: datetime, to_at: datetime, look_back_days: float) -> None:
    """Raises ``Refused``."""
    if to_at <= from_at:
        raise Refused("The period is empty: it must end after it begins.", field="to_at")
    if from_at.year < 1971:
        raise Refused("The period begins before 1971.", field="from_at")
    if to_at - from_at > LONGEST:
        raise Refused(f"The period is longer than {LONGEST.days} days.", field="to_at")
    if not (math.isfinite(look_back_days) and 0 <= look_back_days <= MOST_LOOK_BACK_DAYS):
        raise Refused(f"It must be 0 to {MOST_LOOK_BACK_DAYS} days.", field="look_back_days")


def _asked(target: Target, proposed: Proposal) -> dict[str, Any]:
    return {
        "site": target.site,
        "machine": target.machine,
        "sensor": target.sensor,
        "proposed": proposed.as_json(),
    }


def keep(asked: Asked, *, look_back_days: float, result: dict[str, Any]) -> Backtest:
    """A backtest that is done already, as a command does it."""
    return Backtest.objects.create(
        **_asked(asked.target, asked.proposal),
        from_at=to_instant(asked.period.start),
        to_at=to_instant(asked.period.end),
        look_back_days=look_back_days,
        status=Backtest.Status.DONE,
        result=result,
        finished_at=Now(),
    )


def again(backtest_id: int) -> None:
    """A failed one is to be tried again. Raises ``Refused``."""
    if not errand.again(Backtest, backtest_id, slices_done=0):
        raise Refused("Only a backtest that has failed can be run again.")


def target_of(row: Backtest) -> Target:
    return Target(row.site, row.machine, row.sensor)
