"""Parting what is learned from and what is held out, so that nothing of the one tells of the other. Pure."""

from __future__ import annotations

import numpy as np

from mlops.learning.examples import Examples
from sensors.columns import Int64


def by_time(examples: Examples, *, held_out: float, gap: int) -> tuple[Examples, Examples]:
    """The first of each track to learn from, then ``gap`` questions nobody gets, and the last share held out.

    ``gap``: at least what a question looks back at, and as far as its truth lies ahead.
    """
    learn, hold = [], []
    for number in range(len(examples.tracks)):
        mine = np.flatnonzero(examples.track == number)
        mine = mine[np.argsort(examples.end[mine], kind="stable")]
        first = len(mine) - round(held_out * len(mine))
        learn.append(mine[: max(0, first - gap)])
        hold.append(mine[first:])
    return examples.take(np.concatenate(learn)), examples.take(np.concatenate(hold))


def by_track(examples: Examples, *, held_out: float, seed: int) -> tuple[Examples, Examples]:
    """Whole machines, drawn by lot: where each is watched from new until it fails, a later time is no other one."""
    numbers = np.unique(examples.track)
    drawn = np.random.default_rng(seed).permutation(numbers)[: max(1, round(held_out * len(numbers)))]
    held = np.isin(examples.track, drawn)
    return examples.take(~held), examples.take(held)


def each_track_in_turn(examples: Examples) -> list[tuple[Examples, Examples]]:
    """As many ways as there are machines: each is held out once."""
    own = [examples.track == number for number in np.unique(examples.track)]
    return [(examples.take(~mine), examples.take(mine)) for mine in own]


def blocks_of_tracks(examples: Examples) -> Int64:
    """Each machine is a block."""
    return examples.track


def blocks_of_time(examples: Examples, *, length: int) -> Int64:
    """So many questions of a track in a row are a block."""
    piece = examples.end // length
    return examples.track * (int(piece.max(initial=0)) + 1) + piece


def in_turn(examples: Examples, blocks: Int64, *, folds: int, gap: int, seed: int) -> list[tuple[Examples, Examples]]:
    """``folds`` ways to part the questions about one machine by their blocks, each of which is held out once, by lot.
    Blocks are dealt by their median truth, the rarest first, so that every way has its share of every state.

    Nobody gets what is ``gap`` (in the unit of ``at``) or less from what is held out. For what is worked off in an
    order that never comes again, such as the states of a test rig: there a later time is another experiment.
    """
    numbers, place = np.unique(blocks, return_inverse=True)
    lot = np.random.default_rng(seed).random(len(numbers))
    medians = [np.median(examples.truth[place == number]) for number in range(len(numbers))]
    _, state, count = np.unique(medians, return_inverse=True, return_counts=True)
    turn = np.empty(len(numbers), np.int64)
    turn[np.lexsort((lot, state, count[state]))] = np.arange(len(numbers)) % folds
    at, found = examples.at, []
    for fold in range(folds):
        held = turn[place] == fold
        known = np.sort(at[held])
        near = np.searchsorted(known, at + gap, side="right") > np.searchsorted(known, at - gap, side="left")
        found.append((examples.take(~near), examples.take(held)))
    return found
