"""A backtest that was asked for is an errand: done by a worker, tried again, given up."""

from __future__ import annotations

from agents import errand
from agents.backtests import proposal, requests, work
from agents.backtests.figures import Period
from agents.backtests.history import Asked
from agents.errand import ATTEMPTS, Errand, Finish, Tell
from agents.models import Backtest
from sensors.columns import DAY_US, from_instant

__all__ = ["ATTEMPTS", "LONGEST_SECONDS", "perform"]

LONGEST_SECONDS = 7_200


def perform(backtest_id: int) -> str:
    """One attempt (``errand.perform``)."""
    return errand.perform(ERRAND, backtest_id)


def _work(row: Backtest, tell: Tell) -> Finish:
    target = requests.target_of(row)
    asked = Asked(
        target,
        Period(from_instant(row.from_at), from_instant(row.to_at)),
        round(row.look_back_days * DAY_US),
        proposal.read(row.proposed, present=target.limits),
    )
    result = work.run(asked, tell=lambda done, total: tell({"slices_done": done, "slices": total}))
    return lambda: {"result": result}


ERRAND = Errand(
    "backtest", Backtest, _work, LONGEST_SECONDS, "ask for a shorter period, or fewer sensors.",
    refusals=(work.NoReadings, proposal.BadProposal, requests.Refused), fresh={"slices": 0, "slices_done": 0},
)  # fmt: skip
