"""Who may do what with work orders, by their role in the site."""

from __future__ import annotations

from django.contrib.auth.models import User

from maintenance.refusals import Refused
from sensors.models import Membership


class NotAWorker(Refused):
    """The assignee must be an active technician or administrator of the order's site."""


class NotAnApprover(Refused):
    """Only an administrator of the site decides on requests, or who has it delegated by one."""


def require_worker(user: User, *, site_id: int) -> None:
    """Raises ``NotAWorker`` where somebody may not work in a site."""
    if not _has_role(user, site_id, Membership.Role.TECHNICIAN, Membership.Role.ADMIN):
        raise NotAWorker(f"{user} is not.")


def _has_role(user: User, site_id: int, *roles: Membership.Role) -> bool:
    member = Membership.objects.filter(site_id=site_id, user=user, role__in=roles)
    return user.is_active and (user.is_superuser or member.exists())
