"""A file judged by the live detectors: each row by those before it, however the file is split, whatever it holds."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import judge_file, judged_rows
from agents.judge_file import Machine
from agents.sketch import MOST, Sketch
from mlops import detectors
from mlops.detectors import contract
from sensors.tables.layouts import Wanted
from sensors.tables.rows import Table
from tests.bench import judging

ROWS = 260
NAMES = ("a", "b")


class Beyond:
    """Abnormal beyond 3 in either direction, from the third reading of a sensor on; remembers how many it saw."""

    name, version, kinds, by_machine, needs = "beyond", "1", ("LOW", "HIGH"), False, ()

    def __init__(self, *, name: str = "beyond", kinds: tuple[str, ...] = ("LOW", "HIGH"), limit: float = 3.0) -> None:
        self.name, self.kinds, self.limit = name, kinds, limit
        self.fields = {"seen": (np.int64, (), 0.0)}

    def judge(self, block, table, state, frozen):
        value = block.columns.value
        place = np.arange(len(value)) - np.repeat(block.starts, block.counts) + state.arrays["seen"][block.row]
        over = np.abs(value) / (np.abs(value) + self.limit)
        score = np.where(place >= 2, over, np.nan)
        verdict = np.where(score >= 0.5, np.where(value < 0, 1, 2), 0).astype(np.int8)
        seen = state.arrays["seen"].copy()
        seen[block.rows] += block.counts
        bound = np.full(len(value), self.limit)
        scores = contract.Scores(score, verdict, -bound, bound, block.columns.at, score)
        return scores, type(state)(state.sensor, {"seen": seen})


def lines(rows: int = ROWS, seed: int = 1) -> list[str]:
    value = np.random.default_rng(seed).normal(size=(rows, 2)).round(3)
    value[rows // 2 : rows // 2 + 9, 1] += 60
    return [f"2026-03-01T{n // 60:02}:{n % 60:02}:00,{a},{b}" for n, (a, b) in enumerate(value.tolist())]


def judge(path: Path, *, rows: int = 4096, train: int = 0, using=None, details: bool = True) -> tuple[str, Machine]:
    with Table(path, Wanted(columns=NAMES, time_column="time")) as table:
        machine = Machine(table.layout.columns, train=train, using=using)
        writer = judged_rows.Writer(machine, details=details)
        text = "".join(writer.rows(chunk, machine.judge(chunk)) for chunk in table.chunks(rows))
        return writer.header() + text, machine


def write(folder: Path, body: list[str]) -> Path:
    path = folder / "machine.csv"
    path.write_bytes("\n".join(["time,a,b", *body, ""]).encode(errors="surrogateescape"))
    return path


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


NASTY = st.sampled_from([
    ",", "soon,1,2", "2026-03-01T01:00:00,x,1e99", "2026-03-01T02:00:00,,", "2026-03-01T00:30:00,-1e100,1e100",
    "2027-03-01,nan,0", "1970-01-01,5,5", '2026-03-01T01:10:00,"1,2', "2026-03-01T03:00:00,1e-300,-0.0", "\0\0\0",
    "2026-03-01T03:10:00,7", "2026-03-01T03:10:00,7,8,9",
])  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 140), NASTY), max_size=4), st.integers(1, 60), st.integers(0, 70))
def test_the_same_comes_out_of_every_block_size_and_no_row_is_lost(
    tmp_path_factory: pytest.TempPathFactory, put: list[tuple[int, str]], rows: int, train: int
) -> None:
    body = lines(140)
    for place, line in put:
        body.insert(place, line)
    path = write(tmp_path_factory.mktemp("machine"), body)
    whole, machine = judge(path, train=train)
    parts, other = judge(path, rows=rows, train=train)
    assert whole == parts
    assert machine.events.highest() == other.events.highest()
    assert [int(row["row"]) for row in parsed(whole)] == list(range(1, len(body) + 1))
    assert all((row["score"] == "") == (row["verdict"] == "not judged") for row in parsed(whole))
    assert all(row["reason"] for row in parsed(whole) if not row["score"])


def test_a_row_is_judged_by_the_rows_before_it(tmp_path: Path) -> None:
    body = lines(90)
    body[30:30] = ["soon,1,2", body[3], "2026-03-01T00:29:30,x,5"]
    whole = judge(write(tmp_path, body))[0].splitlines()
    for n in range(1, len(body) + 1):
        assert judge(write(tmp_path, body[:n]))[0].splitlines() == whole[: n + 1]


def test_columns_side_by_side_are_judged_by_the_rows_before_in_blocks_of_any_size(tmp_path: Path) -> None:
    dice, using = np.random.default_rng(3), {"relation": judge_file.default()["relation"]}
    value = dice.normal(size=(640, 1)) + 0.1 * dice.normal(size=(640, 2))
    value[500:, 1] += 3.0
    body = [f"2026-03-01T{n // 60:02}:{n % 60:02}:00,{a},{b}" for n, (a, b) in enumerate(value.tolist())]
    whole, machine = judge(write(tmp_path, body), using=using)
    parts, other = judge(write(tmp_path, body), rows=37, using=using)
    assert whole == parts and machine.events.highest() == other.events.highest()
    for n in (400, 505, 530):
        assert judge(write(tmp_path, body[:n]), using=using)[0].splitlines() == whole.splitlines()[: n + 1]
    (event,) = machine.events.highest()
    assert (event.kind, event.lead, 500 < event.row < 520, event.ends > 630) == ("RELATION_HIGH", "b", True, True)
    assert {row["contributor"] for row in parsed(whole)[event.row : event.ends]} == {"b"}


class Peeking(Beyond):
    """Looks ahead: divides by the largest value of the block."""

    def judge(self, block, table, state, frozen):
        scores, state = super().judge(block, table, state, frozen)
        return replace(scores, score=np.abs(block.columns.value) / np.abs(block.columns.value).max()), state


def test_one_that_looks_ahead_is_seen(tmp_path: Path) -> None:
    body = lines(90)
    whole = judge(write(tmp_path, body), using={"peeking": Peeking()})[0].splitlines()
    part = judge(write(tmp_path, body[:30]), using={"peeking": Peeking()})[0].splitlines()
    assert part != whole[:31]


def test_the_scores_are_those_of_the_detector_bit_for_bit(tmp_path: Path) -> None:
    with Table(write(tmp_path, lines()), Wanted()) as table:
        chunks = list(table.chunks(50))
    machine = Machine(NAMES)
    found = [machine.judge(chunk) for chunk in chunks]
    at, value = (np.concatenate([getattr(c, name) for c in chunks]) for name in ("at", "value"))
    each = judging.judge([judging.Series(1, at, value[:, k]) for k in range(2)])
    wanted = np.fmax(each[0].score, each[1].score)
    assert np.concatenate([one.score for one in found]).tobytes() == wanted.tobytes()
    abnormal = each[0].abnormal | each[1].abnormal
    assert (np.concatenate([one.kind for one in found]) > 0).tolist() == abnormal.tolist()
    assert abnormal.any()


def test_the_highest_column_leads_and_the_detector_that_says_so_names_the_kind(tmp_path: Path) -> None:
    using = {"beyond": Beyond(), "far": Beyond(name="far", kinds=("FAR_LOW", "FAR_HIGH"), limit=1.0)}
    body = [f"2026-03-01T00:00:0{n},{a},{b}" for n, (a, b) in enumerate([(0, 0), (0, 0), (0.5, 0), (2, -9), (4, "")])]
    rows = parsed(judge(write(tmp_path, body), using=using)[0])
    assert [(r["score"], r["verdict"], r["contributor"]) for r in rows] == [
        ("", "not judged", ""), ("", "not judged", ""), ("0.333333", "normal", "a"), ("0.900000", "FAR_LOW", "b"),
        ("0.800000", "FAR_HIGH", "a"),
    ]  # fmt: skip
    assert [rows[3][f"b {what}"] for what in ("rarity", "low", "high")] == ["0.900000", "-1.0", "1.0"]
    assert [rows[4][f"b {what}"] for what in ("rarity", "low", "high")] == ["", "", ""]


def test_training_rows_are_learned_from_and_not_judged(tmp_path: Path) -> None:
    body = [f"2026-03-01T00:00:0{n},9,0" for n in range(5)]
    rows = parsed(judge(write(tmp_path, body), using={"beyond": Beyond()}, train=4)[0])
    assert [(r["score"], r["reason"]) for r in rows] == [("", "training")] * 4 + [("0.750000", "")]
    assert (rows[3]["a rarity"], rows[4]["a rarity"]) == ("", "0.750000")


def test_what_falls_short_of_abnormal_does_not_read_as_abnormal(tmp_path: Path) -> None:
    body = [f"2026-03-01T00:00:0{n},2.9999999,0" for n in range(3)]
    (row,) = parsed(judge(write(tmp_path, body), using={"beyond": Beyond()})[0])[2:]
    assert (row["score"], row["verdict"]) == ("0.499999", "normal")


def test_events_are_told_with_their_peak_and_the_highest_are_kept(tmp_path: Path) -> None:
    body = [f"2026-03-01T{n // 60:02}:{n % 60:02}:00,{9 + n / 100 if n % 20 == 5 else 0},0" for n in range(1000)]
    body[985] = body[985].replace(",0", ",-90")
    for rows in (1, 33, 4096):
        _, machine = judge(write(tmp_path, body), using={"beyond": Beyond()}, rows=rows)
        found = machine.events.highest()
        assert (machine.events.count, len(found)) == (50, 20)
        assert [event.row for event in found] == list(range(606, 1000, 20))
        last = found[-1]
        assert (last.began, last.last, last.rows) == ("2026-03-01T16:25:00", "2026-03-01T16:25:00", 1)
        assert (last.kind, last.lead, round(last.peak, 3)) == ("LOW", "b", 0.968)
    assert "  and 30 more with lower peaks" in judged_rows.events(machine)


def test_events_that_go_on_are_told_once(tmp_path: Path) -> None:
    body = [f"2026-03-01T00:{n:02}:00,{9 if n in (20, 25, 39) else 0},0" for n in range(40)]
    for rows in (1, 7, 22):
        _, machine = judge(write(tmp_path, body), using={"beyond": Beyond()}, rows=rows)
        found = machine.events.highest()
        told = [(e.row, e.ends, e.rows, e.kind, e.lead) for e in found]
        assert told == [(21, 26, 2, "HIGH", "a"), (40, 40, 1, "HIGH", "a")]


cells = st.text(st.sampled_from('ab,"\n\r; é'), max_size=5)


@given(st.lists(st.tuples(cells, cells), max_size=8))
def test_lines_read_back_as_the_cells_they_are_made_of(table: list[tuple[str, str]]) -> None:
    text = judged_rows.lines(list(zip(*table, strict=True)) or [[], []])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [list(row) for row in table]


# The budget


def test_the_budget_goes_to_the_detectors_that_take_one() -> None:
    made = detectors.default(false_alarms_per_week=3.0)
    assert list(made) == list(detectors.DETECTORS)
    told = [d.false_alarms_per_week for d in made.values() if hasattr(d, "false_alarms_per_week")]
    assert told and set(told) == {3.0}
    assert [d.version for d in made.values()] == [d.version for d in detectors.DETECTORS.values()]
    assert "limits" in made and "limits" not in judge_file.default()
    assert set(judge_file.default()) == set(judging.SHIPPED)


def test_a_larger_budget_finds_no_less(tmp_path: Path) -> None:
    path = write(tmp_path, lines(900, seed=5))
    made = [judge_file.default(budget)["adaptive"] for budget in (0.01, 100.0)]
    few, many = (judge(path, using={"adaptive": one})[0] for one in made)
    scores = [[r["rarity"] for r in parsed(text)] for text in (few, many)]
    assert scores[0] == scores[1]
    odd = [{r["row"] for r in parsed(text) if r["verdict"] not in ("normal", "not judged")} for text in (few, many)]
    assert odd[0] < odd[1]


# The picture's data


@pytest.mark.parametrize("rows", [37, 700, 4096])
def test_a_sketch_is_small_and_keeps_the_extremes(tmp_path: Path, rows: int) -> None:
    n = 5 * MOST if rows == 37 else 30 * MOST
    value = np.random.default_rng(2).normal(size=n).round(4)
    path = tmp_path / "long.csv"
    path.write_text("row,v\n" + "".join(f"{k},{v}\n" for k, v in enumerate(value.tolist())))
    sketch, most = Sketch(), 0.0
    with Table(path, Wanted()) as table:
        machine = Machine(("v",), using={"beyond": Beyond()})
        for chunk in table.chunks(rows):
            judged = machine.judge(chunk)
            most = np.nanmax([most, *judged.score])
            sketch.add(chunk, judged)
    found = sketch.stretches()
    assert found is not None
    assert len(found.at) <= 2 * MOST + 1
    assert (np.diff(found.at) > 0).all()
    assert (found.least.min(), found.most.max(), np.nanmax(found.score)) == (value.min(), value.max(), most)
    assert found.abnormal.any()


# The command, where it refuses


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--period", "0"], "--period must be"),
        (["--period", "nan"], "--period must be"),
        (["--train", "-1"], "--train must be"),
        (["--false-alarms-per-week", "0"], "--false-alarms-per-week must be"),
        (["--delimiter", "and"], "no single mark"),
        (["--time-zone", "Mars/North"], "no time zone"),
        (["--columns", "c"], "no column c; it has time, a, b"),
        (["--plot", "x.jpg"], ".png or .svg"),
        (["--plot", "no-such-folder/x.png"], "make it first"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_do(tmp_path: Path, arguments: list[str], says: str) -> None:
    path = write(tmp_path, lines(3))
    with pytest.raises(CommandError, match=says):
        call_command("detect", str(path), "--out", str(tmp_path / "out.csv"), *arguments)
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_that_is_read_is_not_written_over(tmp_path: Path) -> None:
    path = write(tmp_path, lines(3))
    before = path.read_bytes()
    with pytest.raises(CommandError, match="the file that is read"):
        call_command("detect", str(path), "--out", str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("detect", str(tmp_path / "nothing.csv"), "--out", str(tmp_path / "out.csv"))
    with pytest.raises(CommandError, match="the same file"):
        call_command("detect", str(path), "--out", str(tmp_path / "o.png"), "--plot", str(tmp_path / "o.png"))
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


def test_the_output_goes_to_the_standard_one_and_the_summary_beside_it(tmp_path: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    path = write(tmp_path, [*lines(140), "soon,1,2", lines(1)[0], "2026-03-02,x,1", ""])
    call_command("detect", str(path), "--out", "-", "--train", "100", stdout=out, stderr=err)
    assert len(parsed(out.getvalue())) == 143
    said = err.getvalue()
    assert "rows       143: judged 41, training 100, before the first score 0, left out 2" in said
    for line in ("left out   1 bad time (the first is row 141)", "left out   1 out of order (the first is row 142)",
                 "left out   1 bad values of rows", "left out   1 blank lines"):  # fmt: skip
        assert line in said
    out, err = io.StringIO(), io.StringIO()
    call_command("detect", str(path), "--out", "-", "--quiet", stdout=out, stderr=err)
    assert (len(parsed(out.getvalue())), err.getvalue()) == (143, "")


def test_the_time_between_row_numbers_is_said(tmp_path: Path) -> None:
    path, err = tmp_path / "counted.csv", io.StringIO()
    path.write_text("v\n1.5\n2\n")
    call_command("detect", str(path), "--out", "/dev/null", "--period", "0.5", stderr=err)
    assert "time: counted rows, 0.5 s each (--period)" in err.getvalue()
