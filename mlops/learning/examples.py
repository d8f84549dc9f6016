"""What a model is taught and asked: the features of machines in order, and the instants at which something is asked.

Pure: numpy in, numpy out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sensors.columns import Bool, Float64, Int64


@dataclass(frozen=True, slots=True)
class Track:
    """One machine from its first instant to its last. ``at``: (t,) ascending microseconds, or a count where the data
    has no clock; ``value``: (t, features) in the order and the units of the signature, NaN = missing."""

    unit: str
    at: Int64
    value: Float64


@dataclass(frozen=True, slots=True)
class Examples:
    """n questions, each about one track at one instant. ``track``: (n,) position in ``tracks``; ``end``: (n,) how many
    of its rows are known by then, at least one, the last of which is *now*; ``truth``: (n,), NaN = not known."""

    tracks: tuple[Track, ...]
    track: Int64
    end: Int64
    truth: Float64

    def __len__(self) -> int:
        return len(self.track)

    @property
    def now(self) -> Float64:
        """(n, features): the row of each question's instant."""
        heads = np.cumsum([0, *(len(track.at) for track in self.tracks)])
        return np.concatenate([track.value for track in self.tracks])[heads[self.track] + self.end - 1]

    @property
    def at(self) -> Int64:
        """(n,): the instant of each question."""
        heads = np.cumsum([0, *(len(track.at) for track in self.tracks)])
        return np.concatenate([track.at for track in self.tracks])[heads[self.track] + self.end - 1]

    def take(self, index: Int64 | Bool) -> Examples:
        """The questions at these positions, about the same tracks."""
        return replace(self, track=self.track[index], end=self.end[index], truth=self.truth[index])

    def fingerprint(self) -> str:
        """sha256 over all of it: the same for the same data, whatever it was read from."""
        digest = hashlib.sha256()
        for track in self.tracks:
            digest.update(f"{track.unit}:{track.value.shape}".encode())
            digest.update(np.ascontiguousarray(track.at).tobytes())
            digest.update(np.ascontiguousarray(track.value).tobytes())
        for array in (self.track, self.end, self.truth):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def together(parts: Sequence[Examples]) -> Examples:
    """Questions about the same tracks, one part after the other."""
    track, end, truth = (np.concatenate([getattr(one, name) for one in parts]) for name in ("track", "end", "truth"))
    return replace(parts[0], track=track, end=end, truth=truth)


def everywhere(tracks: Sequence[Track], truths: Sequence[Float64]) -> Examples:
    """A question at every instant of every track. ``truths``: of each track its (t,)."""
    lengths = [len(track.at) for track in tracks]
    ends = [np.arange(1, length + 1) for length in lengths]
    return Examples(
        tuple(tracks),
        np.repeat(np.arange(len(tracks)), lengths).astype(np.int64),
        np.concatenate(ends).astype(np.int64) if ends else np.empty(0, np.int64),
        np.concatenate(list(truths)).astype(np.float64) if len(truths) else np.empty(0),
    )


def at_the_end(tracks: Sequence[Track], truth: Float64) -> Examples:
    """One question about each track, at its last instant."""
    lengths = np.array([len(track.at) for track in tracks], np.int64)
    return Examples(tuple(tracks), np.arange(len(tracks), dtype=np.int64), lengths, truth)
