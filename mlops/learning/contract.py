"""What every model and every recipe of one promises. Pure: numpy in, numpy out.

A *recipe* names its data, what it asks of a machine, what it is measured by and what it has to beat. What it makes is
*learned*: it answers questions, and comes apart into plain values, arrays and scikit-learn estimators to be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mlops.learning.examples import Examples
from sensors.columns import Float64, Int64

Answers = Mapping[str, Float64]
"""Of every output of the signature the (n,) answers to n questions, NaN = not answered."""

Settings = Mapping[str, Any]
"""Hyper-parameters: numbers and texts by name."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A quantity by name, in a unit ("" = a count or a code). ``kind``: of sensor (``sensors.models.Sensor.Kind``)."""

    name: str
    unit: str = ""
    kind: str = "OTHER"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives.

    ``rows``: how many instants back from now it looks at, at most; it is asked nothing before it has ``least`` of them.
    ``period_us``: from one to the next, 0 = any. ``equipment_class``: of machines it may be asked about, "" = any.
    ``site``: the id of whose machines it may be asked about, 0 = of any.
    """

    features: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    rows: int = 1
    least: int = 1
    period_us: int = 0
    equipment_class: str = ""
    site: int = 0


class Learned(Protocol):
    """``kind``: under which ``mlops.learning.kinds.KINDS`` makes it anew from its ``parts``."""

    kind: str

    def parts(self) -> dict[str, Any]:
        """Plain values, numpy arrays and scikit-learn estimators, from which the same is made anew to the bit."""

    def answer(self, examples: Examples) -> Answers:
        """Answers to every question, from what is known at its instant alone: rows behind ``end`` change nothing."""


class NotAtHand(Exception):
    """The data of a recipe is not in the folder that was named. ``what``: the file or folder that is missing."""

    def __init__(self, what: object) -> None:
        super().__init__(f"{what} is not at hand.")


class Pick(Protocol):
    """Picks hyper-parameters: a trial of a search (optuna's), or whoever else."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int) -> int: ...

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any: ...


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure by which recipes are judged. ``margin``: by how much a better one is better, in its unit.

    ``fewest``: so many stretches whose truth is 1 have to be held out; with fewer nobody knows what it says.
    """

    name: str
    unit: str
    lower_is_better: bool
    margin: float
    fewest: int = 0


@dataclass(frozen=True, slots=True)
class Guard:
    """A figure that must not get worse by more than ``slack``, in its unit; lower is better."""

    name: str
    slack: float


class Recipe(Protocol):
    """How one model is made.

    ``source``: the data with its licence, and whether it is measured or simulated. ``target``: what decides;
    ``guards``: what must not suffer; both are names in ``measure``'s answer. ``published``: name of a method -> its
    figures by name, with where they are from in the name. ``admitted``: features that tell the truth alone, and
    why that is no leak. ``seconds``: for the search, on two cores.
    """

    name: str
    experiment: str
    about: str
    source: str
    signature: Signature
    target: Measure
    guards: tuple[Guard, ...]
    published: Mapping[str, Mapping[str, float]]
    admitted: Mapping[str, str]
    defaults: Settings
    seconds: float

    def load(self, folder: Path) -> Examples:
        """All questions with a known truth. ``folder`` has a folder for each data set. Raises ``NotAtHand``."""

    def split(self, examples: Examples) -> tuple[Examples, Examples]:
        """Those to learn from, and those held out: later ones (``by_time``), or other machines (``by_track``)."""

    def settings(self, pick: Pick) -> Settings:
        """One choice of hyper-parameters."""

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Learned:
        """Learn from these alone; the same to the bit with the same arguments."""

    def baselines(self, examples: Examples) -> Mapping[str, Learned]:
        """What it has to beat, taught from the same examples: trivial ones by name."""

    def measure(self, answers: Answers, examples: Examples) -> dict[str, float]:
        """Figures by name, ``target`` and ``guards`` among them; of any choice of questions."""

    def blocks(self, examples: Examples) -> Int64:
        """(n,): of each question the number of its block. What is in a block depends on each other, so that intervals
        are made by drawing whole blocks."""

    def aside(self, folder: Path) -> Examples | None:
        """Questions whose truth is kept elsewhere, None where there are none. Raises ``NotAtHand``."""


@runtime_checkable
class InTurn(Protocol):
    """A recipe of too few machines to keep some of them for judging alone: each is judged once, by a model that was
    taught the others in the same way, and the model that is kept is taught all of them.

    So it is the way of making the model that is judged. A champion has learned from all that it is judged by, which
    flatters it: what takes its place is better nevertheless.
    """

    def turns(self, examples: Examples) -> list[tuple[Examples, Examples]]:
        """What to learn from and what to judge by, each question being in the second of one pair."""
