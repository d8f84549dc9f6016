"""The shipped detector on the Numenta Anomaly Benchmark: ``make bench-nab``.

All of it on the series at hand (29 of 58), one threshold for all of them, found on them as NAB does it. How far that
flatters is told by leaving out one group of files at a time and judging it at the threshold of the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tests.bench import judging, nab_scoring, results, rivals
from tests.bench.nab_scoring import PROFILES, Corpus, Float64, Outcome, Series
from tests.bench.results import row

FOLDER = results.DATA / "nab"
SHIPPED = "Bellwether"
GOALS = {"standard": 74.0, "reward_low_FP_rate": 69.0, "reward_low_FN_rate": 79.0}
SHORT = {"standard": "standard", "reward_low_FP_rate": "low FP", "reward_low_FN_rate": "low FN"}
SEED, SEEDS = 1, 10
WINDOW = 288
"""Rows the trivial baselines look back: a day of the series that have one reading in five minutes."""

Scores = Mapping[str, Float64]
Outcomes = Mapping[str, Outcome]
FIXED = {"everything": 1.0, "3 sigma": 3.0}
"""Baselines whose threshold is given, by name; of the others it is the best one."""


def shipped(corpus: Corpus) -> dict[str, dict[str, Float64]]:
    """Of each row what the shipped detector has to say that is new; and the score of each event's first row alone."""
    series = list(corpus.values())
    judged = judging.judge([judging.Series(k + 1, instants(one), one.value) for k, one in enumerate(series)])
    rows, onsets = {}, {}
    for one, found in zip(series, judged, strict=True):
        rows[one.name] = found.news
        at = np.searchsorted(instants(one), [event.started_at for event in found.events])
        onsets[one.name] = np.zeros(len(one.value))
        onsets[one.name][at] = found.score[at]
    return {SHIPPED: rows, f"{SHIPPED}, onsets only": onsets}


