"""What has to be true of the rows that people own beyond what their tables say: who is told, who is on call, chains.

One page for forms and REST: each rule takes a row whose fields are valid and says by field what is wrong with it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Model

from maintenance import addresses, failure_modes, messages, webhook_filter
from maintenance.checklist_models import ChecklistTemplate, TemplateItem
from maintenance.effort_models import LabourRate
from maintenance.escalation_models import Chain, ChainStep, Override, Rota, Shift
from maintenance.models import Channel, Reader, Subscription
from maintenance.parent_models import ParentRule
from maintenance.part_models import Part, Store, Tool
from maintenance.people_models import (
    Absence,
    Holiday,
    MachineHours,
    OrderTiming,
    RequiredSkill,
    Skill,
    Team,
    Travel,
    Worker,
    WorkerSkill,
    WorkingHours,
)
from maintenance.permit_models import PermitRule, WorkRules
from maintenance.webhook_models import Webhook
from sensors import access
from sensors.models import Equipment

Wrong = dict[str, str]

OTHER_SITE = "It belongs to another site."
NO_ZONE = "There is no such time zone; write a name such as Europe/Lisbon."
NO_STEP = "A chain needs a step: whom to tell."
ENDLESS = "Only the last step may go on until somebody acknowledges: no other comes after it."
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
SERVICE = "Of a service it is an address such as slack://… or ntfys://…."
UNSIGNED = "A webhook is signed: give it a secret."


def wrong(row: Model) -> Wrong:
    """What is wrong with a row, by field; nothing where no rule is broken."""
    return RULES[type(row)](row)


def steps(times: Sequence[int | None]) -> str:
    """What is wrong with a chain's steps as a whole; empty where nothing is. ``times``: of each, in their order."""
    if not times:
        return NO_STEP
    return ENDLESS if None in times[:-1] else ""


def service_scheme(address: str) -> str:
    """The kind of service that an address of the library apprise is for; empty where it is no such address."""
    scheme, found, rest = address.partition("://")
    return scheme if found and rest and SCHEME.fullmatch(scheme) else ""


def _elsewhere(row: Any, site_id: int, *names: str) -> Wrong:
    """Which of the rows that it names are of another site."""
    chosen = {name: getattr(row, name) for name in names}
    return {name: OTHER_SITE for name, one in chosen.items() if one is not None and one.site_id != site_id}


def _zone(row: Any) -> Wrong:
    return {"time_zone": NO_ZONE} if row.time_zone and row.time_zone not in available_timezones() else {}


def _reader(row: Reader) -> Wrong:
    """Somebody who is named has to be a member of the site; who has left it can still be changed."""
    outsider = not row.user.is_superuser and not row.user.memberships.filter(site=row.site_id).exists()
    return _zone(row) | ({"user": "This person is no member of the site."} if row._state.adding and outsider else {})


def _parent(row: ParentRule) -> Wrong:
    if elsewhere := _elsewhere(row, row.site_id, "machine", "equipment"):
        return elsewhere
    if row.machine.level != Equipment.Level.MACHINE:
        return {"machine": "Alarms are of machines: choose one, not a line or a component."}
    if row.equipment.level == Equipment.Level.COMPONENT or row.equipment == row.machine:
        return {"equipment": "Choose a line, or another machine."}
    if row.failure_mode and row.failure_mode not in failure_modes.CATALOGUE.modes:
        return {"failure_mode": f"There is no failure mode {row.failure_mode}."}
    if complaint := failure_modes.not_modes(row.hides):
        return {"hides": complaint}
    if row.most_hours > settings.STATE_HIDES_MAX_HOURS:
        return {"most_hours": f"At most {settings.STATE_HIDES_MAX_HOURS} hours are allowed."}
    return {}


def _rate(row: LabourRate) -> Wrong:
    """Of somebody who works in the site; of who has left it can still be changed."""
    member = row.worker.is_superuser or row.worker.memberships.filter(site=row.site_id).exists()
    return {"worker": "This person is no member of the site."} if row._state.adding and not member else {}


def _worker(row: Worker) -> Wrong:
    """Somebody who is named has to be able to work in the home site; who has left it can still be changed."""
    able = access.may(row.user, row.site_id, to="orders.act")
    outsider = {"user": "This person is not somebody whom work in the site may be given to."}
    return _elsewhere(row, row.site_id, "team") | (outsider if row._state.adding and not able else {})


