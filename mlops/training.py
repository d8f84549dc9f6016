"""From a training that was asked for to a version in the ledger: taught, packed, recorded in MLflow, settled.

Heavy, as what it imports: only workers of trainings and the command reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from mlops import cards, ledger, loader, plots, registry, site_recipes
from mlops.learning import artifact, run
from mlops.learning.contract import Learned, Recipe
from mlops.learning.evaluation import Interval
from mlops.learning.run import Trained
from mlops.learning.search import Tell
from mlops.models import ModelVersion, Training

log = structlog.get_logger(__name__)

MODEL, CARD = "model.skops", "card.md"


def teach(training: Training, *, folder: Path, tell: Tell) -> Callable[[], ModelVersion]:
    """Everything but the ledger, which is for the returned function, in the transaction of the caller.

    Raises ``NotAtHand``, ``Leak``, ``registry.RegistryError``.
    """
    tell("reading", 0.0)
    recipe = site_recipes.recipe_of(training)
    champion = ledger.champion(recipe.name)
    others = {} if champion is None else _compared(champion, recipe)
    trained = run.train(recipe, folder, others=others, tell=tell, **_options(training))
    if trained.reference is None:
        log.info("mlops.training.no-reference", model=recipe.name, reason=trained.no_reference)
    tell("storing", 0.95)
    data = artifact.pack(trained.learned, recipe.signature, trained.reference)
    drawn = _pictures(recipe, trained)
    text = cards.card(recipe, trained, pictures={name: plots.TITLES[name] for name in drawn})
    known = _columns(recipe, trained) | {"sha256": artifact.digest(data), "size": len(data), "card": text}
    recorded = registry.record(
        experiment=recipe.experiment,
        name=recipe.name,
        training=str(training.pk),
        params={**trained.settings, "seed": training.options.get("seed", run.SEED), "trials": trained.trials},
        metrics=_metrics(trained),
        tags={
            "source": recipe.source, "data_sha256": trained.fingerprint, "sha256": known["sha256"],
            "kind": trained.learned.kind, "equipment_class": recipe.signature.equipment_class,
        },
        files={MODEL: data, CARD: text.encode(), **drawn},
    )  # fmt: skip
    known |= {"uri": recorded.uri(MODEL), "run_id": recorded.run_id, "mlflow_version": recorded.version}

    def settle() -> ModelVersion:
        version = ledger.register(training, **known)
        ledger.settle(version, beside=champion)
        return version

    return settle


def _compared(version: ModelVersion, recipe: Recipe) -> Mapping[str, Learned]:
    """The champion, to be beaten; nobody where it takes other features, since a site's sensors were tagged anew: it
    could not answer the same questions."""
    speaker = loader.opened(version)
    if speaker.signature.features != recipe.signature.features:
        log.warning("mlops.training.champion-not-compared", model=recipe.name, version=version.version)
        return {}
    return {f"champion {version.version}": speaker.learned}


def _pictures(recipe: Recipe, trained: Trained) -> Mapping[str, bytes]:
    """A model is none the worse for a picture that cannot be drawn: the log says why, and there is none."""
    try:
        return plots.draw(trained.learned, trained.answers, trained.held, recipe.signature)
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:
        log.exception("mlops.training.no-pictures", model=recipe.name, error=str(error))
        return {}


def _options(training: Training) -> dict[str, Any]:
    return {key: training.options[key] for key in ("seed", "seconds", "settings") if key in training.options}


def _columns(recipe: Recipe, trained: Trained) -> dict[str, Any]:
    return {
        "experiment": recipe.experiment,
        "kind": trained.learned.kind,
        "signature": asdict(recipe.signature),
        "settings": dict(trained.settings),
        "figures": _plain(trained.figures),
        "baselines": {name: _plain(figures) for name, figures in trained.baselines.items()},
        "comparisons": [
            {"other": one.other, "gain": _ends(one.gain), "worse": _plain(one.worse)} for one in trained.beside
        ],
        "objections": list(trained.objections),
        "usual_losses": list(trained.usual),
        "learned_from": trained.learn,
        "held_out": len(trained.held),
        "data_sha256": trained.fingerprint,
    }


def _plain(figures: Mapping[str, Interval]) -> dict[str, list[float | None]]:
    return {name: _ends(one) for name, one in figures.items()}


def _ends(one: Interval) -> list[float | None]:
    """Value, low, high; JSON knows no NaN."""
    return [None if end != end else float(end) for end in (one.value, one.low, one.high)]


def _metrics(trained: Trained) -> dict[str, float]:
    ours = {name: one.value for name, one in trained.figures.items()}
    theirs = {
        f"{name}.{figure}": one.value for name, figures in trained.baselines.items() for figure, one in figures.items()
    }
    return {name: value for name, value in {**ours, **theirs}.items() if value == value}