def instants(series: Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return series.at.astype("datetime64[us]").astype(np.int64)


def published(corpus: Corpus) -> dict[str, dict[str, Float64]]:
    folders = sorted((FOLDER / "published").iterdir())
    return {folder.name: nab_scoring.scores_of(folder, corpus) for folder in folders}


def of_libraries(corpus: Corpus) -> dict[str, dict[str, Float64]]:
    return {
        name: {series.name: judge(series.value, series.probation) for series in corpus.values()}
        for name, judge in rivals.RIVALS.items()
    }


def trivial(corpus: Corpus) -> dict[str, dict[str, Float64]]:
    sigmas = each(corpus, lambda one: judging.trailing_sigmas(one.value, WINDOW))
    return {
        "nothing": each(corpus, lambda one: np.full(len(one.value), np.nan)),
        "everything": each(corpus, lambda one: np.ones(len(one.value))),
        "random": random(corpus, SEED),
        "3 sigma": sigmas,
        "sigmas": sigmas,
        "persistence": each(corpus, lambda one: judging.trailing_steps(one.value, WINDOW)),
    }


def each(corpus: Corpus, judge: Callable[[Series], Float64]) -> dict[str, Float64]:
    return {name: judge(series) for name, series in corpus.items()}


def random(corpus: Corpus, seed: int) -> dict[str, Float64]:
    dice = np.random.default_rng(seed)
    return each(corpus, lambda one: dice.random(len(one.value)))


def outcomes(name: str, corpus: Corpus, scores: Scores) -> dict[str, Outcome]:
    if name in FIXED:
        return nab_scoring.score_at(corpus, scores, {p.name: FIXED[name] for p in PROFILES})
    return nab_scoring.score(corpus, scores)


def thresholds(found: Outcomes) -> dict[str, float]:
    return {name: outcome.threshold for name, outcome in found.items()}


def groups(corpus: Corpus) -> dict[str, dict[str, Series]]:
    names = sorted({series.group for series in corpus.values()}, reverse=True)
    return {name: {key: one for key, one in corpus.items() if one.group == name} for name in names}


def left_out(name: str, corpus: Corpus, scores: Scores) -> dict[str, dict[str, Outcome]]:
    """By group of files: its outcome at the thresholds that were found on the other groups."""
    found = {}
    for group, mine in groups(corpus).items():
        at = thresholds(outcomes(name, others(corpus, mine), scores))
        found[group] = nab_scoring.score_at(mine, scores, at)
    return found


def others(corpus: Corpus, mine: Corpus) -> dict[str, Series]:
    return nab_scoring.take(corpus, lambda one: one.name not in mine)


def together(parts: Mapping[str, Outcomes]) -> dict[str, float]:
    """Normalised score of the groups as one corpus, each at its own threshold."""
    out = {}
    for profile in PROFILES:
        mine = [part[profile.name] for part in parts.values()]
        windows = sum(outcome.hits + outcome.missed for outcome in mine)
        out[profile.name] = nab_scoring.normalised(sum(outcome.raw for outcome in mine), windows, profile)
    return out


# Rows, which are kept, and tables, which are printed


def detail(found: Outcome) -> str:
    return (
        f"{found.hits} hit, {found.missed} missed, {found.false} false detections, raw {found.raw:.3f}, "
        f"threshold {found.threshold:.6g}"
    )


def figures(name: str, corpus: Corpus, scores: Scores, best: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """All rows of one detector: the whole, by group at the same thresholds, and each group at those of the others."""
    found = outcomes(name, corpus, scores)
    for profile, outcome in found.items():
        goal = GOALS[profile] if name == SHIPPED else None
        yield row(f"{name}: {SHORT[profile]}", outcome.score, "of 100", goal=f"> {goal:g}" if goal else None,
                  ok=outcome.score > goal if goal else None, baseline=best.get(profile),
                  detail=detail(outcome))  # fmt: skip
    for group, mine in groups(corpus).items():
        for profile, outcome in nab_scoring.score_at(mine, scores, thresholds(found)).items():
            yield grouped(f"{name}: {SHORT[profile]}, {group}", outcome)
    if name in FIXED:
        return
    parts = left_out(name, corpus, scores)
    for profile, value in together(parts).items():
        yield row(f"{name}: {SHORT[profile]}, groups left out in turn", value, "of 100")
    for group, part in parts.items():
        for profile, outcome in part.items():
            yield grouped(f"{name}: {SHORT[profile]}, {group} left out", outcome)


def grouped(name: str, found: Outcome) -> dict[str, Any]:
    if found.hits + found.missed:
        return row(name, found.score, "of 100", detail=detail(found))
    return row(name, found.false, "false detections", detail=detail(found))


def overview(detectors: Mapping[str, Scores], corpus: Corpus) -> Iterator[list[str]]:
    yield ["detector", *SHORT.values(), *(f"{short}: hit / missed / false" for short in SHORT.values())]
    for name, scores in detectors.items():
        found = outcomes(name, corpus, scores).values()
        counts = (f"{outcome.hits} / {outcome.missed} / {outcome.false}" for outcome in found)
        yield [name, *(f"{outcome.score:.2f}" for outcome in found), *counts]


def by_group(detectors: Mapping[str, Scores], corpus: Corpus, profile: str) -> Iterator[list[str]]:
    parts = groups(corpus)
    yield [f"{SHORT[profile]}, by group", *parts]
    for name, scores in detectors.items():
        at = thresholds(outcomes(name, corpus, scores))
        yield [name, *(cell(nab_scoring.score_at(mine, scores, at)[profile]) for mine in parts.values())]


def honest(detectors: Mapping[str, Scores], corpus: Corpus) -> Iterator[list[str]]:
    yield [
        "each group at the threshold of the others",
        *SHORT.values(),
        *(f"{group}: standard" for group in groups(corpus)),
    ]
    for name, scores in detectors.items():
        if name not in FIXED:
            parts = left_out(name, corpus, scores)
            whole = (f"{value:.2f}" for value in together(parts).values())
            yield [name, *whole, *(cell(part["standard"]) for part in parts.values())]


def cell(found: Outcome) -> str:
    return f"{found.score:.2f}" if found.hits + found.missed else f"{found.false} false"


def bench(corpus: Corpus, detectors: Mapping[str, Scores]) -> list[dict[str, Any]]:
    known = [outcomes(folder.name, corpus, detectors[folder.name]) for folder in (FOLDER / "published").iterdir()]
    best = {p.name: max(found[p.name].score for found in known) for p in PROFILES}
    results.wide(overview(detectors, corpus))
    for profile in PROFILES:
        results.wide(by_group(detectors, corpus, profile.name))
    results.wide(honest(detectors, corpus))
    rows: list[dict[str, Any]] = []
    for name, scores in detectors.items():
        rows += figures(name, corpus, scores, best if name.startswith(SHIPPED) else {})
    results.show([one for one in rows if one["name"].startswith(SHIPPED) and "," not in one["name"].split(": ")[1]])
    return [*rows, *spread(corpus)]


def spread(corpus: Corpus) -> list[dict[str, Any]]:
    """How much the random baseline owes to its seed."""
    found = [nab_scoring.score(corpus, random(corpus, seed)) for seed in range(SEEDS)]
    rows = []
    for profile, short in SHORT.items():
        scores = [outcome[profile].score for outcome in found]
        rows.append(row(f"random: {short}, mean of {SEEDS} seeds", float(np.mean(scores)), "of 100",
                        detail=f"{min(scores):.2f} to {max(scores):.2f}"))  # fmt: skip
    results.show(rows)
    return rows


def main() -> int:
    if not FOLDER.exists():
        sys.stdout.write(f"Left out: the Numenta Anomaly Benchmark is not at hand ({FOLDER}).\n")
        return 0
    corpus = nab_scoring.load(FOLDER)
    windows = sum(len(series.windows) for series in corpus.values())
    sys.stdout.write(f"NAB 1.1: {len(corpus)} series, {windows} windows; {SHIPPED} = {judging.VERSIONS}\n\n")
    results.keep(
        "nab", bench(corpus, {**shipped(corpus), **published(corpus), **of_libraries(corpus), **trivial(corpus)})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
