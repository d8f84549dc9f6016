"""Who sees which site, and who may do what in it, by the table of ``sensors.permissions``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from rest_framework import permissions as drf
from rest_framework.request import Request
from rest_framework.views import APIView

from sensors import directory, permissions
from sensors.models import Membership, Site
from sensors.problems import Problem

Role = Membership.Role
Row = TypeVar("Row", bound=Model)
MAY = {name: one.roles for name, one in permissions.TABLE.items()}


@dataclass(frozen=True, slots=True)
class Limit:
    """What bounds an account beside its roles, in one request: the site and the permissions of what it came in with.

    Whoever lets a caller in with less than the account may do sets one as ``user.limit``; the functions here heed it.
    """

    permissions: frozenset[str]
    site_id: int | None = None

    def allows(self, to: str, site_id: int | None = None) -> bool:
        return to in self.permissions and (self.site_id is None or site_id is None or site_id == self.site_id)


def limit_of(user: User | AnonymousUser) -> Limit | None:
    found: Limit | None = getattr(user, "limit", None)
    return found


def is_operator(user: User | AnonymousUser) -> bool:
    """Whether somebody looks after the whole installation: may do everything in every site, and what all share."""
    return bool(user.is_active and user.is_superuser and limit_of(user) is None)


def sites(user: User | AnonymousUser, *, to: str = permissions.READ) -> QuerySet[Site]:
    """The sites in which a user may do something."""
    limit, roles = limit_of(user), permissions.roles(to)
    if not user.is_active or not (limit is None or limit.allows(to)):
        return Site.objects.none()
    found = Site.objects.all()
    if not user.is_superuser:
        found = found.filter(memberships__user_id=user.pk, memberships__role__in=roles)
    return found if limit is None or limit.site_id is None else found.filter(pk=limit.site_id)


def scope(rows: QuerySet[Row], user: User | AnonymousUser, *, path: str = "site") -> QuerySet[Row]:
    """The rows that a user may read; ``path`` leads from the row to its site."""
    if is_operator(user):
        return rows
    return rows.filter(**{f"{path}__in": sites(user)})


def people(users: QuerySet[User]) -> QuerySet[User]:
    """Of some users those who are no program: a program sends readings, and has no other role anywhere."""
    roles = Membership.objects.filter(user=OuterRef("pk"))
    sends, more = Exists(roles.filter(role=Role.INGEST)), Exists(roles.exclude(role=Role.INGEST))
    return users.filter(Q(is_superuser=True) | ~sends | more)


def may(user: User | AnonymousUser, site_id: int, *, to: str) -> bool:
    """Whether somebody may do something in a site."""
    return sites(user, to=to).filter(pk=site_id).exists()


def require(user: User | AnonymousUser, site_id: int, *, to: str) -> None:
    """Raises a ``forbidden`` problem where a member of the site may not do this."""
    if not may(user, site_id, to=to):
        raise forbidden(to)


def members(site_id: int, *, to: str) -> QuerySet[User]:
    """Active people whose role in a site lets them do something."""
    able = Membership.objects.filter(site=site_id, role__in=permissions.roles(to))
    return User.objects.filter(is_active=True, pk__in=able.values("user"))


def forbidden(to: str) -> Problem:
    return Problem("forbidden", f"Your role in this site does not allow this; it takes {permissions.said(to)}.")


def site_for_ingest(user: User | AnonymousUser, slug: str | None) -> Site:
    """The site a client sends to: the one it names, else the only one it may send to. From what is remembered.

    A site it is no member of is not found, whether it exists or not.
    """
    seats = directory.access().seats_of(user) if isinstance(user, User) and user.is_active else ()
    limit, able = limit_of(user), permissions.roles(permissions.SEND)
    seats = tuple(seat for seat in seats if limit is None or limit.allows(permissions.SEND, seat.site.pk))
    mine = [seat.site for seat in seats if seat.role is None or seat.role in able]
    if slug is not None:
        site = next((seat.site for seat in seats if seat.site.slug == slug), None)
        if site is None:
            raise Problem("not-found", f"There is no site {slug[:50]!r} among yours.")
        if site not in mine:
            raise forbidden(permissions.SEND)
        return site
    if not mine:
        raise Problem("forbidden", "You may not send readings to any site.")
    if len(mine) > 1:
        raise Problem("invalid", "You may send to several sites: name one with ?site=.")
    return mine[0]


class IsSuperuser(drf.BasePermission):
    """For what all sites share, such as runs."""

    message = "Only an administrator of the whole installation may see this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user and is_operator(request.user))


def user_of(request: Request) -> User:
    """Who asks. Views behind ``IsAuthenticated`` have one."""
    user: Any = request.user
    if not isinstance(user, User):
        raise Problem("not-authenticated", "Log in first.")
    return user
