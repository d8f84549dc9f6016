"""Whether a machine is off, starts up or runs, as what is said of it goes by. Pure; instants in microseconds.

What is said is that it is off or that it runs, by readings of a sensor or by people and control systems; that it starts
up follows, for so long after it ran again, or is said as well. In event time: what is said of an instant before the
present phase changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """UNKNOWN: nobody has said anything yet, or not for too long."""

    UNKNOWN = "UNKNOWN"
    OFF = "OFF"
    STARTING = "STARTING"
    RUNNING = "RUNNING"


@dataclass(frozen=True, slots=True)
class Word:
    """That it is ``state`` since ``at``."""

    state: State
    at: int


@dataclass(frozen=True, slots=True)
class Words:
    """What a run's readings say of a machine, oldest first: the first word and each that differs from the one before.
    ``last_at``: the newest reading; the last word, or what was said before, holds until then at least."""

    changes: tuple[Word, ...]
    last_at: int


@dataclass(frozen=True, slots=True)
class Phase:
    """What a machine is since an instant. ``until``: of a start-up, when it is over."""

    state: State
    since: int
    until: int | None = None


def settled(phase: Phase, at: int) -> Phase:
    """The phase at an instant: a start-up whose time is over is none any more."""
    if phase.until is not None and phase.until <= at:
        return Phase(State.RUNNING, phase.until)
    return phase


def after(phase: Phase, word: Word, *, startup: int) -> Phase:
    """The phase that a word leads to; the same one where it says nothing new. ``startup``: how long one takes."""
    if word.at < phase.since or word.state is phase.state:
        return phase
    if word.state is State.RUNNING:
        if phase.state is State.STARTING:
            return phase
        if phase.state is not State.OFF:
            return Phase(State.RUNNING, word.at)
    if word.state is not State.OFF:
        return Phase(State.STARTING, word.at, word.at + startup) if startup else Phase(State.RUNNING, word.at)
    return Phase(State.OFF, word.at)


def walk(phase: Phase, words: Iterable[Word], *, startup: int) -> list[Phase]:
    """Every phase that the words lead to, in order."""
    passed = []
    for word in words:
        for following in (settled(phase, word.at), after(settled(phase, word.at), word, startup=startup)):
            if following != phase:
                passed.append(following)
                phase = following
    return passed
