"""Which version of a model speaks, from when, by whom and why. The only writer of ``ModelVersion`` and ``Deployment``.

Every change is one transaction under the model's lock, so that whatever dies in the middle leaves the ledger as it was.
MLflow's aliases follow (``not_mirrored``); nobody is asked there who is champion.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Now

from mlops.models import Deployment, ModelPolicy, ModelVersion, Training
from sensors import journal

log = structlog.get_logger(__name__)

Alias, Action = Deployment.Alias, Deployment.Action
EVENTS = {
    Action.PROMOTED: journal.MODEL_PROMOTED,
    Action.ROLLED_BACK: journal.MODEL_ROLLED_BACK,
    Action.CHALLENGED: journal.MODEL_CHALLENGED,
}
LOCKS = 0x62775F6C65646700
"""Seed of the advisory locks' keys, so that they differ from those of others."""


class Refused(Exception):
    """The ledger stays as it is; the message says why."""


def register(training: Training, **known: Any) -> ModelVersion:
    """The version that a training made, under the model's next number; the same one where it was registered before.

    ``known``: the other columns of ``ModelVersion``. In the transaction of the caller.
    """
    _alone(training.name)
    before = ModelVersion.objects.filter(training=training).first()
    if before is not None:
        return before
    newest = ModelVersion.objects.filter(name=training.name).aggregate(Max("version"))["version__max"] or 0
    return ModelVersion.objects.create(name=training.name, version=newest + 1, training=training, **known)


def policy(name: str) -> ModelPolicy:
    """How the model is looked after; made with what is usual where it is new."""
    return ModelPolicy.objects.get_or_create(name=name)[0]


def champion(name: str) -> ModelVersion | None:
    """The version that speaks now."""
    return _now(name, Alias.CHAMPION)


def speaking() -> list[str]:
    """Names of the models that have a champion."""
    champions = Deployment.objects.filter(alias=Alias.CHAMPION, to_at__isnull=True)
    return list(champions.order_by("name").values_list("name", flat=True))


def taken_back(name: str, *, actor: str) -> set[int]:
    """Ids of the versions that ceased to be champion by that actor."""
    ended = Deployment.objects.filter(name=name, alias=Alias.CHAMPION, ended_by=actor)
    return set(ended.values_list("version_id", flat=True))


def champion_before(version: ModelVersion, *, actor: str) -> ModelVersion | None:
    """Who spoke last before this version and was not taken back by that actor."""
    ended = Deployment.objects.filter(name=version.name, alias=Alias.CHAMPION, to_at__isnull=False)
    ended = ended.exclude(version=version).exclude(version__in=taken_back(version.name, actor=actor))
    entry = ended.select_related("version").order_by("-id").first()
    return None if entry is None else entry.version


def challenger(name: str) -> ModelVersion | None:
    """The version that answers in the shadow now."""
    return _now(name, Alias.CHALLENGER)


def _now(name: str, alias: str) -> ModelVersion | None:
    entry = _open(name, alias).select_related("version").first()
    return None if entry is None else entry.version


def live_at(name: str, instant: datetime, *, alias: str = Alias.CHAMPION) -> ModelVersion | None:
    """The version that had the alias at an instant."""
    covers = Q(from_at__lte=instant) & (Q(to_at__isnull=True) | Q(to_at__gt=instant))
    entry = Deployment.objects.filter(covers, name=name, alias=alias).select_related("version").order_by("-id").first()
    return None if entry is None else entry.version


def settle(version: ModelVersion, *, beside: ModelVersion | None) -> Deployment | None:
    """What becomes of a version that was just registered: champion where the gate lets it and the policy is to do so by
    itself, else challenger where there is a champion to be set beside. In the transaction of the caller.

    ``beside``: who was champion when it was compared, None = nobody. Where somebody else is by now, nobody knows
    whether it is better than that one, and it waits in the shadow."""
    _alone(version.name)
    now, who = champion(version.name), f"training {version.training_id}"
    managed = policy(version.name).promotion == ModelPolicy.Promotion.MANAGED
    if now is not None and now != beside:
        compared = "nobody spoke" if beside is None else f"{beside} spoke"
        told = f"Not compared with {now}, which speaks now: when it was measured {compared}. Train it anew, or decide."
        return challenge(version, actor=who, reason=" ".join([told, *version.objections]))
    if not version.objections and managed:
        return promote(version, actor=who, reason="Better than every baseline and the champion on what was held out.")
    if now is not None:
        waits = "A person is to decide." if not version.objections else " ".join(version.objections)
        return challenge(version, actor=who, reason=waits)
    return None


