"""Who is told, when, and how many at a time: subscriptions, quiet hours, limits and digests, on real rows."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents import deliver, notify, sweeper
from maintenance import audience, audience_pages, digests, gathered
from maintenance.models import Channel, Notification, Reader, Subscription
from sensors.models import Membership, Site
from tests import factories, outgoing

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
NIGHT = datetime(2026, 1, 10, 23, 0, tzinfo=UTC)
MORNING = datetime(2026, 1, 11, 7, 0, tzinfo=UTC)


def reader(site: Site, **fields: Any) -> Reader:
    return Reader.objects.create(**{"site": site, "user": factories.user(site=site)} | fields)


def channel(site: Site, **fields: Any) -> Channel:
    count = Channel.objects.count()
    return Channel.objects.create(**{"site": site, "kind": "CONSOLE", "name": f"channel {count}"} | fields)


def message(to: Channel, *, priority: str = "HIGH", machine: str = "P-101") -> Notification:
    number = Notification.objects.count()
    payload = outgoing.PAYLOAD | {"priority": priority, "machine": {"id": 2, "name": machine}}
    return Notification.objects.create(
        site=to.site, channel=to, event_type="alarm.raised", payload=payload, key=f"message/{number}",
        subject_line=f"[{priority}] Alarm raised: {machine}, LOO",
    )  # fmt: skip


def send(row: Notification, got: list[str] | None = None) -> str:
    def take(message: Any) -> str:
        (got if got is not None else []).append(message.key)
        return "taken"

    return deliver.deliver(row.pk, by=outgoing.on_console(take)).result


def status(row: Notification) -> str:
    row.refresh_from_db()
    return row.status


# Who


def test_a_line_stands_for_all_that_stands_in_it() -> None:
    site = factories.site()
    hall = factories.machine(site=site, level="LINE")
    line = factories.machine(site=site, level="LINE", parent=hall)
    pump, other = factories.machine(site=site, parent=line), factories.machine(site=site)
    assert audience.places([pump.pk, other.pk]) == {
        pump.pk: {pump.pk, line.pk, hall.pk},
        other.pk: {other.pk},
    }


def test_a_channel_has_the_wishes_of_its_own_and_of_its_person() -> None:
    site = factories.site()
    ann, pump = reader(site), factories.machine(site=site)
    hers, shared = channel(site, reader=ann, kind="EMAIL", target="Ann@example.com"), channel(site)
    Subscription.objects.create(site=site, reader=ann, equipment=pump)
    Subscription.objects.create(site=site, channel=hers, lowest_priority="CRITICAL", kinds=["alarm.opened"])
    Subscription.objects.create(site=factories.site(), channel=shared)
    told = {recipient.channel_id: recipient for recipient in audience.recipients([site.pk])}
    assert [(w.place, w.lowest_priority, set(w.kinds)) for w in told[hers.pk].wishes] == [
        (None, "CRITICAL", {"alarm.opened"}),
        (pump.pk, "LOW", set()),
    ]
    assert told[hers.pk].address == "EMAIL/ann@example.com"
    assert (told[shared.pk].wishes, told[shared.pk].address) == ((), "")


def test_the_number_of_queries_does_not_grow_with_subscriptions() -> None:
    site = factories.site()
    for _ in range(5):
        Subscription.objects.create(site=site, channel=channel(site, reader=reader(site)))
    with CaptureQueriesContext(connection) as queries:
        audience.recipients([site.pk])
    assert len(queries) == 2


def test_a_subscription_is_of_a_person_or_a_channel() -> None:
    site = factories.site()
    for both in ({}, {"reader": reader(site), "channel": channel(site)}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Subscription.objects.create(site=site, **both)


def test_quiet_hours_have_two_ends() -> None:
    half = Reader(site=factories.site(), user=factories.user(), quiet_from="22:00")
    with pytest.raises(ValidationError, match="beginning and an end"):
        half.full_clean()


# When


def night_owl(**fields: Any) -> Channel:
    site = factories.site(time_zone="Europe/Lisbon")
    return channel(site, reader=reader(site, quiet_from="22:00", quiet_until="07:00", **fields))


def admit(row: Notification, now: datetime) -> tuple[datetime, str] | None:
    """What deliver does with a message that has to wait, at an instant of the test's own."""
    with transaction.atomic():
        rows = Notification.objects.select_related("channel__reader__user", "channel__site")
        hold = digests.admit(digests.waiting(rows).get(pk=row.pk), now=now)
        if hold is not None:
            deliver.notifications.hold(row.pk, until=hold.until, reason=hold.reason)
    return None if hold is None else (hold.until, hold.reason)


