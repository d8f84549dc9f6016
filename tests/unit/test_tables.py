"""CSV files as arrays: how a file is read, and that no row is lost, whatever stands in it."""

from __future__ import annotations

import csv as stdlib_csv
import os
import threading
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.columns import SECOND_US, from_instant
from sensors.connectors import csv
from sensors.tables import clocks, layouts, output
from sensors.tables.layouts import BadFile, Layout, Wanted
from sensors.tables.rows import FAULTS, GOOD, Chunk, Table, numbers

ROME = ZoneInfo("Europe/Rome")
MINUTE = 60 * SECOND_US


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path, wanted: Wanted = Wanted(), rows: int | None = None) -> tuple[Layout, list[Chunk]]:  # noqa: B008
    with Table(path, wanted) as table:
        return table.layout, list(table.chunks(rows))


def whole(path: Path, wanted: Wanted = Wanted(), rows: int | None = None) -> Chunk:  # noqa: B008
    _, chunks = read(path, wanted, rows)
    time = [text for chunk in chunks for text in chunk.time]
    arrays = [np.concatenate([getattr(c, name) for c in chunks]) for name in ("at", "value", "cell", "fault")]
    return Chunk(chunks[0].first, time, *arrays)


def faults(chunk: Chunk) -> list[str]:
    return [FAULTS[code] for code in chunk.fault.tolist()]


# The layout


@pytest.mark.parametrize(
    ("text", "time_column", "kind", "columns"),
    [
        ("timestamp,value\n2026-03-01 00:00:00,1\n", "timestamp", layouts.INSTANTS, ("value",)),
        ("a;b;when\n1;2;2026-03-01T00:00:00Z\n", "when", layouts.INSTANTS, ("a", "b")),
        ("v\tt\n5.5\t1700000000\n3\t1700000060\n", "t", layouts.INSTANTS, ("v",)),
        ("ts,v\n1700000000000,1\n1700000060000,2\n", "ts", layouts.MILLISECONDS, ("v",)),
        ("row,bytes\n0,1700000000\n1,1600000000\n2,1700000000\n", "row", layouts.NUMBERS, ("bytes",)),
        (",flow\n0,3\n1,4\n2,5\n", "column 1", layouts.NUMBERS, ("flow",)),
        ("flow,load\n3.5,4\n3,4\n", None, layouts.COUNTED, ("flow", "load")),
        ("value\n3.5\n3\n", None, layouts.COUNTED, ("value",)),
        ('"time";"Flow, l/s"\n"2026-03-01T00:00";"1.5"\n', "time", layouts.INSTANTS, ("Flow, l/s",)),
        ("time,v,note\n2026-03-01,1,x\n2026-03-02,2,y\n", "time", layouts.INSTANTS, ("v",)),
        ("time,v,anomaly\n2026-03-01,1,0\n2026-03-02,2,1\n", "time", layouts.INSTANTS, ("v",)),
    ],
)
def test_the_layout_is_found(
    tmp_path: Path, text: str, time_column: str | None, kind: str, columns: tuple[str, ...]
) -> None:
    for spelled in (text, "\ufeff" + text, text.replace("\n", "\r\n"), text.rstrip("\n")):
        layout, _ = read(write(tmp_path, spelled))
        assert (layout.time_column, layout.kind, layout.columns) == (time_column, kind, columns)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "time,v,note,label\n2026-03-01,1,x,0\n")
    layout, _ = read(path)
    assert layout.left_out == (
        ("note", "no numbers"),
        ("label", "a label by its name; --columns takes it all the same"),
    )
    layout, _ = read(path, Wanted(columns=("label",)))
    assert layout.columns == ("label",)
    assert layout.left_out == (("v", "not asked for"), ("note", "not asked for"))


