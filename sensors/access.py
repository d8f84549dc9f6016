"""Who sees which site, and who may do what in it: the one table of permissions."""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from rest_framework import permissions
from rest_framework.request import Request
from rest_framework.views import APIView

from sensors import directory
from sensors.models import Membership, Site
from sensors.problems import Problem

Role = Membership.Role
Row = TypeVar("Row", bound=Model)

MAY: dict[str, frozenset[str]] = {
    "read": frozenset(Role.values),
    "ingest": frozenset({Role.INGEST, Role.ADMIN}),
    "act": frozenset({Role.TECHNICIAN, Role.ADMIN}),
    "edit": frozenset({Role.ADMIN}),
}
"""What -> the roles that may do it in their site. A superuser may do everything in every site."""


def sites(user: User | AnonymousUser, *, to: str = "read") -> QuerySet[Site]:
    """The sites in which a user may do something."""
    if not user.is_active:
        return Site.objects.none()
    if user.is_superuser:
        return Site.objects.all()
    return Site.objects.filter(memberships__user_id=user.pk, memberships__role__in=MAY[to])


def scope(rows: QuerySet[Row], user: User | AnonymousUser, *, path: str = "site") -> QuerySet[Row]:
    """The rows that a user may read; ``path`` leads from the row to its site."""
    if user.is_active and user.is_superuser:
        return rows
    return rows.filter(**{f"{path}__in": sites(user)})


def people(users: QuerySet[User]) -> QuerySet[User]:
    """Of some users those who are no program: a program sends readings, and has no other role anywhere."""
    roles = Membership.objects.filter(user=OuterRef("pk"))
    sends, more = Exists(roles.filter(role=Role.INGEST)), Exists(roles.exclude(role=Role.INGEST))
    return users.filter(Q(is_superuser=True) | ~sends | more)


def require(user: User | AnonymousUser, site_id: int, *, to: str) -> None:
    """Raises a ``forbidden`` problem where a member of the site may not do this."""
    if not sites(user, to=to).filter(pk=site_id).exists():
        raise _forbidden(to)


def _forbidden(to: str) -> Problem:
    return Problem("forbidden", f"Your role in this site does not allow this; it takes {' or '.join(sorted(MAY[to]))}.")


def site_for_ingest(user: User | AnonymousUser, slug: str | None) -> Site:
    """The site a client sends to: the one it names, else the only one it may send to. From what is remembered.

    A site it is no member of is not found, whether it exists or not.
    """
    seats = directory.access().seats_of(user) if isinstance(user, User) and user.is_active else ()
    mine = [seat.site for seat in seats if seat.role is None or seat.role in MAY["ingest"]]
    if slug is not None:
        site = next((seat.site for seat in seats if seat.site.slug == slug), None)
        if site is None:
            raise Problem("not-found", f"There is no site {slug[:50]!r} among yours.")
        if site not in mine:
            raise _forbidden("ingest")
        return site
    if not mine:
        raise Problem("forbidden", "You may not send readings to any site.")
    if len(mine) > 1:
        raise Problem("invalid", "You may send to several sites: name one with ?site=.")
    return mine[0]


class IsSuperuser(permissions.BasePermission):
    """For what all sites share, such as runs."""

    message = "Only an administrator of the whole installation may see this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user and request.user.is_active and request.user.is_superuser)


def user_of(request: Request) -> User:
    """Who asks. Views behind ``IsAuthenticated`` have one."""
    user: Any = request.user
    if not isinstance(user, User):
        raise Problem("not-authenticated", "Log in first.")
    return user
