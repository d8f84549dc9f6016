"""One training: read, part, check for leaks, search, learn, measure beside the baselines. Pure but for the clock."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlops.drift import performance
from mlops.drift.reference import Reference, TooLittle
from mlops.learning import evaluation, frozen, leaks
from mlops.learning import examples as asking
from mlops.learning.contract import Answers, InTurn, Learned, Recipe, Settings, Signature
from mlops.learning.evaluation import Comparison, Interval
from mlops.learning.examples import Examples
from mlops.learning.search import Searched, Tell, search

SEED = 1


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training. ``turns``: in how many the held out were judged, each by a model of its own that was
    taught the others; 1 = by the model itself. ``figures``: on what was held out; ``baselines``: theirs by name;
    ``beside``: compared with each of them, and with ``others`` (the champion); ``objections``: why it may not speak,
    empty: it may. ``reference``: what was usual of what it learned from, None where too little is known:
    ``no_reference`` says why. ``answers``: to what was held out; ``usual``: see ``performance.usual_losses``."""

    learned: Learned
    settings: Settings
    fingerprint: str
    learn: int
    held: Examples
    turns: int
    trials: int
    seconds: float
    figures: Mapping[str, Interval]
    baselines: Mapping[str, Mapping[str, Interval]]
    beside: tuple[Comparison, ...]
    objections: tuple[str, ...]
    reference: Reference | None
    no_reference: str
    answers: Answers
    usual: tuple[float, ...]


def train(
    recipe: Recipe, folder: Path, *, others: Mapping[str, Learned], tell: Tell,
    seconds: float | None = None, settings: Settings | None = None, seed: int = SEED,
) -> Trained:  # fmt: skip
    """``others``: what it is compared with beside its baselines, by name; ``settings``: given, nothing is searched;
    ``seconds``: for the search at most, which may be less than the recipe would take.

    Raises ``NotAtHand``, ``Leak``.
    """
    started = time.monotonic()
    tell("reading", 0.0)
    examples = recipe.load(folder)
    turns = recipe.turns(examples) if isinstance(recipe, InTurn) else [recipe.split(examples)]
    for learn, held in turns:
        leaks.check(learn, held, recipe.signature, admitted=recipe.admitted)
    lessons = [learn for learn, _ in turns] + ([examples] if isinstance(recipe, InTurn) else [])
    budget = (recipe.seconds if seconds is None else min(seconds, recipe.seconds)) / len(lessons)
    taught = []
    for number, lesson in enumerate(lessons):
        known = _part(tell, number, len(lessons))
        found = _settings(recipe, lesson, settings, seconds=budget, seed=seed, tell=known)
        known("learning", 1.0)
        taught.append((recipe.fit(lesson, found.settings, seed=seed), found))
    learned, found = taught[-1]
    reference, no_reference = _frozen(lessons[-1], recipe.signature)
    tell("measuring", 0.9)
    told = [
        _answers(held, {evaluation.OURS: one, **recipe.baselines(learn), **others})
        for (learn, held), (one, _) in zip(turns, taught, strict=False)
    ]
    held, rivals = asking.together([held for _, held in turns]), _together(told)
    answers = rivals.pop(evaluation.OURS)
    judged = evaluation.judge(recipe, answers, rivals, held, seed=seed)
    return Trained(
        learned, found.settings, examples.fingerprint(), len(lessons[-1]), held, len(turns), found.trials,
        time.monotonic() - started, figures=judged.figures, baselines=judged.others, beside=judged.beside,
        objections=(
            *evaluation.too_few(recipe.target, held),
            *(why for one in judged.beside for why in evaluation.objections(recipe.target, recipe.guards, one)),
        ),
        reference=reference, no_reference=no_reference,
        answers=answers, usual=tuple(performance.usual_losses(answers, held, recipe.blocks(held))),
    )  # fmt: skip


def _part(tell: Tell, number: int, of: int) -> Tell:
    return lambda what, share: tell(what, 0.1 + 0.6 * (number + share) / of)


def _settings(
    recipe: Recipe, lesson: Examples, given: Settings | None, *, seconds: float, seed: int, tell: Tell
) -> Searched:
    if given is not None:
        return Searched(given, 0, float("nan"))
    return search(recipe, lesson, seconds=seconds, seed=seed, tell=tell)


def _answers(held: Examples, speakers: Mapping[str, Learned]) -> dict[str, Answers]:
    return {name: one.answer(held) for name, one in speakers.items()}


def _together(told: list[dict[str, Answers]]) -> dict[str, Answers]:
    """Of each who answers all answers, one turn after the other."""
    return {
        name: {output: np.concatenate([one[name][output] for one in told]) for output in answers}
        for name, answers in told[0].items()
    }


def _frozen(learn: Examples, signature: Signature) -> tuple[Reference | None, str]:
    try:
        return frozen.reference_of(learn, signature), ""
    except TooLittle as error:
        return None, str(error)
