from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sensors.connectors import csv

ROME = ZoneInfo("Europe/Rome")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_found_by_what_they_hold(tmp_path: Path) -> None:
    path = write(tmp_path, "id;when;flow;note\na;2026-03-01 10:00:00;1.5;x\nb;2026-03-01 11:00:00;2;y\n")
    layout = csv.inspect(path, zone=UTC)
    assert (layout.time_column, layout.value_columns) == ("when", ("flow",))
    assert (layout.delimiter, layout.rows, layout.period_seconds) == (";", 2, 3600)


def test_readings_keep_what_cannot_be_read_for_the_intake_to_refuse(tmp_path: Path) -> None:
    path = write(tmp_path, "time,a,b\n2026-03-01T10:00:00Z,1,\nsoon,2,3\n2026-03-01T11:00:00Z,n/a,4\n")
    layout = csv.inspect(path, zone=UTC, value_columns=["a", "b"])
    found = [(r["sensor"], r["measured_at"], r["value"]) for r in csv.readings(path, layout, zone=UTC, prefix="m/")]
    assert found == [
        ("m/a", "2026-03-01T10:00:00+00:00", 1.0),
        ("m/a", "soon", 2.0),
        ("m/b", "soon", 3.0),
        ("m/a", "2026-03-01T11:00:00+00:00", "n/a"),
        ("m/b", "2026-03-01T11:00:00+00:00", 4.0),
    ]


def test_the_hour_that_is_repeated_in_autumn_is_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path, "time,v\n2026-10-25 01:30,1\n2026-10-25 02:30,2\n2026-10-25 02:30,3\n2026-10-25 03:30,4\n")
    layout = csv.inspect(path, zone=ROME)
    hours = [datetime.fromisoformat(r["measured_at"]).hour for r in csv.readings(path, layout, zone=ROME)]
    assert hours == [23, 0, 1, 2]


def test_the_hour_that_is_skipped_in_spring_is_no_instant() -> None:
    assert csv.parse_instant("2026-03-29 02:30", zone=ROME) is None
    assert csv.parse_instant("2026-03-29 03:30", zone=ROME) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31 23:59:59", "0001-01-01T00:00:00+14:00"])
def test_the_edges_of_the_calendar_are_no_instants(text: str) -> None:
    assert csv.parse_instant(text, zone=ROME) is None


def test_epoch_seconds_are_instants() -> None:
    assert csv.parse_instant("1700000000", zone=ROME) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("time\n1\n", "one column"),
        ("time,v\n", "no rows"),
        ("time,v,v\n2026-03-01T00:00Z,1,2\n", "twice"),
        ("2026-03-01T00:00Z,1\n2026-03-01T01:00Z,2\n", "no header"),
        ("a,b\nx,1\ny,2\n", "no column of instants"),
        ("time,b\n2026-03-01T00:00Z,x\n2026-03-01T01:00Z,y\n", "no column of numbers"),
    ],
)
def test_a_bad_file_is_refused_with_a_clear_word(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(csv.BadFile, match=says):
        csv.inspect(write(tmp_path, text), zone=UTC)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(csv.BadFile, match="cannot be read"):
        csv.inspect(tmp_path / "nothing.csv", zone=UTC)
    (tmp_path / "binary.csv").write_bytes(b"time,v\n\xff\xfe\x00,1\n")
    with pytest.raises(csv.BadFile, match="not UTF-8"):
        csv.inspect(tmp_path / "binary.csv", zone=UTC)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "time,v\n2026-03-01T00:00Z,1\n")
    with pytest.raises(csv.BadFile, match="no column 'when'"):
        csv.inspect(path, zone=UTC, time_column="when")
    with pytest.raises(csv.BadFile, match="no column w"):
        csv.inspect(path, zone=UTC, value_columns=["w"])
