"""Files at work orders: added, handed out, removed. The only writer of Attachment.

A file is stored under a name of ours through Django's storage, and its row commits after it: what a crash leaves is a
file without a row, never a row without a file.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import FileResponse, Http404
from django.utils import timezone

from maintenance import carrying_notes, media_types
from maintenance.attachment_models import Attachment
from maintenance.models import WorkOrder
from maintenance.order_life import Status
from maintenance.refusals import Refused
from sensors import access

log = structlog.get_logger(__name__)

MOST_FILES = 100


class TooLarge(Refused):
    """The file is too large."""


class NotTaken(Refused):
    """Only pictures (JPEG, PNG, WebP), PDF and plain text are taken, by what is in the file."""


class TooMany(Refused):
    """The order has as many files as it may have."""


class IsClosed(Refused):
    """The order is closed: its files stay as they are."""


class NotYours(Refused):
    """A file is removed by whoever added it, or by who may correct what others entered."""


def add(order_id: int, *, actor: User, file: UploadedFile[bytes], now: datetime | None = None) -> Attachment:
    """Keep a file with an order that is not closed. Raises ``Refused``."""
    content = _content(file)
    media_type = media_types.of(content)
    if media_type is None:
        raise NotTaken
    row = Attachment(
        order_id=order_id, name=media_types.named(file.name or "", media_type), media_type=media_type,
        size=len(content), sha256=hashlib.sha256(content).hexdigest(), added_by=actor,
    )  # fmt: skip
    row.file.save(row.name, ContentFile(content), save=False)
    try:
        return _keep(row, actor=actor, now=now or timezone.now())
    except Exception:
        row.file.delete(save=False)
        raise


def _keep(row: Attachment, *, actor: User, now: datetime) -> Attachment:
    with transaction.atomic():
        order = _open(row.order_id)
        if Attachment.objects.filter(order=order).count() >= MOST_FILES:
            raise TooMany
        row.site_id = order.site_id
        row.save(force_insert=True)
        carrying_notes.note(
            "attachment.added", row, site_id=order.site_id, order_id=order.pk, actor=actor, now=now, name=row.name,
            sha256=row.sha256,
        )  # fmt: skip
        return row


def remove(attachment_id: int, *, actor: User, now: datetime | None = None) -> None:
    """Take a file away, for good. Raises ``Refused``."""
    with transaction.atomic():
        row = Attachment.objects.get(pk=attachment_id)
        order = _open(row.order_id)
        if actor.pk != row.added_by_id and not access.may(actor, row.site_id, to="orders.edit"):
            raise NotYours
        carrying_notes.note(
            "attachment.removed", row, site_id=order.site_id, order_id=order.pk, actor=actor,
            now=now or timezone.now(), name=row.name, sha256=row.sha256,
        )  # fmt: skip
        stored = row.file
        row.delete()
        transaction.on_commit(lambda: stored.delete(save=False))


def handed_out(row: Attachment) -> FileResponse:
    """The file as an answer: pictures are shown, all else is saved, and nothing of it can run in our name.

    Raises ``Http404`` where the folder has lost it, which is written to the log.
    """
    try:
        opened = row.file.open("rb")
    except FileNotFoundError as error:
        log.error("maintenance.attachment.lost", attachment=row.pk, file=row.file.name)
        raise Http404("The file is no longer where it was kept.") from error
    answer = FileResponse(
        opened, as_attachment=row.media_type not in media_types.PICTURES, filename=row.name,
        content_type=row.media_type,
    )  # fmt: skip
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer["Cache-Control"] = "private, no-store"
    return answer


def _content(file: UploadedFile[bytes]) -> bytes:
    most = settings.ATTACHMENT_MAX_BYTES
    content: bytes = file.read(most + 1)
    if len(content) > most:
        raise TooLarge(f"It may have {most:,} bytes.")
    return content


def _open(order_id: int) -> WorkOrder:
    order = WorkOrder.objects.select_for_update(no_key=True).get(pk=order_id)
    if order.status == Status.CLOSED:
        raise IsClosed
    return order
