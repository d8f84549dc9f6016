"""The transaction a row is written in, and the oldest one that is still open, as expressions of Postgres."""

from __future__ import annotations

from django.db.models import BigIntegerField, Func, TextField
from django.db.models.functions import Cast


def _number(function: str, *arguments: Func) -> Cast:
    """Of a transaction: its type has no cast to a number but by way of a text."""
    return Cast(Cast(Func(*arguments, function=function), TextField()), BigIntegerField())


OWN_TRANSACTION = _number("pg_current_xact_id")
OLDEST_OPEN = _number("pg_snapshot_xmin", Func(function="pg_current_snapshot"))
