"""Whom a step of an escalation reaches now: persons by their channels, a channel, or whoever is on call in a rota."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from maintenance import audience, digests, rotas
from maintenance.escalation_life import Step
from maintenance.escalation_models import Override, Rota, Shift
from maintenance.models import Channel, Reader
from maintenance.rotas import Turn


@dataclass(frozen=True, slots=True)
class Duty:
    """The persons who are on call, and until when that stays so (None: for longer than is looked ahead)."""

    readers: tuple[Reader, ...]
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Reached:
    """Ids of the channels to send on, and in words who that is, or why it is nobody."""

    channels: tuple[int, ...]
    whom: str


def with_people(rows: QuerySet[Rota]) -> QuerySet[Rota]:
    """Rotas with all that ``duty`` needs, in a fixed number of queries."""
    return rows.select_related("site").prefetch_related("shifts__reader__user", "overrides__reader__user")


def duty(rota: Rota, *, at: datetime) -> Duty:
    """Who is on call in a rota at an instant."""
    shifts, overrides, zone = list(rota.shifts.all()), list(rota.overrides.all()), zone_of(rota)
    people = {row.reader_id: row.reader for row in shifts} | {row.reader_id: row.reader for row in overrides}
    turns, taken_over = [_turn(row) for row in shifts], [_override(row) for row in overrides]
    found = rotas.on_call(turns, taken_over, at, zone=zone)
    return Duty(tuple(people[one] for one in found), rotas.next_change(turns, taken_over, at, zone=zone))


def zone_of(rota: Rota) -> ZoneInfo:
    return digests.zone(rota.time_zone or rota.site.time_zone)


def _turn(row: Shift) -> Turn:
    return Turn(row.reader_id, row.first_on, row.days, row.every_days, row.starts, row.ends, row.last_on)


def _override(row: Override) -> rotas.Override:
    return rotas.Override(row.pk, row.reader_id, row.from_at, row.until_at)


def reach(step: Step, *, site_id: int, at: datetime) -> Reached:
    """Who is told by a step that is taken now. Of the site alone, whatever the step says."""
    channels = Channel.objects.filter(site=site_id).select_related("reader__user").order_by("id")
    if step.kind == "channel":
        return _by(channels.filter(pk=step.target), whom=f"channel {step.name}")
    if step.medium:
        channels = channels.filter(kind=step.medium)
    if step.kind == "reader":
        return _persons(channels, [step.target], whom=step.name)
    rota = with_people(Rota.objects.filter(site=site_id)).filter(pk=step.target).first()
    if rota is None:
        return Reached((), f"rota {step.name}: there is no such rota any more")
    readers = duty(rota, at=at).readers
    if not readers:
        return Reached((), f"rota {step.name}: nobody is on call")
    names = ", ".join(str(reader) for reader in readers)
    return _persons(channels, [reader.pk for reader in readers], whom=f"{names}, on call in {step.name}")


def _persons(channels: QuerySet[Channel], readers: Sequence[int], *, whom: str) -> Reached:
    return _by(channels.filter(reader__in=readers, reader__user__is_active=True), whom=whom)


def _by(channels: Iterable[Channel], *, whom: str) -> Reached:
    """By the enabled ones, of those that lead to one mailbox by the first."""
    first: dict[str, int] = {}
    for channel in channels:
        if channel.is_enabled:
            first.setdefault(audience.address(channel) or f"channel/{channel.pk}", channel.pk)
    found = tuple(first.values())
    return Reached(found, whom if found else f"{whom}: no enabled channel leads there")
