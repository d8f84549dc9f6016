"""Reports by time: each is made once for its period, however often it is looked at, and mailed when it is made."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from agents.report_models import Report, ReportSchedule
from agents.reporting import periods, requests
from maintenance import messages, notifications
from maintenance.messages import Row

MOST = 100
"""Schedules looked at in one pass; the rest has its turn a minute later."""


def plan(row: ReportSchedule, *, after: datetime) -> datetime:
    return periods.next_time(row.every, day=row.day, hour=row.hour, after=after, zone=row.site.zone)


def look_round(*, now: datetime | None = None) -> list[int]:
    """Ask for the reports whose time has come, and drop files that are kept no longer; ids of the reports asked for.

    After a long absence the last whole period is reported on, not each that was missed.
    """
    now = now or timezone.now()
    due = ReportSchedule.objects.filter(is_enabled=True, next_at__lte=now).order_by("next_at", "pk")
    asked = [_ask(key, now=now) for key in due.values_list("pk", flat=True)[:MOST]]
    Report.objects.filter(content__isnull=False, expires_at__lte=Now()).update(content=None)
    return [one for one in asked if one is not None]


def _ask(key: int, *, now: datetime) -> int | None:
    """Of one schedule; None where somebody else was there first. The report and the next time share a transaction."""
    with transaction.atomic():
        rows = ReportSchedule.objects.select_related("site").select_for_update(skip_locked=True, of=("self",))
        row = rows.filter(pk=key, is_enabled=True, next_at__lte=now).first()
        if row is None:
            return None
        start, end = periods.last_whole(row.every, at=now, zone=row.site.zone)
        made, is_new = Report.objects.get_or_create(
            schedule=row, from_at=start, defaults={"site": row.site, "kind": row.kind, "form": row.form, "to_at": end}
        )
        ReportSchedule.objects.filter(pk=row.pk).update(next_at=plan(row, after=now))
        return made.pk if is_new else None


def mail(row: Report) -> list[int]:
    """Put the messages that carry a scheduled report into the outbox, in the caller's transaction; their ids."""
    if row.schedule is None:
        return []
    channels = row.schedule.channels.filter(site=row.site_id, kind="EMAIL", is_enabled=True).order_by("pk")
    return notifications.create([_message(row, channel) for channel in channels.values_list("pk", flat=True)],
                                run_id=None)  # fmt: skip


def _message(row: Report, channel_id: int) -> Row:
    site = messages.one_line(row.site.name, limit=200)
    start, end = (at.astimezone(row.site.zone) for at in (row.from_at, row.to_at))
    payload = {
        "what": "Report", "action": "MADE", "subject": f"report/{row.pk}", "report": row.pk,
        "title": str(row.get_kind_display()), "site": {"id": row.site_id, "name": site}, "machine": None,
        "priority": "LOW", "at": timezone.now().isoformat().replace("+00:00", "Z"),
        "from": f"{start:%Y-%m-%d %H:%M}", "to": f"{end:%Y-%m-%d %H:%M}", "of_zone": row.site.zone.key,
        "path": reverse("admin:agents_report_change", args=[row.pk]),
    }  # fmt: skip
    return Row(
        site_id=row.site_id, channel_id=channel_id, event_type=requests.EVENT, payload=payload,
        subject_line=f"[LOW] Report: {row.get_kind_display()}, {site}", key=f"report/{row.pk}/channel/{channel_id}",
    )  # fmt: skip
