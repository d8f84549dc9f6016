"""How alike cases of trouble are: their words, and what the sensors showed. Pure.

Words are compared by the cosine of TF-IDF (Salton and Buckley, Term-weighting approaches in automatic text retrieval,
1988) over words and their pieces of three letters, so that *leaking* is like *leak* and *CYL* like *cylinder*. What the
sensors showed is the failure mode, the pattern (which kinds of anomaly, in which direction, of which sensors) and the
shape (how high, how long, how many).

``alike`` adds what is alike by ``WEIGHTS``, of what is known of the case at hand. What is not known of a past case is
not alike, so that all past cases are measured by one scale.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

WEIGHTS: Mapping[str, float] = {"text": 0.5, "mode": 0.2, "pattern": 0.2, "shape": 0.1}
WORD = re.compile(r"[^\W\d_]{2,}")
PIECE = 3
PIECES_COUNT = 0.5
"""A piece of a word beside a whole word."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One anomaly. ``sensors``: share of each sensor, by what it is called; ``seconds``: how long it lasted."""

    kind: str
    direction: str
    sensors: Mapping[str, float]
    score: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Signal:
    """What the sensors showed. ``pattern``: weights by name."""

    pattern: Mapping[str, float]
    peak: float
    seconds: float
    count: int

    @classmethod
    def of(cls, seen: Sequence[Seen]) -> Signal | None:
        if not seen:
            return None
        pattern = defaultdict[str, float](float)
        for one in seen:
            pattern[f"kind {one.kind}"] += 1 / len(seen)
            pattern[f"direction {one.direction}"] += 1 / len(seen)
            for sensor, share in one.sensors.items():
                pattern[sensor] += share / len(seen)
        return cls(dict(pattern), max(one.score for one in seen), sum(one.seconds for one in seen), len(seen))


@dataclass(frozen=True, slots=True)
class Case:
    """``mode``: empty where none is known; ``signal`` None: no anomaly is behind it."""

    id: int
    text: str
    mode: str = ""
    signal: Signal | None = None


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike a past case is, 0 to 1, in all and by each of ``WEIGHTS`` that is known of the case at hand."""

    id: int
    total: float
    parts: Mapping[str, float] = field(default_factory=dict)


def ranked(asked: Case, past: Sequence[Case], *, among: Sequence[Case] | None = None) -> list[Likeness]:
    """The past cases, the most alike first, of equals those that come first; without those that are not alike at all.

    ``among``: the cases by which a word is rare, where these are only some of them.
    """
    texts = _cosines(asked.text, [one.text for one in past], among=[one.text for one in among or past])
    found = [alike(asked, one, text=text) for one, text in zip(past, texts, strict=True)]
    return sorted((one for one in found if one.total > 0), key=lambda one: -one.total)


def alike(asked: Case, one: Case, *, text: float) -> Likeness:
    parts = {"text": text} if WORD.search(asked.text) else {}
    if asked.mode:
        parts["mode"] = float(asked.mode == one.mode)
    if asked.signal is not None:
        parts["pattern"] = 0.0 if one.signal is None else _pattern(asked.signal.pattern, one.signal.pattern)
        parts["shape"] = 0.0 if one.signal is None else _shape(asked.signal, one.signal)
    weight = sum(WEIGHTS[name] for name in parts)
    return Likeness(one.id, sum(WEIGHTS[name] * value for name, value in parts.items()) / (weight or 1.0), parts)


def _pattern(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """What is shared of what both show (weighted Jaccard)."""
    names = one.keys() | other.keys()
    shared = sum(min(one.get(name, 0.0), other.get(name, 0.0)) for name in names)
    return shared / sum(max(one.get(name, 0.0), other.get(name, 0.0)) for name in names)


def _shape(one: Signal, other: Signal) -> float:
    height = 1.0 - min(abs(min(one.peak, 1.0) - min(other.peak, 1.0)), 1.0)
    return (height + _ratio(one.seconds, other.seconds) + _ratio(one.count, other.count)) / 3


def _ratio(one: float, other: float) -> float:
    return (1 + min(one, other)) / (1 + max(one, other))


@lru_cache(maxsize=4_000)
def terms(text: str) -> Mapping[str, float]:
    """The words of a text and their pieces, each with how often it comes, damped.

    >>> sorted(terms("Oil leak"))
    ['#_le', '#_oi', '#ak_', '#eak', '#il_', '#lea', '#oil', 'leak', 'oil']
    """
    counted = defaultdict[str, float](float)
    for word in WORD.findall(text.lower()):
        counted[word] += 1.0
        ends = f"_{word}_"
        for begin in range(len(ends) - PIECE + 1):
            counted[f"#{ends[begin : begin + PIECE]}"] += PIECES_COUNT
    return {name: 1.0 + math.log(count) if count > 1 else count for name, count in counted.items()}


def _cosines(asked: str, past: Sequence[str], *, among: Sequence[str]) -> list[float]:
    """Of each past text; rare words count more, by how many of those they are ``among`` have them."""
    having = Counter[str](name for text in among for name in terms(text))
    rarity = {name: math.log((1 + len(among)) / (1 + count)) + 1.0 for name, count in having.items()}
    wanted = {name: weight * rarity[name] for name, weight in terms(asked).items() if name in rarity}
    length = _length(wanted.values())
    return [_cosine(wanted, length, terms(text), rarity) for text in past]


def _cosine(wanted: Mapping[str, float], length: float, one: Mapping[str, float], rarity: Mapping[str, float]) -> float:
    product = sum(weight * one[name] * rarity[name] for name, weight in wanted.items() if name in one)
    return product / (length * _length(count * rarity[name] for name, count in one.items())) if product else 0.0


def _length(weights: Iterable[float]) -> float:
    return math.sqrt(sum(weight * weight for weight in weights))
