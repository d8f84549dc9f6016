"""What the cells of an imported or exported table mean: one widget of django-import-export for each kind of field.

Each takes what a spreadsheet or a CSV file holds, raises ``ValueError`` with a sentence where it cannot be meant, and
gives back in an export what it would take.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from typing import Any

from django.db import models
from import_export import widgets
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from sensors import sheets
from sensors.models import Equipment

BROKEN = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!"})
YES_OR_NO = {True: "yes", False: "no"}
PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def exported(text: str) -> str:
    """A text as a cell of a table that is given out: without control characters, which a workbook cannot hold."""
    return sheets.safe(ILLEGAL_CHARACTERS_RE.sub("", text))


class Text(widgets.Widget):
    """A number in a column of texts is the text that the spreadsheet shows: 4711.0 is 4711."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        text = sheets.plain(str(value)).strip()
        if text in BROKEN:
            raise ValueError(f"{text} is what a spreadsheet shows for a formula that failed.")
        if "\0" in text:
            raise ValueError("A character in it cannot be stored.")
        return text

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        return "" if value is None else exported(str(value))


class Number(widgets.Widget):
    """A finite number in the decimal mark that was chosen; no thousands are set apart."""

    def __init__(self, *, comma: bool) -> None:
        super().__init__()
        self.comma = comma

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        if value == "":
            return None
        number = float(value) if _is_number(value) else self._read(str(value))
        if not math.isfinite(number):
            raise ValueError(f"{value} is no number.")
        return number

    def _read(self, text: str) -> float:
        mark, other = (",", ".") if self.comma else (".", ",")
        if other in text:
            named = "comma" if self.comma else "point"
            raise ValueError(f"{text!r} has a {other!r}, and the decimal mark of this import is the {named}.")
        pointed = text.replace(mark, ".")
        if not PLAIN_NUMBER.fullmatch(pointed):
            raise ValueError(f"{text!r} is no number: no units, no spaces, nothing between thousands.")
        return float(pointed)

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        return value


class Whole(Number):
    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        number = super().clean(value, row, **kwargs)
        if number is not None and not number.is_integer():
            raise ValueError(f"{value} is no whole number.")
        return None if number is None else int(number)


class Exact(Number):
    """A number to the last digit, such as an amount of money; of a workbook what its 15 digits say."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        if super().clean(value, row, **kwargs) is None:
            return None
        return Decimal(f"{value:.15g}" if _is_number(value) else str(value).replace(",", "."))


class Choice(Text):
    """One of the stored values or of the words that pages show for them, in any case."""

    def __init__(self, choices: Mapping[Any, str]) -> None:
        super().__init__()
        self.known = {str(word).lower(): key for key, words in choices.items() for word in (key, words)}
        self.offered = ", ".join(str(key) for key in choices if key != "")

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        text = super().clean(value, row, **kwargs)
        if text == "":
            return None
        if text.lower() not in self.known:
            raise ValueError(f"{text!r} is none of {self.offered}.")
        return self.known[text.lower()]


class Day(widgets.Widget):
    """A day as 2026-03-31, or a cell of a workbook that holds a date: 3/4/2026 could be two days."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        if value == "" or isinstance(value, datetime | date):
            return None if value == "" else value.date() if isinstance(value, datetime) else value
        try:
            return date.fromisoformat(str(value)) if len(str(value)) == 10 else _no_day(value)
        except ValueError as error:
            raise ValueError(f"{str(value)!r} is no day: write it as 2026-03-31.") from error

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        return "" if value is None else value.isoformat()


class Hour(Text):
    """A time of the day as 17:00, or a cell of a workbook that holds one."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        if isinstance(value, time):
            return value
        text = super().clean(value, row, **kwargs)
        try:
            return time.fromisoformat(text) if ":" in text else _no_day(text) if text else None
        except ValueError as error:
            raise ValueError(f"{text!r} is no time of the day: write it as 17:00.") from error

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        return "" if value is None else value.isoformat("minutes")


class Instant(widgets.Widget):
    """An instant in ISO 8601; without an offset in the site's time, a day alone as its end."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__()
        self.zone = zone

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        if value == "":
            return None
        if not isinstance(value, datetime):
            value = self._read(value)
        at: datetime = value if value.tzinfo is not None else value.replace(tzinfo=self.zone)
        if at.astimezone(UTC).astimezone(at.tzinfo).replace(tzinfo=None) != at.replace(tzinfo=None):
            raise ValueError(f"{value} does not exist in {self.zone}: the clock is set forward there.")
        return at

    def _read(self, value: Any) -> datetime:
        try:
            if isinstance(value, date):
                return datetime.combine(value, time(23, 59))
            text = str(value)
            if len(text) == 10:
                return datetime.combine(date.fromisoformat(text), time(23, 59))
            return datetime.fromisoformat(text) if len(text) >= 16 and text[4] == "-" else _no_day(value)
        except ValueError as error:
            raise ValueError(f"{str(value)!r} is no instant: write it as 2026-03-31 14:00.") from error

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        return "" if value is None else value.astimezone(UTC).isoformat()


class Tag(Text):
    """Equipment of the site by its tag; ``find`` raises ``ValueError`` where there is none."""

    def __init__(self, find: Callable[[str], Equipment]) -> None:
        super().__init__()
        self.find = find

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        text = super().clean(value, row, **kwargs)
        return self.find(text) if text else None

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        return "" if value is None else exported(value.tag)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _no_day(value: Any) -> Any:
    raise ValueError(f"{value} is no day")


def of(field: Any, *, comma: bool, zone: tzinfo, find: Callable[[str], Equipment]) -> widgets.Widget:
    """The cell for a field of a table."""
    if isinstance(field, models.ForeignKey):
        return Tag(find)
    if field.choices:
        return Choice(dict(field.flatchoices))
    for kind, make in (
        (models.FloatField, lambda: Number(comma=comma)), (models.IntegerField, lambda: Whole(comma=comma)),
        (models.DecimalField, lambda: Exact(comma=comma)), (models.BooleanField, lambda: Choice(YES_OR_NO)),
        (models.DateTimeField, lambda: Instant(zone)), (models.DateField, Day), (models.TimeField, Hour),
    ):  # fmt: skip
        if isinstance(field, kind):
            return make()
    return Text()