def test_what_comes_in_quiet_hours_comes_in_the_morning_in_one_message() -> None:
    to = night_owl()
    rows = [message(to, machine=f"P-{n}") for n in range(3)]
    for row in rows:
        assert admit(row, NIGHT) == (MORNING, f"quiet hours of {to.reader}")
    assert digests.release(limit=9, now=MORNING - MINUTE) == []
    (made,) = digests.release(limit=9, now=MORNING)
    digest = Notification.objects.get(pk=made)
    assert (digest.event_type, digest.payload["total"]) == ("digest", 3)
    assert digest.key == f"digest/channel/{to.pk}/to/{rows[-1].pk}"
    assert {row["notification"] for row in digest.payload["items"]} == {row.pk for row in rows}
    assert digest.payload["path"].endswith(f"?digest__id__exact={made}")
    assert {(status(row), row.digest_id) for row in rows} == {("DIGESTED", made)}
    assert digests.release(limit=9, now=MORNING) == []
    got = list[str]()
    assert send(digest, got) == "sent"
    assert got == [digest.key]


def test_one_message_alone_comes_as_itself() -> None:
    to = night_owl()
    row = message(to)
    admit(row, NIGHT)
    assert digests.release(limit=9, now=MORNING) == [row.pk]
    assert (status(row), row.digest) == ("PENDING", None)
    assert send(row) == "sent"


@pytest.mark.parametrize("at_once", [True, False])
def test_a_critical_one_breaks_through_if_the_person_says_so(at_once: bool) -> None:
    to = night_owl(critical_at_once=at_once)
    assert (admit(message(to, priority="CRITICAL"), NIGHT) is None) == at_once


def test_the_time_zone_is_the_persons_and_else_the_sites() -> None:
    assert admit(message(night_owl(time_zone="America/Sao_Paulo")), NIGHT) is None  # 20:00 there
    assert admit(message(night_owl()), NIGHT) is not None


def test_a_digest_collects_for_its_minutes_from_the_first_message_on() -> None:
    to = channel(factories.site(), digest_minutes=15)
    first, second = message(to), message(to)
    assert admit(first, NIGHT) == (NIGHT + 15 * MINUTE, "collected for a digest")
    assert admit(second, NIGHT + 10 * MINUTE) == (NIGHT + 15 * MINUTE, "collected for a digest")
    assert digests.release(limit=9, now=NIGHT + 14 * MINUTE) == []
    (made,) = digests.release(limit=9, now=NIGHT + 15 * MINUTE)
    assert Notification.objects.get(pk=made).payload["total"] == 2
    assert admit(message(to), NIGHT + 16 * MINUTE) == (NIGHT + 31 * MINUTE, "collected for a digest")


def test_what_is_over_the_limit_comes_in_one_digest_when_there_is_room() -> None:
    site = factories.site()
    to = channel(site, reader=reader(site, limit_messages=2, limit_minutes=10))
    rows = [message(to, machine=f"P-{n % 2}") for n in range(6)]
    held = [admit(row, NIGHT + n * MINUTE) for n, row in enumerate(rows)]
    assert [h is None for h in held] == [True, True, False, False, False, False]
    assert held[2] == (NIGHT + 10 * MINUTE, f"over the limit of {to.reader}")
    assert digests.release(limit=9, now=NIGHT + 9 * MINUTE) == []
    (made,) = digests.release(limit=9, now=NIGHT + 10 * MINUTE)
    digest = Notification.objects.get(pk=made)
    assert (digest.payload["total"], digest.payload["by_machine"]) == (4, [["P-0", 2], ["P-1", 2]])
    assert admit(message(to), NIGHT + 10 * MINUTE) is not None  # the digest took the place
    assert admit(message(to), NIGHT + 11 * MINUTE) is not None  # and who comes later does not overtake


def test_the_limit_is_a_persons_over_all_their_channels() -> None:
    site = factories.site()
    ann = reader(site, limit_messages=1, limit_minutes=10)
    assert admit(message(channel(site, reader=ann)), NIGHT) is None
    assert admit(message(channel(site, reader=ann)), NIGHT) is not None
    assert admit(message(channel(site, reader=reader(site, limit_messages=1))), NIGHT) is None


def test_a_shared_channel_is_told_at_once_at_any_hour() -> None:
    row = message(channel(factories.site()))
    assert not digests.concerns(digests.waiting(Notification.objects.all()).get(pk=row.pk))
    assert send(row) == "sent"


def test_a_digest_names_the_most_urgent_and_counts_the_rest() -> None:
    to = channel(factories.site(), digest_minutes=1)
    for n in range(gathered.ITEMS + 5):
        admit(message(to, priority="LOW", machine=f"P-{n % 30}"), NIGHT)
    worst = message(to, priority="CRITICAL", machine="P-999")
    admit(worst, NIGHT)
    (made,) = digests.release(limit=9, now=NIGHT + MINUTE)
    digest = Notification.objects.get(pk=made)
    assert digest.subject_line.startswith("[CRITICAL] 56 messages: ")
    assert len(digest.payload["items"]) == gathered.ITEMS
    assert digest.payload["items"][0]["notification"] == worst.pk
    assert digest.payload["by_priority"] == [["LOW", 55], ["CRITICAL", 1]]
    assert len(digest.payload["by_machine"]) == gathered.MACHINES
    assert digest.told.count() == 56


