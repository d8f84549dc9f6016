"""The maintenance log: what was done to a machine, by whom, what was found and what fixed it.

Its lines are the completed and closed orders, as they are, and what people wrote down beside them. Searched in the
words of the site's language, by indexes over orders and entries (migration ``log``).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from maintenance import order_numbers
from maintenance.log_models import Language
from maintenance.models import LogEntry, LogLanguage, LogLine
from maintenance.refusals import Refused
from sensors.models import Equipment

CONFIGURATIONS = {Language.SIMPLE: "simple", Language.ENGLISH: "english", Language.PORTUGUESE: "portuguese"}
MATCHES = f"{LogLine._meta.db_table}.words_{{0}} @@ websearch_to_tsquery('{{0}}', %s)"


class NotAMachine(Refused):
    """The log is of machines."""


class NothingSaid(Refused):
    """Say what was done."""


class NotYet(Refused):
    """It cannot have been done in the future."""


def search(lines: QuerySet[LogLine], text: str, *, sites: Collection[int]) -> QuerySet[LogLine]:
    """Those with all the words of a text; "in quotes" in this order, ``or`` either, ``-`` without.

    Each of the sites is searched in its own language. An order's number finds its line too.
    """
    text = text.replace("\x00", " ").strip()
    if not text:
        return lines
    known = dict(LogLanguage.objects.filter(site__in=sites).values_list("site_id", "language"))
    by_language: dict[str, list[int]] = {}
    for site in sites:
        by_language.setdefault(known.get(site, Language.SIMPLE), []).append(site)
    number = order_numbers.read(text)
    found = Q(pk__in=[]) if number is None else Q(kind=LogLine.Kind.ORDER, source_id=number, site__in=sites)
    for language, of in by_language.items():
        found |= Q(matches(text, language), site__in=of)
    return lines.filter(found)


def matches(text: str, language: str) -> RawSQL:
    """Whether a line has the words of a text, as a condition."""
    return RawSQL(MATCHES.format(CONFIGURATIONS[Language(language)]), [text], output_field=models.BooleanField())


def add(
    machine: Equipment,
    *,
    actor: User,
    title: str,
    found: str = "",
    fixed: str = "",
    worker: str = "",
    at: datetime | None = None,
    now: datetime | None = None,
) -> LogEntry:
    """Write down what was done to a machine. Raises ``Refused``."""
    now = now or timezone.now()
    if machine.level != Equipment.Level.MACHINE:
        raise NotAMachine
    if not title.strip():
        raise NothingSaid
    if at is not None and at > now:
        raise NotYet
    return LogEntry.objects.create(
        site_id=machine.site_id, machine=machine, at=at or now, author=actor, title=title.strip(), found=found,
        fixed=fixed, worker=worker,
    )  # fmt: skip
