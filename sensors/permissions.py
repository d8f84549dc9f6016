"""The one table of permissions: what one may do in a site, and which roles let one do it.

Whoever asks over REST, on a page of the admin or in a command is looked up here (``sensors.access``,
``sensors.desk``); nothing else decides. A superuser may do everything in every site. What a permission is called is
also what an API key is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sensors.models import Membership

Role = Membership.Role
PUBLIC = "public"
"""In place of a permission: whoever asks needs no account."""
READ, SEND, READ_AUDIT, INSTALLATION = "read", "readings.send", "audit.read", "installation"


@dataclass(frozen=True, slots=True)
class Permission:
    """``lets``: what it lets one do, after "may"."""

    lets: str
    roles: frozenset[str]


def _to(lets: str, *roles: str) -> Permission:
    """Everything in a site is its administrator's to do as well."""
    return Permission(lets, frozenset({*roles, Role.ADMIN}))


TECHNICIAN, PLANNER, RELIABILITY, SCIENTIST = Role.TECHNICIAN, Role.PLANNER, Role.RELIABILITY, Role.DATA_SCIENTIST
TABLE: dict[str, Permission] = {
    READ: _to("read all that is of the site", *Role.values),
    READ_AUDIT: _to("read the audit trail of the site", Role.AUDITOR),
    SEND: _to("send readings", Role.INGEST),
    "readings.repair": _to("replay or discard what could not be processed", TECHNICIAN, RELIABILITY),
    "alarms.act": _to("acknowledge, comment, assign and shelve alarms, stop escalations", TECHNICIAN, RELIABILITY),
    "alarms.edit": _to("change alarm definitions and what suppresses alarms", RELIABILITY),
    "machines.act": _to(
        "write in the log, enter meters, tell whether a machine runs, adopt a sensor", TECHNICIAN, PLANNER, RELIABILITY
    ),
    "equipment.edit": _to("change equipment and sensors, their limits, defaults and tuning", RELIABILITY),
    "labels.edit": _to("say what was a fault and from when on something is normal", TECHNICIAN, RELIABILITY, SCIENTIST),
    "orders.request": _to("ask for work", TECHNICIAN, PLANNER, RELIABILITY),
    "orders.act": _to("plan, assign and carry out work, and be given it", TECHNICIAN, PLANNER),
    "orders.edit": _to("correct what others entered; change checklists, rates and what orders ask for", PLANNER),
    "orders.approve": _to("approve or reject requested work, and delegate that"),
    "permits.issue": _to("issue and revoke safety permits"),
    "plans.edit": _to("change preventive plans and meters", PLANNER),
    "windows.edit": _to("change maintenance windows", PLANNER, RELIABILITY),
    "calendars.edit": _to("change who works and is on call when and where", PLANNER),
    "schedule.edit": _to("make, change and publish schedules", PLANNER),
    "parts.act": _to("receive, move, reserve, issue and return parts and tools", TECHNICIAN, PLANNER),
    "parts.edit": _to("change parts, stores and tools, and correct what is counted", PLANNER),
    "notices.act": _to("send a test or send a message again", TECHNICIAN, PLANNER, RELIABILITY),
    "notices.edit": _to("change who is told of what, where and after how long"),
    "webhooks.edit": _to("see and change the addresses that the events of the site are sent to"),
    "models.ask": _to("ask models for forecasts and judgements", TECHNICIAN, RELIABILITY, SCIENTIST),
    "models.train": _to("have models of the site trained", SCIENTIST),
    "models.promote": _to("change which version of a model of the site speaks", SCIENTIST),
    "backtests.run": _to("run backtests", TECHNICIAN, RELIABILITY, SCIENTIST),
    "reports.make": _to("have reports made", TECHNICIAN, PLANNER, RELIABILITY, SCIENTIST),
    "settings.edit": _to("change the site, its rules of work and who approves what"),
    "members.edit": _to("change who is a member in which role"),
    "keys.edit": _to("make, change and revoke keys of programs and devices"),
    INSTALLATION: Permission("look after what all sites share", frozenset()),
}


def roles(name: str) -> frozenset[str]:
    """The roles that have a permission. Raises ``KeyError`` for a name that is not in the table."""
    return TABLE[name].roles


def said(name: str) -> str:
    """Who has a permission, for people: the roles by name."""
    if not roles(name):
        return "an administrator of the whole installation"
    return listed(role for role in Role if role in roles(name))


def listed(found: Iterable[Membership.Role]) -> str:
    names = [role.short for role in found]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def markdown() -> str:
    """The table: a line for each permission, a column for each role."""
    head = ["permission", "lets one", *(role.short for role in Role)]
    lines = [head, ["---", "---", *(":-:" for _ in Role)]]
    for name, one in TABLE.items():
        lines.append([f"`{name}`", one.lets, *("yes" if role in one.roles else "" for role in Role)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
