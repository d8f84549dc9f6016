"""How alike cases are: by words, and by what the sensors showed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance import similarity
from maintenance.similarity import WEIGHTS, Case, Seen, Signal

HIGH = Seen("LIMIT_HIGH", "HIGH", {"sensor 1": 1.0, "measures VIBRATION": 1.0}, 0.9, 3_600.0)
LOW = Seen("DEVIATION_LOW", "LOW", {"sensor 2": 1.0, "measures FLOW": 1.0}, 0.5, 60.0)
TEXTS = st.text(st.sampled_from("abc leakoil"), max_size=20)
SIGNALS = st.none() | st.lists(st.sampled_from([HIGH, LOW]), max_size=3).map(Signal.of)
CASES = st.builds(Case, st.integers(0, 99), TEXTS, st.sampled_from(["", "VIB", "ELU"]), SIGNALS)


def order_of(asked: Case, *past: Case) -> list[int]:
    return [one.id for one in similarity.ranked(asked, past)]


def test_the_weights_are_shares_of_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)


def test_words_their_forms_and_their_misspellings_are_alike() -> None:
    past = [Case(1, "Replace tooth on bucket"), Case(2, "L/H cylinder leaking"), Case(3, "CYLINDR LEAKS")]
    assert set(order_of(Case(0, "cylinder leak"), *past)[:2]) == {2, 3}


def test_a_rare_word_tells_more_than_one_that_is_everywhere() -> None:
    common = [Case(n, "pump repair") for n in range(2, 9)]
    assert order_of(Case(0, "pump impeller"), *common, Case(9, "impeller"))[0] == 9


def test_the_failure_mode_decides_between_the_same_words() -> None:
    assert order_of(Case(0, "pump", "VIB"), Case(1, "pump", "ELU"), Case(2, "pump", "VIB")) == [2, 1]


def test_what_the_sensors_showed_decides_between_the_same_words() -> None:
    asked = Case(0, "pump", "VIB", Signal.of([HIGH]))
    alike, other = Case(1, "pump", "VIB", Signal.of([HIGH, HIGH])), Case(2, "pump", "VIB", Signal.of([LOW]))
    assert order_of(asked, other, Case(3, "pump", "VIB"), alike) == [1, 2, 3]


def test_the_same_kind_of_another_sensor_is_half_alike() -> None:
    elsewhere = replace(HIGH, sensors={"sensor 7": 1.0, "measures VIBRATION": 1.0})
    (found,) = similarity.ranked(Case(0, "", "", Signal.of([HIGH])), [Case(1, "x", "", Signal.of([elsewhere]))])
    assert found.parts == {"pattern": pytest.approx(3 / 5), "shape": 1.0}


def test_what_is_not_known_of_the_case_at_hand_does_not_count() -> None:
    (found,) = similarity.ranked(Case(0, "oil leak"), [Case(1, "oil leak", "ELU", Signal.of([HIGH]))])
    assert (found.total, set(found.parts)) == (pytest.approx(1.0), {"text"})
    assert similarity.ranked(Case(0, ""), [Case(1, "oil leak")]) == []


@given(CASES, st.lists(CASES, max_size=6))
def test_likeness_is_a_share_and_nothing_is_more_alike_than_itself(asked: Case, past: list[Case]) -> None:
    found = similarity.ranked(asked, [*past, replace(asked, id=100)])
    assert all(0.0 < one.total <= 1.0 + 1e-9 for one in found)
    assert all(0.0 <= value <= 1.0 + 1e-9 for one in found for value in one.parts.values())
    if found:
        itself = next(one for one in found if one.id == 100)
        assert itself.total == pytest.approx(max(one.total for one in found)) == pytest.approx(1.0)
