"""Who has which tool: issued to somebody, and back. The only writer of ToolLoan."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from maintenance import order_roles, part_rules, reservations, stores
from maintenance.order_models import WorkOrder
from maintenance.part_models import Tool, ToolLoan
from maintenance.refusals import Refused
from sensors import journal


class IsOut(Refused):
    """Somebody has the tool."""


class IsIn(Refused):
    """Nobody has the tool."""


class ToolNotInUse(Refused):
    """The tool is not issued any more."""


def issue(
    tool_id: int, *, holder: User, actor: User, order: WorkOrder | None = None, now: datetime | None = None
) -> ToolLoan:
    """Give a tool to somebody who works in its site, for a work order or without. Raises ``Refused``."""
    now = now or timezone.now()
    with transaction.atomic():
        fresh = None if order is None else reservations.locked(order.pk, part_rules.TAKES)
        tool = _locked(tool_id)
        order_roles.require_worker(holder, site_id=tool.site_id)
        if not tool.is_active:
            raise ToolNotInUse
        if fresh is not None and fresh.site_id != tool.site_id:
            raise stores.OtherSite
        if (out := tool.loans.filter(returned_at=None).select_related("holder").first()) is not None:
            raise IsOut(f"That is {out.holder}, since {out.issued_at:%Y-%m-%d %H:%M} UTC.")
        loan = ToolLoan.objects.create(tool=tool, holder=holder, order=fresh, issued_by=actor, issued_at=now)
        _record(loan, journal.TOOL_ISSUED, at=now, actor=actor)
        return loan


def take_back(tool_id: int, *, actor: User, remark: str = "", now: datetime | None = None) -> ToolLoan:
    """The tool is back; ``remark`` says in which state, if that matters. Raises ``IsIn``."""
    with transaction.atomic():
        tool = _locked(tool_id)
        loan = tool.loans.filter(returned_at=None).select_related("holder").first()
        if loan is None:
            raise IsIn
        now = max(now or timezone.now(), loan.issued_at)
        loan.returned_at, loan.returned_by, loan.remark = now, actor, remark
        loan.save(update_fields=["returned_at", "returned_by", "remark"])
        _record(loan, journal.TOOL_RETURNED, at=now, actor=actor)
        return loan


def with_holder(rows: QuerySet[Tool]) -> QuerySet[Tool]:
    """The tools, each with the loan that is out (``out``: a list of one, or none)."""
    out = ToolLoan.objects.filter(returned_at=None).select_related("holder", "order")
    return rows.select_related("site", "store").prefetch_related(Prefetch("loans", queryset=out, to_attr="out"))


def _locked(tool_id: int) -> Tool:
    return Tool.objects.select_for_update(no_key=True).get(pk=tool_id)


def _record(loan: ToolLoan, kind: str, *, at: datetime, actor: User) -> None:
    said: dict[str, Any] = {"tool": loan.tool.number, "holder": loan.holder.get_username(), "order": loan.order_id}
    said["remark"] = loan.remark
    journal.record([
        journal.Entry(
            kind, f"tool/{loan.tool_id}", f"{kind}/{loan.pk}", at, loan.tool.site_id, actor.get_username(), said
        )
    ])  # fmt: skip
