"""A question to a model is an errand: a worker answers it, and whoever asked waits for the row.

What answers is loaded when the first question is answered: it takes memory of every process that has it.
"""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.utils import timezone

from agents import errand
from agents.errand import Errand, Finish, Tell
from mlops.models import Question

KEPT = timedelta(days=1)
LONGEST_SECONDS = settings.LEASE_SECONDS // 2


def perform(question_id: int) -> str:
    """One attempt (``errand.perform``)."""
    return errand.perform(_errand(), question_id)


def warm_up() -> None:
    """Load what answers and explains, so that no question waits for it; models are opened when they are asked."""
    for module in ("mlops.answering", "mlops.explain"):
        import_module(module)


def forget_old() -> int:
    """How many questions were dropped because nobody asks for their answers any more."""
    return Question.objects.filter(created_at__lt=timezone.now() - KEPT).delete()[0]


def _errand() -> Errand:
    answering, loader = import_module("mlops.answering"), import_module("mlops.loader")
    refusals = (answering.CannotAnswer, import_module("mlops.drift_checks").CannotCheck, loader.Silent)
    return Errand("question", Question, _work, LONGEST_SECONDS, "ask about fewer rows.", refusals=refusals)


def _work(row: Question, tell: Tell) -> Finish:
    found = import_module("mlops.answering").answer(row)
    return lambda: {"answer": found}
