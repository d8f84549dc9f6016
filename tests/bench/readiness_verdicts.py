"""What a claim's evidence is worth. Pure: claim, rows of its file and what is known of the tree in, verdict out.

Good is only what was measured: rows with a finite number of the expected unit, in the number that the claim asks for,
made by the claim's own command, within the last days, on committed code that is the product's code of now.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tests.bench.readiness_claims import Bound, Claim, Goals, number

Row = Mapping[str, Any]
Changed = Callable[[str, Sequence[str]], list[str] | None]
"""The product's files, and those below some more paths, that differ from a commit; None where it is not known."""


class Verdict(StrEnum):
    GOOD = "good"
    BAD = "bad"
    STALE = "stale"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with its verdict and why; the figure, when it was made and on what commit, where there is one."""

    claim: Claim
    verdict: Verdict
    why: str = ""
    value: str = ""
    command: str = ""
    at: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Here:
    """What is known now: the instant, how old evidence may be, what changed, and what this machine lacks.

    ``since``: what was made from then on was made by this very command, on the tree as it stands, committed or not.
    """

    now: datetime
    days: float
    changed: Changed
    lacks: Callable[[Claim], str]
    since: datetime | None = None


class Unusable(Exception):
    """The file shows nothing of the claim: why."""


def judge(claim: Claim, rows: Sequence[Row] | None, here: Here) -> Judged:
    lacks = here.lacks(claim)
    if rows is None:
        return Judged(claim, Verdict.NOT_SHOWN, lacks or "there is no evidence: its command was not run")
    try:
        found = [(one, _rows_of(one, rows)) for one in claim.shown_by]
        made = _made([row for _, some in found for row in some])
        _is_of_the_claim(str(made["command"]), claim.command)
        broken = [why for one, some in found for why in _broken(one, some)]
    except Unusable as error:
        return Judged(claim, Verdict.NOT_SHOWN, "; ".join(filter(None, (str(error), lacks))))
    told: dict[str, Any] = {
        "value": _figure(*found[0]), "command": made["command"], "at": made["at"], "commit": made.get("commit", ""),
    }  # fmt: skip
    stale = _stale(claim, made, here)
    if stale:
        return Judged(claim, Verdict.STALE, "; ".join(filter(None, (stale, *broken))), **told)
    if broken:
        return Judged(claim, Verdict.BAD, "; ".join(filter(None, (*broken, lacks))), **told)
    return Judged(claim, Verdict.GOOD, **told)


def _rows_of(one: Bound | Goals, rows: Sequence[Row]) -> list[Row]:
    """Those that the figure is about. Raises ``Unusable`` where they are too few."""
    named = [row for row in rows if re.fullmatch(one.rows, str(row.get("name")))]
    if isinstance(one, Bound):
        found = [row for row in named if re.fullmatch(one.unit, str(row.get("unit")))]
    else:
        found = [row for row in named if row.get("ok") is not None]
    if len(found) < one.count:
        raise Unusable(f"{len(found)} of {one.count} rows {one.rows!r} were measured")
    return found


def _made(rows: Sequence[Row]) -> Mapping[str, Any]:
    """How the oldest of the rows was made. Raises ``Unusable`` where one does not say it."""
    stamps = [row.get("made") or {} for row in rows]
    for stamp in stamps:
        if not all(stamp.get(name) for name in ("at", "command")):
            raise Unusable("the evidence does not say when and by what it was made")
        try:
            at = datetime.fromisoformat(stamp["at"])
        except ValueError as error:
            raise Unusable(f"the evidence was made at no instant: {error}") from error
        if at.tzinfo is None:
            raise Unusable("the evidence was made at an instant without a time zone")
    oldest: Mapping[str, Any] = min(stamps, key=lambda stamp: datetime.fromisoformat(stamp["at"]))
    return oldest


def _is_of_the_claim(given: str, asked: str) -> None:
    """Raises ``Unusable`` unless a command is the one that is asked for, or the same with larger numbers."""
    if given == asked:
        return
    words, wanted = given.split(), asked.split()
    alike = len(words) == len(wanted) and all(
        mine == theirs or (_is_number(mine) and _is_number(theirs) and float(mine) >= float(theirs))
        for mine, theirs in zip(words, wanted, strict=True)
    )
    if not alike:
        raise Unusable(f"made by `{given}`, which is not `{asked}`")


def _is_number(word: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", word) is not None


def _broken(one: Bound | Goals, rows: Sequence[Row]) -> list[str]:
    """In words, what does not hold. Raises ``Unusable`` where a value is no number."""
    for row in rows:
        value = row.get("value")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Unusable(f"{row.get('name')}: {value!r} is no figure")
    if isinstance(one, Goals):
        return [f"{row['name']}: {_value(row)}, goal {row.get('goal')}" for row in rows if row["ok"] is not True]
    return [f"{row['name']}: {_value(row)}, not {one.told()}" for row in rows if not one.holds(row["value"])]


def _value(row: Row) -> str:
    return f"{number(row['value'])} {row.get('unit', '')}".strip()


def _figure(one: Bound | Goals, rows: Sequence[Row]) -> str:
    """What the table shows: the worst of the rows, or how many goals were reached."""
    if isinstance(one, Goals):
        return f"{sum(row['ok'] is True for row in rows)} of {len(rows)} goals"
    worst = (min if one.least is not None else max)(rows, key=lambda row: row["value"])
    return _value(worst) + (f" (worst of {len(rows)})" if len(rows) > 1 else "")


def _stale(claim: Claim, made: Mapping[str, Any], here: Here) -> str:
    """Why the evidence says nothing of now; empty where it does."""
    at = datetime.fromisoformat(made["at"])
    age = here.now - at
    if age < timedelta(0):
        return "made in the future, by a clock that is wrong"
    if age > timedelta(days=here.days):
        return f"{age.total_seconds() / 86_400:.1f} days old"
    return "" if here.since is not None and at >= here.since else _of_other_code(claim, made, here)


def _of_other_code(claim: Claim, made: Mapping[str, Any], here: Here) -> str:
    commit = str(made.get("commit") or "")
    if not commit or made.get("dirty") is not False:
        return "made on code that was not committed"
    changed = here.changed(commit, claim.also)
    if changed is None:
        return f"made on {commit[:9]}, which is not known here"
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"{changed[0]}{more} changed since {commit[:9]}"
    return ""


def score(judged: Sequence[Judged]) -> float:
    """The share of claims whose evidence is fresh and good, in percent; nothing else counts."""
    return 100.0 * sum(one.verdict == Verdict.GOOD for one in judged) / len(judged) if judged else 0.0
