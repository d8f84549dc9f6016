"""Links in messages: who may use them, once, for what and how long; what is wrong is told in the same words."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from agents import deliver, shelves
from agents.channels.sink import SmtpSink
from maintenance import links, suppressions
from maintenance.models import Alarm, Channel, LinkUse, Notification, Reader, Suppression
from sensors.models import Membership, Site
from tests import factories, outgoing, plant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]
DENIED = "This link cannot be used"


@pytest.fixture
def alarm() -> Alarm:
    return plant.rows(factories.site()).alarm


def told(alarm: Alarm, *, role: str = Membership.Role.TECHNICIAN, number: int = 0) -> Notification:
    site: Site = alarm.site
    reader = Reader.objects.create(site=site, user=factories.user(site=site, role=role))
    to = Channel.objects.create(
        site=site, kind="EMAIL", name=f"hers {reader.pk}", target="ann@example.com", reader=reader
    )
    payload = outgoing.PAYLOAD | {"subject": f"alarm/{alarm.pk}"}
    return Notification.objects.create(
        site=site, channel=to, event_type="alarm.opened", payload=payload, key=f"told/{reader.pk}/{number}",
        subject_line="[HIGH] Alarm",
    )  # fmt: skip


def link(row: Notification, *, purpose: str = "acknowledge") -> str:
    """The path of a link of a message about one alarm."""
    fresh = Notification.objects.select_related("channel__reader").get(pk=row.pk)
    (addresses,) = links.of_message(fresh).values()
    return urlsplit(addresses[purpose]).path


def press(path: str, client: Client | None = None, **said: Any) -> HttpResponse:
    """Open the page and press its button, as a browser does that checks are held against."""
    browser = client or Client(enforce_csrf_checks=True)
    asked = browser.get(path)
    if asked.status_code != 200:
        return asked  # type: ignore[return-value]
    return browser.post(path, said | {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value})  # type: ignore[return-value]


def test_a_person_acknowledges_from_the_mail_without_logging_in(alarm: Alarm, settings: Settings) -> None:
    row = told(alarm)
    with SmtpSink() as sink:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = sink.host, sink.port, False
        assert deliver.deliver(row.pk).result == "sent"
        (mail,) = sink.wait_for(1)
    (line,) = [line for line in mail.text.splitlines() if line.startswith("Acknowledge: ")]
    path = urlsplit(line.removeprefix("Acknowledge: ")).path
    assert line.startswith(f"Acknowledge: {settings.PUBLIC_URL}/act/acknowledge/")
    assert path in mail.html
    assert press(path, comment="On my way.").status_code == 200
    alarm.refresh_from_db()
    person = row.channel.reader.user
    assert (alarm.is_acknowledged, alarm.acknowledged_by) == (True, person)
    step = alarm.transitions.order_by("-id")[0]
    assert (step.action, step.actor, step.comment) == (
        "ACKNOWLEDGED", person, f"On my way. (by the link in message {row.pk})",
    )  # fmt: skip
    used = LinkUse.objects.get(notification=row)
    assert (used.user, used.alarm, used.purpose, used.address) == (person, alarm, "acknowledge", "127.0.0.1")


def shelve(alarm: Alarm, actor: User) -> Suppression:
    now = timezone.now()
    return suppressions.shelve(alarm.pk, actor=actor, reason="Loose", until=now + timedelta(hours=1), now=now)


def test_a_person_shelves_from_the_mail_for_a_time_with_a_reason(alarm: Alarm, settings: Settings) -> None:
    row = told(alarm)
    with SmtpSink() as sink:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = sink.host, sink.port, False
        deliver.deliver(row.pk)
        (mail,) = sink.wait_for(1)
    (line,) = [line for line in mail.text.splitlines() if line.startswith("Shelve: ")]
    path = urlsplit(line.removeprefix("Shelve: ")).path
    assert path in mail.html
    assert "<option>24</option></select>" in Client().get(path).content.decode()
    Site.objects.update(time_zone="Europe/Rome")
    before = timezone.now()
    answer = press(path, hours="8")
    made = Suppression.objects.get(machine=alarm.machine, failure_mode=alarm.failure_mode)
    assert made.until is not None
    assert timedelta(hours=8) <= made.until - before < timedelta(hours=8, minutes=1)
    until = made.until.astimezone(ZoneInfo("Europe/Rome"))
    assert f"Shelved until {until:%Y-%m-%d %H:%M} (Europe/Rome)" in answer.content.decode()
    assert (made.created_by, made.reason) == (
        row.channel.reader.user, f"from a message (by the link in message {row.pk})",
    )  # fmt: skip
    assert LinkUse.objects.get(notification=row).purpose == "shelve"
    assert press(path, hours="1").status_code == 404
    assert press(link(row)).status_code == 200  # its other link is not used up


@pytest.mark.parametrize("hours", ["25", "9999", "99999", "0", "-1", "x", ""])
def test_policy_caps_what_a_link_shelves_and_the_link_stays_as_it_was(alarm: Alarm, hours: str) -> None:
    path = link(told(alarm), purpose="shelve")
    answer = press(path, hours=hours)
    assert (answer.status_code, "The alarm was not shelved" in answer.content.decode()) == (409, True)
    assert not Suppression.objects.filter(failure_mode=alarm.failure_mode).exists()
    assert press(path, hours="24", comment="Cable").status_code == 200
    assert Suppression.objects.get(failure_mode=alarm.failure_mode).reason.startswith("Cable (by the link")


def test_what_is_closed_or_shelved_already_is_not_shelved_from_a_mail(alarm: Alarm) -> None:
    first, second = told(alarm), told(alarm)
    shelve(alarm, first.channel.reader.user)
    assert press(link(first, purpose="shelve"), hours="1").status_code == 409
    Suppression.objects.all().delete()
    Alarm.objects.update(is_active=False, is_acknowledged=True)
    assert press(link(second, purpose="shelve"), hours="1").status_code == 409
    assert not Suppression.objects.exists()


def test_what_is_back_to_normal_is_acknowledged_and_not_shelved(alarm: Alarm) -> None:
    row = told(alarm)
    row.payload["action"] = "RETURNED"
    (offered,) = links.of_message(row).values()
    assert set(offered) == {"acknowledge"}


def shelf_stands(shelf: Suppression) -> bool:
    shelf.refresh_from_db()
    return shelf.ended_at is None


def test_opening_the_link_changes_nothing_and_is_not_kept(alarm: Alarm) -> None:
    path = link(told(alarm))
    for ask in (Client().get, Client().head, Client().get):
        answer = ask(path)
        assert answer.status_code == 200
        assert "no-store" in answer["Cache-Control"]
    alarm.refresh_from_db()
    assert not alarm.is_acknowledged
    assert not LinkUse.objects.filter(key__startswith="acknowledge/").exists()
    assert Client().put(path).status_code == 405


def test_a_post_from_another_page_is_refused(alarm: Alarm) -> None:
    assert Client(enforce_csrf_checks=True).post(link(told(alarm))).status_code == 403
    alarm.refresh_from_db()
    assert not alarm.is_acknowledged


def test_a_link_is_used_once(alarm: Alarm) -> None:
    path = link(told(alarm))
    assert press(path).status_code == 200
    Alarm.objects.update(is_acknowledged=False)  # as when it came back
    again = press(path)
    assert again.status_code == 404
    alarm.refresh_from_db()
    assert not alarm.is_acknowledged


def test_another_persons_link_says_that_it_is_done(alarm: Alarm) -> None:
    first, second = link(told(alarm)), link(told(alarm))
    assert press(first).status_code == 200
    answer = press(second)
    assert answer.status_code == 409
    assert "acknowledged already" in answer.content.decode()
    assert alarm.transitions.filter(action="ACKNOWLEDGED").count() == 1


def broken(alarm: Alarm) -> dict[str, str]:
    """Paths that must not work, by what is wrong with them."""
    good = told(alarm)
    path = link(good)
    left = told(alarm)
    Membership.objects.filter(user=left.channel.reader.user).delete()
    fired = told(alarm)
    fired.channel.reader.user.is_active = False
    fired.channel.reader.user.save(update_fields=["is_active"])
    moved = told(alarm)
    moved_path = link(moved)
    moved.channel.reader = good.channel.reader
    moved.channel.save(update_fields=["reader"])
    viewer = told(alarm, role=Membership.Role.VIEWER)
    used = link(told(alarm))
    press(used)
    Alarm.objects.update(is_acknowledged=False)
    user, row = good.channel.reader.user_id, good.pk
    salt = "bellwether.links.acknowledge"
    return {
        "nonsense": "/act/acknowledge/abc",
        "one letter off": path[:-1] + ("A" if path[-1] != "A" else "B"),
        "another purpose": path.replace("/acknowledge/", "/shelve/"),
        "signed for another purpose": "/act/acknowledge/" + signing.dumps([row, user, alarm.pk], salt=f"{salt}x"),
        "no such alarm": "/act/acknowledge/" + signing.dumps([row, user, 0], salt=salt),
        "no such message": "/act/acknowledge/" + signing.dumps([0, user, alarm.pk], salt=salt),
        "another person": "/act/acknowledge/" + signing.dumps([row, user + 1, alarm.pk], salt=salt),
        "left the site": link(left),
        "no longer active": link(fired),
        "the channel is another's now": moved_path,
        "may only look": link(viewer),
        "used": used,
    }


def test_whatever_is_wrong_with_a_link_it_is_told_in_the_same_words(alarm: Alarm, settings: Settings) -> None:
    settings.LINK_RATE = "1000/d"
    said = set()
    for wrong, path in broken(alarm).items():
        for answer in (Client().get(path), Client().post(path)):
            assert answer.status_code == 404, wrong
            said.add(answer.content)
    assert len(said) == 1
    text = said.pop().decode()
    assert DENIED in text
    assert alarm.machine.tag not in text
    alarm.refresh_from_db()
    assert not alarm.is_acknowledged


def test_a_link_ends_with_its_time(alarm: Alarm, settings: Settings) -> None:
    path = link(told(alarm))
    settings.NOTICE_LINK_HOURS = 0
    answer = press(path)
    assert (answer.status_code, DENIED in answer.content.decode()) == (404, True)


def test_tries_are_limited_by_address(alarm: Alarm, settings: Settings) -> None:
    settings.LINK_RATE = "5/d"
    answers = [Client().get("/act/acknowledge/abc") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 2
    assert answers[-1]["Retry-After"] == "60"


def test_shared_channels_and_what_is_no_alarm_carry_no_link(alarm: Alarm) -> None:
    row = told(alarm)
    Channel.objects.filter(pk=row.channel_id).update(reader=None)
    assert links.of_message(Notification.objects.select_related("channel__reader").get(pk=row.pk)) == {}
    order = told(alarm)
    order.payload["subject"] = "work-order/7"
    assert links.of_message(order) == {}


def test_a_digest_carries_a_link_for_each_alarm(alarm: Alarm) -> None:
    row = told(alarm)
    items = [{"subject": f"alarm/{alarm.pk}", "action": "OPENED"}, {"subject": "alarm/77", "action": "RAISED"}]
    row.payload = {"subject": "channel/1", "action": "DIGEST", "items": items}
    assert set(links.of_message(row)) == {f"alarm/{alarm.pk}", "alarm/77"}


def test_an_alarm_that_is_about_to_be_shown_again_is_not_acknowledged_from_the_message(alarm: Alarm) -> None:
    row = told(alarm)
    row.payload["action"] = "UNSHELVES_SOON"
    assert links.of_message(row) == {f"alarm/{alarm.pk}": {}}


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ("shelved", "it has to be acknowledged anew")), ("pt", ("suspenso", "ser reconhecido novamente"))],
)
def test_a_shelved_alarm_is_acknowledged_from_the_mail_and_told_anew_with_another_link_when_that_ends(
    alarm: Alarm, language: str, words: tuple[str, str]
) -> None:
    Suppression.objects.all().delete()
    row = told(alarm)
    Channel.objects.update(language=language)
    person, path = row.channel.reader.user, link(row)
    shelf = shelve(alarm, person)
    page = Client().get(path).content.decode()
    assert all(word in page for word in words)
    assert press(path).status_code == 200
    alarm.refresh_from_db()
    assert alarm.is_acknowledged
    assert shelf_stands(shelf)
    suppressions.unshelve(shelf.pk, actor=person)
    alarm.refresh_from_db()
    assert not alarm.is_acknowledged
    assert press(path).status_code == 404
    shelves.tell()
    anew = Notification.objects.get(event_type="alarm.unshelved", channel=row.channel)
    assert link(anew) != path
    page = Client().get(link(anew)).content.decode()
    assert not any(word in page for word in words)
    assert press(link(anew)).status_code == 200


def test_the_log_does_not_hold_the_link(alarm: Alarm, caplog: pytest.LogCaptureFixture, settings: Settings) -> None:
    settings.LINK_RATE = "1/d"
    path = link(told(alarm))
    with caplog.at_level("DEBUG"):
        answers = [Client().get(path) for _ in range(2)]
    assert answers[-1].status_code == 429
    logged = str([record.msg for record in caplog.records])
    assert "/act/…" in logged
    assert path.rpartition("/")[2] not in logged


@pytest.mark.django_db(transaction=True)
def test_of_many_presses_at_once_one_acts() -> None:
    alarm = plant.rows(factories.site()).alarm
    token = link(told(alarm)).rpartition("/")[2]
    outcomes = list[str]()
    barrier = threading.Barrier(6)

    def work() -> None:
        try:
            barrier.wait(30)
            links.use(token, purpose="acknowledge")
            outcomes.append("done")
        except links.Unusable:
            outcomes.append("unusable")
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(outcomes) == ["done"] + ["unusable"] * 5
    assert alarm.transitions.filter(action="ACKNOWLEDGED").count() == 1
