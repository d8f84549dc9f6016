"""Who may do what with work orders, by their role in the site."""

from __future__ import annotations

from django.contrib.auth.models import User

from maintenance.refusals import Refused
from sensors import access


class NotAWorker(Refused):
    """The assignee must be active, and of a role in the site that lets them do it."""


class NotAnApprover(Refused):
    """Only an administrator of the site decides on requests, or who has it delegated by one."""


def require_worker(user: User, *, site_id: int, to: str = "orders.act") -> None:
    """Raises ``NotAWorker`` where somebody may not work in a site."""
    if not access.may(user, site_id, to=to):
        raise NotAWorker(f"{user} is not.")
