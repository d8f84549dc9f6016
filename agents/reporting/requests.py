"""Reports that are asked for. Light: pages and REST import it, the work is elsewhere."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.utils import timezone

from agents.report_models import Form, Report
from sensors import audit_requests
from sensors.models import Site

EVENT = "report.made"
LONGEST = timedelta(days=400)
MOST_WAITING = 20
"""Of a site, that are not finished."""
MEDIA_TYPES = {Form.JSON: "application/json", Form.CSV: "text/csv; charset=utf-8", Form.PDF: "application/pdf"}


class Refused(Exception):
    """It cannot be asked for, or not be given out; the message says why. ``field``: of which of its own, or none."""

    def __init__(self, text: str, *, field: str = "") -> None:
        super().__init__(text)
        self.field = field


def ask(site: Site, *, kind: str, form: str, from_at: datetime, to_at: datetime, actor: User) -> Report:
    """The report that will be made; of a period that is not over yet, up to now. Raises ``Refused``."""
    to_at = min(to_at, timezone.now())
    if from_at >= to_at:
        raise Refused("The period must begin before it ends, and not in the future.", field="from_at")
    if to_at - from_at > LONGEST:
        raise Refused(f"The period is longer than {LONGEST.days} days.", field="to_at")
    if Report.objects.filter(site=site, status__in=Report.UNFINISHED).count() >= MOST_WAITING:
        raise Refused(f"{MOST_WAITING} reports of this site are not done yet: wait for these.")
    return Report.objects.create(site=site, kind=kind, form=form, from_at=from_at, to_at=to_at, asked_by=actor)


def file_name(row: Report) -> str:
    """Such as ``anomaly-turin-2026-11-01.pdf``: the day on which the period begins, in the site's time."""
    day = row.from_at.astimezone(row.site.zone).date()
    return f"{row.kind.lower().replace('_', '-')}-{row.site.slug}-{day.isoformat()}.{row.form.lower()}"


def is_there(row: Report) -> bool:
    """Whether its file can be given out."""
    return bool(row.status == Report.Status.DONE and row.expires_at is not None and row.expires_at > timezone.now())


def handed_out(row: Report) -> HttpResponse:
    """The file as an answer; the audit trail has who took it. Raises ``Refused``."""
    if row.status != Report.Status.DONE:
        raise Refused("It is not made yet." if row.status in Report.UNFINISHED else f"It failed: {row.reason}")
    if not is_there(row) or row.content is None:
        raise Refused("Its file is kept no longer. Ask for the report again.")
    answer = HttpResponse(bytes(row.content), content_type=MEDIA_TYPES[Form(row.form)])
    answer["Content-Disposition"] = f'attachment; filename="{file_name(row)}"'
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cache-Control"] = "private, no-store"
    audit_requests.of_site(answer, row.site_id)
    return answer
