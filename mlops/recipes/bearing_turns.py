"""What recipes of bearings that were run until they failed have in common: each is judged in its turn. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops.learning import splits
from mlops.learning.contract import Guard, Measure, Settings, Signature
from mlops.learning.examples import Examples, Track
from mlops.recipes import bearing_data
from sensors.columns import Bool, Int64

NO_SEARCH = 0.0
"""Seconds: what is best for a bearing or two is chance. Who has more of them can search longer."""


class BearingTurns:
    """There are too few bearings to keep some of them for judging alone."""

    seconds = NO_SEARCH

    def turns(self, examples: Examples) -> list[tuple[Examples, Examples]]:
        return splits.each_track_in_turn(examples)

    def split(self, examples: Examples) -> tuple[Examples, Examples]:
        """For a search among those that a turn learns from."""
        return splits.by_track(examples, held_out=1 / 3, seed=0)

    def blocks(self, examples: Examples) -> Int64:
        return splits.blocks_of_tracks(examples)


@dataclass(kw_only=True)
class Wearing(BearingTurns):
    """Asked about the vibration of bearings by the share of life that is used. ``tracks``: reads those that failed;
    ``logs``: columns whose ratios count; ``levels``: those by which a bearing is usually judged."""

    name: str
    about: str
    source: str
    signature: Signature
    defaults: Settings
    tracks: Callable[[Path], list[Track]]
    logs: Bool
    levels: Bool
    experiment: str
    target: Measure
    guards: tuple[Guard, ...]
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    admitted: Mapping[str, str] = field(default_factory=dict)

    def load(self, folder: Path) -> Examples:
        asked = bearing_data.of_life_used(self.tracks(folder))
        return asked.take(asked.end >= self.signature.least)

    def aside(self, folder: Path) -> Examples | None:
        return None
