"""A report as JSON and CSV, and which period a scheduled one is of."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agents.reporting import document, periods
from agents.reporting.document import Document, Figure, Plot, Table

ROME = ZoneInfo("Europe/Rome")
START = datetime(2026, 3, 1, tzinfo=ROME)


def made(*, figures: tuple[Figure, ...] = (), rows: tuple[tuple[document.Cell, ...], ...] = ()) -> Document:
    table = Table("machines", "Machines", ("machine", "share"), rows)
    plot = Plot("by_day", "By day", "began", ("2026-03-01",), (3,))
    return Document("ANOMALY", "Anomalies", "=Site", "Europe/Rome", START, START + timedelta(days=1), figures, (table,),
                    (plot,))  # fmt: skip


def test_csv_and_json_say_the_same_and_no_text_is_a_formula() -> None:
    figures = (
        Figure("anomalies", "Anomalies", 3, "", "How many."),
        Figure("share", "Share", document.rounded(100 / 3), "%", "Of all."),
        Figure("delay", "Delay", None, "s", "Unknown."),
    )
    one = made(figures=figures, rows=(("=cmd()", 1.5), ("P-1", None)))
    said = json.loads(document.as_json(one))
    text = document.as_csv(one).decode("utf-8-sig")
    lines = list(csv.reader(io.StringIO(text)))
    assert [line[2] for line in lines if line and line[0] in ("anomalies", "share", "delay")] == ["3", "33.3333", ""]
    assert [figure["value"] for figure in said["figures"]] == [3, 33.3333, None]
    assert lines[1] == ["site", "'=Site"]
    assert [line for line in lines if line and line[0] in ("'=cmd()", "P-1")] == [["'=cmd()", "1.5"], ["P-1", ""]]
    assert said["tables"][0]["rows"] == [{"machine": "=cmd()", "share": 1.5}, {"machine": "P-1", "share": None}]
    assert (said["from"], said["time_zone"]) == ("2026-03-01T00:00:00+01:00", "Europe/Rome")
    assert said["empty"] is False


def test_a_report_of_nothing_says_so() -> None:
    nothing = made(figures=(Figure("anomalies", "Anomalies", 0, "", "How many."),))
    assert json.loads(document.as_json(nothing))["empty"] is True
    assert document.NOTHING in document.as_csv(nothing).decode()


@pytest.mark.parametrize(
    ("every", "at", "start", "end"),
    [
        ("DAY", datetime(2026, 3, 30, 4, tzinfo=UTC), date(2026, 3, 29), date(2026, 3, 30)),  # a day of 23 hours
        ("DAY", datetime(2026, 3, 29, 22, 30, tzinfo=UTC), date(2026, 3, 29), date(2026, 3, 30)),  # half past midnight
        ("WEEK", datetime(2026, 4, 1, 4, tzinfo=UTC), date(2026, 3, 23), date(2026, 3, 30)),
        ("WEEK", datetime(2026, 3, 30, 4, tzinfo=UTC), date(2026, 3, 23), date(2026, 3, 30)),
        ("MONTH", datetime(2026, 3, 31, 4, tzinfo=UTC), date(2026, 2, 1), date(2026, 3, 1)),
        ("MONTH", datetime(2026, 1, 1, 4, tzinfo=UTC), date(2025, 12, 1), date(2026, 1, 1)),
    ],
)
def test_the_last_whole_period_is_of_the_sites_own_days(every: str, at: datetime, start: date, end: date) -> None:
    assert periods.last_whole(every, at=at, zone=ROME) == (periods.midnight(start, ROME), periods.midnight(end, ROME))


@pytest.mark.parametrize(
    ("every", "day", "hour", "after", "expected"),
    [
        ("DAY", 1, 6, datetime(2026, 3, 28, 5, tzinfo=UTC), datetime(2026, 3, 29, 4, tzinfo=UTC)),  # summer time began
        ("DAY", 1, 6, datetime(2026, 3, 28, 4, 59, tzinfo=UTC), datetime(2026, 3, 28, 5, tzinfo=UTC)),
        ("WEEK", 1, 6, datetime(2026, 3, 24, tzinfo=UTC), datetime(2026, 3, 30, 4, tzinfo=UTC)),
        ("MONTH", 28, 0, datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 27, 23, tzinfo=UTC)),
        ("MONTH", 1, 23, datetime(2026, 12, 2, tzinfo=UTC), datetime(2027, 1, 1, 22, tzinfo=UTC)),
    ],
)
def test_the_next_time_is_by_the_sites_clock(
    every: str, day: int, hour: int, after: datetime, expected: datetime
) -> None:
    assert periods.next_time(every, day=day, hour=hour, after=after, zone=ROME) == expected


def test_days_of_a_period() -> None:
    assert periods.days(START, START + timedelta(days=2)) == [date(2026, 3, 1), date(2026, 3, 2)]
    assert periods.days(START, START + timedelta(days=1, minutes=1)) == [date(2026, 3, 1), date(2026, 3, 2)]
