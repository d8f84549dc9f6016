"""Keys of programs and devices: made, shown once, changed with an overlap, revoked at once.

Each key has an account of its own, which cannot log in and is a member of the key's site alone, in the least role that
has the key's scopes; the scopes bound it further (``access.limit_of``). A secret is 32 random bytes, so that a plain
digest of it tells nothing; whoever has the digest has no key.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import slugify
from rest_framework.exceptions import AuthenticationFailed

from sensors import journal, origin, permissions, walls
from sensors.columns import Int64
from sensors.identity_models import ApiKey
from sensors.models import Membership, Sensor, Site

SCHEME = "Api-Key"
SECRET = re.compile(r"bw_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
REFUSED = "This key is not known, or holds no longer."
LONGEST_OVERLAP = timedelta(days=30)
USE_NOTED_EVERY = timedelta(minutes=1)
FOR_PEOPLE = frozenset({permissions.INSTALLATION, "keys.edit", "members.edit", "settings.edit", "act", "edit"})
"""What no program may do: it could give itself, or others, more than it was given."""
GRANTABLE = tuple(name for name in permissions.TABLE if name not in FOR_PEOPLE)


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """What a key lets its account do, heeded as ``access.Limit`` is. ``sensors``: ids, ascending; None: any."""

    key_id: int
    site_id: int
    permissions: frozenset[str]
    sensors: Int64 | None

    def allows(self, to: str, site_id: int | None = None) -> bool:
        return to in self.permissions and site_id in (None, self.site_id)


def grant_of(user: object) -> Grant | None:
    """Of an account that came in by a key."""
    found = getattr(user, "limit", None)
    return found if isinstance(found, Grant) else None


def sensors_of(user: object) -> Int64 | None:
    """The sensors that whoever asks may send for; None where they are not bounded."""
    grant = grant_of(user)
    return None if grant is None else grant.sensors


# Made, changed, ended


@transaction.atomic
def create(
    *,
    site: Site,
    name: str,
    kind: str,
    scopes: Sequence[str] = (),
    sensors: Collection[Sensor] = (),
    expires_at: datetime | None = None,
    actor: User,
) -> tuple[ApiKey, str]:
    """The key and its secret, which is not kept. Raises ``ValidationError``."""
    given = [permissions.SEND] if kind == ApiKey.Kind.DEVICE else sorted(set(scopes))
    key = ApiKey(site=site, name=name, kind=kind, scopes=given, expires_at=expires_at, created_by=actor)
    key.prefix, secret = _new_secret()
    key.digest = _digest(secret)
    check_fields(key, sensors)
    key.user = User.objects.create(username=f"key-{key.prefix}-{slugify(name)}"[:150])
    key.user.set_unusable_password()
    key.user.save(update_fields=["password"])
    Membership.objects.create(site=site, user=key.user, role=least_role(given))
    key.full_clean(exclude=["user"])
    key.save()
    key.sensors.set(sensors)
    _tell(key, "added", actor, kind=kind, scopes=given, sensors=sorted(sensor.pk for sensor in sensors))
    return key, secret


@transaction.atomic
def change(key: ApiKey, *, sensors: Collection[Sensor], actor: User) -> None:
    """Bind a device to other sensors. Raises ``ValidationError``."""
    check_fields(key, sensors)
    key.sensors.set(sensors)
    _tell(key, "changed", actor, sensors=sorted(sensor.pk for sensor in sensors))


@transaction.atomic
def rotate(key: ApiKey, *, overlap: timedelta, actor: User) -> str:
    """A new secret; the one of before holds as long as the overlap says. Raises ``ValidationError``."""
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise ValidationError(f"The old secret may hold for {LONGEST_OVERLAP.days} days at most.")
    row = ApiKey.objects.select_for_update().get(pk=key.pk)
    if row.revoked_at is not None:
        raise ValidationError("The key was revoked; make a new one.")
    _, secret = _new_secret(row.prefix)
    row.previous_digest, row.previous_until = row.digest, timezone.now() + overlap
    row.digest = _digest(secret)
    row.save(update_fields=["digest", "previous_digest", "previous_until"])
    _tell(row, "rotated", actor, old_until=row.previous_until.isoformat())
    return secret


@transaction.atomic
def revoke(key: ApiKey, *, actor: User) -> bool:
    """From the commit on no process takes it. False where it was revoked before."""
    if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
        return False
    _tell(key, "revoked", actor)
    return True


def least_role(scopes: Collection[str]) -> str:
    """Of the roles that have all of these permissions the one that has the fewest others."""
    able = [role for role in Membership.Role if all(role in permissions.roles(name) for name in scopes)]
    return min(able, key=lambda role: sum(role in one.roles for one in permissions.TABLE.values()))


def check_fields(key: ApiKey, sensors: Collection[Sensor]) -> None:
    if key.kind == ApiKey.Kind.DEVICE:
        if not sensors:
            raise ValidationError({"sensors": "Name the sensors that the device sends for."})
        if any(sensor.site_id != key.site_id for sensor in sensors):
            raise ValidationError({"sensors": "All are sensors of the key's site."})
        return
    if sensors:
        raise ValidationError({"sensors": "Only a device is bound to sensors."})
    if not key.scopes:
        raise ValidationError({"scopes": "Name what it may do."})
    if unknown := sorted(set(key.scopes) - set(GRANTABLE)):
        raise ValidationError({"scopes": f"No key may have {', '.join(map(repr, unknown[:5]))}."})


def _new_secret(prefix: str = "") -> tuple[str, str]:
    prefix = prefix or secrets.token_hex(6)
    return prefix, f"bw_{prefix}_{secrets.token_urlsafe(32)}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _tell(key: ApiKey, what: str, actor: User, **data: Any) -> None:
    now = timezone.now()
    entry = journal.Entry(
        type=f"api_key.{what}", subject=f"api_key/{key.pk}", key=f"api_key/{key.pk}/{what}/{secrets.token_hex(8)}",
        occurred_at=now, site_id=key.site_id, actor=actor.get_username(), data={"name": key.name, **data},
    )  # fmt: skip
    journal.record([entry])


# Shown


def presented(header: str) -> str | None:
    """The secret in an Authorization header; None where it is of another scheme."""
    scheme, _, secret = header.strip().partition(" ")
    return secret.strip() if scheme.lower() == SCHEME.lower() else None


def check(secret: str, *, now: datetime) -> tuple[User, float]:
    """The account of a key, bound to what the key allows, and until when it holds as it is (seconds since 1970).

    Raises ``AuthenticationFailed``, which does not tell why.
    """
    found = SECRET.fullmatch(secret)
    with walls.everywhere():  # whose it is, and so of which site, is what is asked here
        rows = ApiKey.objects.select_related("user").filter(revoked_at=None, user__is_active=True)
        key = rows.filter(prefix=found[1]).first() if found else None
        if key is None or (until := _holds_until(key, _digest(secret), now)) is None:
            raise AuthenticationFailed(REFUSED)
        ids = key.sensors.order_by("pk").values_list("pk", flat=True) if key.kind == ApiKey.Kind.DEVICE else None
        bound = None if ids is None else np.array(list(ids), np.int64)
    grant = Grant(key.pk, key.site_id, frozenset(key.scopes) & set(GRANTABLE), bound)
    setattr(key.user, "limit", grant)  # noqa: B010 - the account carries it, its class does not know it
    return key.user, until


def _holds_until(key: ApiKey, digest: str, now: datetime) -> float | None:
    end = math.inf if key.expires_at is None else key.expires_at.timestamp()
    if not hmac.compare_digest(digest, key.digest):
        if key.previous_until is None or not hmac.compare_digest(digest, key.previous_digest):
            return None
        end = min(end, key.previous_until.timestamp())
    return end if now.timestamp() < end else None


_noted: dict[int, float] = {}
"""When this process last wrote that a key was used."""


def note_use(grant: Grant, *, request: Any) -> None:
    """Write when a key was used, at most once a minute of all processes together."""
    seconds = time.monotonic()
    if seconds - _noted.get(grant.key_id, -math.inf) < USE_NOTED_EVERY.total_seconds():
        return
    _noted[grant.key_id] = seconds
    now = timezone.now()
    long_ago = Q(used_at=None) | Q(used_at__lte=now - USE_NOTED_EVERY)
    with walls.only([grant.site_id]):
        ApiKey.objects.filter(long_ago, pk=grant.key_id).update(used_at=now, used_from=origin.address(request))
