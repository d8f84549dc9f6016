"""Rows of somebody else's CSV file: what they mean, and what is refused rather than guessed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance import history_mapping, history_rows
from maintenance.history_rows import Complaint, PastRow
from maintenance.models import WorkOrder

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIELDS: dict[str, Any] = {
    "machine": {"column": "asset"}, "title": {"column": "text"}, "opened": {"column": "day"},
    "type": {"value": "CORRECTIVE_DEFERRED"}, "cost": {"column": "cost"},
}  # fmt: skip


def read(tmp_path: Path, *lines: str, zone: str = "UTC", fields: dict[str, Any] | None = None, **mapping: Any) -> Any:
    file = tmp_path / "orders.csv"
    file.write_text("\n".join(["asset,text,day,cost", *lines]), "utf-8")
    made = history_mapping.read(json.dumps({"source": "old", "fields": FIELDS | (fields or {})} | mapping))
    return list(history_rows.read(file, made, zone=ZoneInfo(zone), now=NOW))


def one(tmp_path: Path, line: str, **mapping: Any) -> PastRow:
    (found,) = read(tmp_path, line, **mapping)
    assert isinstance(found, PastRow), found
    return found


def why(tmp_path: Path, line: str, **mapping: Any) -> list[str]:
    (found,) = read(tmp_path, line, **mapping)
    assert isinstance(found, list), found
    return [str(complaint) for complaint in found]


def test_a_row_is_an_order(tmp_path: Path) -> None:
    found = one(tmp_path, 'A,"Leak, left",2004-07-01,-339.81')
    assert (found.machine, found.title, found.cost) == ("A", "Leak, left", Decimal("-339.81"))
    assert found.opened == datetime(2004, 7, 1, tzinfo=UTC)
    assert (found.started, found.completed, found.maintenance_type) == (None, None, "CORRECTIVE_DEFERRED")


@pytest.mark.parametrize(
    ("cell", "marks", "amount"),
    [
        ("1234.5", {}, "1234.50"), ("+3", {}, "3.00"), ("", {}, None),
        ("1.234,56", {"decimal": ",", "thousands": "."}, "1234.56"),
        ("1,234,567", {"thousands": ","}, "1234567.00"), ("1 000,5", {"decimal": ",", "thousands": " "}, "1000.50"),
    ],
)  # fmt: skip
def test_an_amount_is_read_by_the_marks_that_the_mapping_names(
    tmp_path: Path, cell: str, marks: dict[str, str], amount: str | None
) -> None:
    found = one(tmp_path, f'A,x,2004-07-01,"{cell}"', **marks).cost
    assert found == (None if amount is None else Decimal(amount))


@pytest.mark.parametrize(
    ("cell", "marks"),
    [
        ("1,234", {}), ("1.234.567", {}), ("12,34", {"thousands": ","}), ("1.234", {}), ("1.50", {"decimal": ","}),
        ("(339.81)", {}), ("$12", {}), ("1e5", {}), ("nan", {}), ("inf", {}), ("٣", {}), ("1_000", {}), ("9" * 15, {}),
        ("1.2,345", {"decimal": ".", "thousands": ","}), ("- 5", {}),
    ],
)  # fmt: skip
def test_an_amount_that_could_mean_something_else_is_refused(
    tmp_path: Path, cell: str, marks: dict[str, str]
) -> None:  # fmt: skip
    (text,) = why(tmp_path, f'A,x,2004-07-01,"{cell}"', **marks)
    assert text.startswith(("line 2, cost: it ", "line 2, cost: the thousands "))


@given(st.decimals(-(10**9), 10**9, places=2))
def test_an_amount_written_in_any_marks_is_read_back(amount: Decimal) -> None:
    fields = {name: {"value": "x"} for name in history_mapping.NEEDED}
    for decimal, thousands in ((".", ","), (",", "."), (",", ""), (".", "'")):
        text = f"{amount:,.2f}".replace(",", "T").replace(".", decimal).replace("T", thousands)
        mapping = {"source": "s", "fields": fields, "decimal": decimal, "thousands": thousands}
        assert history_rows.cost(text, history_mapping.read(json.dumps(mapping))) == amount


@pytest.mark.parametrize(
    ("cell", "part"),
    [
        ("38169", "a day number of a spreadsheet"), ("01/02/2004", "no date as %Y-%m-%d"), ("2004-13-01", "no date"),
        ("2004-02-30", "no date"), ("2026-03-02", "in the future"), ("", "it is empty"), ("0204-01-01", "before 1900"),
    ],
)  # fmt: skip
def test_a_day_that_cannot_be_is_refused(tmp_path: Path, cell: str, part: str) -> None:
    (text,) = why(tmp_path, f"A,x,{cell},1")
    assert part in text


def test_days_are_of_the_site_and_hours_that_its_clocks_skipped_are_refused(tmp_path: Path) -> None:
    of = {"zone": "Europe/Rome", "dates": ["%d.%m.%Y %H:%M", "%d.%m.%Y"]}
    assert one(tmp_path, "A,x,01.07.2004,1", **of).opened == datetime(2004, 6, 30, 22, tzinfo=UTC)
    assert one(tmp_path, "A,x,31.10.2004 02:30,1", **of).opened == datetime(2004, 10, 31, 0, 30, tzinfo=UTC)
    assert "skipped" in why(tmp_path, "A,x,28.03.2004 02:30,1", **of)[0]


def test_each_thing_that_is_wrong_with_a_row_is_told(tmp_path: Path) -> None:
    found = why(tmp_path, ",,soon,1;2")
    assert [text.split(":")[0] for text in found] == [f"line 2, {name}" for name in ("asset", "text", "day", "cost")]
    assert why(tmp_path, "A,x,2004-07-01") == ["line 2: 3 cells, and the head has 4"]
    assert "NUL" in why(tmp_path, "A,x\x00,2004-07-01,1")[0]
    completed = {"completed": {"value": "2003-01-01"}}
    assert "in this order" in why(tmp_path, "A,x,2004-07-01,1", fields=completed)[0]


def test_a_cell_that_the_mapping_does_not_know_is_refused_or_means_what_it_says(tmp_path: Path) -> None:
    values = {"column": "text", "values": {"PM01": "CORRECTIVE_IMMEDIATE", "PM9": "NONSENSE"}}
    line = "A,{},2004-07-01,1"
    assert one(tmp_path, line.format("PM01"), fields={"type": values}).maintenance_type == "CORRECTIVE_IMMEDIATE"
    assert "does not say" in why(tmp_path, line.format("PM02"), fields={"type": values})[0]
    assert "NONSENSE is no type" in why(tmp_path, line.format("PM9"), fields={"type": values})[0]
    otherwise = values | {"otherwise": "INSPECTION"}
    assert one(tmp_path, line.format("PM02"), fields={"type": otherwise}).maintenance_type == "INSPECTION"


def test_equal_rows_have_keys_of_their_own_that_stay(tmp_path: Path) -> None:
    lines = ["A,x,2004-07-01,1"] * 2 + ["B,x,2004-07-01,1"]
    keys = [row.key for row in read(tmp_path, *lines)]
    assert len(set(keys)) == 3
    assert [row.key for row in read(tmp_path, *reversed(lines))] == [keys[2], *keys[:2]]


def test_a_key_of_columns_is_there_once(tmp_path: Path) -> None:
    found = read(tmp_path, "A,1,2004-07-01,1", "A,1,2004-07-02,1", "A,2,2004-07-02,1", key=["text"])
    assert [getattr(row, "key", row) for row in found[::2]] == ["1", "2"]
    assert isinstance(found[1][0], Complaint)
    assert "another row" in str(found[1][0])


@pytest.mark.parametrize("text", ["", "asset,text\nA,x", "asset,text,day,cost,cost\n", "\ufeffasset;text\n", "a\xff"])
def test_a_file_that_does_not_fit_is_refused_as_a_whole(tmp_path: Path, text: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(text.encode("latin-1" if "\xff" in text else "utf-8"))
    made = history_mapping.read(json.dumps({"source": "old", "fields": FIELDS}))
    with pytest.raises(history_rows.BadFile):
        list(history_rows.read(file, made, zone=UTC, now=NOW))


GOOD: dict[str, Any] = {"source": "s", "fields": FIELDS}


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", json.dumps(GOOD | {"more": 1}), json.dumps(GOOD | {"source": ""}), json.dumps(GOOD | {"fields": []}),
        json.dumps(GOOD | {"fields": {"machine": {"column": "a"}}}), json.dumps(GOOD | {"delimiter": ";;"}),
        json.dumps(GOOD | {"encoding": "klingon"}), json.dumps(GOOD | {"dates": ["%d.%m.%y"]}),
        json.dumps(GOOD | {"dates": []}), json.dumps(GOOD | {"decimal": ",", "thousands": ","}),
        json.dumps(GOOD | {"key": "id"}), json.dumps(GOOD | {"fields": FIELDS | {"title": {}}}),
        json.dumps(GOOD | {"fields": FIELDS | {"title": {"column": "a", "value": "b"}}}),
        json.dumps(GOOD | {"fields": FIELDS | {"title": {"column": 3}}}),
        json.dumps(GOOD | {"fields": FIELDS | {"title": {"column": "a", "otherwise": "b"}}}),
        json.dumps(GOOD | {"fields": FIELDS | {"title": {"column": "a", "values": []}}}),
        json.dumps(GOOD | {"fields": FIELDS | {"title": {"column": "a", "like": "b"}}}),
        json.dumps(GOOD | {"fields": FIELDS | {"colour": {"column": "a"}}}),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_be_used_says_why(text: str) -> None:
    with pytest.raises(history_mapping.BadMapping):
        history_mapping.read(text)


def test_types_are_those_of_orders() -> None:
    assert set(history_rows.TYPES) == set(WorkOrder.Type.values)


def test_the_future_begins_after_now(tmp_path: Path) -> None:
    assert one(tmp_path, f"A,x,{NOW - timedelta(days=1):%Y-%m-%d},1").opened < NOW
