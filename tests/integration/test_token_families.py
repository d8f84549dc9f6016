"""A log-in over REST and its tokens: used once, ended together, at once, by whoever may; signed with our keys alone."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from config import checks
from sensors import families, signing
from sensors.audit_models import AuditEntry
from sensors.families import Refresh
from sensors.identity_models import TokenFamily
from sensors.models import Batch
from tests import factories
from tests.client import JSON, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

ROOT = Path(__file__).resolve().parents[2]
TOKEN, REFRESH, BLACKLIST, SITES, SESSIONS = (
    "/api/v1/auth/token/", "/api/v1/auth/refresh/", "/api/v1/auth/blacklist/", "/api/v1/sites/",
    "/api/v1/auth/sessions/",
)  # fmt: skip
OLD, NEW = "an old key that is long enough to sign", "a new key that is long enough to sign"


def bearer(token: object, **headers: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}", **headers})


def refresh(token: object) -> Any:
    return Client().post(REFRESH, {"refresh": str(token)}, JSON)


def log_in(user: User, **headers: str) -> dict[str, str]:
    body = {"username": user.username, "password": factories.PASSWORD}
    tokens: dict[str, str] = Client().post(TOKEN, body, JSON, headers=headers).json()
    return tokens


def refused(answer: Any) -> None:
    problem(answer, status=401, name="not-authenticated")


# Reuse


def test_a_used_refresh_token_ends_its_log_in_and_all_that_came_of_it() -> None:
    user = factories.user()
    first, another = log_in(user), log_in(user)
    second = refresh(first["refresh"]).json()
    third = refresh(second["refresh"]).json()
    assert bearer(first["access"]).get(SITES).status_code == bearer(third["access"]).get(SITES).status_code == 200
    refused(refresh(first["refresh"]))
    for access in (first["access"], second["access"], third["access"]):
        refused(bearer(access).get(SITES))
    refused(refresh(third["refresh"]))
    assert bearer(another["access"]).get(SITES).status_code == 200
    assert refresh(another["refresh"]).status_code == 200
    assert Counter(TokenFamily.objects.values_list("revoked_for", flat=True)) == {"REUSED": 1, "": 1}


@pytest.mark.django_db(transaction=True)
def test_of_many_that_refresh_with_one_token_at_once_one_wins_and_the_log_in_ends() -> None:
    token = str(Refresh.for_user(factories.user()))
    barrier, answers = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        answers.append(refresh(token))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 7}
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    refused(bearer(won["access"]).get(SITES))
    refused(refresh(won["refresh"]))
    assert TokenFamily.objects.get().revoked_for == families.End.REUSED


def test_the_end_of_a_log_in_is_in_the_audit_trail() -> None:
    user = factories.user(site=(site := factories.site()))
    tokens, kept = log_in(user), log_in(user)
    refresh(tokens["refresh"])
    refused(refresh(tokens["refresh"]))
    bearer(kept["access"]).delete(SESSIONS)
    ended = AuditEntry.objects.filter(action="login.ended").order_by("id")
    there = TokenFamily.objects.order_by("id").values_list("pk", "revoked_for")
    assert [(one.target, one.detail["why"]) for one in ended] == [(f"token_family/{pk}", why) for pk, why in there]
    assert {(one.detail["account"], one.site_id) for one in ended} == {(user.username, site.pk)}
    assert families.end(TokenFamily.objects.all(), why=families.End.ADMINISTRATOR) == 0
    assert ended.count() == 2


def test_logging_out_ends_access_tokens_too() -> None:
    tokens = log_in(factories.user())
    assert Client().post(BLACKLIST, {"refresh": tokens["refresh"]}, JSON).status_code == 200
    refused(bearer(tokens["access"]).get(SITES))
    refused(refresh(tokens["refresh"]))
    assert TokenFamily.objects.get().revoked_for == families.End.LOGGED_OUT


def test_a_used_token_that_is_given_back_ends_its_log_in() -> None:
    first = log_in(factories.user())
    second = refresh(first["refresh"]).json()
    refused(Client().post(BLACKLIST, {"refresh": first["refresh"]}, JSON))
    refused(bearer(second["access"]).get(SITES))


def test_a_log_in_ends_at_last_however_often_it_is_refreshed(settings: Settings) -> None:
    token = Refresh.for_user(factories.user())
    TokenFamily.objects.update(created_at=timezone.now() - timedelta(days=settings.JWT_SESSION_DAYS))
    refused(refresh(token))


def test_no_token_that_opens_a_door_is_kept() -> None:
    first = log_in(factories.user())
    refresh(first["refresh"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(token, '') FROM token_blacklist_outstandingtoken")
        assert cursor.fetchall() == [("",)]


def test_what_nobody_can_use_any_more_is_forgotten() -> None:
    user = factories.user()
    log_in(user)
    old = log_in(user)
    TokenFamily.objects.order_by("-id")[:1].get()
    TokenFamily.objects.filter(pk=families.family_of(old["refresh"])).update(
        used_at=timezone.now() - timedelta(days=40)
    )
    assert families.forget(before=timezone.now() - timedelta(days=30)) == 1
    assert TokenFamily.objects.count() == 1


# Revocation, by the person and by an administrator


def test_a_person_sees_their_log_ins_and_ends_one() -> None:
    user, other = factories.user(), factories.user()
    log_in(other)
    first = log_in(user, **{"User-Agent": "pump-app/1"})
    second = log_in(user, **{"User-Agent": "pump-app/2"})
    listed = bearer(second["access"]).get(SESSIONS).json()
    assert [(row["agent"], row["is_current"]) for row in listed] == [("pump-app/2", True), ("pump-app/1", False)]
    assert {row["address"] for row in listed} == {"127.0.0.1"}
    assert bearer(second["access"]).delete(f"{SESSIONS}{listed[1]['id']}/").status_code == 204
    refused(bearer(first["access"]).get(SITES))
    refused(refresh(first["refresh"]))
    assert len(bearer(second["access"]).get(SESSIONS).json()) == 1
    problem(bearer(second["access"]).delete(f"{SESSIONS}{listed[1]['id']}/"), status=404, name="not-found")


def test_nobody_ends_the_log_in_of_another() -> None:
    mine, theirs = log_in(factories.user()), log_in(factories.user())
    family = families.family_of(theirs["refresh"])
    problem(bearer(mine["access"]).delete(f"{SESSIONS}{family}/"), status=404, name="not-found")
    assert bearer(mine["access"]).delete(SESSIONS).status_code == 204
    assert bearer(theirs["access"]).get(SITES).status_code == 200


def test_all_are_ended_at_once() -> None:
    user = factories.user()
    first, second = log_in(user), log_in(user)
    assert bearer(second["access"]).delete(SESSIONS).status_code == 204
    for tokens in (first, second):
        refused(bearer(tokens["access"]).get(SITES))
        refused(refresh(tokens["refresh"]))


def test_another_password_ends_what_was_given_before() -> None:
    user = factories.user()
    tokens = log_in(user)
    user.set_password("another correct horse")
    user.save(update_fields=["password"])
    refused(bearer(tokens["access"]).get(SITES))
    refused(refresh(tokens["refresh"]))
    assert list(families.live(user, now=timezone.now())) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["reused", "ended", "deleted"])
def test_what_is_remembered_of_a_client_is_forgotten_when_its_log_in_ends(how: str) -> None:
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    tokens = log_in(factories.user(site=sensor.site, role="INGEST"))
    http = bearer(tokens["access"])

    def send(minute: int) -> Any:
        at = f"2026-03-01T11:{minute:02}:00Z"
        return http.post("/api/v1/data/ingest", [{"sensor": sensor.pk, "measured_at": at, "value": 1.0}], JSON)

    assert [send(minute).status_code for minute in range(2)] == [202, 202]
    refresh(tokens["refresh"])
    assert send(3).status_code == 202
    if how == "reused":
        refused(refresh(tokens["refresh"]))
    elif how == "ended":
        families.end(TokenFamily.objects.all(), why=families.End.ADMINISTRATOR)
    else:
        TokenFamily.objects.all().delete()
    refused(send(4))
    assert Batch.objects.count() == 3


# Keys


def test_tokens_of_the_key_of_before_hold_while_it_is_named(settings: Settings) -> None:
    settings.SIMPLE_JWT = settings.SIMPLE_JWT | {"SIGNING_KEY": OLD}
    before = log_in(factories.user())
    settings.SIMPLE_JWT, settings.JWT_PREVIOUS_KEYS = settings.SIMPLE_JWT | {"SIGNING_KEY": NEW}, [OLD]
    assert bearer(before["access"]).get(SITES).status_code == 200
    after = refresh(before["refresh"]).json()
    assert jwt.get_unverified_header(after["refresh"])["kid"] == signing.kid(NEW)
    settings.JWT_PREVIOUS_KEYS = []
    refused(bearer(before["access"]).get(SITES))
    assert bearer(after["access"]).get(SITES).status_code == 200
    assert refresh(after["refresh"]).status_code == 200


@pytest.mark.parametrize(
    ("key", "previous"),
    [("short", []), ("k" * 31, []), (settings.SECRET_KEY, []), (NEW, ["short"]), (NEW, [settings.SECRET_KEY])],
    ids=["short", "nearly", "of-sessions", "short-before", "of-sessions-before"],
)
def test_a_key_that_is_short_or_signs_sessions_too_is_refused(
    settings: Settings, key: str, previous: list[str]
) -> None:
    settings.SIMPLE_JWT, settings.JWT_PREVIOUS_KEYS = settings.SIMPLE_JWT | {"SIGNING_KEY": key}, previous
    assert [found.id for found in checks.check_signing_keys(None)] == ["bellwether.E010"]
    with pytest.raises(ImproperlyConfigured):
        signing.refuse_faults()


def test_good_keys_are_no_matter(settings: Settings) -> None:
    settings.SIMPLE_JWT, settings.JWT_PREVIOUS_KEYS = settings.SIMPLE_JWT | {"SIGNING_KEY": "k" * 32}, [OLD]
    assert checks.check_signing_keys(None) == []
    signing.refuse_faults()


def test_the_web_server_does_not_start_with_a_short_key() -> None:
    start = "import os; os.environ['JWT_SIGNING_KEY'] = 'short'; import config.wsgi"
    done = subprocess.run([sys.executable, "-c", start], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "JWT_SIGNING_KEY is shorter than 32 bytes" in done.stderr


# Forgeries


def claims(**changed: object) -> dict[str, Any]:
    token = Refresh.for_user(factories.user())
    return {**token.access_token.payload, "aud": settings.JWT_ISSUER, "iss": settings.JWT_ISSUER, **changed}


def signed(payload: dict[str, Any], *, key: str | None = None, **header: object) -> str:
    own = signing.current()
    return jwt.encode(payload, key or own, "HS256", headers={"kid": signing.kid(own), **header})


def part(of: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(of).encode()).rstrip(b"=").decode()


def with_header(token: str, header: dict[str, Any]) -> str:
    return ".".join([part(header), *token.split(".")[1:]])


def public_key() -> tuple[rsa.RSAPrivateKey, bytes]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private, private.public_key().public_bytes(serialization.Encoding.PEM, form)


def test_a_token_of_ours_made_by_hand_is_taken() -> None:
    assert bearer(signed(claims())).get(SITES).status_code == 200


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", ""])
def test_no_other_algorithm_is_taken(alg: str) -> None:
    own = {"typ": "JWT", "kid": signing.kid(signing.current()), "alg": alg}
    good = signed(claims())
    refused(bearer(with_header(good, own)).get(SITES))
    refused(bearer(with_header(good, own).rpartition(".")[0] + ".").get(SITES))


@pytest.mark.parametrize("alg", ["HS384", "HS512"])
def test_not_even_with_our_key(alg: str) -> None:
    own = signing.current()
    refused(bearer(jwt.encode(claims(), own * 2, alg, headers={"kid": signing.kid(own)})).get(SITES))


def test_a_key_pair_is_of_no_use() -> None:
    private, public = public_key()
    named = {"kid": signing.kid(signing.current())}
    refused(bearer(jwt.encode(claims(), private, "RS256", headers=named)).get(SITES))
    unsigned = f"{part({'alg': 'HS256', 'typ': 'JWT', **named})}.{part(claims())}"
    mac = base64.urlsafe_b64encode(jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        unsigned.encode(), public)).rstrip(b"=").decode()  # fmt: skip
    refused(bearer(f"{unsigned}.{mac}").get(SITES))


HEADERS: list[dict[str, Any]] = [
    {"kid": "another"}, {"kid": ""}, {"kid": "../../dev/null"}, {"kid": "' OR '1'='1"}, {"kid": None},
    {"jku": "https://attacker.example/jwks.json"}, {"x5u": "https://attacker.example/cert.pem"},
    {"jwk": {"kty": "oct", "k": "c2VjcmV0"}}, {"x5c": ["MIIB"]}, {"crit": ["exp"]}, {"crit": ["b64"], "b64": False},
    {"b64": True}, {"zip": "DEF"}, {"cty": "JWT"},
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_a_header_that_names_another_key_or_says_more_is_refused_though_it_is_signed(header: dict[str, Any]) -> None:
    own = {"alg": "HS256", "typ": "JWT", "kid": signing.kid(signing.current())}
    unsigned = f"{part(own | header)}.{part(claims())}"
    hs256 = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    mac = base64.urlsafe_b64encode(hs256.sign(unsigned.encode(), signing.current().encode())).rstrip(b"=").decode()
    refused(bearer(f"{unsigned}.{mac}").get(SITES))
    refused(refresh(f"{unsigned}.{mac}"))


CLAIMS: list[dict[str, Any]] = [
    {"exp": 1}, {"exp": None}, {"exp": "soon"}, {"aud": "another"}, {"aud": None}, {"aud": ["another"]},
    {"iss": "another"}, {"iss": "bellwether.attacker.example"}, {"iss": "bell"}, {"iss": None},
    {"token_type": "refresh"}, {"token_type": None}, {"family": None}, {"family": 987_654_321}, {"family": "1"},
    {"family": True}, {"user_id": "987654321"}, {"hash_password": "another"},
]  # fmt: skip


@pytest.mark.parametrize("changed", CLAIMS, ids=str)
def test_a_token_that_says_anything_else_than_it_must_is_refused(changed: dict[str, Any]) -> None:
    payload = {name: value for name, value in claims(**changed).items() if value is not None}
    refused(bearer(signed(payload)).get(SITES))
    refused(refresh(signed({"token_type": "refresh", **payload})) if "token_type" not in changed else refresh("x"))


def test_an_access_token_refreshes_nothing_and_a_refresh_token_opens_nothing() -> None:
    tokens = log_in(factories.user())
    refused(refresh(tokens["access"]))
    refused(bearer(tokens["refresh"]).get(SITES))
    refused(Client().post(BLACKLIST, {"refresh": tokens["access"]}, JSON))
    assert refresh(tokens["refresh"]).status_code == 200


def test_another_account_s_family_lends_nothing() -> None:
    mine, theirs = claims(), claims()
    refused(bearer(signed(mine | {"family": theirs["family"]})).get(SITES))


@pytest.mark.parametrize("disable", [True, False])
def test_an_account_that_is_gone_or_disabled_has_no_tokens(disable: bool) -> None:
    user = factories.user()
    tokens = log_in(user)
    if disable:
        User.objects.filter(pk=user.pk).update(is_active=False)
    else:
        user.delete()
    refused(bearer(tokens["access"]).get(SITES))
    refused(refresh(tokens["refresh"]))
