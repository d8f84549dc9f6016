"""Floods: when they begin and end, what is held while they last, and what people are told and shown of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from agents import deliver, notify, shelves, sweeper
from agents.channels.sink import SmtpSink
from agents.doorbell import Bell
from agents.models import Run
from maintenance import anomalies, digests, first_out, floods, isa182, notifications
from maintenance.flood_models import Flood
from maintenance.models import Alarm, AlarmTransition, Channel, Notification, Reader
from maintenance.sightings import Sighting
from sensors.columns import from_instant, to_instant
from sensors.models import Site
from tests import factories, outgoing
from tests.client import client as http
from tests.client import problem
from tests.integration.test_alarm_report import alarm

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


@pytest.fixture
def site() -> Site:
    return factories.site(name="Works", time_zone="Europe/Rome")


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def come(site: Site, at: datetime, **fields: Any) -> AlarmTransition:
    """An alarm of a machine of its own that becomes active."""
    made = alarm(factories.machine(site=site), [("OPENED", at)], is_acknowledged=False, **fields)
    return made.transitions.get()


def flooded(site: Site, now: datetime, *, count: int = 11) -> list[AlarmTransition]:
    """So many alarms, a second apart, the last one now; and the flood is noted if they are one."""
    made = [come(site, now - (count - 1 - n) * SECOND) for n in range(count)]
    floods.begin([site.pk], now=now)
    return made


def channel(site: Site, *, of: str = "", **fields: Any) -> Channel:
    """A channel, shared or of a person."""
    count = Channel.objects.count()
    reader = Reader.objects.create(site=site, user=factories.user(site=site, username=of), **fields) if of else None
    return Channel.objects.create(site=site, kind="CONSOLE", name=f"channel {count}", reader=reader)


def tell(*steps: AlarmTransition) -> list[Notification]:
    """The messages of these transitions, as the sweep puts them into the outbox."""
    AlarmTransition.objects.filter(pk__in=[step.pk for step in steps]).update(to_tell=True)
    told = notifications.take_untold(most=1_000)
    ids = notifications.create(notify.notify(told.transitions, told.recipients), run_id=None)
    return list(Notification.objects.filter(pk__in=ids).order_by("id"))


def send(*rows: Notification) -> list[str]:
    by = outgoing.on_console(lambda message: "taken")
    return [deliver.deliver(row.pk, by=by).result for row in rows]


def statuses() -> list[str]:
    return list(Notification.objects.order_by("id").values_list("status", flat=True))


# When


@pytest.mark.parametrize(("count", "found"), [(10, 0), (11, 1)])
def test_it_begins_with_more_than_ten_alarms_in_ten_minutes_and_is_noted_once(
    site: Site, now: datetime, count: int, found: int
) -> None:
    steps = flooded(site, now, count=count)
    assert len(floods.begin([site.pk], now=now)) == found
    rows = list(Flood.objects.values_list("site", "began_at", "activations", "look_at", "ended_at"))
    over_at = steps[-5].at + 10 * MINUTE
    assert rows == [(site.pk, now, count, over_at, None)] * found


def test_what_nobody_is_told_of_makes_no_flood(site: Site, now: datetime) -> None:
    for n in range(11):
        come(site, now - n * SECOND, priority="ADVISORY")
        hidden = come(site, now - n * SECOND)
        AlarmTransition.objects.filter(pk=hidden.pk).update(suppression="SHELVED")
        come(factories.site(), now - n * SECOND)
        come(site, now - timedelta(hours=2) - n * SECOND)
    assert floods.begin([site.pk], now=now) == set()


def test_a_quiet_site_costs_two_queries_that_go_by_indexes(site: Site, now: datetime) -> None:
    made = come(site, now).alarm
    old = {"site": site, "machine": made.machine, "sensor": made.sensor, "failure_mode": "LOO", "priority": "LOW"}
    over = {"is_active": False, "is_acknowledged": True, "returned_at": now - 2 * HOUR}
    alarms = Alarm.objects.bulk_create(Alarm(**old, **over, raised_at=now - (k + 3) * HOUR) for k in range(3_000))
    AlarmTransition.objects.bulk_create(
        AlarmTransition(alarm=alarm, action="OPENED", at=alarm.raised_at, key=f"old/{alarm.pk}") for alarm in alarms
    )
    with CaptureQueriesContext(connection) as queries:
        floods.begin([site.pk], now=now)
        floods.begin([], now=now)
    assert len(queries) == 2
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE maintenance_alarm, maintenance_alarmtransition")
        cursor.execute(f"EXPLAIN {floods.COUNTED}", {"sites": [site.pk], "since": now - 60 * MINUTE, "now": now})
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan on maintenance_alarm " not in plan
    assert "alarm_of_site" in plan
    assert "alarm_transition_in_order" in plan


@pytest.mark.parametrize("seed", range(2))
def test_noted_as_it_happens_it_is_the_same_as_the_report_finds_afterwards(site: Site, seed: int) -> None:
    dice = np.random.default_rng(seed)
    bursts = [dice.integers(0, 900, dice.integers(4, 25)) + start for start in (0, 1_500, 2_400, 5_000)]
    start = timezone.now().replace(microsecond=0) - timedelta(hours=3)
    came = [start + int(n) * SECOND for n in np.unique(np.concatenate(bursts))]
    for at in came:
        _look_until(at)
        come(site, at)
        floods.begin([site.pk], now=at)
    end = came[-1] + timedelta(hours=1)
    _look_until(end)
    noted = [
        isa182.Flood(from_instant(row.began_at), from_instant(row.ended_at or end), row.activations)
        for row in Flood.objects.order_by("id")
    ]
    assert tuple(noted) == isa182.floods_in(np.array([from_instant(at) for at in came]), end=from_instant(end))
    assert noted


def _look_until(now: datetime) -> None:
    """What the sweep does, at the instants at which it would."""
    while row := Flood.objects.filter(look_at__lte=now).order_by("look_at").first():
        assert row.look_at is not None
        assert floods.due(now=row.look_at) == [row.pk]
        floods.look(row.pk, now=row.look_at)


def test_any_number_of_looks_end_it_once_and_none_before_its_time(site: Site, now: datetime) -> None:
    flooded(site, now)
    row = Flood.objects.get()
    assert floods.due(now=row.look_at - SECOND) == []
    assert not floods.look(row.pk, now=row.look_at - SECOND)
    assert [floods.look(row.pk, now=row.look_at + SECOND) for _ in range(2)] == [True, False]
    row.refresh_from_db()
    assert (row.ended_at, row.look_at) == (now - 4 * SECOND + 10 * MINUTE, None)
    flooded(site, now + 20 * MINUTE)  # and another follows
    assert Flood.objects.filter(ended_at=None).count() == 1


# What is held, and told


def test_messages_of_a_flood_come_in_one_digest_to_each_first_out(site: Site, now: datetime) -> None:
    shared, anns = channel(site), channel(site, of="ann")
    steps = flooded(site, now)
    rows = tell(*steps)
    assert send(*rows) == ["held"] * 22
    assert set(Notification.objects.values_list("held_for", flat=True)) == {digests.FLOOD}
    assert digests.release(limit=9, now=timezone.now() + digests.SOON - 5 * SECOND) == []
    made = digests.release(limit=9, now=timezone.now() + digests.SOON)
    digested = Notification.objects.filter(pk__in=made).select_related("channel")
    assert {row.channel for row in digested} == {shared, anns}
    for row in digested:
        assert row.event_type == "digest.flood"
        assert row.subject_line == "[LOW] Alarm flood, 11 alarms of 11 machines: Works"
        assert [item["subject"] for item in row.payload["items"]] == [f"alarm/{step.alarm_id}" for step in steps]
        assert [item["after_seconds"] for item in row.payload["items"]] == list(range(11))
        assert row.told.count() == 11
    assert send(*digested) == ["sent", "sent"]
    assert Notification.objects.filter(status="DIGESTED").count() == 22


def test_a_digest_groups_by_machine_the_machine_that_came_first_first(site: Site, now: datetime) -> None:
    anns = channel(site, of="ann")
    pump, fan = factories.machine(site=site, tag="P-1"), factories.machine(site=site, tag="F-1")
    noise = flooded(site, now, count=12)
    of_two = [
        alarm(machine, [("OPENED", now - ago * SECOND)], failure_mode=mode).transitions.get()
        for machine, mode, ago in ((fan, "VIB", 60), (pump, "LOO", 50), (fan, "OHE", 40), (pump, "VIB", 30))
    ]
    Alarm.objects.filter(machine=pump, failure_mode="VIB").update(is_active=False, returned_at=now)
    send(*tell(*reversed(of_two), *noise))
    (made,) = digests.release(limit=9, now=timezone.now() + digests.SOON)
    payload = Notification.objects.get(pk=made, channel=anns).payload
    told = [(item["machine"]["id"], item["failure_mode"], item["after_seconds"]) for item in payload["items"]]
    assert told[:4] == [(fan.pk, "VIB", 0), (fan.pk, "OHE", 20), (pump.pk, "LOO", 10), (pump.pk, "VIB", 30)]
    assert [item["state"] for item in payload["items"]][:4] == ["ACKED", "ACKED", "ACKED", "NORM"]
    counts = {name: payload["flood"][name] for name in ("alarms", "machines", "named")}
    assert counts == {"alarms": 16, "machines": 14, "named": 16}


def test_a_person_reads_it_in_their_mail(site: Site, now: datetime, settings: Settings) -> None:
    with SmtpSink() as sink:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = sink.host, sink.port, False
        Channel.objects.filter(pk=channel(site, of="ann").pk).update(kind="EMAIL", target="ann@example.com")
        steps = flooded(site, now)
        assert [deliver.deliver(row.pk).result for row in tell(*steps)] == ["held"] * 11
        (made,) = digests.release(limit=9, now=timezone.now() + digests.SOON)
        assert deliver.deliver(made).result == "sent"
        (mail,) = sink.wait_for(1)
    assert mail.message["Subject"] == "[LOW] Alarm flood, 11 alarms of 11 machines: Works"
    machines = [str(step.alarm.machine) for step in steps]
    places = [mail.text.index(f"\n{name} (1 alarm)\n") for name in machines]
    assert places == sorted(places)
    assert f"First out: {machines[0]}, Low output, " in mail.text
    assert "- +0:10 [LOW] Low output: active\n  Acknowledge: http" in mail.text
    assert "11 of 11 alarms are named here." in mail.text


def test_at_most_fifty_alarms_are_named_and_five_of_a_machine(site: Site, now: datetime) -> None:
    channel(site)
    modes = ("LOO", "VIB", "OHE", "HIO", "PDE", "STD", "UNK")
    machines = [factories.machine(site=site) for _ in range(11)]
    steps = [
        alarm(machine, [("OPENED", now - (99 - n) * SECOND)], failure_mode=mode).transitions.get()
        for n, (machine, mode) in enumerate((machine, mode) for machine in machines for mode in modes)
    ]
    floods.begin([site.pk], now=now)
    send(*tell(*steps))
    (made,) = digests.release(limit=9, now=timezone.now() + digests.SOON)
    payload = Notification.objects.get(pk=made).payload
    assert (payload["flood"]["alarms"], payload["flood"]["machines"], len(payload["items"])) == (77, 11, 50)
    assert payload["items"][5]["machine"]["id"] == machines[1].pk
    assert {item["of_machine"] for item in payload["items"]} == {7}


def test_while_it_lasts_a_digest_comes_every_ten_minutes_and_one_at_its_end(site: Site, now: datetime) -> None:
    channel(site, of="ann")
    send(*tell(*flooded(site, now)))
    (first,) = digests.release(limit=9, now=timezone.now() + digests.SOON)
    send(Notification.objects.get(pk=first))
    more = tell(come(site, now), come(site, now))
    assert send(*more) == ["held", "held"]
    row = Notification.objects.get(pk=more[0].pk)
    assert row.due_at == Notification.objects.get(pk=first).admitted_at + digests.AGAIN
    assert digests.release(limit=9, now=now + 10 * MINUTE) == []  # not due, and the sweep has not seen that it is over
    _look_until(now + 10 * MINUTE)
    (last,) = digests.release(limit=9, now=now + 10 * MINUTE)
    assert Notification.objects.get(pk=last).payload["flood"]["alarms"] == 2
    assert send(Notification.objects.get(pk=last), *tell(come(site, now))) == ["sent", "sent"]  # back to normal


def test_the_sweep_ends_it_and_lets_go(site: Site, now: datetime) -> None:
    channel(site)
    send(*tell(*flooded(site, now)))
    AlarmTransition.objects.update(at=now - 11 * MINUTE)
    Notification.objects.update(created_at=now - 11 * MINUTE)
    Flood.objects.update(look_at=Now() - SECOND, began_at=now - 11 * MINUTE)
    shelves.look()
    assert Flood.objects.get().ended_at is not None
    (bell,) = [bell for bell in sweeper.due() if bell.queue == "deliver"]
    assert Notification.objects.get(pk=bell.id).event_type == "digest.flood"


@pytest.mark.parametrize(("at_once", "result"), [(True, "sent"), (False, "held")])
def test_a_critical_one_goes_at_once_if_the_person_says_so(
    site: Site, now: datetime, at_once: bool, result: str
) -> None:
    channel(site, of="ann", critical_at_once=at_once)
    flooded(site, now)
    assert send(*tell(come(site, now, priority="CRITICAL"))) == [result]


def test_an_escalation_and_what_is_about_channels_go_at_once(site: Site, now: datetime) -> None:
    to = channel(site)
    steps = flooded(site, now)
    called = Notification.objects.create(
        site=site, channel=to, event_type="alarm.escalated", payload=outgoing.PAYLOAD, key="call", admitted_at=Now()
    )
    about = Notification.objects.create(
        site=site, channel=to, event_type="channel.disabled", payload=outgoing.PAYLOAD, key="about"
    )
    assert send(called, about, *tell(steps[0])) == ["sent", "sent", "held"]


def test_quiet_hours_hold_through_a_flood_and_the_morning_tells_what_came_first(site: Site, now: datetime) -> None:
    to = channel(site, of="ann")
    local = now.astimezone(digests.zone(site.time_zone))
    quiet = {"quiet_from": (local - 60 * MINUTE).time(), "quiet_until": (local + 60 * MINUTE).time()}
    Reader.objects.update(**quiet)
    send(*tell(*flooded(site, now)))
    assert set(Notification.objects.values_list("held_for", flat=True)) == {f"quiet hours of {to.reader}"}
    floods.look(Flood.objects.get().pk, now=now + 30 * MINUTE)
    assert digests.release(limit=9, now=now + 30 * MINUTE) == []
    (made,) = digests.release(limit=9, now=now + 61 * MINUTE)
    assert Notification.objects.get(pk=made).event_type == "digest.flood"


def test_in_a_flood_a_delivery_asks_no_more_than_the_person_and_what_waits(site: Site, now: datetime) -> None:
    channel(site)
    quiet, *rest = tell(*(come(site, now) for _ in range(11)))
    with CaptureQueriesContext(connection) as before:
        send(quiet)
    floods.begin([site.pk], now=timezone.now())
    with CaptureQueriesContext(connection) as during:
        send(rest[0])
    counted = [len([q for q in found if "SAVEPOINT" not in q["sql"]]) for found in (before, during)]
    assert counted[0] == 5
    assert counted[1] <= 7


def test_a_run_notes_the_flood_before_its_messages_can_go(site: Site) -> None:
    """Through decide, notify and the outbox, as the workers do it."""
    channel(site)
    sensors = [factories.sensor(machine=factories.machine(site=site)) for _ in range(12)]
    at = from_instant(timezone.now() - MINUTE)
    run = Run.objects.create(
        lane=0, stage=Run.Stage.DECIDE, findings={"clocks": {str(sensor.machine_id): at for sensor in sensors}}
    )
    anomalies.record(
        [
            Sighting(
                sensor_id=sensor.pk, detector="limits", detector_version="1", kind="LIMIT_HIGH", started_at=at,
                ended_at=None, last_at=at, readings=2, peak_score=0.7, peak_at=at, observed=12.0, expected_low=None,
                expected_high=10.0, window_from=at, window_to=at,
            )
            for sensor in sensors
        ],
        run_id=run.pk,
    )  # fmt: skip
    sweeper.work_off([Bell("decide", run.pk)])
    assert Flood.objects.get().activations == 12
    assert statuses() == ["HELD"] * 12
    assert set(Notification.objects.values_list("held_for", "attempts")) == {(digests.FLOOD, 0)}


def test_new_messages_are_held_together_but_for_those_that_may_not_wait(site: Site, now: datetime) -> None:
    channel(site)
    channel(site, of="ann")
    critical, *others = [come(site, now, priority="CRITICAL"), *flooded(site, now)]
    told = tell(critical, *others)
    with CaptureQueriesContext(connection) as queries:
        left = digests.hold_together([row.pk for row in told])
    assert len(queries) <= 12
    (at_once,) = Notification.objects.filter(pk__in=left)
    assert (at_once.payload["priority"], at_once.channel.reader is None) == ("CRITICAL", False)
    assert Notification.objects.filter(status="HELD", held_for=digests.FLOOD).count() == 23
    assert send(at_once) == ["sent"]


# Pages and REST


@pytest.fixture
def found(site: Site, now: datetime) -> Iterator[tuple[Flood, list[AlarmTransition]]]:
    steps = flooded(site, now, count=60)
    yield Flood.objects.get(), steps


def test_its_alarms_come_by_machine_and_by_pages(
    client: Client, site: Site, found: tuple[Flood, list[AlarmTransition]]
) -> None:
    flood, steps = found
    client.force_login(factories.user(site=site, role="VIEWER", is_staff=True))
    assert "lasts" in client.get(reverse("admin:maintenance_flood_changelist")).content.decode()
    page = reverse("admin:maintenance_flood_change", args=[flood.pk])
    with CaptureQueriesContext(connection) as queries:
        first = client.get(page)
    assert len(queries) <= 15
    shown = first.context["first_out"]
    assert [row.pk for row in shown.object_list] == [step.alarm_id for step in steps[:50]]
    assert "page 1 of 2" in first.content.decode()
    second = client.get(page, {"page": 2})
    assert [row.pk for row in second.context["first_out"].object_list] == [step.alarm_id for step in steps[50:]]
    assert second.context["first_out"].object_list[0].after == "+50 s"
    assert client.get(page, {"page": "x"}).status_code == 200


def test_another_sites_flood_is_nobodys_and_an_empty_list_says_so(
    client: Client, found: tuple[Flood, list[AlarmTransition]]
) -> None:
    client.force_login(factories.user(site=factories.site(), is_staff=True))
    assert "No flood so far" in client.get(reverse("admin:maintenance_flood_changelist")).content.decode()
    assert client.get(reverse("admin:maintenance_flood_change", args=[found[0].pk])).status_code == 302


def test_the_overview_leads_to_it(client: Client, site: Site, found: tuple[Flood, list[AlarmTransition]]) -> None:
    client.force_login(factories.user(site=site, role="VIEWER", is_staff=True))
    tiles = {tile.name: tile for tile in client.get(reverse("admin:index")).context["tiles"]}
    listed = client.get(tiles["Nuisance alarms"].href, {"lasting": "now"})
    assert list(listed.context["cl"].result_list) == [found[0]]


@pytest.mark.usefixtures("redis_empty")
def test_over_rest(site: Site, found: tuple[Flood, list[AlarmTransition]]) -> None:
    flood, steps = found
    asking = http(factories.user(site=site, role="VIEWER"))
    (row,) = asking.get("/api/v1/floods/?lasting=true").json()["results"]
    assert (row["id"], row["activations"], row["ended_at"]) == (flood.pk, 60, None)
    with CaptureQueriesContext(connection) as queries:
        page = asking.get(f"/api/v1/floods/{flood.pk}/alarms/?page_size=40").json()
    assert len(queries) <= 6
    assert [one["id"] for one in page["results"]] == [step.alarm_id for step in steps[:40]]
    assert (page["count"], page["results"][0]["state"], page["results"][0]["activations"]) == (60, "UNACK", 1)
    assert len(asking.get(page["next"]).json()["results"]) == 20
    stranger = http(factories.user(site=factories.site()))
    problem(stranger.get(f"/api/v1/floods/{flood.pk}/alarms/"), status=404, name="not-found")


def test_what_came_after_its_end_is_none_of_its_alarms(site: Site, now: datetime) -> None:
    steps = flooded(site, now)
    come(site, now - 11 * MINUTE)
    after = come(site, now + 30 * MINUTE)
    flood = Flood.objects.get()
    floods.look(flood.pk, now=now + 20 * MINUTE)
    flood.refresh_from_db()
    found = list(first_out.of_flood(flood).values_list("pk", flat=True))
    assert found == [step.alarm_id for step in steps]
    assert after.alarm_id not in found
    assert to_instant(from_instant(now)) == flood.began_at