def test_what_a_disabled_channel_held_fails_with_its_reason() -> None:
    to = channel(factories.site(), digest_minutes=1)
    row = message(to)
    admit(row, NIGHT)
    Channel.objects.update(is_enabled=False, disabled_reason="no such mailbox")
    assert digests.release(limit=9, now=NIGHT + MINUTE) == [row.pk]
    assert send(row) == "failed"
    assert "no such mailbox" in Notification.objects.get(pk=row.pk).error


def test_deliver_holds_and_the_sweep_lets_go() -> None:
    to = channel(factories.site(), digest_minutes=1)
    rows = [message(to), message(to)]
    assert [send(row) for row in rows] == ["held", "held"]
    assert [(status(row), row.attempts, row.lease_until) for row in rows] == [("HELD", 0, None)] * 2
    assert [send(row) for row in rows] == ["stale", "stale"]
    assert [bell for bell in sweeper.due() if bell.queue == "deliver"] == []
    Notification.objects.update(due_at=Now() - timedelta(seconds=1))
    (bell,) = [bell for bell in sweeper.due() if bell.queue == "deliver"]
    assert Notification.objects.get(pk=bell.id).event_type == "digest"


@pytest.mark.django_db(transaction=True)
def test_a_limit_holds_however_many_workers_deliver() -> None:
    site = factories.site()
    to = channel(site, reader=reader(site, limit_messages=3, limit_minutes=60))
    rows = [message(to) for _ in range(16)]
    results, got = list[str](), list[str]()

    def work(mine: list[Notification]) -> None:
        try:
            results.extend(send(row, got) for row in mine)
        finally:
            connection.close()

    workers = [threading.Thread(target=work, args=(rows[n::8],)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert Counter(results) == {"sent": 3, "held": 13}
    assert len(got) == 3


# Pages


def page(model: str, name: str, *keys: object) -> str:
    return reverse(f"admin:maintenance_{model}_{name}", args=keys)


SETTINGS = {"time_zone": "", "limit_messages": 0, "limit_minutes": 10, "quiet_from": "22:00", "quiet_until": "07:00"}


def test_a_person_sets_their_own_quiet_hours_and_nobody_elses(client: Client) -> None:
    site = factories.site()
    mine = reader(site, user=factories.user(site=site, role=Membership.Role.TECHNICIAN, is_staff=True))
    client.force_login(mine.user)
    assert client.post(page("reader", "change", mine.pk), SETTINGS).status_code == 302
    mine.refresh_from_db()
    assert mine.quiet_from is not None
    assert client.post(page("reader", "change", reader(site).pk), SETTINGS).status_code == 403
    assert client.post(page("reader", "delete", mine.pk), {"post": "yes"}).status_code == 403


def test_a_mistyped_time_zone_is_told_in_the_form(client: Client) -> None:
    site = factories.site()
    client.force_login(factories.user(site=site, is_staff=True))
    who = reader(site)
    answer = client.post(page("reader", "change", who.pk), SETTINGS | {"time_zone": "Mars/Olympus"})
    assert "no such time zone" in answer.content.decode()


def test_a_subscription_keeps_to_its_site_and_to_machines(client: Client) -> None:
    site = factories.site()
    user = factories.user(site=site, is_staff=True)
    client.force_login(user)
    other = factories.site()
    Membership.objects.create(site=other, user=user, role=Membership.Role.ADMIN)
    pump = factories.machine(site=site)
    seal = factories.machine(site=site, level="COMPONENT", parent=pump)
    form = {"site": site.pk, "reader": reader(site).pk, "lowest_priority": "LOW", "kinds": ["alarm.opened"]}
    for equipment, said in ((factories.machine(site=other), "another site"), (seal, "choose the machine")):
        answer = client.post(page("subscription", "add"), form | {"equipment": equipment.pk})
        assert said in answer.content.decode()
    assert client.post(page("subscription", "add"), form | {"equipment": pump.pk}).status_code == 302
    row = Subscription.objects.get()
    assert (row.equipment, row.kinds) == (pump, ["alarm.opened"])
    assert client.get(page("subscription", "change", row.pk)).status_code == 200


def test_every_kind_has_words_on_the_page() -> None:
    assert {f"{source}.{action.lower()}" for source, action in notify.WORDS} == set(audience_pages.KIND_WORDS)
