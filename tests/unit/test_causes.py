"""By what a run and a request are found again."""

from __future__ import annotations

import uuid

import pytest

from agents import causes
from agents.causes import Cause
from sensors import correlation

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_a_run_of_one_request_has_its_id() -> None:
    gathered = causes.gather([Cause("request-1", ""), Cause("request-1", "")])
    assert gathered == {"requests": 1, "ids": ["request-1"]}
    assert causes.told(7, gathered) == {"correlation_id": "request-1", "requests": 1, "request_ids": ["request-1"]}


def test_a_run_of_several_names_them_and_has_an_id_of_its_own() -> None:
    gathered = causes.gather(Cause(f"request-{n}", PARENT) for n in range(40))
    assert (gathered["requests"], len(gathered["ids"]), gathered["traces"]) == (40, causes.MOST, [PARENT])
    assert causes.told(7, gathered)["correlation_id"] == "run-7"


def test_a_run_that_is_of_no_request_has_an_id_too() -> None:
    assert causes.told(7, {}) == {"correlation_id": "run-7", "requests": 0, "request_ids": []}
    assert causes.gather([Cause("", "")])["requests"] == 0


@pytest.mark.parametrize("given", ["short", "x" * 65, "no spaces here", 'quote"quote', "line\nbreak", "ünïcödé-id"])
def test_an_id_that_is_not_well_formed_is_not_taken(given: str) -> None:
    assert uuid.UUID(correlation.of_request(given, ""))


def test_an_id_comes_from_the_header_else_from_the_trace() -> None:
    assert correlation.of_request("order-4711.a_b", PARENT) == "order-4711.a_b"
    assert correlation.of_request("", PARENT) == TRACE
    assert correlation.of_request("", "") != correlation.of_request("", "")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (PARENT, PARENT),
        (f" {PARENT} ", PARENT),
        (f"cc-{TRACE}-b7ad6b7169203331-01-more", PARENT),
        (f"{PARENT}-more", ""),
        (f"ff-{TRACE}-b7ad6b7169203331-01", ""),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (PARENT.upper(), ""),
        ("", ""),
    ],
)
def test_a_traceparent_is_read_as_the_standard_has_it(given: str, taken: str) -> None:
    assert correlation.traceparent(given) == taken
