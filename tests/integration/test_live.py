"""The live stream: what happens, as it happens, to those who may know it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import Settings

from agents import sweeper
from agents.live import hub as hubs
from config import live, node, supervisor
from sensors import inbox, journal
from sensors.families import Refresh
from sensors.models import Event, Membership, Site
from tests import factories
from tests.client import client, problem
from tests.listening import Listener

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Site:
    return factories.site()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A test's database is emptied only when the reader has let go of it."""
    yield
    live.pool.submit(hubs.connections.close_all).result()


def listen(user: User, query: str = "", **headers: str) -> Listener:
    return Listener(query, Authorization=f"Bearer {Refresh.for_user(user).access_token}", **headers)


def happen(site: Site, key: str, *, kind: str = journal.ALARM_OPENED, **data: Any) -> str:
    """The id of the event."""
    entry = journal.Entry(kind, f"alarm/{key}", f"{kind}/{key}", factories.NOON, site.pk, "", data)
    journal.record([entry])
    return str(Event.objects.get(key=entry.key).pk)


def test_who_listens_hears_what_happens_in_their_sites_and_nothing_else(site: Site) -> None:
    with listen(factories.user(site=site, role="VIEWER")) as listener:
        assert (listener.status, listener.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        happen(factories.site(), "1")
        happen(site, "2", kind=journal.STOCK_ISSUED)
        key = happen(site, "3", machine=9)
        told = listener.next()
    assert (told["id"], told["event"]) == (key, "alarm.opened")
    assert told["data"]["subject"] == "alarm/3"
    assert told["data"]["data"]["machine"] == 9


def test_only_the_types_and_the_equipment_that_were_asked_for_are_told(site: Site) -> None:
    line = factories.machine(site=site, level="LINE", lane=None)
    inside, outside = factories.machine(site=site, parent=line), factories.machine(site=site)
    with listen(factories.user(site=site), f"types=stock.*,alarm.raised&equipment={line.pk}") as listener:
        happen(site, "1", machine=inside.pk)
        happen(site, "2", machine=outside.pk, kind=journal.STOCK_ISSUED)
        key = happen(site, "3", machine=inside.pk, kind=journal.STOCK_ISSUED)
        assert listener.next()["id"] == key


def test_a_stream_that_broke_off_is_taken_up_where_it_was(site: Site) -> None:
    user = factories.user(site=site)
    first, second, third = (happen(site, key) for key in "123")
    with listen(user, **{"Last-Event-ID": first}) as listener:
        assert [listener.next()["id"] for _ in range(2)] == [second, third]
        fourth = happen(site, "4")
        assert listener.next()["id"] == fourth
    for lost in (happen(factories.site(), "5"), "99999999", "what?"):
        with listen(user, **{"Last-Event-ID": lost}) as listener:
            assert listener.next()["event"] == "reset"


def test_the_newest_readings_of_named_sensors_are_told(site: Site) -> None:
    sensor = factories.sensor(machine=factories.machine(site=site))
    with listen(factories.user(site=site), f"sensors={sensor.pk}") as listener:
        item = {"sensor": sensor.pk, "measured_at": factories.NOON.isoformat(), "value": 7.5}
        inbox.accept(site=site, user=None, body=json.dumps([item]).encode(), received_at=factories.NOON)
        sweeper.work_off(sweeper.due())
        told = listener.next()
    assert told["event"] == "reading"
    assert told["data"] == {
        "sensor": sensor.pk, "measured_at": "2026-03-01T12:00:00Z", "value": 7.5, "quality": "GOOD",
    }  # fmt: skip


def test_the_live_process_streams_over_real_http(site: Site, tmp_path: Path) -> None:
    token, port = Refresh.for_user(factories.user(site=site)).access_token, node.free_port(0)
    with serving(port, tmp_path):
        asked = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        answer = requests.get(f"http://127.0.0.1:{port}/api/v1/live/", headers=asked, stream=True, timeout=20)
        with answer:
            lines = answer.iter_lines(chunk_size=1)
            assert next(lines) == b": listening"
            key = happen(site, "1")
            assert next(line for line in lines if line.startswith(b"id")) == f"id: {key}".encode()
        assert requests.get(f"http://127.0.0.1:{port}/api/v1/sites/", timeout=20).status_code == 404


@contextmanager
def serving(port: int, folder: Path) -> Iterator[None]:
    """The live process of a node, with this test's database."""
    at = connection.settings_dict
    url = f"postgresql://{at['USER']}:{at['PASSWORD']}@/{at['NAME']}?host={at['HOST']}&port={at['PORT']}"
    environment = os.environ | {"DATABASE_URL": url, "REDIS_URL": settings.REDIS_URL}
    with (folder / "live.log").open("w") as log:
        server = subprocess.Popen(
            supervisor.live(port=port).command, cwd=settings.BASE_DIR, env=environment, stdout=log, stderr=log
        )
        try:
            until_answers(f"http://127.0.0.1:{port}/health/live")
            yield
        finally:
            server.terminate()
            server.wait(30)


def until_answers(url: str) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        with suppress(requests.RequestException):
            if requests.get(url, timeout=5).ok:
                return
        time.sleep(0.1)
    raise TimeoutError(url)


@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ("types=person.added", 400, "invalid"),
        ("sensors=x", 400, "invalid"),
        (f"sensors={','.join(map(str, range(51)))}", 400, "invalid"),
        ("sensors=99999999", 404, "not-found"),
        ("equipment=99999999", 404, "not-found"),
        ("site=99999999", 404, "not-found"),
    ],
)
def test_what_is_not_known_is_told_before_anything_is_streamed(site: Site, query: str, status: int, name: str) -> None:
    with listen(factories.user(site=site), query) as listener:
        assert listener.status == status
        assert json.loads(listener.body)["type"] == f"/problems/{name}"
        assert listener.is_over


