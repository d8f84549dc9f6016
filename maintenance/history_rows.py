"""Rows of a CSV file as work orders of the past, and every reason for which one cannot be. Pure: no database.

A cell that could mean two things is refused, never guessed: a thousands mark that the mapping does not name, a date in
no format it names, an hour that the clock skipped.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from pathlib import Path

from maintenance import failure_data, failure_modes
from maintenance.history_mapping import HistoryMapping

TYPES = (
    "CORRECTIVE_IMMEDIATE", "CORRECTIVE_DEFERRED", "PREDETERMINED", "CONDITION_BASED", "PREDICTIVE", "INSPECTION",
    "INSTRUMENTATION",
)  # fmt: skip
"""As ``WorkOrder.Type`` has them; a test holds the two equal."""
CODES: Mapping[str, frozenset[str]] = {
    "type": frozenset(TYPES),
    "failure_mode": frozenset(failure_modes.CATALOGUE.modes),
    "activity": frozenset(failure_data.ACTIVITIES),
    "mechanism": frozenset(failure_data.MECHANISMS),
    "cause": frozenset(failure_data.CAUSES),
    "detection_method": frozenset(failure_data.DETECTION_METHODS),
}
LENGTHS = {"machine": 100, "part": 100, "worker": 200}
INSTANTS = ("opened", "started", "completed")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
MOST_CENTS = 10**14


class BadFile(ValueError):
    """The file cannot be read as the mapping says; the message says what is wrong."""


class BadCell(ValueError):
    """A cell cannot mean what it has to; the message says why."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """Why a row is no order. ``line``: of the file, where the row ends; ``column``: empty where it is the whole row."""

    line: int
    column: str
    cell: str
    reason: str

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", {self.column}" if self.column else "")
        return f"{where}: {self.reason}" + (f" ({self.cell[:60]!r})" if self.cell else "")


@dataclass(frozen=True, slots=True)
class PastRow:
    """A row that can be an order. ``started``, ``completed``: None where the source does not say."""

    line: int
    key: str
    machine: str
    title: str
    findings: str
    maintenance_type: str
    opened: datetime
    started: datetime | None
    completed: datetime | None
    cost: Decimal | None
    part: str
    worker: str
    codes: Mapping[str, str]


def read(path: Path, mapping: HistoryMapping, *, zone: tzinfo, now: datetime) -> Iterator[PastRow | list[Complaint]]:
    """Each row of the file as an order, or all that is wrong with it. Raises ``BadFile``."""
    equal: Counter[str] = Counter()
    try:
        with path.open(encoding=mapping.encoding, newline="") as file:
            lines = csv.reader(file, delimiter=mapping.delimiter, strict=True)
            head = [name.strip() for name in next(lines, [])]
            _check_head(head, mapping)
            for cells in lines:
                if cells:
                    yield _row(cells, head, mapping, line=lines.line_num, zone=zone, now=now, equal=equal)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{path} cannot be read: {error}") from error


def _check_head(head: Sequence[str], mapping: HistoryMapping) -> None:
    if not head:
        raise BadFile("The file is empty.")
    if twice := [name for name, times in Counter(head).items() if times > 1]:
        raise BadFile(f"The file has the column {twice[0]!r} twice.")
    if missing := [name for name in mapping.columns if name not in head]:
        raise BadFile(f"The file has no column {missing[0]!r}; it has {', '.join(map(repr, head))}.")


def _row(
    cells: Sequence[str], head: Sequence[str], mapping: HistoryMapping, *, line: int, zone: tzinfo, now: datetime,
    equal: Counter[str],
) -> PastRow | list[Complaint]:  # fmt: skip
    if len(cells) != len(head):
        return [Complaint(line, "", "", f"{len(cells)} cells, and the head has {len(head)}")]
    given = dict(zip(head, (cell.strip() for cell in cells), strict=True))
    key, complaints = _key(given, mapping, line=line, equal=equal)
    texts: dict[str, str] = {}
    instants: dict[str, datetime | None] = {}
    amount: Decimal | None = None
    for name, field in mapping.fields.items():
        cell = field.value if field.column is None else given[field.column]
        try:
            texts[name] = _text(name, cell, field.values, field.otherwise)
            if name in INSTANTS:
                instants[name] = _instant(texts[name], mapping.dates, zone=zone, now=now)
            elif name == "cost":
                amount = cost(texts[name], mapping)
        except BadCell as error:
            complaints.append(Complaint(line, field.column or name, cell, str(error)))
    opened, started, completed = (instants.get(name) for name in INSTANTS)
    known = [at for at in (opened, started, completed) if at is not None]
    if known != sorted(known):
        complaints.append(Complaint(line, "", "", "it is to have opened, started and been completed in this order"))
    if complaints or opened is None:
        return complaints
    codes = {name: texts[name] for name in CODES if name != "type" and texts.get(name)}
    return PastRow(
        line, key, texts["machine"], texts["title"], texts.get("findings", ""), texts["type"], opened, started,
        completed, amount, texts.get("part", ""), texts.get("worker", ""), codes,
    )  # fmt: skip


def _key(
    given: Mapping[str, str], mapping: HistoryMapping, *, line: int, equal: Counter[str]
) -> tuple[str, list[Complaint]]:  # fmt: skip
    """What names the row, for good: the cells of the key, else all of them and the number among equal rows."""
    parts = [given[name] for name in mapping.key] or [f"{name}={given[name]}" for name in sorted(given)]
    whole = "\x1f".join(parts)
    equal[whole] += 1
    if not mapping.key:
        return hashlib.sha256(f"{whole}\x1f{equal[whole]}".encode()).hexdigest(), []
    said = ", ".join(mapping.key)
    if not all(parts):
        return "", [Complaint(line, said, "", "the key is empty")]
    if equal[whole] > 1:
        return "", [Complaint(line, said, " ".join(parts), "another row of the file has this key")]
    plain = "/".join(parts)
    return (plain if len(plain) <= 200 and len(parts) == 1 else hashlib.sha256(whole.encode()).hexdigest()), []


def _text(name: str, cell: str, values: Mapping[str, str] | None, otherwise: str | None) -> str:
    if values is not None and cell not in values and otherwise is None:
        raise BadCell("the mapping does not say what this means")
    text = cell if values is None else values.get(cell, otherwise or "")
    if "\x00" in text:
        raise BadCell("it holds a NUL character")
    if not text and name in ("machine", "title", "opened", "type"):
        raise BadCell("it is empty")
    if len(text) > LENGTHS.get(name, 20_000):
        raise BadCell(f"it has more than {LENGTHS.get(name, 20_000)} characters")
    if name in CODES and text and text not in CODES[name]:
        raise BadCell(f"{text} is no {name.replace('_', ' ')}")
    return text


def _instant(text: str, formats: Sequence[str], *, zone: tzinfo, now: datetime) -> datetime | None:
    """A date is the midnight it begins with at the site; an hour that comes twice is the first of the two."""
    if not text:
        return None
    at = next((found for found in (_parsed(text, one) for one in formats) if found is not None), None)
    if at is None:
        hint = "; a day number of a spreadsheet: export it as a date" if re.fullmatch(r"\d{5}(\.\d+)?", text) else ""
        raise BadCell(f"it is no date as {' or '.join(formats)}{hint}")
    if at.tzinfo is None:
        local = at.replace(tzinfo=zone)
        back = local.astimezone(UTC).astimezone(zone)
        if back.replace(tzinfo=None) != at and (at.hour or at.minute):
            raise BadCell("the clocks of the site skipped this hour")
        at = local
    at = at.astimezone(UTC)
    if at > now:
        raise BadCell("it is in the future")
    if at.year < 1900:
        raise BadCell("it is before 1900")
    return at


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None


def cost(text: str, mapping: HistoryMapping) -> Decimal | None:
    """Money in hundredths at most. Marks that the mapping does not name are refused."""
    if not text:
        return None
    plain = text
    if mapping.thousands:
        whole, mark, rest = text.partition(mapping.decimal)
        first, *groups = whole.split(mapping.thousands)
        if any(len(group) != 3 for group in groups) or mapping.thousands in rest:
            raise BadCell(f"the thousands are not apart by {mapping.thousands!r} in threes")
        plain = "".join([first, *groups]) + mark + rest
    if mapping.decimal != ".":
        if "." in plain:
            raise BadCell("it has a point, which the mapping does not name as a mark of thousands")
        plain = plain.replace(mapping.decimal, ".")
    if not plain.isascii() or NUMBER.fullmatch(plain) is None:
        raise BadCell(f"it is no amount with {mapping.decimal!r} before the decimals")
    amount = Decimal(plain)
    if abs(amount) * 100 >= MOST_CENTS:
        raise BadCell("it is too large")
    if amount != amount.quantize(Decimal("0.01")):
        raise BadCell("it has more than two decimals")
    return amount.quantize(Decimal("0.01"))