def promote(version: ModelVersion, *, actor: str, reason: str) -> Deployment:
    """The version speaks from now on. Raises ``Refused`` where the gate does not let it pass, or it speaks already."""
    if version.objections:
        raise Refused(f"{version} may not speak: {' '.join(version.objections)}")
    with transaction.atomic():
        at = _alone(version.name)
        if champion(version.name) == version:
            raise Refused(f"{version} is champion already.")
        _end(version.name, Alias.CHALLENGER, at=at, actor=actor, version=version)
        _end(version.name, Alias.CHAMPION, at=at, actor=actor)
        return _begin(version, Alias.CHAMPION, Action.PROMOTED, at=at, actor=actor, reason=reason)


def rollback(
    name: str, *, actor: str, reason: str, to: ModelVersion | None = None, of: ModelVersion | None = None
) -> Deployment:
    """The champion before this one speaks again, or ``to``, which must have spoken once. ``of``: only if that one still
    speaks. Raises ``Refused``."""
    with transaction.atomic():
        at = _alone(name)
        now = champion(name)
        if of is not None and now != of:
            raise Refused(f"{of} does not speak any more.")
        once = Deployment.objects.filter(name=name, alias=Alias.CHAMPION, to_at__isnull=False).exclude(version=now)
        if to is not None:
            once = once.filter(version=to)
        entry = once.select_related("version").order_by("-id").first()
        if now is None or entry is None:
            raise Refused(f"There is no version of {name} that spoke before and could speak again.")
        _end(name, Alias.CHALLENGER, at=at, actor=actor, version=entry.version)
        _end(name, Alias.CHAMPION, at=at, actor=actor)
        return _begin(entry.version, Alias.CHAMPION, Action.ROLLED_BACK, at=at, actor=actor, reason=reason)


def challenge(version: ModelVersion, *, actor: str, reason: str) -> Deployment:
    """The version answers in the shadow from now on. Raises ``Refused`` where it is champion or challenger already."""
    with transaction.atomic():
        at = _alone(version.name)
        if version in (champion(version.name), challenger(version.name)):
            raise Refused(f"{version} is champion or challenger already.")
        _end(version.name, Alias.CHALLENGER, at=at, actor=actor)
        return _begin(version, Alias.CHALLENGER, Action.CHALLENGED, at=at, actor=actor, reason=reason)


def withdraw(name: str, *, actor: str) -> None:
    """Nobody answers in the shadow any more. Raises ``Refused`` where nobody did."""
    with transaction.atomic():
        if not _end(name, Alias.CHALLENGER, at=_alone(name), actor=actor):
            raise Refused(f"{name} has no challenger.")


def not_mirrored() -> QuerySet[Deployment]:
    """Entries that MLflow was not told of as they stand, in the order they are to be told."""
    return Deployment.objects.filter(mirrored_at__isnull=True).select_related("version").order_by("id")


def mirrored(entry: Deployment) -> None:
    """MLflow was told of the entry as it was read; one that has ended meanwhile is told of again."""
    Deployment.objects.filter(pk=entry.pk, to_at=entry.to_at).update(mirrored_at=Now())


def _alone(name: str) -> datetime:
    """Nobody else changes what is known of the model until the transaction ends. The instant from which that holds, at
    which one entry ends and the next begins."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [name, LOCKS])
        cursor.execute("SELECT clock_timestamp()")
        instant: datetime = cursor.fetchone()[0]
        return instant


def _open(name: str, alias: str) -> QuerySet[Deployment]:
    return Deployment.objects.filter(name=name, alias=alias, to_at__isnull=True)


def _end(name: str, alias: str, *, at: datetime, actor: str, version: ModelVersion | None = None) -> int:
    ending = _open(name, alias)
    if version is not None:
        ending = ending.filter(version=version)
    return ending.update(to_at=at, ended_by=actor, mirrored_at=None)


def _begin(
    version: ModelVersion, alias: str, action: Deployment.Action, *, at: datetime, actor: str, reason: str
) -> Deployment:
    gate = {"figures": version.figures, "comparisons": version.comparisons, "objections": version.objections}
    entry = Deployment.objects.create(
        name=version.name, alias=alias, version=version, action=action, from_at=at, gate=gate, actor=actor,
        reason=reason,
    )  # fmt: skip
    event = journal.Entry(
        type=EVENTS[action], subject=f"model/{version.name}"[:60], key=f"deployment/{entry.pk}", occurred_at=at,
        site_id=ModelPolicy.objects.filter(name=version.name).values_list("site_id", flat=True).first(), actor=actor,
        data={"version": version.version, "alias": alias, "reason": reason},
    )  # fmt: skip
    journal.record([event])
    log.info("mlops.ledger.entry", model=version.name, version=version.version, alias=alias, action=action, actor=actor)
    return entry
