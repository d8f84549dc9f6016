"""How many requests may come: by client, device, site and address, from many at once, and without Redis."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from prometheus_client import REGISTRY
from pytest_django import Settings
from rest_framework.request import Request

from agents import quota, request_limits
from sensors.models import Sensor
from tests import factories
from tests.client import JSON, client, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

SITES = "/api/v1/sites/"
NO_LIMIT: dict[str, tuple[int, int] | None] = dict.fromkeys(("client", "device", "ingest", "site", "address"))
HOUR, DAY = 3_600, 86_400


@pytest.fixture
def user() -> User:
    return factories.user(site=factories.site())


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_over_the_clients_rate_it_is_told_how_long_to_wait_and_before_that_what_is_left(
    settings: Settings, user: User
) -> None:
    settings.REQUEST_RATES = NO_LIMIT | {"client": (2, HOUR)}
    http, limited = client(user), count("pdm_requests_limited_total", limit="client")
    first = http.get(SITES)
    assert first.headers["RateLimit-Policy"] == '"client";q=2;w=3600'
    assert first.headers["RateLimit"] == '"client";r=1;t=1800'
    assert http.get(SITES).headers["RateLimit"].startswith('"client";r=0;t=')
    over = http.get(SITES)
    problem(over, status=429, name="too-many-requests")
    assert 1_790 <= int(over.headers["Retry-After"]) <= 1_800
    assert over.headers["RateLimit"].startswith('"client";r=0;t=')
    assert count("pdm_requests_limited_total", limit="client") == limited + 1
    assert client(factories.user(site=user.memberships.get().site)).get(SITES).status_code == 200


def test_a_site_has_a_limit_of_all_its_clients_together(settings: Settings, user: User) -> None:
    settings.REQUEST_RATES = NO_LIMIT | {"client": (100, HOUR), "site": (2, HOUR)}
    site = user.memberships.get().site
    others = [client(factories.user(site=site)) for _ in range(2)]
    assert [http.get(SITES).status_code for http in (client(user), *others)] == [200, 200, 429]
    assert client(factories.user(site=factories.site())).get(SITES).status_code == 200
    everywhere = client(factories.user(is_superuser=True))
    assert [everywhere.get(SITES).status_code for _ in range(4)] == [200] * 4


def test_what_one_limit_refuses_takes_nothing_from_another(settings: Settings, user: User) -> None:
    settings.REQUEST_RATES = NO_LIMIT | {"client": (1, HOUR), "site": (10, HOUR)}
    http = client(user)
    for _ in range(5):
        left = http.get(SITES).headers["RateLimit"]
    assert '"site";r=9;' in left


def test_a_devices_key_has_a_rate_of_its_own(settings: Settings, user: User) -> None:
    settings.REQUEST_RATES = NO_LIMIT | {"device": (1, HOUR)}

    class Key:
        limit_owner = ("device", 7)

    request = Request(RequestFactory().get(SITES))
    request.user, request.auth = user, Key()  # type: ignore[assignment]
    assert [(one.name, one.owner) for one in request_limits.of(request, None)] == [("device", "7")]


def test_readings_are_limited_by_their_own_rate(settings: Settings, user: User) -> None:
    sensor: Sensor = factories.sensor(machine=factories.machine(site=user.memberships.get().site))
    settings.REQUEST_RATES = NO_LIMIT | {"ingest": (1, HOUR), "client": (1, HOUR)}
    http, body = client(user), [{"sensor": sensor.pk, "measured_at": "2026-03-01T12:00:00Z", "value": 1.0}]
    assert http.post("/api/v1/data/ingest", body, JSON).status_code == 202
    problem(http.post("/api/v1/data/ingest", body, JSON), status=429, name="too-many-requests")
    assert http.get(SITES).status_code == 200


def test_who_has_no_credentials_is_counted_by_address_whatever_the_headers_say(settings: Settings) -> None:
    settings.REQUEST_RATES = NO_LIMIT | {"address": (2, HOUR)}
    back = "/api/v1/auth/blacklist/"
    clients = [Client(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=f"198.51.100.{n}") for n in range(3)]
    assert [one.post(back, b"{", JSON).status_code for one in clients] == [400, 400, 429]
    assert Client(REMOTE_ADDR="192.0.2.2").post(back, b"{", JSON).status_code == 400


def test_wrong_credentials_are_counted_by_address(settings: Settings, user: User) -> None:
    settings.REQUEST_RATES = NO_LIMIT | {"address": (2, HOUR)}
    wrong = Client(HTTP_AUTHORIZATION="Bearer nonsense")
    assert [wrong.get(SITES).status_code for _ in range(3)] == [401, 401, 429]
    assert int(wrong.get(SITES).headers["Retry-After"]) > 1_000
    assert client(user).get(SITES).status_code == 200


def test_of_many_at_once_exactly_as_many_pass_as_may(settings: Settings) -> None:
    settings.REQUEST_RATES = NO_LIMIT | {"client": (20, DAY)}
    limits = request_limits._limit("client", 1)
    together = threading.Barrier(16)

    def ask(_: int) -> int:
        together.wait()
        return sum(request_limits.draw(limits).empty is None for _ in range(5))

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(16))) == 20


def test_without_redis_everything_passes_and_that_is_told_once(
    settings: Settings, user: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REQUEST_RATES = NO_LIMIT | {"client": (1, HOUR)}
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"LOCATION": "unix:///nowhere/redis.sock"}
    }
    monkeypatch.setattr(quota, "breaker", quota.Breaker())
    uncounted, http = count("pdm_limits_uncounted_total"), client(user)
    answers = [http.get(SITES) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert not any("RateLimit" in answer.headers for answer in answers)
    assert count("pdm_limits_uncounted_total") == uncounted + 3
    assert sum("not-counted" in record.getMessage() for record in caplog.records) == 1


def test_tries_to_log_in_are_counted_by_account_and_by_address_over_rest_and_on_the_page_together(
    settings: Settings, user: User
) -> None:
    settings.LOGIN_RATE = "2/d"
    page, token = "/admin/login/", "/api/v1/auth/token/"

    def page_says(name: str, address: str) -> int:
        return Client(REMOTE_ADDR=address).post(page, {"username": name, "password": "wrong"}).status_code

    def rest_says(name: str, address: str) -> int:
        said = {"username": name, "password": "wrong"}
        return Client(REMOTE_ADDR=address).post(token, said, JSON).status_code

    assert [page_says(user.username, "192.0.2.1"), rest_says(user.username, "192.0.2.2")] == [200, 401]
    assert [page_says(user.username.upper(), "192.0.2.3"), rest_says(user.username, "192.0.2.4")] == [429, 429]
    assert [rest_says("somebody", "192.0.2.9"), page_says("else", "192.0.2.9")] == [401, 200]
    assert [page_says("again", "192.0.2.9"), rest_says("again", "192.0.2.9")] == [429, 429]