@pytest.mark.parametrize(
    ("text", "wanted", "says"),
    [
        ("", Wanted(), "is empty"),
        ("\n \n", Wanted(), "is empty"),
        ("time,v\n", Wanted(), "no rows"),
        ("time,v,v\n2026-03-01,1,2\n", Wanted(), "twice: v"),
        ("2026-03-01,1\n2026-03-02,2\n", Wanted(), "no header"),
        ("when,v\n1 March,1\n2 March,2\n", Wanted(), "--time-column"),
        ("when,v\n1 March,1\n2 March,2\n", Wanted(time_column="when"), "begins with '1 March'"),
        ("time,v\n2026-03-01,1\n", Wanted(time_column="t"), "no column 't'; it has time, v"),
        ("time,v\n2026-03-01,1\n", Wanted(columns=("w",)), "no column w; it has time, v"),
        ("time,v\n2026-03-01,1\n", Wanted(time_column="time", columns=("time",)), "cannot be a value"),
        ("time;v\n2026-03-01;1,5\n", Wanted(), "decimal point"),
        ("time,v\n2026-03-01,x\n", Wanted(), "'v' begins with 'x'"),
        ("time\n2026-03-01\n", Wanted(), "no other column"),
        ("time,v\n2026-03-01,1\n".encode("utf-16"), Wanted(), "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_what_to_do(
    tmp_path: Path, text: str | bytes, wanted: Wanted, says: str
) -> None:
    with pytest.raises(BadFile, match=says):
        read(write(tmp_path, text), wanted)


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.csv", tmp_path):
        with pytest.raises(BadFile, match="cannot be read"):
            read(path)


# The rows


def test_each_row_that_cannot_be_used_has_its_reason(tmp_path: Path) -> None:
    text = (
        "time,a,b\n2026-03-01T00:00Z,1,2\nsoon,1,2\n2026-03-01T00:02Z,x,\n2026-03-01T00:03Z,, \n"
        "2026-03-01T00:00Z,1,2\n2026-02-01T00:00Z,1,2\n2026-03-01T00:04Z,x,2\n2026-03-01T00:05Z,1,5,3\n"
        "2026-03-01T00:06Z,1,2,,\n2026-03-01T00:07Z\n2026-03-01T00:02Z,1,2\n\n2026-03-01T00:08Z,nan,1e999\n"
        "2026-03-01T00:09Z,,-1e100\n2026-03-01T00:10Z,2e100,\n"
    )
    found = whole(write(tmp_path, text))
    assert faults(found) == [
        "", "bad time", "bad value", "no value", "duplicate instant", "out of order", "", "too many cells", "",
        "no value", "out of order", "bad value", "", "bad value",
    ]  # fmt: skip
    assert np.flatnonzero(found.usable[:, 0]).tolist() == [0, 8]
    assert np.flatnonzero(found.usable[:, 1]).tolist() == [0, 6, 8, 12]


def test_a_row_that_was_not_read_does_not_make_the_next_one_a_duplicate(tmp_path: Path) -> None:
    found = whole(write(tmp_path, "time,a\n2026-03-01,x\n2026-03-01,1\n2026-03-01,2\n2026-03-02,2\n"))
    assert faults(found) == ["bad value", "", "duplicate instant", ""]


def test_row_numbers_are_a_period_apart(tmp_path: Path) -> None:
    wanted = Wanted(period=2 * SECOND_US)
    found = whole(write(tmp_path, "row,v\n5,1\n6,1\n7,1\n8,1\n9,1\n9.5,1\nx,1\n1e300,1\n"), wanted)
    assert (found.at / SECOND_US).tolist() == [10, 12, 14, 16, 18, 19, 0, 0]
    assert faults(found) == ["", "", "", "", "", "", "bad time", "bad time"]
    found = whole(write(tmp_path, "v\n5\n6\n"), wanted)
    assert (found.at.tolist(), list(found.time)) == ([2 * SECOND_US, 4 * SECOND_US], ["1", "2"])


def test_milliseconds_are_instants(tmp_path: Path) -> None:
    found = whole(write(tmp_path, "ts,v\n1700000000000,1\n1700000000001.5,1\n17,1\n"))
    assert found.at.tolist() == [1_700_000_000_000_000, 1_700_000_000_001_500, 0]
    assert faults(found) == ["", "", "bad time"]


def test_cells_may_have_line_breaks_where_they_are_no_values(tmp_path: Path) -> None:
    text = 'time,v,note\n2026-03-01,1,"a\nb"\n2026-03-02,2,"c\r\n\r\nd ""e"""\n2026-03-03,3,f\n'
    for rows in (1, 2, 100):
        found = whole(write(tmp_path, text), rows=rows)
        assert found.value[:, 0].tolist() == [1, 2, 3]


def test_a_quote_that_is_never_closed_costs_its_own_row_only(tmp_path: Path) -> None:
    lines = ["time,v,note", *(f"2026-03-01T00:{n // 60:02}:{n % 60:02},{n},x" for n in range(1500))]
    lines[700] = lines[700].replace(",699,", ',"699,')
    for rows in (1, 7, 699, 4096):
        found = whole(write(tmp_path, "\n".join(lines)), rows=rows)
        assert (len(found), np.flatnonzero(found.fault).tolist()) == (1500, [699])


def test_bytes_that_are_no_text_stay_in_their_cell(tmp_path: Path) -> None:
    data = "time,v,°C\n2026-03-01,1,2\n2026-03-02,é,2\n2026-03-03,1,2\n".encode("latin-1")
    found = whole(write(tmp_path, data))
    assert faults(found) == ["", "", ""]
    assert np.flatnonzero(~found.usable[:, 0]).tolist() == [1]


def test_what_is_done_is_told_in_bytes_and_a_pipe_is_read_as_a_file_is(tmp_path: Path) -> None:
    text = "time,v\n" + "".join(f"{1_700_000_000 + n},{n}\n" for n in range(900))
    path, pipe = write(tmp_path, text), tmp_path / "pipe"
    with Table(path, Wanted()) as table:
        assert sum(map(len, table.chunks(100))) == 900
        assert (table.done, table.size) == (len(text), len(text))
    os.mkfifo(pipe)
    feeder = threading.Thread(target=pipe.write_text, args=(text,))
    feeder.start()
    with Table(pipe, Wanted()) as table:
        assert sum(map(len, table.chunks(100))) == 900
        assert (table.done, table.size) == (0, 0)
    feeder.join()


def test_of_many_columns_fewer_rows_are_taken_at_once(tmp_path: Path) -> None:
    head = "row," + ",".join(f"c{n}" for n in range(2000))
    found = read(write(tmp_path, head + "\n" + "".join(f"{n}{',1' * 2000}\n" for n in range(50))))[1]
    assert [len(chunk) for chunk in found] == [32, 18]


NASTY = st.one_of(
    st.sampled_from([
        "", ",", ",,,,,,", '"', '""', 'a"b', "\0", "\ufeff", "é,1", "nan,nan", "2026-03-01,1e999", "2026-03-01,-0",
        "9999-12-31T23:59:59,1", "0001-01-01,1", "2026-02-30,1", "inf,inf", "1700000000,1", '"2026-03-01","2"',
        '"2026-03-01\n",2', '2026-03-01,"', "2026-03-01T00:00:00+99:00,1", "\udcff,1",
    ]),
    st.text(max_size=40),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), NASTY), max_size=5), st.integers(1, 50))
