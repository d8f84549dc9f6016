"""A replay as a client of the intake."""

from __future__ import annotations

import json

import pytest

from agents import replay
from sensors.models import Site
from tests.servers import Answer, HttpSink

TOKEN = Answer(200, body=b'{"access": "token"}')
TAKEN = {"accepted": 1, "held": 0, "duplicates": 0, "rejected": 0, "batch": "b"}
NOT_NOW = [Answer(status, {"Retry-After": "0"}) for status in (503, 429, 503)]


def test_a_replay_comes_again_with_the_same_body_when_the_intake_says_later() -> None:
    with HttpSink(TOKEN, *NOT_NOW, Answer(202, body=json.dumps(TAKEN).encode())) as intake:
        url = f"http://127.0.0.1:{intake.port}"
        send = replay.through_http(url, site=Site(slug="plant"), username="u", password="p")
        assert send(b"[1]") == TAKEN
    assert [request.body for request in intake.received[1:]] == [b"[1]"] * 4


def test_a_replay_ends_with_what_the_intake_says_when_it_is_no_matter_of_time() -> None:
    with HttpSink(TOKEN, Answer(403, body=b"no")) as intake:
        url = f"http://127.0.0.1:{intake.port}"
        send = replay.through_http(url, site=Site(slug="plant"), username="u", password="p")
        with pytest.raises(replay.Refused, match="403 no"):
            send(b"[1]")
    assert len(intake.received) == 2
