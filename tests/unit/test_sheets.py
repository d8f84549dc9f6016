"""CSV and XLSX files as rows, and cells that no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import openpyxl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensors import sheets
from sensors.sheets import BadSheet


def workbook(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


def cells(content: bytes) -> list[tuple[int, tuple[Any, ...]]]:
    return [(row.number, row.cells) for row in sheets.read("file", content).rows]


TEXTS = st.text(alphabet=st.sampled_from(list("=+-@'\" \t\r\n＝＋ab1,;")), max_size=8)


@given(TEXTS)
@example("'=1")
@example('"=1')
@example(" =1")
def test_what_was_made_safe_is_what_it_was(text: str) -> None:
    assert sheets.plain(sheets.safe(text)) == text


@given(TEXTS)
def test_no_cell_of_a_file_begins_a_formula(text: str) -> None:
    file = io.StringIO()
    csv.writer(file).writerow([sheets.safe(text), "x"])
    [[cell, _]] = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert cell.lstrip(" \"'")[:1] not in sheets.FORMULA or cell.startswith("'")
    assert cell[:1] not in sheets.FORMULA


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", ' "=1', "'=1"])
def test_what_could_be_a_formula_is_a_text(text: str) -> None:
    assert sheets.safe(text) == f"'{text}"


@pytest.mark.parametrize(
    "content",
    [
        b"tag,name\nP-1,Pump\n\nP-2,Fan\n",
        b"\xef\xbb\xbftag;name\r\nP-1;Pump\r\n;\r\nP-2;Fan\r\n",
        "tag\tname\nP-1\tPump\n\nP-2\tFan".encode("utf-16"),
        workbook(["tag", "name"], ["P-1", "Pump"], [], ["P-2", "Fan"]),
    ],
    ids=["commas", "semicolons", "utf-16", "xlsx"],
)
def test_a_table_is_read_with_its_own_row_numbers(content: bytes) -> None:
    assert sheets.read("file", content).headers == ("tag", "name")
    assert cells(content) == [(2, ("P-1", "Pump")), (4, ("P-2", "Fan"))]


def test_a_row_over_several_lines_is_numbered_where_it_begins() -> None:
    assert cells(b'tag,name\nP-1,"Pump\n3"\nP-2,Fan\n') == [(2, ("P-1", "Pump\n3")), (4, ("P-2", "Fan"))]


def test_western_european_text_is_read() -> None:
    assert cells("tag;name\nP-1;Lüfter\n".encode("cp1252")) == [(2, ("P-1", "Lüfter"))]


def test_a_short_row_is_filled_and_a_long_one_is_at_fault() -> None:
    rows = sheets.read("file", b"tag,name\nP-1\nP-2,Fan,x\n").rows
    assert (rows[0].cells, rows[0].fault) == (("P-1", ""), "")
    assert rows[1].fault == "It has 3 cells, and there are 2 columns."


def bomb() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b"0" * (sheets.MOST_UNPACKED + 1))
    return made.getvalue()


def entities() -> bytes:
    """A workbook whose sheet would grow by entities of entities."""
    good, made = zipfile.ZipFile(io.BytesIO(workbook(["tag"], ["P-1"]))), io.BytesIO()
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    with zipfile.ZipFile(made, "w") as packed:
        for name in good.namelist():
            text = good.read(name)
            packed.writestr(name, laughs + text.replace(b"P-1", b"&b;") if "sheet1" in name else text)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (entities(), "no workbook"),
        (b"\n \n", "empty"),
        (b"tag,name\n", "no rows"),
        (b"tag,,name\nP,1,2\n", "Column 2 has no name"),
        (b"tag,tag\nP,1\n", "twice: tag"),
        (b"tag\n" + b"P\n" * (sheets.MOST_ROWS + 1), "more than 2000 rows"),
        (b"tag\n" + b"\n" * (sheets.MOST_LINES + 1) + b"P\n", "more than 10000 lines"),
        (b"tag\n" + b"x" * sheets.MOST_BYTES, "more than 1 MB"),
        (b'tag\n"' + b"x" * 200_000, "cannot be read"),
        (b"tag\nP\0\n", "neither CSV nor XLSX"),
        (b"tag\n\x81\n", "cannot be read"),
        (b"PK\x03\x04 and nothing", "no workbook"),
        (bomb(), "unpacks to more"),
    ],
)
def test_what_is_no_table_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(BadSheet, match=said):
        sheets.read("file", content)
