"""Hyper-parameters by a search within a time, on a later part of what is learned from. Pure but for the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna

from mlops.learning.contract import Recipe, Settings
from mlops.learning.examples import Examples

Tell = Callable[[str, float], None]
"""Told what is done now, and which share of the whole is done."""


@dataclass(frozen=True, slots=True)
class Searched:
    """``settings``: the best; ``trials``: how many were tried; ``best``: their figure on the inner held-out part."""

    settings: Settings
    trials: int
    best: float


def search(recipe: Recipe, learn: Examples, *, seconds: float, seed: int, tell: Tell) -> Searched:
    """The defaults are tried first, so that what is found is at least as good on the inner part."""
    if seconds <= 0:
        return Searched(recipe.defaults, 0, float("nan"))
    inner, later = recipe.split(learn)
    started = time.monotonic()
    tried: list[tuple[float, Settings]] = []

    def figure(settings: Settings) -> float:
        answers = recipe.fit(inner, settings, seed=seed).answer(later)
        found = recipe.measure(answers, later)[recipe.target.name]
        lost = np.inf if recipe.target.lower_is_better else -np.inf
        found = found if np.isfinite(found) else lost
        tried.append((found, settings))
        tell(f"trial {len(tried)}", min(1.0, (time.monotonic() - started) / seconds))
        return found

    figure(recipe.defaults)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="minimize" if recipe.target.lower_is_better else "maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
    )
    left = seconds - (time.monotonic() - started)
    if left > 0:
        study.optimize(lambda trial: figure(recipe.settings(trial)), timeout=left)
    best = (min if recipe.target.lower_is_better else max)(tried, key=lambda one: one[0])
    return Searched(best[1], len(tried), best[0])
