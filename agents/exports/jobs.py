"""An export that was asked for is an errand: made by a worker, tried again, given up."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from django.utils import timezone

from agents import errand
from agents.errand import Errand, Finish, Tell
from agents.export_models import Export
from agents.exports import files, known, requests
from agents.exports.known import Refused
from sensors import access

LONGEST_SECONDS = 3_600


def perform(export_id: int) -> str:
    """One attempt (``errand.perform``)."""
    return errand.perform(ERRAND, export_id)


def _work(row: Export, tell: Tell) -> Finish:
    if not access.may(row.asked_by, row.site_id, to=known.TAKES[row.what]):
        raise Refused("Whoever asked for it may no longer read this.")
    row.pieces.all().delete()  # what earlier attempts left
    out = files.new(row)

    def told(rows: int, share: float) -> None:
        tell({"rows": rows, "percent": int(100 * share)})

    making = import_module("agents.exports.making")
    rows = making.make(requests.asked_of(row), row.form, out, most=known.MOST_ROWS[row.form], tell=told)
    out.finish()

    def finish() -> Mapping[str, Any]:
        row.pieces.exclude(attempt=row.lease_token).delete()
        made = {"rows": rows, "size": out.size, "percent": 100, "made_by": row.lease_token}
        return {**made, "expires_at": timezone.now() + requests.KEPT}

    return finish


ERRAND = Errand(
    "export", Export, _work, LONGEST_SECONDS, "ask for a shorter period.", refusals=(Refused,),
    fresh={"rows": 0, "percent": 0},
)  # fmt: skip
