"""Webhooks of a site: events out of the journal, signed, to receivers that answer in every way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from agents import failpoints, sweeper, webhooks
from agents.channels import webhook as signing
from agents.doorbell import Bell
from maintenance import owned
from maintenance import webhooks as book
from maintenance.refusals import Refused
from maintenance.webhook_models import Webhook, WebhookDelivery, WebhookTry
from sensors import ask, feed, journal
from sensors.models import Event, Site
from tests import factories, outgoing, workers
from tests.client import JSON, client, problem
from tests.servers import Answer, HttpSink, Request

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = "bellwether.example.com"
AGREED = Answer(200, {"WebHook-Allowed-Origin": ORIGIN})


class Receiver(HttpSink):
    """Agrees to the handshake, and answers events in turn."""

    agreed = AGREED

    def answer(self, request: Request) -> Answer:
        return self.agreed if request.method == "OPTIONS" else super().answer(request)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.received if request.method == "POST"]


@pytest.fixture(autouse=True)
def local(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = outgoing.LOCAL
    settings.PUBLIC_URL = f"https://{ORIGIN}"


@pytest.fixture
def site() -> Site:
    return factories.site()


def hook(site: Site, receiver: HttpSink, **fields: Any) -> Webhook:
    said = {"site": site, "name": f"to {receiver.port}", "url": receiver.url, "types": ["alarm.*"]} | fields
    return owned.add(Webhook(**said), actor=factories.user(site=site))


def active(site: Site, receiver: HttpSink, **fields: Any) -> Webhook:
    row = hook(site, receiver, **fields)
    turn(row)
    row.refresh_from_db()
    assert row.status == "ACTIVE", row.reason
    return row


def happen(site: Site, *keys: str, kind: str = journal.ALARM_OPENED, **data: Any) -> None:
    journal.record(
        [journal.Entry(kind, f"alarm/{key}", f"{kind}/{key}", factories.NOON, site.pk, "", data) for key in keys]
    )


def turn(row: Webhook, **how: Any) -> None:
    book.wake_for_news()
    webhooks.take(row.pk, **{"jitter": never} | how)


def never(low: float, high: float) -> float:
    return 0.0


def in_an_hour(low: float, high: float) -> float:
    return 3_600.0


def rested(row: Webhook) -> None:
    """The rest is over."""
    Webhook.objects.filter(pk=row.pk).update(due_at=Now(), rests_until=None)
    WebhookDelivery.objects.filter(webhook=row, status="PENDING").update(due_at=Now())


def states(row: Webhook) -> list[str]:
    return list(row.deliveries.order_by("id").values_list("status", flat=True))


def test_an_address_that_agrees_gets_the_sites_events_as_signed_cloud_events(site: Site) -> None:
    with Receiver(Answer(202, body=b"thanks")) as receiver:
        row = active(site, receiver)
        happen(site, "7", machine=3, priority="HIGH")
        happen(factories.site(), "8")
        happen(site, "9", kind=journal.ANOMALY_DETECTED)
        sweeper.work_off(sweeper.due())
    asked, sent = receiver.received
    assert (asked.method, asked.headers["WebHook-Request-Origin"]) == ("OPTIONS", ORIGIN)
    event = Event.objects.get(subject="alarm/7")
    told = json.loads(sent.body)
    assert told.pop("data") == {
        "machine": 3, "priority": "HIGH", "site": site.pk, "actor": "",
        "recorded_at": event.recorded_at.isoformat().replace("+00:00", "Z"),
        "href": f"https://{ORIGIN}/api/v1/alarms/7/",
    }  # fmt: skip
    assert told == {
        "specversion": "1.0", "id": str(event.pk), "source": f"https://{ORIGIN}/sites/{site.pk}",
        "type": "bellwether.alarm.opened", "subject": "alarm/7", "time": "2026-03-01T12:00:00Z",
        "datacontenttype": "application/json",
    }  # fmt: skip
    assert sent.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    timestamp = sent.headers["Bellwether-Timestamp"]
    assert sent.headers["Bellwether-Signature"] == signing.signature(row.secret, timestamp=timestamp, body=sent.body)
    assert states(row) == ["DELIVERED"]
    tried = WebhookTry.objects.get()
    assert (tried.answered, tried.answer, tried.error, tried.attempt) == (202, "thanks", "", 1)


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (Answer(200), "PENDING", "does not allow"),
        (Answer(200, {"WebHook-Allowed-Origin": "other.example.com"}), "PENDING", "does not allow"),
        (Answer(200, {"WebHook-Allowed-Origin": "*"}), "ACTIVE", ""),
        (Answer(405, {"WebHook-Allowed-Origin": "*"}), "PENDING", "answered 405"),
        (Answer(301, {"Location": "http://127.0.0.1/"}), "PENDING", "answered 301"),
        (Answer(503), "PENDING", "answered 503"),
    ],
)
def test_nothing_is_sent_to_who_has_not_agreed(site: Site, answer: Answer, status: str, reason: str) -> None:
    with Receiver() as receiver:
        receiver.agreed = answer
        row = hook(site, receiver)
        happen(site, "1")
        turn(row)
        row.refresh_from_db()
        assert (row.status, reason in row.reason) == (status, True)
        assert (row.due_at is None) == (status == "PENDING" and answer.status != 503)  # who is busy is asked again
        assert receiver.events == []
        turn(row)
        assert len(receiver.events) == (status == "ACTIVE")  # what happened since it was added comes too


def test_another_address_has_to_agree_anew_and_misses_nothing(site: Site) -> None:
    with Receiver() as old, Receiver() as new:
        row = active(site, old)
        owned.change(row, {"url": new.url}, actor=factories.user())
        happen(site, "1")
        turn(row)
        turn(row)
    assert [event["subject"] for event in new.events] == ["alarm/1"]
    assert old.events == []


def test_events_that_commit_out_of_order_are_all_sent(site: Site) -> None:
    with Receiver() as receiver:
        row = active(site, receiver)
        other = connections.create_connection("default")
        try:
            with other.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute(
                    "INSERT INTO sensors_event (site_id, type, subject, key, occurred_at, actor, data)"
                    " VALUES (%s, 'alarm.opened', 'alarm/1', 'early', now(), '', '{}')", [site.pk],
                )  # fmt: skip
                happen(site, "2")
                turn(row)
                assert receiver.events == []  # it could not tell what the other one will bring
                cursor.execute("COMMIT")
        finally:
            other.close()
        turn(row)
        happen(site, "3")
        turn(row)
    assert [event["subject"] for event in receiver.events] == ["alarm/1", "alarm/2", "alarm/3"]


def test_a_busy_address_rests_and_then_gets_all_in_order(site: Site) -> None:
    with Receiver(Answer(429, {"Retry-After": "120"}), Answer(200)) as receiver:
        row = active(site, receiver)
        happen(site, "1", "2")
        turn(row)
        row.refresh_from_db()
        assert row.rests_until is not None and row.rests_until > timezone.now() + timedelta(seconds=100)
        happen(site, "3")
        turn(row)
        assert len(receiver.events) == 1
        rested(row)
        turn(row)
    assert [event["subject"] for event in receiver.events] == ["alarm/1", "alarm/1", "alarm/2", "alarm/3"]
    assert states(row) == ["DELIVERED"] * 3
    first = row.deliveries.order_by("id")[0]
    assert [(tried.attempt, tried.answered) for tried in first.tries.order_by("id")] == [(1, 429), (2, 200)]
    row.refresh_from_db()
    assert (row.failures, row.rests_until) == (0, None)


def test_a_delivery_that_alone_fails_holds_up_no_other(site: Site) -> None:
    class Picky(Receiver):
        def answer(self, request: Request) -> Answer:
            return Answer(500) if b"alarm/1" in request.body else super().answer(request)

    with Picky() as receiver:
        row = active(site, receiver)
        happen(site, "1", "2", "3")
        turn(row, jitter=in_an_hour)
        Webhook.objects.filter(pk=row.pk).update(due_at=Now(), rests_until=None)
        turn(row)
    assert states(row) == ["PENDING", "DELIVERED", "DELIVERED"]
    happen(site, "4")
    book.wake_for_news()
    row.refresh_from_db()
    assert row.due_at is not None and row.due_at <= timezone.now()  # it does not sleep until the first is due again


@pytest.mark.parametrize(
    ("answer", "delivery", "status"),
    [
        (Answer(204), "DELIVERED", "ACTIVE"),
        (Answer(302, {"Location": "http://127.0.0.1:1/"}), "FAILED", "ACTIVE"),
        (Answer(400, body=b"what\x00?"), "FAILED", "ACTIVE"),
        (Answer(408), "PENDING", "ACTIVE"),
        (Answer(410), "FAILED", "GONE"),
        (Answer(503), "PENDING", "ACTIVE"),
        (Answer(cut=True), "PENDING", "ACTIVE"),
    ],
)
def test_what_the_receiver_answers_decides(site: Site, answer: Answer, delivery: str, status: str) -> None:
    with Receiver(answer) as receiver:
        row = active(site, receiver)
        happen(site, "1")
        turn(row, jitter=in_an_hour)
        assert len(receiver.events) == 1
    row.refresh_from_db()
    assert (states(row), row.status) == ([delivery], status)
    assert (row.reason != "") == (status == "GONE")
    assert row.lease_until is None


def test_after_a_day_of_failures_a_delivery_is_given_up(site: Site) -> None:
    with Receiver(Answer(500)) as receiver:
        row = active(site, receiver)
        happen(site, "1")
        turn(row)
        WebhookDelivery.objects.update(asked_at=Now() - timedelta(hours=25))
        rested(row)
        turn(row)
    assert states(row) == ["FAILED"]


def test_an_address_that_may_not_be_reached_is_paused_and_loses_nothing(site: Site, settings: Settings) -> None:
    with Receiver() as receiver:
        row = active(site, receiver)
        settings.WEBHOOK_ALLOWED_NETWORKS = []
        happen(site, "1")
        turn(row)
        row.refresh_from_db()
        assert (row.status, "not a public address" in row.reason) == ("PAUSED", True)
        assert receiver.events == []
        settings.WEBHOOK_ALLOWED_NETWORKS = outgoing.LOCAL
        book.resume(row.pk, actor=factories.user())
        turn(row)
    assert states(row) == ["DELIVERED"]


def test_what_happened_during_a_pause_is_sent_after_it(site: Site) -> None:
    boss = factories.user()
    with Receiver() as receiver:
        row = active(site, receiver)
        book.pause(row.pk, actor=boss)
        with pytest.raises(Refused):
            book.test(row.pk, actor=boss)
        happen(site, "1")
        turn(row)
        assert receiver.events == []
        book.resume(row.pk, actor=boss)
        turn(row)
    assert len(receiver.events) == 1


def test_only_what_was_asked_for_is_sent(site: Site) -> None:
    line = factories.machine(site=site, level="LINE", lane=None)
    inside, outside = factories.machine(site=site, parent=line), factories.machine(site=site)
    with Receiver() as receiver:
        row = active(
            site, receiver, types=["alarm.opened", "work_order.*"], lowest_priority="HIGH", equipment=line
        )  # fmt: skip
        happen(site, "1", machine=inside.pk, priority="CRITICAL")
        happen(site, "2", machine=outside.pk, priority="CRITICAL")
        happen(site, "3", machine=inside.pk, priority="MEDIUM")
        happen(site, "4", machine=inside.pk, priority="HIGH", kind=journal.ALARM_RAISED)
        happen(site, "5", machine=inside.pk, priority="HIGH", kind=journal.WORK_ORDER_OPENED)
        happen(site, "6", kind=journal.ALARM_OPENED)
        turn(row)
    assert [event["subject"] for event in receiver.events] == ["alarm/1", "alarm/5"]


def test_during_a_rotation_both_secrets_sign(site: Site) -> None:
    with Receiver() as receiver:
        row = active(site, receiver)
        fresh = book.rotate(row.pk, overlap=timedelta(hours=1), actor=factories.user())
        assert fresh.secret != row.secret
        happen(site, "1")
        turn(row)
        Webhook.objects.update(previous_until=Now())
        happen(site, "2")
        turn(row)
    both, one = (request for request in receiver.received if request.method == "POST")
    for request, secrets in ((both, (fresh.secret, row.secret)), (one, (fresh.secret,))):
        timestamp = request.headers["Bellwether-Timestamp"]
        made = signing.signature(*secrets, timestamp=timestamp, body=request.body)
        assert request.headers["Bellwether-Signature"] == made


def test_a_test_and_what_is_asked_for_again_is_sent(site: Site) -> None:
    boss = factories.user()
    with Receiver(Answer(400), Answer(200)) as receiver:
        row = active(site, receiver)
        happen(site, "1", "2")
        turn(row)
        assert states(row) == ["FAILED", "DELIVERED"]
        book.test(row.pk, actor=boss)
        turn(row)
        assert receiver.events[-1]["type"] == "bellwether.test"
        first = row.deliveries.order_by("id")[0]
        book.replay(first.pk, actor=boss)
        with pytest.raises(book.StillWaits):
            book.replay(first.pk, actor=boss)
        turn(row)
        hour = timedelta(hours=1)
        assert book.replay_between(row.pk, begin=timezone.now() - hour, end=timezone.now(), actor=boss) == 2
        assert book.replay_between(row.pk, begin=timezone.now() - hour, end=timezone.now() - hour, actor=boss) == 0
        turn(row)
    assert [event["subject"] for event in receiver.events[3:]] == ["alarm/1", "alarm/1", "alarm/2"]
    assert len({event["id"] for event in receiver.events}) == 3
    kinds = ["added", "verified", "tested", "replayed", "replayed", "replayed"]
    told = Event.objects.filter(subject=f"webhook/{row.pk}").order_by("id").values_list("type", flat=True)
    assert list(told) == [f"webhook.{kind}" for kind in kinds]


def test_no_more_is_sent_a_minute_than_was_allowed(site: Site) -> None:
    with Receiver() as receiver:
        receiver.agreed = Answer(200, {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "120"})
        row = active(site, receiver)
        happen(site, *map(str, range(10)))
        turn(row)
        assert len(receiver.events) == 3
        row.refresh_from_db()
        assert row.rests_until is not None and row.rests_until > timezone.now() + timedelta(seconds=1)


def test_a_burst_waits_in_the_journal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST_WAITING", 10)
    with Receiver(Answer(500)) as receiver:
        row = active(site, receiver)
        happen(site, *map(str, range(35)))
        for _ in range(5):
            rested(row)
            turn(row)
        assert len(states(row)) <= 10
        receiver.answers = [Answer(200)]
        for _ in range(5):
            rested(row)
            turn(row)
    assert states(row) == ["DELIVERED"] * 35


def test_a_worker_that_was_overtaken_keeps_nothing(site: Site) -> None:
    class Slow(Receiver):
        overtake: Callable[[], object] = staticmethod(lambda: None)

        def answer(self, request: Request) -> Answer:
            type(self).overtake()
            return super().answer(request)

    with Slow() as receiver:
        row = active(site, receiver)
        happen(site, "1")

        def overtake() -> None:
            Webhook.objects.update(lease_token=99)
            connection.close()

        Slow.overtake = staticmethod(overtake)
        turn(row)
    assert states(row) == ["PENDING"]
    assert WebhookTry.objects.count() == 0


@pytest.mark.parametrize("point", failpoints.WEBHOOK_POINTS)
def test_a_worker_that_dies_sends_again_under_the_same_id(site: Site, point: str) -> None:
    with Receiver() as receiver:
        row = active(site, receiver)
        happen(site, "1")
        book.wake_for_news()
        bells = [Bell("webhook", row.pk)]
        assert workers.work(bells, environment={failpoints.VARIABLE: point}) == failpoints.EXIT_STATUS
        sweeper.work_off(sweeper.due())  # its lease is given back, since its process is no more
    copies = 2 if point == "webhook:sent" else 1
    assert [event["id"] for event in receiver.events] == [receiver.events[0]["id"]] * copies
    assert states(row) == ["DELIVERED"]


def test_a_database_restored_into_another_server_goes_on_where_it_was(site: Site) -> None:
    """There transactions are counted from the beginning."""
    with Receiver() as receiver:
        row = active(site, receiver)
        happen(site, "1")
        turn(row)
        happen(site, "2")
        far = feed.head().transaction + 1_000_000
        Event.objects.update(written_in=far)
        Webhook.objects.update(read_transaction=far)
        turn(row)
        happen(site, "3")
        turn(row)
    assert [event["subject"] for event in receiver.events] == ["alarm/1", "alarm/2", "alarm/3"]


def test_old_deliveries_are_forgotten(site: Site) -> None:
    with Receiver() as receiver:
        row = active(site, receiver)
        happen(site, "1")
        turn(row)
        assert book.forget(before=timezone.now() - book.KEPT) == 0
        with transaction.atomic():
            WebhookDelivery.objects.update(finished_at=Now() - book.KEPT)
        assert book.forget(before=timezone.now() - book.KEPT) == 2


# REST and pages

API = "/api/v1/webhooks/"


def asked(site: Site, **said: Any) -> dict[str, Any]:
    return {"site": site.pk, "name": "ERP", "url": "https://erp.example.com/in", "types": ["alarm.*"]} | said


def test_a_webhook_over_rest_from_its_making_to_its_end(site: Site) -> None:
    boss = client(factories.user(site=site))
    with Receiver() as receiver:
        made = boss.post(API, asked(site, url=receiver.url), JSON)
        assert made.status_code == 201
        secret, path = made.json()["secret"], f"{API}{made.json()['id']}/"
        row = Webhook.objects.get(secret=secret)
        assert "secret" not in boss.get(path).json()
        problem(boss.post(f"{path}test/", {}, JSON), status=409, name="conflict")
        turn(row)
        assert boss.get(path).json()["status"] == "ACTIVE"
        assert boss.post(f"{path}test/", {}, JSON).status_code == 202
        happen(site, "1")
        turn(row)
        failed, sent = boss.get(f"/api/v1/webhook-deliveries/?webhook={row.pk}").json()["results"]
        assert (failed["type"], sent["type"]) == ("alarm.opened", "test")
        shown = boss.get(f"/api/v1/webhook-deliveries/{sent['id']}/").json()
        assert [attempt["answered"] for attempt in shown["tries"]] == [200]
        assert boss.post(f"/api/v1/webhook-deliveries/{sent['id']}/replay/", {}, JSON).status_code == 202
        span = {"begin": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
        assert boss.post(f"{path}replay/", span, JSON).json() == {"events": 1}
        rotated = boss.post(f"{path}rotate/", {"overlap_hours": 2}, JSON).json()
        assert rotated["secret"] != secret
        assert [boss.post(f"{path}{name}/", {}, JSON).json()["status"] for name in ("pause", "resume", "verify")] == [
            "PAUSED", "ACTIVE", "PENDING",
        ]  # fmt: skip
        problem(boss.post(f"{path}resume/", {}, JSON), status=409, name="conflict")
        changed = boss.patch(path, {"lowest_priority": "HIGH"}, JSON)
        assert (changed.status_code, changed.json()["lowest_priority"]) == (200, "HIGH")
    assert boss.delete(path).status_code == 204
    assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"url": "http://10.0.0.1/"}, "#/url"),
        ({"url": "https://2130706433/"}, "#/url"),
        ({"types": []}, "#/types"),
        ({"types": ["person.added"]}, "#/types/0"),
    ],
)
def test_what_could_never_work_is_refused(site: Site, settings: Settings, said: Any, pointer: str) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    told = problem(client(factories.user(site=site)).post(API, asked(site, **said), JSON), status=400, name="invalid")
    assert [fault["pointer"] for fault in told["errors"]] == [pointer]


@pytest.mark.parametrize("role", ["VIEWER", "TECHNICIAN", "INGEST", "ADMIN"])
def test_only_a_sites_administrators_see_and_change_webhooks(site: Site, role: str) -> None:
    with HttpSink() as receiver:
        row = hook(site, receiver)
    delivery = WebhookDelivery.objects.create(webhook=row)
    stranger = client(factories.user(site=factories.site() if role == "ADMIN" else site, role=role))
    if role != "ADMIN":  # nobody who has not the permission in any site gets as far as a row
        problem(stranger.get(API), status=403, name="forbidden")
        problem(stranger.post(API, asked(site), JSON), status=403, name="forbidden")
        return
    assert stranger.get(API).json()["results"] == []
    problem(stranger.get(f"{API}{row.pk}/"), status=404, name="not-found")
    for name in ("verify", "test", "rotate", "pause", "resume", "replay"):
        problem(stranger.post(f"{API}{row.pk}/{name}/", {}, JSON), status=404, name="not-found")
    problem(stranger.post(f"/api/v1/webhook-deliveries/{delivery.pk}/replay/", {}, JSON), status=404, name="not-found")
    problem(stranger.patch(f"{API}{row.pk}/", {}, JSON), status=404, name="not-found")
    problem(stranger.delete(f"{API}{row.pk}/"), status=404, name="not-found")


def test_a_webhook_on_its_pages(site: Site) -> None:
    person = Client()
    person.force_login(factories.user(site=site, is_staff=True))
    with Receiver() as receiver:
        said = {"site": site.pk, "name": "ERP", "url": receiver.url, "types": ["alarm.*"], "lowest_priority": "LOW"}
        page = person.post(reverse("admin:maintenance_webhook_add"), said, follow=True)
        row = Webhook.objects.get()
        assert f"shown this once: {row.secret}" in page.content.decode()
        turn(row)
        happen(site, "1")
        turn(row)
        here = reverse("admin:maintenance_webhook_change", args=[row.pk])
        body = person.get(here).content.decode()
        assert row.secret not in body
        assert all(f"/{name}/" in body for name in ("verify", "test", "pause", "rotate", "replay-time"))
        for name, answers in {
            "test": {}, "rotate": {"hours": 1}, "pause": {}, "resume": {},
            "replay_time": {"begin_0": "2000-01-01", "begin_1": "00:00", "end_0": "2100-01-01", "end_1": "00:00"},
        }.items():  # fmt: skip
            button = reverse(f"admin:maintenance_webhook_{name}", args=[row.pk])
            assert person.get(button).status_code == 200
            done = person.post(button, {ask.CONFIRMED: "1", **answers}, follow=True)
            assert (done.status_code, done.redirect_chain != []) == (200, True)
            assert (Webhook.objects.get().secret in done.content.decode()) == (name == "rotate")
        turn(row)
        delivery = row.deliveries.order_by("id")[0]
        shown = person.get(reverse("admin:maintenance_webhookdelivery_change", args=[delivery.pk])).content.decode()
        assert "alarm.opened alarm/1" in shown
        again = reverse("admin:maintenance_webhookdelivery_replay", args=[delivery.pk])
        person.post(again, {ask.CONFIRMED: "1"})
        turn(row)
        before = Webhook.objects.get()
        changed = person.post(here, said | {"name": "Other", "url": f"{receiver.url}&x=1"}, follow=True)
        assert changed.status_code == 200
    after = Webhook.objects.get()
    assert (after.name, after.status, after.secret, after.read_event) == (
        "Other", "PENDING", before.secret, before.read_event,
    )  # fmt: skip
    assert states(row) == ["DELIVERED", "DELIVERED"]
