"""Every model beside its baselines and what others published: ``make bench-models``.

Each recipe is trained as ``manage.py train`` does it, its search included, and measured at what it held out. Of data
whose truth is kept elsewhere the answers are written as ``predictions/NAME.csv`` beside the tables, by a model that is
taught everything at hand with the hyper-parameters that were found.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlops import cards
from mlops.learning import run
from mlops.learning.contract import Answers, NotAtHand, Recipe
from mlops.learning.evaluation import Interval
from mlops.learning.examples import Examples
from mlops.learning.run import Trained
from mlops.recipes import RECIPES, turbofan
from mlops.recipes.turbofan import TurbofanLife
from sensors.columns import SECOND_US
from tests.bench import results
from tests.bench.results import row

RUL = {name: name for name in ("rul_p10", "rul_p50", "rul_p90")}
BEARING, UDI = "bearing", "UDI"
COLUMNS: dict[str, tuple[str, dict[str, str]]] = {
    "milling-failure": (UDI, {"probability": "probability", "label": "failure"}),
    "bearing-life-femto": (BEARING, RUL),
    **{f"turbofan-rul-fd00{number}": ("unit", RUL) for number in range(1, 5)},
}
"""Of files that others read: how the column is called that says whose answer it is (a machine's name, or for ``UDI``
its instant), and the output behind each of the others. Usual: ``unit`` and the outputs as they are called."""
HELD = ("rig-anomaly", *(name for name in RECIPES if name.startswith("hydraulic-")))
"""Of these the answers about what was held out are written, too: their data is a folder that may be another one."""


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of models (all)")
    parser.add_argument("--data", type=Path, default=results.DATA, metavar="DIR", help="a folder for each data set")
    parser.add_argument("--seconds", type=float, help="for the search of each (its own)")
    options = parser.parse_args(given)
    rows, missing, in_short = [], [], [["model", "figure", "Bellwether", "best baseline", "published", "gate"]]
    for name in options.names or RECIPES:
        recipe = RECIPES[name]
        began = time.monotonic()
        try:
            trained = run.train(recipe, options.data, others={}, tell=_quiet, seconds=options.seconds)
        except NotAtHand as error:
            missing.append(f"{name}: {error}")
            continue
        show(recipe, trained, time.monotonic() - began)
        rows += figures(recipe, trained)
        in_short.append(line(recipe, trained))
        rows += official(recipe, trained, options.data)
        if (written := predict(recipe, trained, options.data)) is not None:
            sys.stdout.write(f"predictions: {written}\n\n")
    for told in missing:
        sys.stdout.write(f"skipped {told}\n")
    if rows:
        results.wide(in_short)
        results.keep("models", rows)
    return 0


def _quiet(what: str, share: float) -> None:
    return None


def show(recipe: Recipe, trained: Trained, seconds: float) -> None:
    said = "may speak" if not trained.objections else f"may not speak: {trained.objections[0]}"
    sys.stdout.write(
        f"{recipe.name} ({recipe.experiment}): {trained.learn:,} learned, {len(trained.held):,} held out, "
        f"{trained.trials} tried, {seconds:.0f} s; {said}\n\n"
    )
    results.wide(table(recipe, trained))


def table(recipe: Recipe, trained: Trained) -> Iterator[list[str]]:
    """A line for each figure: ours, the baselines, what was published."""
    yield ["figure", "Bellwether", *trained.baselines, *recipe.published]
    for name, ours in trained.figures.items():
        theirs = [_number(found.get(name)) for found in trained.baselines.values()]
        published = [f"{found[name]:g}" if name in found else "-" for found in recipe.published.values()]
        yield [name, cards.told(ours), *theirs, *published]


def _number(found: Interval | None) -> str:
    return "-" if found is None else f"{found.value:.4g}"


def line(recipe: Recipe, trained: Trained) -> list[str]:
    """What decides, beside the best baseline and what was published of the same figure."""
    name, best = recipe.target.name, _best(recipe, trained)
    published = [f"{found[name]:g}" for found in recipe.published.values() if name in found]
    gate = "speaks" if not trained.objections else trained.objections[0]
    return [recipe.name, name, cards.told(trained.figures[name]), f"{best:.4g}", ", ".join(published) or "-", gate]


def _best(recipe: Recipe, trained: Trained) -> float:
    """Of the baselines, in what decides."""
    found = [figures[recipe.target.name].value for figures in trained.baselines.values()]
    return (min if recipe.target.lower_is_better else max)(found, default=np.nan)


def figures(recipe: Recipe, trained: Trained) -> Iterator[dict[str, Any]]:
    """The target beside the best baseline, and every other figure."""
    target, best = recipe.target, _best(recipe, trained)
    for name, ours in trained.figures.items():
        is_target = name == target.name
        yield row(
            f"{recipe.name}: {name}", ours.value, target.unit if is_target else "",
            goal="better than every baseline" if is_target else None,
            ok=not trained.objections if is_target else None,
            baseline=best if is_target else None, detail=cards.told(ours),
        )  # fmt: skip


def official(recipe: Recipe, trained: Trained, folder: Path) -> list[dict[str, Any]]:
    """The figures at the publisher's own test, where its truth is at hand: what published ones can be compared with."""
    if not isinstance(recipe, TurbofanLife):
        return []
    try:
        asked = recipe.official(folder)
    except NotAtHand:
        return []
    found = turbofan.figures_of(trained.learned.answer(asked), asked.truth, np.ones(len(asked)))
    found["phm08"] = found["phm08_mean"] * len(asked)
    results.wide([["at the official test", *found], [recipe.name, *(f"{value:.4g}" for value in found.values())]])
    return [row(f"{recipe.name}: official {name}", value, "") for name, value in found.items()]


def predict(recipe: Recipe, trained: Trained, folder: Path) -> Path | None:
    """The file with the answers about what has its truth elsewhere; None where there is nothing such."""
    asked = recipe.aside(folder)
    if asked is not None and len(asked):
        taught = recipe.fit(recipe.load(folder), trained.settings, seed=run.SEED)
        written = lines(recipe.name, asked, taught.answer(asked))
    elif recipe.name in HELD:
        written = held(trained.held, trained.learned.answer(trained.held))
    else:
        return None
    path = results.OUT / "predictions" / f"{recipe.name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(written)
    return path


def held(asked: Examples, answers: Answers) -> Iterator[list[Any]]:
    """With the second of the data's clock; of SKAB since 1970, of the hydraulic rig 60 a cycle."""
    yield ["unit", "at_s", *answers]
    for number, (track, at) in enumerate(zip(asked.track.tolist(), asked.at.tolist(), strict=True)):
        yield [asked.tracks[track].unit, at // SECOND_US, *(f"{one[number]:.6g}" for one in answers.values())]


def lines(name: str, asked: Examples, answers: Answers) -> Iterator[list[Any]]:
    key, outputs = COLUMNS.get(name, ("unit", {one: one for one in answers}))
    yield [key, *outputs]
    whose = asked.at.tolist() if key == UDI else [asked.tracks[k].unit for k in asked.track.tolist()]
    for number, one in enumerate(whose):
        yield [one, *(f"{answers[output][number]:.6g}" for output in outputs.values())]


if __name__ == "__main__":
    sys.exit(main())
