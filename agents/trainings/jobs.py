"""A training that was asked for is an errand: done by a worker, tried again, given up.

What teaches is loaded when the first training is done: it takes memory of every process that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from agents import errand
from agents.errand import Errand, Finish, Tell
from agents.trainings import labelled, requests
from mlops import ledger
from mlops.models import Training

Watch = Callable[[str, float], None]
LONGEST_SECONDS = settings.TRAINING_SECONDS


def perform(training_id: int, *, folder: Path = settings.ML_DATA_DIR, watch: Watch | None = None) -> str:
    """One attempt (``errand.perform``). ``folder``: where the data sets are; ``watch``: is told each step as well."""
    return errand.perform(_errand(folder, watch), training_id)


def look_round() -> list[int]:
    """Ask for the trainings whose time has come, or that new labels ask for; ids of them."""
    now = timezone.now()
    wanted: dict[str, dict[str, Any]] = dict(labelled.due(now=now)) | {name: {} for name in requests.due(now=now)}
    return [requests.ask(name, cause=Training.Cause.SCHEDULE, options=options).pk for name, options in wanted.items()]


def mirror() -> None:
    """MLflow's aliases follow the ledger; it is loaded only where there is something to tell."""
    if ledger.not_mirrored().exists():
        import_module("mlops.mirror").follow()


def _errand(folder: Path, watch: Watch | None) -> Errand:
    def work(row: Training, tell: Tell) -> Finish:
        return _work(row, folder, tell, watch)

    contract, leaks = import_module("mlops.learning.contract"), import_module("mlops.learning.leaks")
    registry, loader = import_module("mlops.registry"), import_module("mlops.loader")
    return Errand(
        "training", Training, work, LONGEST_SECONDS, "give its search less time.",
        refusals=(contract.NotAtHand, leaks.Leak, registry.Refused, loader.Silent), passing=(registry.Unreachable,),
        fresh={"step": "", "done_share": 0.0},
    )  # fmt: skip


def _work(row: Training, folder: Path, tell: Tell, watch: Watch | None) -> Finish:
    def told(step: str, share: float) -> None:
        tell({"step": step[:100], "done_share": share})
        if watch is not None:
            watch(step, share)

    settle = import_module("mlops.training").teach(row, folder=folder, tell=told)

    def finish() -> dict[str, Any]:
        settle()
        return {"step": "", "done_share": 1.0}

    return finish
