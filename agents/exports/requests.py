"""Exports that are asked for and kept for a while. Light: pages and REST import it, the work is elsewhere."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from agents.export_models import Export, ExportPiece
from agents.exports import known
from agents.exports.known import Asked, Refused

MOST_WAITING, MOST_KEPT = 5, 20
"""Of one person: that are not finished, and whose files are there."""
KEPT = timedelta(hours=24)
REMEMBERED = timedelta(days=30)
Status = Export.Status


def ask(asked: Asked, form: str, *, actor: User) -> Export:
    """The export that will be made. Raises ``Refused``."""
    known.check(asked, longest=known.LONGEST)
    mine = Export.objects.filter(asked_by=actor)
    if (waiting := mine.filter(status__in=Export.UNFINISHED).count()) >= MOST_WAITING:
        raise Refused(f"{waiting} exports of yours are not made yet: wait for these.")
    if (kept := mine.filter(status=Status.DONE).count()) >= MOST_KEPT:
        raise Refused(f"{kept} files of yours are kept: fetch and delete some, or wait until they expire.")
    return Export.objects.create(
        site_id=asked.site_id, asked_by=actor, what=asked.what, form=form, machine_id=asked.machine_id,
        sensor_id=asked.sensor_id, from_at=asked.start, to_at=asked.end,
    )  # fmt: skip


def asked_of(row: Export) -> Asked:
    return Asked(row.what, row.site_id, row.from_at, row.to_at, row.machine_id, row.sensor_id)


def delete(row: Export) -> None:
    """With its file. Raises ``Refused`` while it is being made."""
    gone, _ = Export.objects.filter(pk=row.pk).exclude(status=Status.RUNNING).delete()
    if not gone:
        raise Refused("It is being made at this moment: delete it afterwards.")


def forget_old() -> int:
    """Delete the files that have expired, the pieces of attempts that failed, and what was asked for long ago; how many
    files expired."""
    now = timezone.now()
    expired = Export.objects.filter(status=Status.DONE, expires_at__lte=now).update(status=Status.EXPIRED)
    ExportPiece.objects.filter(export__status__in=[Status.EXPIRED, Status.FAILED]).delete()
    Export.objects.filter(finished_at__lt=now - REMEMBERED).delete()
    return expired
