"""Stream a recorded file through the flow as a client would: what it will create, the creating, and the sending."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import orjson
import requests
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from agents import doorbell
from agents.models import Run
from maintenance.models import Notification
from sensors import codec, fleet, inbox
from sensors.connectors import csv
from sensors.connectors.csv import Layout
from sensors.models import BatchPart, Equipment, Sensor, Site

HTTP_SECONDS = 30
WAIT_LIMIT_SECONDS = 900
LATER = (requests.codes.too_many_requests, requests.codes.service_unavailable)

Sender = Callable[[bytes], Mapping[str, Any]]
"""Sends one body; answers with the counts ``accepted``, ``held``, ``duplicates`` and ``rejected``."""


class Refused(RuntimeError):
    """The intake did not take a request as a whole; the message says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay creates and sends."""

    path: Path
    layout: Layout
    zone: tzinfo
    site: Site
    tag: str
    kind: str
    unit: str
    prefix: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.prefix + name for name in self.layout.value_columns)


@dataclass(slots=True)
class Tally:
    """What was sent and how each reading was answered."""

    sent: int = 0
    accepted: int = 0
    held: int = 0
    duplicates: int = 0
    rejected: int = 0
    batches: list[str] = field(default_factory=list)

    def add(self, sent: int, answer: Mapping[str, Any]) -> None:
        self.sent += sent
        for name in ("accepted", "held", "duplicates", "rejected"):
            setattr(self, name, getattr(self, name) + answer[name])
        if answer.get("batch"):
            self.batches.append(str(answer["batch"]))


@transaction.atomic
def create(plan: Plan, *, criticality: str = Equipment.Criticality.HIGH) -> list[Sensor]:
    """The site, the machine and its sensors, as far as they are missing. Raises ``ValidationError``."""
    if plan.site._state.adding:
        plan.site.full_clean()
        plan.site.save()
    machine = Equipment.objects.filter(site=plan.site, tag=plan.tag).first()
    if machine is None:
        machine = fleet.save_equipment(
            Equipment(site=plan.site, tag=plan.tag, name=plan.tag, level="MACHINE", criticality=criticality)
        )
    known = {s.external_id: s for s in Sensor.objects.filter(site=plan.site, external_id__in=plan.names)}
    for name, column in zip(plan.names, plan.layout.value_columns, strict=True):
        if name not in known:
            known[name] = fleet.save_sensor(
                Sensor(
                    site=plan.site, equipment=machine, external_id=name, name=column, kind=plan.kind, unit=plan.unit,
                    period_seconds=plan.layout.period_seconds,
                )
            )  # fmt: skip
    return [known[name] for name in plan.names]


def send(plan: Plan, sender: Sender, *, batch: int, speed: float = 0) -> Iterator[Tally]:
    """Send the file in the order of its rows, ``batch`` readings a request; yields the tally after each.

    ``speed``: how many times faster than it happened; 0 = as fast as the intake takes it.
    """
    tally = Tally()
    readings = csv.readings(plan.path, plan.layout, zone=plan.zone, prefix=plan.prefix)
    began: tuple[float, datetime] | None = None
    for items in _in_batches(readings, batch):
        if speed > 0 and (instant := _instant(items[-1])) is not None:
            began = began or (time.monotonic(), instant)
            behind = (instant - began[1]).total_seconds() / speed - (time.monotonic() - began[0])
            time.sleep(max(0.0, behind))
        tally.add(len(items), sender(orjson.dumps(items)))
        yield tally


def _in_batches(readings: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """At most ``size`` readings, and no more days than the intake takes at once."""
    items: list[dict[str, Any]] = []
    days: set[str] = set()
    for reading in readings:
        day = reading["measured_at"][:10]
        if len(items) == size or len(days | {day}) > settings.INGEST_MAX_DAYS:
            yield items
            items, days = [], set()
        items.append(reading)
        days.add(day)
    if items:
        yield items


def _instant(item: Mapping[str, Any]) -> datetime | None:
    return csv.parse_instant(str(item["measured_at"]), zone=UTC)


def through_inbox(site: Site) -> Sender:
    """Straight into the inbox of this installation: the same code that stands behind the HTTP door."""

    def sender(body: bytes) -> Mapping[str, Any]:
        try:
            taken = inbox.accept(site=site, user=None, body=body, received_at=timezone.now(), correlation_id="replay")
        except inbox.NothingAccepted as error:
            return {"accepted": 0, "held": 0, "duplicates": 0, "rejected": len(error.results)}
        except (codec.Malformed, codec.TooManyReadings) as error:
            raise Refused(str(error)) from error
        doorbell.ring_lanes(taken.lanes)
        counts = ("accepted", "held", "duplicates", "rejected")
        return {"batch": taken.batch.pk} | {name: getattr(taken.batch, name) for name in counts}

    return sender


def through_http(url: str, *, site: Site, username: str, password: str) -> Sender:
    """Through the REST API, with a token that is renewed when it expires; comes again when the intake says later."""
    session = requests.Session()
    session.trust_env = False

    def log_in() -> None:
        answer = session.post(
            f"{url}/api/v1/auth/token/", json={"username": username, "password": password}, timeout=HTTP_SECONDS
        )
        if answer.status_code != requests.codes.ok:
            raise Refused(f"The token was refused: {answer.status_code} {answer.text[:300]}")
        session.headers["Authorization"] = f"Bearer {answer.json()['access']}"

    def post(body: bytes) -> requests.Response:
        return session.post(
            f"{url}/api/v1/data/ingest",
            params={"site": site.slug},
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=HTTP_SECONDS,
        )

    def sender(body: bytes) -> Mapping[str, Any]:
        if "Authorization" not in session.headers:
            log_in()
        answer = _patiently(lambda: post(body))
        if answer.status_code == requests.codes.unauthorized:
            log_in()
            answer = _patiently(lambda: post(body))
        if answer.status_code == requests.codes.unprocessable_entity:
            return {"accepted": 0, "held": 0, "duplicates": 0, "rejected": len(answer.json()["errors"])}
        if answer.status_code != requests.codes.accepted:
            raise Refused(f"{answer.status_code} {answer.text[:300]}")
        counted: Mapping[str, Any] = answer.json()
        return counted

    return sender


def _patiently(post: Callable[[], requests.Response]) -> requests.Response:
    """The answer, once it is another than "later", or the last one after ``WAIT_LIMIT_SECONDS``."""
    deadline = time.monotonic() + WAIT_LIMIT_SECONDS
    while True:
        answer = post()
        if answer.status_code not in LATER or time.monotonic() > deadline:
            return answer
        time.sleep(float(answer.headers.get("Retry-After", 1)))


def unfinished(site: Site) -> dict[str, int]:
    """What of a site is still on its way: waiting and taken parts, active runs in its lanes, pending notifications."""
    parts = BatchPart.objects.filter(batch__site=site, state__in=["WAITING", "TAKEN"])
    mine = Equipment.objects.filter(
        site=site, lane__gte=OuterRef("lane"), lane__lt=OuterRef("lane") + OuterRef("lanes")
    )
    return {
        "parts": parts.count(),
        "runs": Run.objects.filter(Exists(mine), status__in=["ACTIVE", "QUARANTINE", "REPLAY"]).count(),
        "notifications": Notification.objects.filter(site=site, status=Notification.Status.PENDING).count(),
    }


def wait_until_done(site: Site, *, tick: Callable[[dict[str, int]], None], limit: float = WAIT_LIMIT_SECONDS) -> bool:
    """Whether everything of the site came to its end within ``limit`` seconds without anything moving.

    ``tick`` is called with what is left, several times a second.
    """
    last, deadline = None, time.monotonic() + limit
    while True:
        left = unfinished(site)
        tick(left)
        if not any(left.values()):
            return True
        if left != last:
            last, deadline = left, time.monotonic() + limit
        elif time.monotonic() > deadline:
            return False
        time.sleep(0.2)
