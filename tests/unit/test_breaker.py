from __future__ import annotations

from agents.breaker import QUIET_SECONDS, SLOW_SECONDS, Breaker


def opened(*, now: float) -> Breaker:
    breaker = Breaker()
    breaker.note(now=now, took=0.01, failed=True)
    return breaker


def test_a_breaker_that_knows_nothing_lets_everything_through() -> None:
    breaker = Breaker()
    assert breaker.allows(100.0)
    assert breaker.allows(100.0)


def test_it_stays_silent_after_a_failure_and_then_lets_one_through() -> None:
    breaker = opened(now=100.0)
    assert not breaker.allows(100.0 + QUIET_SECONDS - 0.1)
    assert breaker.allows(100.0 + QUIET_SECONDS)


def test_while_one_call_finds_out_the_others_stay_silent() -> None:
    breaker = opened(now=100.0)
    assert breaker.allows(100.0 + QUIET_SECONDS)
    assert not breaker.allows(100.0 + QUIET_SECONDS)
    assert not breaker.allows(100.0 + QUIET_SECONDS * 2 - 0.1)


def test_it_closes_when_the_one_call_went_well() -> None:
    breaker = opened(now=100.0)
    assert breaker.allows(120.0)
    breaker.note(now=120.1, took=0.1, failed=False)
    assert breaker.allows(120.2)
    assert breaker.allows(120.2)


def test_a_call_that_never_came_back_is_followed_by_another() -> None:
    breaker = opened(now=100.0)
    assert breaker.allows(120.0)
    assert breaker.allows(120.0 + QUIET_SECONDS)


def test_it_opens_for_a_slow_call_too() -> None:
    breaker = Breaker()
    breaker.note(now=100.0, took=SLOW_SECONDS * 2, failed=False)
    assert not breaker.allows(101.0)
