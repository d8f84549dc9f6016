"""The second factor of staff: a code of an authenticator, or one of some recovery codes.

Who has one is asked for it, always; who has none has to set one up where ``ADMIN_TOTP`` says so. Of recovery codes only
digests are kept.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from functools import cache
from typing import Any

import django_otp
import segno
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from sensors import audit

NAME = "second-factor"
RECOVERY_CODES = 10
CODE = re.compile(r"[0-9]{6}")


def has(user: User) -> bool:
    return bool(TOTPDevice.objects.filter(user=user, confirmed=True).exists())


def is_asked(request: HttpRequest) -> bool:
    """Whether a request for a page of the admin has to wait until its person has shown a second factor."""
    user: Any = request.user
    if request.path in _without() or not request.path.startswith(reverse("admin:index")):
        return False
    if not (user.is_authenticated and user.is_staff) or user.is_verified():
        return False
    return bool(settings.ADMIN_TOTP) or has(user)


@cache
def _without() -> frozenset[str]:
    """What is there before a second factor: to show one, to log in and to log out."""
    return frozenset(reverse(name) for name in (NAME, "admin:login", "admin:logout", "admin:jsi18n"))


def pending(user: User) -> Any:
    """The authenticator that a user is setting up."""
    device, _ = TOTPDevice.objects.get_or_create(user=user, confirmed=False, defaults={"name": "authenticator"})
    return device


def picture(device: Any) -> SafeString:
    """The QR code an authenticator reads."""
    return mark_safe(segno.make(device.config_url, error="m").svg_inline(scale=4, border=2, dark="#000", light="#fff"))


def key_of(device: Any) -> str:
    """The same for hands."""
    return base64.b32encode(device.bin_key).decode().rstrip("=")


@transaction.atomic
def enrol(request: HttpRequest, code: str) -> list[str] | None:
    """The recovery codes, if the code is one of the authenticator that is being set up."""
    user: Any = request.user
    User.objects.select_for_update().get(pk=user.pk)
    if has(user):
        return None
    device = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=False).first()
    if device is None or not device.verify_token(_plain(code)):
        return None
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    django_otp.login(request, device)
    audit.record([_told(audit.FACTOR_SET, user)])
    return _new_codes(user)


@transaction.atomic
def new_recovery_codes(user: User) -> list[str]:
    """Codes for one use each; those of before are of no use any more."""
    audit.record([_told(audit.CODES_RENEWED, user)])
    return _new_codes(user)


def _told(action: str, user: User) -> audit.Act:
    return audit.Act(action, f"account/{user.get_username()}", site_id=audit.site_of(user))


def _new_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="recovery codes")
    codes = [_grouped(secrets.token_hex(8)) for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create([StaticToken(device=device, token=_digest(code)) for code in codes])
    return codes


def verify(user: User, code: str) -> Any:
    """The device that a code is of; None where it is of none, or there were too many tries just before."""
    plain = _plain(code)
    devices: QuerySet[Any] = (TOTPDevice if CODE.fullmatch(plain) else StaticDevice).objects.filter(user=user)
    said = plain if CODE.fullmatch(plain) else _digest(code)
    for device in devices.filter(confirmed=True):
        if (found := django_otp.verify_token(user, device.persistent_id, said)) is not None:
            return found
    return None


def left(user: User) -> int:
    """How many recovery codes have not been used."""
    return int(StaticToken.objects.filter(device__user=user).count())


@transaction.atomic
def reset(users: QuerySet[User]) -> int:
    """Take the second factor from users, who set up another one; how many had one."""
    StaticDevice.objects.filter(user__in=users).delete()
    had = list(User.objects.filter(pk__in=users, totpdevice__confirmed=True).distinct())
    TOTPDevice.objects.filter(user__in=users).delete()
    audit.record([_told(audit.FACTOR_REMOVED, user) for user in had])
    return len(had)


def _plain(code: str) -> str:
    return re.sub(r"[\s-]", "", code).lower()


def _grouped(code: str) -> str:
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def _digest(code: str) -> str:
    """As much of a digest as the table has room for: 64 bits of a code that has as many."""
    return hashlib.sha256(_plain(code).encode()).hexdigest()[:16]
