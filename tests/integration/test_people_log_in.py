"""People at the admin: a second factor, an end to trying passwords, and sessions that end."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import Settings

from sensors import families, lockout, second_factor, sessions
from sensors.audit_models import AuditEntry
from sensors.identity_models import TokenFamily
from sensors.sessions import BrowserSession
from tests import factories
from tests.client import JSON, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

LOGIN, INDEX, FACTOR, MINE, TOKEN = (
    "/admin/login/", "/admin/", "/admin/second-factor/", "/admin/my-sessions/", "/api/v1/auth/token/",
)  # fmt: skip


@pytest.fixture
def person() -> User:
    return factories.user(site=factories.site(), is_staff=True)


def browser(address: str = "10.0.0.1", **headers: str) -> Client:
    return Client(REMOTE_ADDR=address, headers={"User-Agent": "Firefox", **headers})


def log_in(http: Client, user: User | str, password: str = factories.PASSWORD) -> Any:
    name = user if isinstance(user, str) else user.username
    return http.post(LOGIN, {"username": name, "password": password})


def inside(user: User, **headers: str) -> Client:
    http = browser(**headers)
    assert log_in(http, user).status_code == 302
    assert http.get(MINE).status_code in (200, 302)
    return http


def code(user: User, *, ahead: int = 0) -> str:
    """What the authenticator of a user shows, so many steps of half a minute from now."""
    device = TOTPDevice.objects.get(user=user)
    clock = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift + ahead)
    clock.time = timezone.now().timestamp()
    return f"{clock.token():06}"


def enrolled(http: Client, user: User) -> list[str]:
    """The recovery codes."""
    http.get(FACTOR)
    page = http.post(FACTOR, {"code": code(user)})
    found: list[str] = page.context["codes"]
    TOTPDevice.objects.update(last_t=-1, throttling_failure_count=0)
    return found


# The second factor


def test_staff_without_a_second_factor_are_sent_to_set_one_up(settings: Settings, person: User) -> None:
    settings.ADMIN_TOTP = True
    http = inside(person)
    for path in (INDEX, "/admin/sensors/sensor/", MINE, "/admin/alarm-performance/", "/admin/nothing/"):
        answer = http.get(path)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, FACTOR), path
    assert http.post("/admin/sensors/sensor/add/", {}).status_code == 302
    page = http.get(FACTOR)
    assert page["Cache-Control"].startswith("no-store") or "no-store" in page["Cache-Control"]
    assert "<svg" in page.content.decode()
    assert "style=" not in page.content.decode().partition("<svg")[2].partition("</svg>")[0]
    assert http.post(FACTOR, {"code": "000000"}).status_code == 200
    assert http.get(INDEX).status_code == 302
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    codes = enrolled(http, person)
    assert len(set(codes)) == second_factor.RECOVERY_CODES
    assert http.get(INDEX).status_code == 200


def test_it_is_off_where_it_is_not_asked_for_and_asked_of_who_has_one(settings: Settings, person: User) -> None:
    assert configured.ADMIN_TOTP is False
    http = inside(person)
    assert http.get(INDEX).status_code == 200
    enrolled(http, person)
    again = inside(person)
    assert again.get(INDEX)["Location"].startswith(FACTOR)
    assert "<svg" not in again.get(FACTOR).content.decode()
    assert again.post(f"{FACTOR}?next=/admin/sensors/sensor/", {"code": code(person)})["Location"] == (
        "/admin/sensors/sensor/"
    )
    assert again.get(INDEX).status_code == 200


def test_a_code_is_good_for_one_use_and_where_it_leads_is_ours(person: User) -> None:
    enrolled(inside(person), person)
    first, second = inside(person), inside(person)
    used = code(person)
    assert first.post(f"{FACTOR}?next=https://attacker.example/", {"code": used})["Location"] == INDEX
    assert second.post(FACTOR, {"code": used}).status_code == 200
    assert second.get(INDEX).status_code == 302


def test_tries_of_codes_are_slowed_down(person: User) -> None:
    enrolled(inside(person), person)
    http = inside(person)
    wrong = "000000" if code(person) != "000000" else "111111"
    http.post(FACTOR, {"code": wrong})
    assert http.post(FACTOR, {"code": code(person)}).status_code == 200
    assert TOTPDevice.objects.get().throttling_failure_count >= 1


def test_a_recovery_code_is_good_once_and_only_a_digest_of_it_is_kept(person: User) -> None:
    codes = enrolled(inside(person), person)
    kept = set(StaticToken.objects.values_list("token", flat=True))
    assert not {part for one in codes for part in (one, one.replace("-", ""))} & kept
    http = inside(person)
    assert http.post(FACTOR, {"code": codes[0].upper()}).status_code == 302
    assert http.get(INDEX).status_code == 200
    other = inside(person)
    assert other.post(FACTOR, {"code": codes[0]}).status_code == 200
    new = http.post(FACTOR, {"codes": "new"}).context["codes"]
    assert not set(new) & set(codes)
    assert second_factor.left(person) == second_factor.RECOVERY_CODES


def test_whoever_has_only_the_password_sets_up_no_other_factor(person: User) -> None:
    enrolled(inside(person), person)
    thief = inside(person)
    pending = second_factor.pending(person)
    assert second_factor.enrol(_as(thief, person), "123456") is None
    thief.post(FACTOR, {"code": "123456"})
    thief.post(FACTOR, {"codes": "new"})
    pending.refresh_from_db()
    assert not pending.confirmed
    assert thief.get(INDEX).status_code == 302


def _as(http: Client, user: User) -> Any:
    request = http.get(FACTOR).wsgi_request
    request.user = user
    return request


def test_a_superuser_takes_a_lost_factor_away(person: User, admin_user: User) -> None:
    http = inside(person)
    enrolled(http, person)
    assert http.get(INDEX).status_code == 200
    boss = Client()
    boss.force_login(admin_user)
    ticked = {"action": "reset_second_factor", "_selected_action": [person.pk]}
    assert boss.post(reverse("admin:auth_user_changelist"), ticked).status_code == 302
    assert not second_factor.has(person)
    assert second_factor.left(person) == 0


def test_what_becomes_of_a_second_factor_is_in_the_audit_trail(person: User, admin_user: User) -> None:
    http = inside(person)
    enrolled(http, person)
    http.post(FACTOR, {"codes": "new"})
    boss = Client()
    boss.force_login(admin_user)
    boss.post(
        reverse("admin:auth_user_changelist"),
        {"action": "reset_second_factor", "_selected_action": [person.pk, admin_user.pk]},
    )
    trail = AuditEntry.objects.filter(target=f"account/{person.username}").order_by("id")
    assert [(one.action, one.actor, one.target) for one in trail] == [
        ("second_factor.set", person.username, f"account/{person.username}"),
        ("recovery_codes.renewed", person.username, f"account/{person.username}"),
        ("second_factor.removed", admin_user.username, f"account/{person.username}"),
    ]


def test_the_rest_log_in_asks_for_it_too(person: User) -> None:
    codes = enrolled(inside(person), person)
    body = {"username": person.username, "password": factories.PASSWORD}
    problem(Client().post(TOKEN, body, JSON), status=401, name="not-authenticated")
    problem(Client().post(TOKEN, body | {"code": "abc"}, JSON), status=401, name="not-authenticated")
    assert TokenFamily.objects.count() == 0
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert Client().post(TOKEN, body | {"code": code(person)}, JSON).status_code == 200
    assert codes


# Trying passwords


def test_five_wrong_passwords_end_the_tries_for_an_account_from_there(person: User) -> None:
    for _ in range(4):
        assert log_in(browser(), person, "wrong").status_code == 200
    assert log_in(browser(), person, "wrong").status_code == 429
    locked = log_in(browser(), person)
    assert locked.status_code == 429
    assert "Too many wrong passwords" in locked.content.decode()
    assert log_in(browser("10.0.0.2"), person).status_code == 302
    AccessAttempt.objects.update(attempt_time=timezone.now() - configured.AXES_COOLOFF_TIME)
    assert log_in(browser(), person).status_code == 302


@pytest.mark.parametrize("proxies", [0, 1])
def test_a_forwarded_address_is_believed_of_a_declared_proxy_alone(
    settings: Settings, person: User, proxies: int
) -> None:
    settings.TRUSTED_PROXIES = proxies
    for n in range(5):
        log_in(browser(**{"X-Forwarded-For": f"203.0.113.{n}, 203.0.113.99"}), person, "wrong")
    answer = log_in(browser(**{"X-Forwarded-For": "203.0.113.77, 203.0.113.99"}), person)
    assert answer.status_code == 429
    assert set(AccessAttempt.objects.values_list("ip_address", flat=True)) == {
        "203.0.113.99" if proxies else "10.0.0.1"
    }


def test_a_neighbour_behind_one_address_shuts_nobody_out_who_was_there_before(person: User) -> None:
    newcomer = factories.user(is_staff=True)
    assert log_in(browser(), person).status_code == 302
    AccessAttempt.objects.create(
        username="somebody", ip_address="10.0.0.1", user_agent="x", failures_since_start=lockout.ADDRESS_TRIES,
    )  # fmt: skip
    assert log_in(browser(), person).status_code == 302
    assert log_in(browser(), newcomer).status_code == 429
    assert log_in(browser("10.0.0.2"), newcomer).status_code == 302


def test_many_addresses_shut_an_account_for_strangers_and_not_for_its_person(person: User) -> None:
    assert log_in(browser(), person).status_code == 302
    for n in range(lockout.ACCOUNT_TRIES // 4):
        AccessAttempt.objects.create(
            username=person.username, ip_address=f"10.9.0.{n}", user_agent="x", failures_since_start=4
        )
    assert log_in(browser("10.9.1.1"), person).status_code == 429
    assert log_in(browser(), person).status_code == 302


def test_tries_over_rest_count_with_the_others(settings: Settings, person: User) -> None:
    settings.LOGIN_RATE = "100/d"
    for _ in range(3):
        problem(_ask(person, "wrong"), status=401, name="not-authenticated")
    log_in(browser(), person, "wrong")
    problem(_ask(person, "wrong"), status=429, name="too-many-requests")
    answer = _ask(person, factories.PASSWORD)
    problem(answer, status=429, name="too-many-requests")
    assert int(answer["Retry-After"]) == configured.AXES_COOLOFF_TIME.total_seconds()
    assert log_in(browser(), person).status_code == 429


def _ask(person: User, password: str) -> Any:
    return browser().post(TOKEN, {"username": person.username, "password": password}, JSON)


def test_a_good_password_forgets_the_wrong_ones_and_no_password_is_kept(person: User) -> None:
    for _ in range(4):
        log_in(browser(), person, "a wrong secret")
    kept = AccessAttempt.objects.values_list("post_data", "get_data")
    assert "a wrong secret" not in str(list(kept))
    assert log_in(browser(), person).status_code == 302
    assert not AccessAttempt.objects.exists()


@pytest.mark.parametrize("name", ["x" * 5_000, "a b", "é" * 200])
def test_a_name_nobody_can_have_is_no_fault(name: str) -> None:
    assert browser().post(TOKEN, {"username": name, "password": "x"}, JSON).status_code == 401
    assert log_in(browser(), name, "x").status_code == 200


def test_an_administrator_lifts_what_a_failed_log_in_shuts(person: User, admin_client: Client) -> None:
    for _ in range(5):
        log_in(browser(), person, "wrong")
    row = AccessAttempt.objects.get()
    admin_client.post(reverse("admin:axes_accessattempt_delete", args=[row.pk]), {"post": "yes"})
    assert log_in(browser(), person).status_code == 302


# Sessions


def test_a_person_sees_where_they_are_logged_in_and_ends_one(person: User) -> None:
    here, there = inside(person), inside(person, **{"User-Agent": "Phone"})
    page = here.get(MINE)
    assert sorted((row.agent, is_this) for row, is_this in page.context["browsers"]) == [
        ("Firefox", True), ("Phone", False),
    ]  # fmt: skip
    assert {row.address for row, _ in page.context["browsers"]} == {"10.0.0.1"}
    for http in (here, there):
        assert http.session.session_key not in page.content.decode()
    (other,) = [row for row, is_this in page.context["browsers"] if not is_this]
    here.post(MINE, {"end": other.name})
    assert there.get(INDEX).status_code == 302
    assert here.get(INDEX).status_code == 200


def test_all_others_are_ended_at_once_and_those_of_programs_too(person: User) -> None:
    here, there, third = inside(person), inside(person), inside(person)
    stranger = inside(factories.user(is_staff=True))
    families.Refresh.for_user(person)
    here.post(MINE, {"end": "others"})
    assert (there.get(INDEX).status_code, third.get(INDEX).status_code) == (302, 302)
    assert (here.get(INDEX).status_code, stranger.get(INDEX).status_code) == (200, 200)
    assert TokenFamily.objects.get().revoked_for == families.End.ENDED


def test_nobody_ends_what_is_anothers(person: User) -> None:
    http, theirs = inside(person), factories.user(is_staff=True)
    other = inside(theirs)
    families.Refresh.for_user(theirs)
    (row,) = sessions.live(theirs)
    for wanted in (row.name, str(TokenFamily.objects.get().pk), "9" * 40, "x"):
        http.post(MINE, {"end": wanted})
    assert other.get(INDEX).status_code == 200
    assert TokenFamily.objects.get().revoked_at is None


def test_another_password_ends_the_other_sessions(person: User) -> None:
    here, there = inside(person), inside(person)
    new = "a much better passphrase"
    form = {"old_password": factories.PASSWORD, "new_password1": new, "new_password2": new}
    assert here.post(reverse("admin:password_change"), form).status_code == 302
    assert here.get(INDEX).status_code == 200
    assert there.get(INDEX).status_code == 302
    person.refresh_from_db()
    assert len(sessions.live(person)) == 1


@pytest.mark.parametrize("password", ["short", "password1234", "12345678901234"])
def test_a_weak_password_is_refused(person: User, password: str) -> None:
    form = {"old_password": factories.PASSWORD, "new_password1": password, "new_password2": password}
    assert inside(person).post(reverse("admin:password_change"), form).context["form"].errors


def test_a_session_ends_when_it_rests_and_when_it_has_lasted(settings: Settings, person: User) -> None:
    for name, seconds in ((sessions.SEEN, settings.SESSION_IDLE_MINUTES * 60), (sessions.BEGAN, 12 * 3_600)):
        http = inside(person)
        assert http.get(INDEX).status_code == 200
        session = http.session
        session[name] -= seconds + 1
        session.save()
        assert http.get(INDEX).status_code == 302, name
        assert not BrowserSession.objects.filter(session_key=session.session_key).exists()


def test_a_page_more_is_no_write_more(person: User) -> None:
    http = inside(person)
    before = BrowserSession.objects.get(user=person)
    http.get(INDEX)
    after = BrowserSession.objects.get(user=person)
    assert (after.seen_at, after.session_data) == (before.seen_at, before.session_data)


def test_sessions_of_an_account_that_is_gone_go_with_it(person: User) -> None:
    http = inside(person)
    person.delete()
    assert http.get(INDEX).status_code == 302
    assert not BrowserSession.objects.exclude(user=None).exists()
    call_command("clearsessions")


def test_the_pages_are_linked(person: User) -> None:
    page = inside(person).get(INDEX).content.decode()
    assert {MINE, FACTOR} <= set(re.findall(r'href="([^"]+)"', page))
