"""What happened becomes messages: to whom, under which key, and what they say."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import notify
from maintenance import messages
from maintenance.messages import Evidence, PastCase, Recipient, Transition, Wish

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVIDENCE = Evidence(4, "Flow", "l/s", "LOW", 3.5, 18.0, None)
OPENED = Transition(
    source="alarm",
    id=70,
    action="OPENED",
    subject_id=7,
    title="",
    site_id=1,
    site="Works",
    machine_id=2,
    machine="P-101 – Feed pump",
    failure_mode="LOO",
    priority="HIGH",
    since=NOON,
    at=NOON + timedelta(minutes=5),
    evidence=EVIDENCE,
)
ORDER = replace(OPENED, source="work-order", id=30, subject_id=3, title="Look at the feed pump")
MAIL, HOOK = Recipient(5, 1, "LOW"), Recipient(6, 1, "LOW")


def test_each_transition_gives_one_message_per_channel_of_its_site() -> None:
    rows = notify.notify([OPENED, ORDER], [MAIL, HOOK, Recipient(9, 2, "LOW")])
    assert [row.key for row in rows] == [
        "alarm-transition/70/channel/5",
        "alarm-transition/70/channel/6",
        "work-order-transition/30/channel/5",
        "work-order-transition/30/channel/6",
    ]
    assert {row.site_id for row in rows} == {1}


@pytest.mark.parametrize("action", ["OPENED", "RAISED", "REOPENED", "RETURNED"])
def test_what_the_machine_did_is_sent(action: str) -> None:
    (row,) = notify.notify([replace(OPENED, action=action)], [MAIL])
    assert row.event_type == f"alarm.{action.lower()}"
    assert row.payload["action"] == action


@pytest.mark.parametrize("action", ["ACKNOWLEDGED", "COMMENTED"])
def test_what_people_did_themselves_is_not_sent(action: str) -> None:
    assert notify.notify([replace(OPENED, action=action)], [MAIL]) == []


@pytest.mark.parametrize("lowest", messages.PRIORITIES)
@pytest.mark.parametrize("priority", messages.PRIORITIES)
def test_a_channel_gets_nothing_below_its_lowest_priority(lowest: str, priority: str) -> None:
    urgency = {"CRITICAL": 4, "HIGH": 3, "MEDIUM": 2, "LOW": 1}
    rows = notify.notify([replace(OPENED, priority=priority)], [replace(MAIL, lowest_priority=lowest)])
    assert len(rows) == (urgency[priority] >= urgency[lowest])


ALL = Wish(None, "LOW", frozenset())
PLACED = replace(OPENED, places=frozenset({2, 20, 200}))


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ((), True),
        ((ALL,), True),
        ((Wish(2, "LOW", frozenset()),), True),
        ((Wish(200, "LOW", frozenset()),), True),
        ((Wish(3, "LOW", frozenset()),), False),
        ((Wish(None, "CRITICAL", frozenset()),), False),
        ((Wish(None, "LOW", frozenset({"alarm.opened"})),), True),
        ((Wish(None, "LOW", frozenset({"alarm.returned", "work-order.opened"})),), False),
        ((Wish(3, "LOW", frozenset()), Wish(20, "HIGH", frozenset({"alarm.opened"}))), True),
        ((Wish(3, "LOW", frozenset()), Wish(20, "CRITICAL", frozenset())), False),
    ],
)
def test_a_channel_gets_what_one_of_its_subscriptions_asks_for(wishes: tuple[Wish, ...], told: bool) -> None:
    assert len(notify.notify([PLACED], [replace(MAIL, wishes=wishes)])) == told


def test_a_subscription_does_not_lift_the_channels_own_limit() -> None:
    assert notify.notify([PLACED], [replace(MAIL, lowest_priority="CRITICAL", wishes=(ALL,))]) == []


def test_overlapping_subscriptions_give_one_message() -> None:
    assert len(notify.notify([PLACED], [replace(MAIL, wishes=(ALL, ALL, Wish(2, "LOW", frozenset())))])) == 1


def test_two_channels_to_one_mailbox_give_one_message() -> None:
    twins = [replace(MAIL, address="EMAIL/ann@example.com"), replace(HOOK, address="EMAIL/ann@example.com")]
    assert [row.channel_id for row in notify.notify([PLACED], twins)] == [5]
    deaf = replace(twins[0], wishes=(Wish(3, "LOW", frozenset()),))
    assert [row.channel_id for row in notify.notify([PLACED], [deaf, twins[1]])] == [6]


def test_the_kinds_one_may_subscribe_to_are_those_that_are_told() -> None:
    assert set(messages.KINDS) == {f"{source}.{action.lower()}" for source, action in notify.WORDS}


def test_the_message_says_what_where_since_when_and_expected_against_seen() -> None:
    (row,) = notify.notify([OPENED], [MAIL])
    assert row.subject_line == "[HIGH] Alarm: P-101 – Feed pump, LOO"
    assert row.payload == {
        "what": "Alarm",
        "action": "OPENED",
        "subject": "alarm/7",
        "title": "",
        "site": {"id": 1, "name": "Works"},
        "machine": {"id": 2, "name": "P-101 – Feed pump"},
        "failure_mode": "LOO",
        "priority": "HIGH",
        "since": "2026-03-01T12:00:00Z",
        "at": "2026-03-01T12:05:00Z",
        "remark": "",
        "evidence": {
            "sensor": {"id": 4, "name": "Flow", "unit": "l/s"},
            "kind": "LOW",
            "observed": 3.5,
            "expected_low": 18.0,
            "expected_high": None,
        },
        "guidance": None,
        "past": [],
        "path": "/admin/maintenance/alarm/7/change/",
    }


def test_what_was_found_before_is_told_in_one_line() -> None:
    case = PastCase(12, NOON, "Impeller\nworn. " + "x" * 400)
    (row,) = notify.notify([replace(OPENED, past=(case,))], [MAIL])
    (told,) = row.payload["past"]
    assert (told["order"], told["closed_at"]) == (12, "2026-03-01T12:00:00Z")
    assert told["findings"].startswith("Impeller worn. xxx")
    assert len(told["findings"]) == notify.FINDINGS_LIMIT


def test_an_order_is_called_by_its_title() -> None:
    (row,) = notify.notify([ORDER], [MAIL])
    assert row.subject_line == "[HIGH] Work order: Look at the feed pump"
    assert row.event_type == "work-order.opened"


def test_a_transition_without_an_anomaly_is_sent_without_evidence() -> None:
    (row,) = notify.notify([replace(OPENED, evidence=None)], [MAIL])
    assert row.payload["evidence"] is None


def test_instants_are_told_in_utc_whatever_zone_they_came_in() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=2)))
    (row,) = notify.notify([replace(OPENED, since=east)], [MAIL])
    assert row.payload["since"] == "2026-03-01T12:00:00Z"


def test_the_same_call_gives_the_same_rows() -> None:
    assert notify.notify([OPENED, ORDER], [MAIL, HOOK]) == notify.notify([OPENED, ORDER], [MAIL, HOOK])


@given(st.text(), st.floats())
def test_any_name_and_value_give_one_line_and_plain_json(name: str, value: float) -> None:
    evidence = Evidence(4, name, name, "LOW", value, value, -math.inf)
    told = replace(OPENED, machine=name, site=name, evidence=evidence)
    (row,) = notify.notify([told], [MAIL])
    assert len(row.subject_line.splitlines()) == 1
    assert len(row.subject_line) <= notify.SUBJECT_LIMIT
    assert json.loads(json.dumps(row.payload, allow_nan=False)) == row.payload
    assert "\n" not in row.payload["machine"]["name"]


def test_a_line_break_in_a_name_becomes_a_space() -> None:
    assert messages.one_line("P-1\r\nBcc: all@example.com\u2028x\x00y", limit=100) == "P-1 Bcc: all@example.com x y"


def test_a_long_text_ends_with_an_ellipsis() -> None:
    assert messages.one_line("a" * 20, limit=10) == "a" * 9 + "…"
