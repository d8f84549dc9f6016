from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from sensors.together import Together

LIMIT = 30.0


class Service:
    """Answers with twice what it is given; the first call waits until it is let go."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, given: Sequence[int]) -> list[int]:
        self.calls.append(list(given))
        self.entered.set()
        assert self.go_on.wait(LIMIT)
        if 13 in given:
            raise ValueError("13")
        if 500 in given:
            raise OSError("gone")
        if 666 in given:
            raise SystemExit
        return [2 * one for one in given]


def made(service: Service, *, most: int = 100, heaviest: int = 10_000) -> Together[int, int]:
    return Together(
        service, most=most, heaviest=heaviest, weight=lambda given: given, shared=lambda e: isinstance(e, OSError)
    )


def behind_the_first(service: Service, together: Together[int, int], given: Sequence[int]) -> list[Future[int]]:
    """What came of each, when the first call (of 1) is under way until all the others wait, in their order."""
    with ThreadPoolExecutor(len(given) + 1) as pool:
        futures = [pool.submit(together, 1)]
        assert service.entered.wait(LIMIT)
        for n, one in enumerate(given, start=1):
            futures.append(pool.submit(together, one))
            until_waiting(together, n)
        service.go_on.set()
    return futures


def until_waiting(together: Together[int, int], n: int) -> None:
    changed = threading.Event()
    for _ in range(10_000):
        if len(together._waiting) == n:
            return
        changed.wait(0.002)
    raise AssertionError("they did not come to wait")


def test_a_lone_caller_is_served_at_once() -> None:
    service = Service()
    service.go_on.set()
    together = made(service)
    assert [together(n) for n in range(1, 4)] == [2, 4, 6]
    assert service.calls == [[1], [2], [3]]


def test_what_comes_while_a_call_is_under_way_goes_together_in_order() -> None:
    service = Service()
    futures = behind_the_first(service, made(service), [2, 3, 4])
    assert [future.result() for future in futures] == [2, 4, 6, 8]
    assert service.calls == [[1], [2, 3, 4]]


def test_not_more_go_together_than_may() -> None:
    service = Service()
    behind_the_first(service, made(service, most=2), [2, 3, 4, 5, 6])
    assert service.calls == [[1], [2, 3], [4, 5], [6]]


def test_what_is_too_heavy_together_is_split_and_what_is_too_heavy_goes_alone() -> None:
    service = Service()
    behind_the_first(service, made(service, heaviest=10), [4, 6, 1, 70, 2])
    assert service.calls == [[1], [4, 6], [1], [70], [2]]


def test_an_error_of_one_is_not_the_others() -> None:
    service = Service()
    futures = behind_the_first(service, made(service), [2, 13, 4])
    assert [future.result() for future in (futures[0], futures[1], futures[3])] == [2, 4, 8]
    with pytest.raises(ValueError, match="13"):
        futures[2].result()
    assert service.calls[:2] == [[1], [2, 13, 4]]
    assert sorted(service.calls[2:]) == [[2], [4], [13]]


def test_an_error_of_the_server_is_everybodys_and_nobody_tries_again() -> None:
    service = Service()
    futures = behind_the_first(service, made(service), [2, 500, 4])
    for future in futures[1:]:
        with pytest.raises(OSError, match="gone"):
            future.result()
    assert service.calls == [[1], [2, 500, 4]]


def test_a_leader_that_is_ended_leaves_the_others_their_turn() -> None:
    service = Service()
    together = made(service)
    futures = behind_the_first(service, together, [666, 3])
    assert isinstance(futures[1].exception(), SystemExit)
    assert futures[2].result() == 6
    assert together(5) == 10


def test_of_many_threads_everyone_gets_its_own_answer() -> None:
    service = Service()
    service.go_on.set()
    together = made(service, most=7)
    with ThreadPoolExecutor(16) as pool:
        given = [n for n in range(2_000) if n not in (13, 500, 666)]
        assert list(pool.map(together, given)) == [2 * n for n in given]
    assert sorted(one for call in service.calls for one in call) == given
    assert together._waiting == []
