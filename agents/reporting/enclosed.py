"""The file that a mail about a report carries."""

from __future__ import annotations

from agents.channels.contract import File
from agents.report_models import Form, Report
from agents.reporting import requests
from maintenance.models import Notification

MOST_BYTES = 5_000_000
"""Of a larger one the mail names the page where it lies: many a mail server takes no more than 10 MB."""


def files(row: Notification) -> tuple[File, ...]:
    """None where the message is about no report, or its file is too large or kept no longer."""
    if row.event_type != requests.EVENT:
        return ()
    report = Report.objects.select_related("site").filter(pk=row.payload["report"], site=row.site_id).first()
    if report is None or report.content is None or report.size > MOST_BYTES:
        return ()
    return (File(requests.file_name(report), requests.MEDIA_TYPES[Form(report.form)], bytes(report.content)),)
