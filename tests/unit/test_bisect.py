from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from agents.bisect import Findings, Search, Units

UNITS = st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=6)))


def found(n: int, bad: set[int], *, most: int = 10_000) -> Findings[str]:
    return Search(lambda units: "bad" if bad & set(units) else None, most=most).among(range(n))


@given(UNITS)
def test_every_culprit_is_found_alone_and_nobody_else(drawn: tuple[int, set[int]]) -> None:
    n, bad = drawn
    result = found(n, bad)
    assert sorted(culprit.units for culprit in result.culprits) == [(unit,) for unit in sorted(bad)]
    assert result.apart == []


@given(UNITS)
def test_the_search_takes_about_two_tries_for_each_halving(drawn: tuple[int, set[int]]) -> None:
    n, bad = drawn
    assert found(n, bad).probes <= 1 + len(bad) * (2 * math.ceil(math.log2(n)) + 1)


@given(UNITS, st.integers(1, 40))
def test_with_too_few_tries_every_culprit_is_still_among_what_is_set_apart(
    drawn: tuple[int, set[int]], most: int
) -> None:
    n, bad = drawn
    result = found(n, bad, most=most)
    assert result.probes <= most
    assert bad <= {unit for culprit in result.culprits for unit in culprit.units}


def test_one_failure_that_does_not_come_again_condemns_nobody() -> None:
    failures = iter(["bad luck", None])
    result = Search(lambda units: next(failures), most=10).among([7])
    assert (result.culprits, result.apart, result.probes) == ([], [], 2)


def test_what_fails_only_together_is_told_to_go_on_apart() -> None:
    def too_much(units: Units) -> str | None:
        return "too much" if len(units) > 5 else None

    result = Search(too_much, most=50).among(range(8))
    assert result.culprits == []
    assert result.apart == [(4, 5, 6, 7)]


def test_nothing_to_divide_is_judged_as_a_whole() -> None:
    assert [c.units for c in found(0, set()).culprits] == []
    result = Search(lambda units: "always", most=10).among([])
    assert [c.units for c in result.culprits] == [()]