def test_nothing_a_line_holds_stops_the_reading_or_depends_on_the_chunks(
    tmp_path_factory: pytest.TempPathFactory, put: list[tuple[int, str]], rows: int
) -> None:
    lines = [f"2026-03-01T00:{n:02}:00,{n}" for n in range(40)]
    for place, line in put:
        lines.insert(place, line)
    text = "\n".join(["time,v", "2026-02-28,1", "2026-02-28T01:00,1", *lines])
    path = write(tmp_path_factory.mktemp("nasty"), text.encode(errors="surrogateescape"))
    wanted = Wanted(time_column="time", columns=("v",))
    found, parts = whole(path, wanted), whole(path, wanted, rows)
    assert list(found.time) == list(parts.time)
    for name in ("at", "value", "cell", "fault"):
        assert getattr(found, name).tobytes() == getattr(parts, name).tobytes()
    used = found.at[found.fault == 0]
    assert (np.diff(used) > 0).all()
    assert len(found) >= 42


def test_a_cell_longer_than_any_reader_takes_costs_its_own_row_only(tmp_path: Path) -> None:
    long = "x" * 200_000
    text = f'time,v\n2026-03-01,1\n2026-03-02,{long}\n"{long}",1\n2026-03-04,1\n' + "\0" * 500
    assert faults(whole(write(tmp_path, text))) == ["", "bad value", "bad time", "", "bad time"]


@given(st.lists(st.one_of(st.text(max_size=6), st.floats().map(repr), st.integers().map(str)), max_size=20))
def test_numbers_are_those_of_float(cells: list[str]) -> None:
    value, cell = numbers(cells)
    for text, number, state in zip(cells, value.tolist(), cell.tolist(), strict=True):
        assert (state == GOOD) == (abs(layouts.number(text)) <= 1e100)
        assert number == layouts.number(text) if state == GOOD else np.isnan(number)


# Clocks


