from __future__ import annotations

from datetime import timedelta

import jwt
import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings

from sensors.families import Refresh
from tests import factories
from tests.client import JSON, client, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

TOKEN, REFRESH, BLACKLIST, SITES = (
    "/api/v1/auth/token/", "/api/v1/auth/refresh/", "/api/v1/auth/blacklist/", "/api/v1/sites/",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _long_window(settings: Settings) -> None:
    """A window that does not end in the middle of a test."""
    settings.LOGIN_RATE = "10/d"


def test_a_name_and_password_give_tokens_that_open_the_api() -> None:
    user = factories.user(site=factories.site())
    tokens = Client().post(TOKEN, {"username": user.username, "password": factories.PASSWORD}, JSON).json()
    answer = Client(headers={"Authorization": f"Bearer {tokens['access']}"}).get(SITES)
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 1


def test_a_wrong_password_is_told_no_more_than_an_unknown_name() -> None:
    user = factories.user()
    answers = [
        problem(
            Client().post(TOKEN, {"username": name, "password": "wrong"}, JSON), status=401, name="not-authenticated"
        )
        for name in (user.username, "nobody")
    ]
    told, other = ({name: value for name, value in answer.items() if name != "request_id"} for answer in answers)
    assert told == other


def test_tries_are_limited_by_name_whatever_the_address() -> None:
    user = factories.user()
    for n in range(10):
        Client(REMOTE_ADDR=f"10.0.0.{n}").post(TOKEN, {"username": user.username, "password": "wrong"}, JSON)
    answer = Client(REMOTE_ADDR="10.0.1.1").post(TOKEN, {"username": user.username, "password": "wrong"}, JSON)
    problem(answer, status=429, name="too-many-requests")
    assert answer["Retry-After"] == "60"


def test_tries_are_limited_by_address_whatever_the_header_says() -> None:
    for n in range(10):
        Client().post(TOKEN, {"username": f"u{n}", "password": "x"}, JSON, headers={"X-Forwarded-For": f"10.0.0.{n}"})
    answer = Client().post(TOKEN, {"username": "u", "password": "x"}, JSON, headers={"X-Forwarded-For": "10.0.1.1"})
    problem(answer, status=429, name="too-many-requests")


def test_a_refresh_token_is_used_up_by_refreshing_and_by_logging_out() -> None:
    token = Refresh.for_user(factories.user())
    fresh = Client().post(REFRESH, {"refresh": str(token)}, JSON)
    assert fresh.status_code == 200
    second = fresh.json()["refresh"]
    assert Client().post(BLACKLIST, {"refresh": second}, JSON).status_code == 200
    for used in (token, second):
        problem(Client().post(REFRESH, {"refresh": str(used)}, JSON), status=401, name="not-authenticated")


def test_refreshing_and_logging_out_are_found_under_the_token_too() -> None:
    fresh = Client().post(f"{TOKEN}refresh/", {"refresh": str(Refresh.for_user(factories.user()))}, JSON).json()
    assert Client().post(f"{TOKEN}blacklist/", {"refresh": fresh["refresh"]}, JSON).status_code == 200
    problem(Client().post(REFRESH, {"refresh": fresh["refresh"]}, JSON), status=401, name="not-authenticated")


def forged(**claims: object) -> str:
    user = factories.user()
    good = {**Refresh.for_user(user).access_token.payload, **claims}
    return jwt.encode(good, settings.SIMPLE_JWT["SIGNING_KEY"], "HS256")


def test_a_token_of_the_wrong_kind_or_for_another_audience_is_refused() -> None:
    user = factories.user()
    disabled = factories.user()
    token_of_disabled = str(Refresh.for_user(disabled).access_token)
    disabled.is_active = False
    disabled.save(update_fields=["is_active"])
    gone = factories.user()
    token_of_gone = str(Refresh.for_user(gone).access_token)
    gone.delete()
    tokens = [
        str(Refresh.for_user(user)),
        forged(aud="another"),
        forged(iss="another"),
        forged(exp=1),
        jwt.encode(Refresh.for_user(user).access_token.payload, None, "none"),
        jwt.encode(Refresh.for_user(user).access_token.payload, "another key that is long enough to be one", "HS256"),
        token_of_disabled,
        token_of_gone,
    ]
    for token in tokens:
        answer = Client(headers={"Authorization": f"Bearer {token}"}).get(SITES)
        problem(answer, status=401, name="not-authenticated")


def test_a_refresh_token_of_an_account_that_is_gone_is_refused() -> None:
    user = factories.user()
    token = str(Refresh.for_user(user))
    user.delete()
    problem(Client().post(REFRESH, {"refresh": token}, JSON), status=401, name="not-authenticated")


def test_a_refresh_token_of_a_disabled_account_is_refused() -> None:
    user = factories.user()
    token = str(Refresh.for_user(user))
    user.is_active = False
    user.save(update_fields=["is_active"])
    problem(Client().post(REFRESH, {"refresh": token}, JSON), status=401, name="not-authenticated")


def test_a_refresh_token_of_an_account_that_is_gone_can_be_given_back() -> None:
    user = factories.user()
    token = str(Refresh.for_user(user))
    user.delete()
    assert Client().post(BLACKLIST, {"refresh": token}, JSON).status_code in (200, 401)


def test_a_changed_password_ends_the_tokens_given_before() -> None:
    user = factories.user(site=factories.site())
    http = client(user)
    user.set_password("another correct horse")
    user.save(update_fields=["password"])
    problem(http.get(SITES), status=401, name="not-authenticated")


def test_access_tokens_live_for_minutes() -> None:
    assert settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"] <= timedelta(minutes=15)