def _required(row: RequiredSkill) -> Wrong:
    unknown = row.failure_mode and row.failure_mode not in failure_modes.CATALOGUE.modes
    found = {"failure_mode": "There is no such failure mode."} if unknown else {}
    return _elsewhere(row, row.site_id, "skill", "order") | found


def _machine_hours(row: MachineHours) -> Wrong:
    if row.equipment.level == Equipment.Level.COMPONENT:
        return {"equipment": "Choose the machine this is a component of."}
    return _elsewhere(row, row.site_id, "equipment")


def _subscription(row: Subscription) -> Wrong:
    found = _elsewhere(row, row.site_id, "reader", "channel", "equipment")
    if row.equipment is not None and row.equipment.level == Equipment.Level.COMPONENT:
        found["equipment"] = "Alarms are a machine's: choose the machine this is a component of."
    unknown = sorted(set(map(str, row.kinds)) - set(messages.KINDS)) if isinstance(row.kinds, list) else ["no list"]
    return found | ({"kinds": f"There is no such kind: {', '.join(unknown)}."} if unknown else {})


def _channel(row: Channel) -> Wrong:
    found = _elsewhere(row, row.site_id, "reader")
    if row.kind == Channel.Kind.SERVICE:
        return found | ({} if service_scheme(row.secret) else {"secret": SERVICE})
    if not row.is_enabled:
        return found  # it may be switched off whatever is wrong with it
    if row.kind == Channel.Kind.EMAIL:
        return found | _mailbox(row.target)
    if row.kind == Channel.Kind.WEBHOOK:
        refused = _address(row.target)
        return found | ({"target": refused} if refused else {}) | ({} if row.secret else {"secret": UNSIGNED})
    return found


def _mailbox(target: str) -> Wrong:
    try:
        validate_email(target)
    except ValidationError as error:
        return {"target": error.messages[0]}
    return {}


def _webhook(row: Webhook) -> Wrong:
    found, refused = _elsewhere(row, row.site_id, "equipment"), _address(row.url)
    if refused:
        found["url"] = refused
    if row.equipment is not None and row.equipment.level == Equipment.Level.COMPONENT:
        found["equipment"] = "Events are a machine's: choose the machine this is a component of."
    unknown = sorted(set(map(str, row.types)) - set(webhook_filter.CHOICES)) if isinstance(row.types, list) else []
    if unknown or not row.types:
        found["types"] = f"There is no such type: {', '.join(unknown)}." if unknown else "Name at least one type."
    return found


def _address(url: str) -> str:
    """What can be said without looking up a name: that is done, and judged again, for every connection."""
    allowed = [ipaddress.ip_network(network) for network in settings.WEBHOOK_ALLOWED_NETWORKS]
    try:
        target = addresses.parse(url)
        literal = addresses.literal(target)
        if literal is not None:
            addresses.judge(target, [literal], allowed=allowed)
        elif target.scheme != "https" and not allowed:
            raise addresses.Refused("the URL must begin with https://")
    except addresses.Refused as refused:
        return f"It is refused: {refused}."
    return ""


RULES: Mapping[type[Model], Callable[[Any], Wrong]] = {
    Reader: _reader,
    Subscription: _subscription,
    Channel: _channel,
    Rota: _zone,
    Shift: lambda row: _elsewhere(row, row.rota.site_id, "reader"),
    Override: lambda row: _elsewhere(row, row.rota.site_id, "reader"),
    Chain: lambda row: {},
    Part: lambda row: {},
    Store: lambda row: {},
    Tool: lambda row: _elsewhere(row, row.site_id, "store"),
    Worker: _worker,
    WorkerSkill: lambda row: _elsewhere(row, row.worker.site_id, "skill"),
    RequiredSkill: _required,
    MachineHours: _machine_hours,
    **dict.fromkeys((Team, Skill, WorkingHours, Holiday, Absence, Travel, OrderTiming), lambda row: {}),
    ChainStep: lambda row: _elsewhere(row, row.chain.site_id, "reader", "channel", "rota"),
    ChecklistTemplate: lambda row: {},
    TemplateItem: lambda row: {},
    LabourRate: _rate,
    ParentRule: _parent,
    WorkRules: lambda row: {},
    PermitRule: lambda row: {},
    Webhook: _webhook,
}
