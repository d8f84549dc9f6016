"""One training: read, part, check for leaks, search, learn, measure beside the baselines. Pure but for the clock."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops.drift import performance
from mlops.drift.reference import Reference, TooLittle
from mlops.learning import evaluation, frozen, leaks
from mlops.learning.contract import Answers, Learned, Recipe, Settings, Signature
from mlops.learning.evaluation import Comparison, Interval
from mlops.learning.examples import Examples
from mlops.learning.search import Tell, search

SEED = 1


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training. ``figures``: on what was held out; ``baselines``: theirs by name; ``beside``: compared
    with each of them, and with ``others`` (the champion); ``objections``: why it may not speak, empty: it may.
    ``reference``: what was usual of what it learned from, None where too little is known: ``no_reference`` says why.
    ``answers``: to what was held out; ``usual``: see ``performance.usual_losses``."""

    learned: Learned
    settings: Settings
    fingerprint: str
    learn: int
    held: Examples
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
    learn, held = recipe.split(examples)
    leaks.check(learn, held, recipe.signature, admitted=recipe.admitted)
    trials = 0
    if settings is None:
        budget = recipe.seconds if seconds is None else min(seconds, recipe.seconds)
        found = search(recipe, learn, seconds=budget, seed=seed, tell=lambda what, share: tell(what, 0.1 + 0.6 * share))
        settings, trials = found.settings, found.trials
    tell("learning", 0.7)
    learned = recipe.fit(learn, settings, seed=seed)
    reference, no_reference = _frozen(learn, recipe.signature)
    tell("measuring", 0.9)
    rivals = {name: one.answer(held) for name, one in {**recipe.baselines(learn), **others}.items()}
    answers = learned.answer(held)
    judged = evaluation.judge(recipe, answers, rivals, held, seed=seed)
    return Trained(
        learned, settings, examples.fingerprint(), len(learn), held, trials, time.monotonic() - started,
        figures=judged.figures, baselines=judged.others, beside=judged.beside,
        objections=(
            *evaluation.too_few(recipe.target, held),
            *(why for one in judged.beside for why in evaluation.objections(recipe.target, recipe.guards, one)),
        ),
        reference=reference, no_reference=no_reference,
        answers=answers, usual=tuple(performance.usual_losses(answers, held, recipe.blocks(held))),
    )  # fmt: skip


def _frozen(learn: Examples, signature: Signature) -> tuple[Reference | None, str]:
    try:
        return frozen.reference_of(learn, signature), ""
    except TooLittle as error:
        return None, str(error)
