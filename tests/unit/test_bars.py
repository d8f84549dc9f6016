from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

from sensors import bars
from sensors.bars import Bars
from sensors.columns import DAY_US

WEEK = Bars("Alarms", 20_000 * DAY_US, 20_007 * DAY_US, DAY_US, (3, 0, 7, 1, 0, 0, 2))


def heights(picture: str) -> list[float]:
    return [float(height) for height in re.findall(r'class="chart-bar".*? height="([\d.]+)"', picture)]


def test_a_bar_is_as_high_as_its_count_and_nothing_is_drawn_of_nothing() -> None:
    drawn = heights(bars.svg(WEEK))
    assert len(drawn) == 4
    assert [round(height / drawn[1] * 7) for height in drawn] == [3, 7, 1, 2]


def test_the_picture_is_xml_and_says_what_it_shows() -> None:
    tree = ElementTree.fromstring(bars.svg(replace(WEEK, title="<Alarms> & more")))
    texts = {element.tag.split("}")[1]: element.text for element in tree[:2]}
    assert texts["title"] == "<Alarms> & more"
    assert texts["desc"] == "13 from 2024-10-04 00:00 to 2024-10-11 00:00 UTC, at most 7 in 1 d."


def test_a_line_above_the_bars_makes_room_for_itself() -> None:
    drawn = bars.svg(replace(WEEK, line=150.0, line_name="target"))
    assert "target 150" in drawn
    assert max(heights(drawn)) < max(heights(bars.svg(WEEK))) / 10


def test_the_last_bar_is_cut_by_the_end() -> None:
    cut = bars.svg(replace(WEEK, end=WEEK.end - DAY_US // 2))
    widths = [float(width) for width in re.findall(r'class="chart-bar".*? width="([\d.]+)"', cut)]
    assert widths[-1] < 0.51 * widths[0]


def test_without_a_count_there_are_axes_only() -> None:
    empty = bars.svg(replace(WEEK, counts=(), line=150.0))
    assert "chart-bar" not in empty
    assert "chart-limit" not in empty
    assert "chart-axis" in empty
