"""The report of the health of the system, as far as it served a site: what was sent in, what failed, what was told."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import Count, Q, Sum

from agents.models import Run
from agents.reporting.document import Cell, Document, Figure, Table, rounded
from agents.reporting.period import Asked
from maintenance.models import Notification
from maintenance.webhook_models import WebhookTry
from sensors import journal
from sensors.models import Batch, BatchPart, Event

DELAYS = (
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds), percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds)"
    " FROM (SELECT extract(epoch FROM sent_at - created_at) AS seconds FROM maintenance_notification"
    " WHERE site_id = %s AND status = 'SENT' AND created_at >= %s AND created_at < %s) AS sent"
)
BATCHES = {
    "accepted": ("Readings accepted", "Readings that were stored durably when they came."),
    "held": ("Readings held back", "Readings of sensors that were not known yet."),
    "duplicates": ("Readings sent twice", "Readings that came twice in one request."),
    "rejected": ("Readings rejected", "Readings that could not be taken, each told to who sent it."),
}


def make(asked: Asked) -> Document:
    batches = Batch.objects.filter(site=asked.site, **asked.within("received_at"))
    sums: dict[str, Any] = batches.aggregate(requests=Count("pk"), **{name: Sum(name) for name in BATCHES})
    figures = [
        Figure("requests", "Requests with readings", sums["requests"], "", "Requests that brought readings of the site "
               "in the period."),
        *(Figure(name, title, sums[name] or 0, "", f"{words} Of the requests of the period.")
          for name, (title, words) in BATCHES.items()),
        *_work(asked), *_messages(asked),
    ]  # fmt: skip
    sent_in = asked.by_day(
        batches, "received_at", name="accepted", title="Readings by day", unit="accepted", of="accepted"
    )
    told = Notification.objects.filter(site=asked.site, **asked.within("created_at"))
    messages = asked.by_day(told, "created_at", name="messages", title="Messages by day", unit="written")
    tables = [_failures(asked), _channels(asked)]
    return asked.document("SYSTEM_HEALTH", "Health of the system", figures, tables, [sent_in, messages])


def _parts(asked: Asked) -> Any:
    within = {f"batch__{name}": value for name, value in asked.within("received_at").items()}
    return BatchPart.objects.filter(batch__site=asked.site, **within)


def _work(asked: Asked) -> list[Figure]:
    aside = _parts(asked).filter(state=BatchPart.State.SET_ASIDE)
    found = aside.aggregate(readings=Sum("readings"), runs=Count("run_id", distinct=True))
    events = Event.objects.filter(site=asked.site, **asked.within("occurred_at"))
    silent = events.filter(type=journal.SENSOR_SILENT).count()
    return [
        Figure("runs_failed", "Runs set aside", found["runs"], "", "Runs with readings of the period that failed for "
               "good and are set aside still."),
        Figure("readings_set_aside", "Readings set aside", found["readings"] or 0, "", "Readings of the period that "
               "failed runs carry still; a replay takes them back."),
        Figure("sensors_fell_silent", "Sensors that fell silent", silent, "", "How often a sensor of the site fell "
               "silent in the period."),
    ]  # fmt: skip


def _messages(asked: Asked) -> list[Figure]:
    written = Notification.objects.filter(site=asked.site, **asked.within("created_at"))
    counts = written.aggregate(
        written=Count("pk"), sent=Count("pk", filter=Q(status="SENT")), failed=Count("pk", filter=Q(status="FAILED"))
    )
    tries = WebhookTry.objects.filter(delivery__webhook__site=asked.site, **asked.within("began_at"))
    well = Q(answered__gte=200, answered__lt=300)
    hooks = tries.aggregate(all=Count("pk"), well=Count("pk", filter=well))
    with connection.cursor() as cursor:
        cursor.execute(DELAYS, [asked.site.pk, asked.start, asked.end])
        half, most = cursor.fetchone()
    return [
        Figure("messages", "Messages written", counts["written"], "", "Messages that were written in the period."),
        Figure("messages_sent", "Messages sent", counts["sent"], "", "Of the messages of the period those that were "
               "sent by now."),
        Figure("messages_failed", "Messages failed", counts["failed"], "", "Of the messages of the period those that "
               "failed for good."),
        Figure("message_delay_median", "Delay of messages, median", _seconds(half), "s", "From a message being written "
               "to being sent: half of the messages of the period that were sent took less."),
        Figure("message_delay_p95", "Delay of messages, 95 %", _seconds(most), "s", "Likewise: 95 % took less."),
        Figure("webhook_tries", "Events sent to webhooks", hooks["all"], "", "Attempts in the period to send an event "
               "to an address."),
        Figure("webhook_failures", "of these not taken", hooks["all"] - hooks["well"], "", "Attempts that were not "
               "answered with 2xx."),
    ]  # fmt: skip


def _seconds(value: Any) -> float | int | None:
    return None if value is None else rounded(float(value))


def _failures(asked: Asked) -> Table:
    """By where and how runs failed that carry readings of the site, and nothing of what they say of other sites."""
    runs = _parts(asked).filter(state=BatchPart.State.SET_ASIDE).values("run_id")
    failed = Run.objects.filter(pk__in=runs).order_by().values_list("stage", "error_class").annotate(number=Count("pk"))
    rows: tuple[tuple[Cell, ...], ...] = tuple(failed.order_by("-number", "stage", "error_class"))
    return Table("failures", "Runs set aside, by stage and error", ("stage", "error", "runs"), rows)


def _channels(asked: Asked) -> Table:
    written = Notification.objects.filter(site=asked.site, **asked.within("created_at")).order_by()
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        written.values_list("channel__kind").annotate(
            written=Count("pk"), sent=Count("pk", filter=Q(status="SENT")),
            failed=Count("pk", filter=Q(status="FAILED")),
        ).order_by("channel__kind")
    )  # fmt: skip
    return Table("channels", "Messages by kind of channel", ("channel", "written", "sent", "failed"), rows)