ZONES: list[tzinfo] = [UTC, ROME, ZoneInfo("Australia/Lord_Howe"), timezone(timedelta(hours=-3))]
MOMENTS = st.datetimes(datetime(1890, 1, 1), datetime(2210, 1, 1))
SPELLINGS = st.sampled_from(["{:%Y-%m-%d %H:%M:%S}", "{:%Y-%m-%dT%H:%M:%S.%f}", "{:%Y-%m-%d}", "{:%Y%m%dT%H%M}"])
OFFSETS = st.sampled_from(["", "", "Z", "+01:00", "-03:30"])


def one_by_one(texts: list[str], zone: tzinfo) -> list[int | None]:
    newest, found = None, []
    for text in texts:
        instant = csv.parse_instant(text, zone=zone, after=newest)
        newest = instant or newest
        found.append(None if instant is None else from_instant(instant))
    return found


@settings(deadline=None)
@given(MOMENTS, SPELLINGS, OFFSETS, st.sampled_from(ZONES), st.integers(1, 90), st.integers(1, 200_000), st.data())
def test_instants_read_together_are_those_read_one_by_one(
    start: datetime, spelling: str, offset: str, zone: tzinfo, n: int, step: int, data: st.DataObject
) -> None:
    texts = [spelling.format(start + timedelta(seconds=k * step)) + offset for k in range(n)]
    for place in data.draw(st.lists(st.integers(0, n - 1), max_size=2)):
        texts[place] = data.draw(
            st.sampled_from(["", "soon", texts[0], texts[0] + "Z", "2026-03-01 00:00", "1700000000"])
        )
    clock, cut = clocks.Clock(zone), data.draw(st.integers(0, n))
    found = [clock.instants(part) for part in (texts[:cut], texts[cut:]) if part]
    at, known = (np.concatenate([pair[k] for pair in found]).tolist() for k in (0, 1))
    assert [one if fine else None for one, fine in zip(at, known, strict=True)] == one_by_one(texts, zone)


def test_the_hour_that_is_repeated_in_autumn_is_told_apart(tmp_path: Path) -> None:
    times = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    text = "time,v\n" + "".join(f"2026-10-25 {time},1\n" for time in times)
    found = whole(write(tmp_path, text), Wanted(zone=ROME))
    assert np.diff(found.at).tolist() == [30 * MINUTE] * 5
    assert faults(whole(write(tmp_path, text))) == ["", "", "", "out of order", "duplicate instant", ""]


@pytest.mark.parametrize("texts", [["1700000000"] * 3, ["999999999", "1000000000"], ["1700000000.25", "1700000001"]])
def test_epoch_seconds_are_those_read_one_by_one(texts: list[str]) -> None:
    at, known = clocks.Clock(ROME).instants(texts)
    assert (at.tolist(), known.all()) == (one_by_one(texts, ROME), True)


# The output


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path, "old")
    with pytest.raises(RuntimeError), output.replacing(path) as file:
        file.write(b"new")
        raise RuntimeError
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])
    with output.replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert (path.read_text(), list(tmp_path.iterdir())) == ("new", [path])


def test_a_device_is_written_to_and_never_replaced() -> None:
    null = Path("/dev/null")
    output.check(null, source=Path("x"))
    with output.replacing(null) as file:
        file.write(b"x")
    assert null.is_char_device()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    path, link = write(tmp_path, "old"), tmp_path / "link"
    link.symlink_to(path)
    with output.replacing(link) as file:
        file.write(b"new")
    assert (link.is_symlink(), path.read_text()) == (True, "new")
    with pytest.raises(output.CannotWrite, match="the file that is read"):
        output.check(link, source=path)


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    for path, says in ((tmp_path, "is a folder"), (tmp_path / "no" / "file.csv", "make it first")):
        with pytest.raises(output.CannotWrite, match=says):
            output.check(path, source=tmp_path / "in.csv")
    with (
        pytest.raises(output.CannotWrite, match="cannot be written: No space"),
        output.replacing(Path("/dev/full")) as f,
    ):
        f.write(b"x" * 100_000)


def test_the_standard_reader_agrees_on_a_plain_file(tmp_path: Path) -> None:
    path = write(tmp_path, "time,v\n" + "".join(f"2026-03-01T{n // 60:02}:{n % 60:02},{n / 7}\n" for n in range(1000)))
    with path.open(newline="") as file:
        wanted = [float(row["v"]) for row in stdlib_csv.DictReader(file)]
    assert whole(path, rows=64).value[:, 0].tolist() == wanted