def test_nobody_listens_without_a_token() -> None:
    with Listener() as listener:
        assert listener.status == 401


@pytest.mark.parametrize("how", ["disabled", "password", "deleted"])
def test_the_stream_of_who_may_no_longer_listen_ends(site: Site, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "CHECK_SECONDS", 0.1)
    user = factories.user(site=site)
    with listen(user) as listener:
        if how == "disabled":
            User.objects.filter(pk=user.pk).update(is_active=False)
        elif how == "password":
            user.set_password("another one entirely")
            user.save()
        else:
            user.delete()
        assert listener.next()["event"] == "ended"
        assert listener.is_over


def test_who_leaves_a_site_hears_no_more_of_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "CHECK_SECONDS", 0.0)
    user, other = factories.user(site=site), factories.site()
    Membership.objects.create(site=other, user=user, role="VIEWER")
    with listen(user) as listener:
        happen(site, "1")
        assert listener.next()["data"]["subject"] == "alarm/1"
        Membership.objects.filter(site=site, user=user).delete()
        happen(other, "2")
        assert listener.next()["data"]["subject"] == "alarm/2"
        happen(site, "3")
        happen(other, "4")
        assert listener.next()["data"]["subject"] == "alarm/4"


def test_a_user_has_so_many_streams_and_no_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    user, other = factories.user(site=site), factories.user(site=site)
    monkeypatch.setattr(live.hub, "most_of_one", 1)
    monkeypatch.setattr(live.hub, "most", 2)
    with listen(user), listen(user) as second:
        assert (second.status, second.headers["retry-after"]) == (429, "30")
        with listen(other), listen(factories.user(site=site)) as fourth:
            assert fourth.status == 503
    with listen(user) as again:
        assert again.status == 200


def test_a_listener_who_is_too_slow_is_let_go(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MOST_QUEUED", 0)
    with listen(factories.user(site=site)) as listener:
        happen(site, "1")
        assert listener.next()["event"] == "ended"


def test_the_web_server_leads_to_the_live_process(site: Site, settings: Settings) -> None:
    mine = client(factories.user(site=site))
    settings.LIVE_URL = ""
    problem(mine.get("/api/v1/live/"), status=503, name="unavailable")
    settings.LIVE_URL = "http://127.0.0.1:8001"
    answer = mine.get("/api/v1/live/?types=alarm.*")
    assert (answer.status_code, answer["Location"]) == (307, "http://127.0.0.1:8001/api/v1/live/?types=alarm.*")
