"""The chart draws what it is given, marks what is bad, and never lets text become markup."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors import chart, ticks
from sensors.columns import SECOND_US, from_instant, to_instant

START = datetime(2022, 3, 1, tzinfo=UTC)
HOUR = 3_600 * SECOND_US
SVG = "{http://www.w3.org/2000/svg}"


def picture(values: list[float], **fields: object) -> chart.Picture:
    start, n = from_instant(START), len(values)
    at = start + np.arange(n, dtype=np.int64) * HOUR
    made = chart.Picture(
        title="Flow", unit="l/s", start=start, end=start + max(1, n - 1) * HOUR, at=at,
        value=np.array(values, np.float64), bad=np.zeros(n, bool),
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def parsed(shown: chart.Picture) -> ElementTree.Element:
    return ElementTree.fromstring(chart.svg(shown))


def of_class(svg: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [
        e for e in svg.iter() if name in (e.get("class") or "").split() and "chart-key" not in (e.get("class") or "")
    ]


def texts(svg: ElementTree.Element) -> list[str]:
    return [e.text or "" for e in svg.iter(f"{SVG}text")]


def test_every_reading_is_a_point_of_the_line() -> None:
    (line,) = of_class(parsed(picture([1, 2, 3, 2, 1])), "chart-line")
    assert (line.get("d") or "").count(" ") == 5


def test_the_highest_reading_is_drawn_highest() -> None:
    (line,) = of_class(parsed(picture([1, 5, 3])), "chart-line")
    ys = [float(point.split()[1]) for point in (line.get("d") or "")[1:].split("L")]
    assert ys[1] < ys[2] < ys[0]


def test_a_gap_breaks_the_line() -> None:
    at = from_instant(START) + np.array([0, 1, 2, 30, 31, 32], np.int64) * HOUR
    shown = picture([1.0] * 6, at=at, end=int(at[-1]))
    (line,) = of_class(parsed(shown), "chart-line")
    assert (line.get("d") or "").count("M") == 2


def test_a_lone_reading_is_a_dot() -> None:
    at = from_instant(START) + np.array([0, 1, 2, 3, 40], np.int64) * HOUR
    assert len(of_class(parsed(picture([1.0] * 5, at=at, end=int(at[-1]))), "chart-dot")) == 1


def test_bad_readings_are_marked_and_named_in_words() -> None:
    svg = parsed(picture([1, 2, 3, 4], bad=np.array([False, True, False, True])))
    (marks,) = of_class(svg, "chart-bad")
    assert (marks.get("d") or "").count("M") == 2
    assert "bad quality" in texts(svg)


def test_without_readings_it_says_so() -> None:
    svg = parsed(picture([]))
    assert "No readings in this period" in texts(svg)
    assert not of_class(svg, "chart-line")


def test_title_and_description_tell_what_it_shows() -> None:
    svg = parsed(picture([1, 20, 3]))
    assert svg.get("role") == "img"
    assert svg.findtext(f"{SVG}title") == "Flow"
    description = svg.findtext(f"{SVG}desc") or ""
    assert "lowest 1 l/s, highest 20 l/s" in description
    assert "2022-03-01 00:00 UTC" in description


def test_a_near_limit_is_a_line_and_a_far_one_is_named_only() -> None:
    limits = [chart.Limit("high", 12.0), chart.Limit("high high", 10_000.0, severe=True)]
    svg = parsed(picture([8, 9, 10], limits=limits))
    assert len(of_class(svg, "chart-limit")) == 1
    assert not of_class(svg, "chart-limit-severe")
    assert "out of view: high high 10\u202f000" in texts(svg)


def test_an_anomaly_is_shaded_over_its_time_and_leads_to_its_page() -> None:
    start = from_instant(START)
    stretch = chart.Stretch(start + HOUR, start + 2 * HOUR, "low", "machine", href="/admin/1/")
    svg = parsed(picture([1, 2, 3, 4, 5], stretches=[stretch]))
    (box,) = of_class(svg, "chart-machine")
    width = (chart.WIDTH - chart.LEFT - chart.RIGHT) / 4
    assert float(box.get("x") or 0) == pytest.approx(chart.LEFT + width, abs=0.1)
    assert float(box.get("width") or 0) == pytest.approx(width, abs=0.1)
    assert [a.get("href") for a in svg.iter(f"{SVG}a")] == ["/admin/1/"]


def test_a_momentary_anomaly_can_still_be_seen() -> None:
    at = from_instant(START) + HOUR
    svg = parsed(picture([1, 2, 3], stretches=[chart.Stretch(at, at, "spike", "instrument")]))
    (box,) = of_class(svg, "chart-instrument")
    assert float(box.get("width") or 0) >= chart.LEAST_WIDTH


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn", "Co"]), max_size=40))
def test_no_text_becomes_markup(text: str) -> None:
    nasty = f'<script>"{text}'
    stretch = chart.Stretch(from_instant(START), from_instant(START) + HOUR, nasty, "machine", href=nasty)
    shown = picture([1, 2, 3], title=nasty, unit=nasty, limits=[chart.Limit(nasty, 2.0)], stretches=[stretch])
    assert "<script" not in chart.svg(shown)


@given(
    st.lists(st.floats(-1e12, 1e12), max_size=60),
    st.lists(st.floats(-1e12, 1e12), max_size=3),
)
def test_whatever_the_values_the_picture_is_sound(values: list[float], limits: list[float]) -> None:
    svg = parsed(picture(values, limits=[chart.Limit("high", value) for value in limits]))
    numbers = [float(v) for e in svg.iter() for k, v in e.attrib.items() if k in {"x", "y", "x1", "y1", "cx", "cy"}]
    assert all(0 <= number <= chart.WIDTH for number in numbers)


@given(st.integers(0, 4 * 10**9), st.integers(1, 10**9))
def test_time_ticks_are_few_sorted_and_inside(start: int, length: int) -> None:
    start, end = start * SECOND_US, (start + length) * SECOND_US
    marks = [at for at, _ in ticks.of_time(start, end)]
    assert marks == sorted(set(marks))
    assert len(marks) <= ticks.MOST_OF_TIME + 1
    assert all(start <= at <= end for at in marks)


def test_a_week_has_a_tick_at_each_midnight() -> None:
    start = from_instant(START)
    marks = ticks.of_time(start, start + 7 * 24 * HOUR)
    assert [label for _, label in marks] == [f"{day} Mar" for day in range(1, 9)]
    assert {to_instant(at).hour for at, _ in marks} == {0}


def test_a_year_has_ticks_at_first_days_of_months() -> None:
    marks = ticks.of_time(from_instant(START), from_instant(START + timedelta(days=365)))
    assert [label for _, label in marks][:2] == ["Mar 2022", "May 2022"]


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_value_ticks_are_inside_and_evenly_apart(low: float, length: float) -> None:
    marks = ticks.of_values(low, low + length)
    assert len(marks) <= ticks.MOST_OF_VALUES + 1
    assert all(low - 1e-6 * length - 1e-6 <= v <= low + length * (1 + 1e-6) + 1e-6 for v in marks)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "0.25 s"),
        (45, "45 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (18_600, "5 h 10 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_spans_are_written_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert ticks.span(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (24.21, "24.21"), (0.00013, "0.00013"), (9_999.4, "9999.4"), (9_999.6, "10 000"),
     (-101_325.0, "-101 325"), (1_620_312.4, "1 620 312"), (2e20, "2e+20"), (float("nan"), "nan"),
     (float("inf"), "inf")],
)  # fmt: skip
def test_large_numbers_are_written_out_with_their_thousands_apart(value: float, text: str) -> None:
    assert ticks.number(value) == text.replace(" ", "\u202f")
