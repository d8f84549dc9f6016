"""The card of a model: what a person should know of it before believing it, as Markdown. Pure.

After Mitchell et al., Model cards for model reporting, 2019: what it is for, what it was taught, what it was measured
at, beside what, and what speaks against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlops.learning.contract import Feature, Recipe
from mlops.learning.evaluation import Comparison, Interval
from mlops.learning.run import Trained


def card(recipe: Recipe, trained: Trained, *, pictures: Mapping[str, str]) -> str:
    """``pictures``: title by the name of the file, which lies beside the card."""
    return "\n".join(_lines(recipe, trained, pictures)) + "\n"


def _lines(recipe: Recipe, trained: Trained, pictures: Mapping[str, str]) -> Iterator[str]:
    signature = recipe.signature
    yield f"# {recipe.name}\n"
    yield f"{recipe.about}\n"
    yield f"- Data: {recipe.source}"
    yield f"- Data, sha256: `{trained.fingerprint}`"
    yield f"- {_judged(trained)}"
    yield f"- Hyper-parameters: {_settings(trained.settings)} ({trained.trials} tried)"
    yield f"- Machines: {signature.equipment_class or 'any class'}"
    yield f"- Looks back at most {signature.rows} rows, needs {signature.least}"
    yield f"- Takes: {', '.join(map(_quantity, signature.features))}"
    yield f"- Gives: {', '.join(map(_quantity, signature.outputs))}"
    yield f"- Drift: {_reference(trained)}"
    for name, why in recipe.admitted.items():
        yield f"- {name} tells the truth alone: {why}"
    yield "\n## Figures\n"
    yield "On what was held out, with 95 % intervals from a block bootstrap.\n"
    yield from _table(trained.figures, trained.baselines)
    if recipe.published:
        yield "\n## Published\n"
        yield from _published(recipe.published)
    yield "\n## Gate\n"
    yield from (f"- {_beside(one, recipe.target.name)}" for one in trained.beside)
    yield from (f"- Against it: {why}" for why in trained.objections)
    if not trained.objections:
        yield "- Nothing speaks against it."
    if pictures:
        yield "\n## Pictures\n"
        yield from (f"- [{title}]({name})" for name, title in pictures.items())


def _judged(trained: Trained) -> str:
    if trained.turns == 1:
        return f"Learned from {trained.learn:,} questions, measured at {len(trained.held):,} that were held out"
    return (
        f"Learned from all {trained.learn:,} questions. They were measured in {trained.turns} turns, each by a model "
        "that was taught the others in the same way: the gate judged the way this model is made, not this very one"
    )


def _settings(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "none"


def _reference(trained: Trained) -> str:
    if (known := trained.reference) is None:
        return f"readings cannot be checked, {trained.no_reference}"
    return f"readings are checked against {known.windows} windows of {known.rows} rows it learned from"


def _quantity(feature: Feature) -> str:
    return f"{feature.name} [{feature.unit}]" if feature.unit else feature.name


def _table(figures: Mapping[str, Interval], baselines: Mapping[str, Mapping[str, Interval]]) -> Iterator[str]:
    yield f"| figure | this | {' | '.join(baselines)} |"
    yield "|---" * (2 + len(baselines)) + "|"
    for name, ours in figures.items():
        theirs = " | ".join(f"{found[name].value:.4g}" for found in baselines.values())
        yield f"| {name} | {told(ours)} | {theirs} |"


def told(found: Interval) -> str:
    if found.low != found.low:  # nothing is known of the interval
        return f"{found.value:.4g}"
    return f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"


def _published(published: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for method, figures in published.items():
        yield f"- {method}: {', '.join(f'{name} {value:g}' for name, value in figures.items())}"


def _beside(one: Comparison, target: str) -> str:
    worse = "".join(f"; {name} worse by {told(found)}" for name, found in one.worse.items())
    return f"Beside {one.other}: {target} better by {told(one.gain)}{worse}"
