"""What asks for a response to an alarm that was hidden since does not go out, wherever it waited."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents import shelves
from maintenance import digests, superseded, suppressions
from maintenance.alarm_life import Suppression as Kind
from maintenance.flood_models import Flood
from maintenance.models import Alarm, AlarmTransition, Channel, Notification, Suppression
from maintenance.operating_models import OperatingState
from maintenance.parent_models import ParentRule
from sensors.models import Site
from tests import factories, outgoing
from tests.integration.test_floods import channel, come, send, tell

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
REASON = "Not sent: its alarm was shelved before."


@pytest.fixture
def site() -> Site:
    return factories.site(name="Works")


def held(to: Channel, step: AlarmTransition) -> Notification:
    """The message of a step, held for an hour."""
    Channel.objects.filter(pk=to.pk).update(digest_minutes=60)
    (row,) = tell(step)
    assert send(row) == ["held"]
    return row


def shelve(alarm: Alarm) -> Suppression:
    return suppressions.shelve(alarm.pk, actor=factories.user(), reason="x", until=timezone.now() + 24 * HOUR)


def known(row: Notification) -> tuple[str, str]:
    row.refresh_from_db()
    return row.status, row.error


def let_go() -> list[int]:
    return digests.release(limit=9, now=timezone.now() + HOUR)


def test_what_was_held_for_quiet_hours_or_a_digest_is_left_out(site: Site) -> None:
    to = channel(site)
    rows = [held(to, come(site, timezone.now())) for _ in range(3)]
    shelve(Alarm.objects.order_by("id")[0])
    (made,) = let_go()
    digest = Notification.objects.get(pk=made)
    assert [item["notification"] for item in digest.payload["items"]] == [row.pk for row in rows[1:]]
    assert digest.payload["total"] == 2
    assert known(rows[0]) == ("SUPERSEDED", REASON)
    assert send(rows[0]) == ["stale"]


def test_the_one_that_is_left_goes_as_itself_and_where_none_is_nothing_goes(site: Site) -> None:
    to = channel(site)
    rows = [held(to, come(site, timezone.now())) for _ in range(2)]
    first, second = Alarm.objects.order_by("id")
    shelve(first)
    assert let_go() == [rows[1].pk]
    shelve(second)
    assert send(rows[1]) == ["superseded"]  # it was on its way
    assert known(rows[1]) == ("SUPERSEDED", REASON)
    alone = held(to, come(site, timezone.now()))
    shelve(Alarm.objects.order_by("-id")[0])
    assert let_go() == []
    assert known(alone)[0] == "SUPERSEDED"


def test_a_message_that_is_tried_again_is_not_once_its_alarm_is_hidden(site: Site) -> None:
    channel(site)
    (row,) = tell(come(site, timezone.now()))
    shelf = shelve(Alarm.objects.get())
    assert send(row) == ["superseded"]
    row.refresh_from_db()
    assert (row.attempts, row.lease_until, row.tries.count()) == (0, None, 0)
    suppressions.unshelve(shelf.pk, actor=factories.user())  # it is active still: that is told
    shelves.tell()
    new = Notification.objects.get(event_type="alarm.unshelved")
    assert send(new) == ["sent"]


@pytest.mark.parametrize("kind", [Kind.SHELVED, Kind.BY_DESIGN, Kind.OUT_OF_SERVICE])
def test_whatever_hides_it_is_named(site: Site, kind: Kind) -> None:
    channel(site)
    (row,) = tell(come(site, timezone.now()))
    machine = Alarm.objects.get().machine
    Suppression.objects.create(
        site=site, machine=machine, kind=kind, reason="x", from_at=timezone.now(), until=timezone.now() + HOUR
    )
    assert send(row) == ["superseded"]
    assert known(row)[1] == superseded.reason(kind)


@pytest.mark.parametrize(("began", "result"), [(timedelta(0), "superseded"), (timedelta(minutes=2), "sent")])
def test_what_happened_before_a_parents_alarm_or_a_stop_is_sent_however_late_it_is_known(
    site: Site, began: timedelta, result: str
) -> None:
    channel(site)
    at = timezone.now() - HOUR
    of_parent, of_state = tell(come(site, at), come(site, at))
    by_parent, by_state = (alarm.machine for alarm in Alarm.objects.order_by("id"))
    drive = come(site, at).alarm
    rule = ParentRule.objects.create(site=site, machine=drive.machine, equipment=by_parent, hides=["ALL"])
    state = OperatingState.objects.create(site=site, machine=by_state)
    about = {"site": site, "kind": "BY_DESIGN", "reason": "x", "from_at": at + began, "until": at + 24 * HOUR}
    Suppression.objects.create(**about, machine=by_parent, parent_rule=rule, parent_alarm=drive)
    Suppression.objects.create(**about, machine=by_state, operating=state)
    assert [send(of_parent), send(of_state)] == [[result], [result]]


def test_what_is_hidden_elsewhere_or_was_before_stops_nothing(site: Site) -> None:
    channel(site)
    (row,) = tell(come(site, timezone.now()))
    machine = Alarm.objects.get().machine
    about = {"site": site, "kind": "SHELVED", "reason": "x", "from_at": timezone.now(), "until": timezone.now() + HOUR}
    Suppression.objects.create(**about, machine=machine, failure_mode="VIB")
    Suppression.objects.create(**about, machine=factories.machine(site=site))
    Suppression.objects.create(**about, machine=machine, ended_at=timezone.now())
    assert send(row) == ["sent"]


@pytest.mark.parametrize("kind", ["alarm.returned", "alarm.unshelves_soon", "work-order.opened", "test"])
def test_what_asks_for_no_response_goes_all_the_same(site: Site, kind: str) -> None:
    to = channel(site)
    alarm = come(site, timezone.now()).alarm
    shelve(alarm)
    payload = outgoing.PAYLOAD | {"machine": {"id": alarm.machine_id, "name": "P"}}
    row = Notification.objects.create(site=site, channel=to, event_type=kind, payload=payload, key="k")
    assert send(row) == ["sent"]


def test_it_is_read_with_the_message_by_an_index(site: Site) -> None:
    channel(site)
    (row,) = tell(come(site, timezone.now()))
    over = {"began_at": timezone.now(), "ended_at": timezone.now(), "activations": 11}
    Flood.objects.bulk_create(Flood(site=site, **over) for _ in range(2_000))
    hid = {"site": site, "kind": "BY_DESIGN", "reason": "x", "from_at": timezone.now(), "until": timezone.now() + HOUR}
    others = [factories.machine(site=site) for _ in range(20)]
    ended = [timezone.now()] * 100
    Suppression.objects.bulk_create(
        Suppression(machine=machine, ended_at=at, **hid) for machine in others for at in [None, *ended]
    )
    with CaptureQueriesContext(connection) as queries, connection.cursor() as cursor:
        digests.waiting(Notification.objects.all()).get(pk=row.pk)
        cursor.execute("ANALYZE maintenance_flood, maintenance_suppression")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {queries[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "suppression_standing" in plan
    assert "flood_one_at_a_time" in plan
    assert "Seq Scan" not in plan
