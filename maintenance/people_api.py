"""Who can work when and where, and what orders ask for, over REST: read by members, written by administrators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model
from rest_framework import serializers

from maintenance.api import example
from maintenance.audience_api import Member
from maintenance.models import WorkOrder
from maintenance.owned import PARENTS
from maintenance.owned_api import Mine, Owned, written
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
from sensors.api import Filters
from sensors.models import Equipment, Site
from sensors.policy import edited_by
from sensors.schema import documented

RELATED: Mapping[type[Model], str] = {Site: "pk", Worker: "site", WorkOrder: "site", Skill: "site", Team: "site",
                                      Equipment: "site"}  # fmt: skip
"""What rows of these lists name, and the way from there to the site."""
PATTERN = ("first_on", "days", "every_days", "starts", "ends", "last_on")
WEEK = {"first_on": "2026-01-05", "days": 5, "every_days": 7, "starts": "08:00", "ends": "16:30"}


def listed(
    model: type[Model], one: str, many: str, *, fields: Sequence[str], by: Sequence[str], fixed: Sequence[str],
    body: Mapping[str, Any], add: str = "", takes: str = "calendars.edit",
) -> Any:  # fmt: skip
    """The list of a table: ``fields`` that a body says, ``by`` which of them rows are filtered, ``fixed`` ones stay as
    they were when the row was added; ``body`` is an example; ``takes``: the permission to write them."""
    made = type(model.__name__ + "In", (serializers.ModelSerializer,), {
        **_named(model, fields), "Meta": type("Meta", (), {"model": model, "fields": list(fields), "validators": []}),
    })  # fmt: skip
    form = example(**body)(made)
    shown = type(model.__name__ + "Out", (serializers.ModelSerializer,), {
        "Meta": type("Meta", (), {"model": model, "fields": ["id", *fields]}),
    })  # fmt: skip
    found = type(model.__name__ + "Filter", (Filters,), {
        "Meta": type("Meta", (), {"model": model, "fields": list(by)}),
    })  # fmt: skip
    parent = PARENTS.get(model, "")

    def site_of(self: Owned, row: Any) -> int:
        return int(getattr(row, parent).site_id if parent else row.site_id)

    view = type(model.__name__ + "List", (Owned,), {
        "queryset": model._default_manager.select_related(*([parent] if parent else [])),
        "site_path": f"{parent}__site" if parent else "site", "serializer_class": shown, "filterset_class": found,
        "policy": edited_by(takes), "form": form, "fixed": tuple(fixed), "site_of": site_of, "__module__": __name__,
    })  # fmt: skip
    article = "an" if one[0] in "aeiou" else "a"
    return written("workforce", f"{article} {one}", form=form, shown=shown, add=add)(
        documented("workforce", one, many)(view)
    )


def _named(model: type[Model], fields: Sequence[str]) -> dict[str, Any]:
    """The ids of other rows that a body may name: of one's own sites."""
    found: dict[str, Any] = {}
    for name in fields:
        field: Any = model._meta.get_field(name)
        if not field.is_relation:
            continue
        rows = field.related_model._default_manager.all()
        more: dict[str, Any] = {"required": not field.null}
        more |= {"allow_null": True} if field.null else {}
        if field.related_model is User:
            found[name] = Member(queryset=rows, help_text="Id of a member of the site; it stays the same.", **more)
        else:
            found[name] = Mine(queryset=rows, path=RELATED[field.related_model], **more)
    return found


Teams = listed(
    Team, "team", "teams", fields=("site", "name"), by=("site", "name"), fixed=("site",),
    body={"site": 1, "name": "Mechanics"},
)  # fmt: skip
Skills = listed(
    Skill, "skill", "skills", fields=("site", "code", "name"), by=("site", "code"), fixed=("site",),
    body={"site": 1, "code": "hv-switching", "name": "High-voltage switching"},
    add="Skills of several sites with one code are the same.",
)  # fmt: skip
Workers = listed(
    Worker, "worker", "workers", fields=("site", "user", "team", "is_scheduled"),
    by=("site", "user", "team", "is_scheduled"), fixed=("site", "user"),
    body={"site": 1, "user": 7, "team": 2},
    add="Somebody who carries out work, in every site in which the user's role lets them act on orders.",
)  # fmt: skip
WorkerSkills = listed(
    WorkerSkill, "skill of a worker", "skills of workers", fields=("worker", "skill", "expires_on"),
    by=("worker", "skill"), fixed=("worker",), body={"worker": 3, "skill": 5, "expires_on": "2027-06-30"},
)  # fmt: skip
Hours = listed(
    WorkingHours, "pattern of working hours", "working hours", fields=("worker", *PATTERN), by=("worker",),
    fixed=("worker",), body={"worker": 3, **WEEK},
    add="On some days in a row, again after some days, by the wall clock of the home site.",
)  # fmt: skip
Absences = listed(
    Absence, "absence", "absences", fields=("worker", "from_at", "until_at", "reason"), by=("worker",),
    fixed=("worker",), body={"worker": 3, "from_at": "2026-03-02T00:00:00Z", "until_at": "2026-03-07T00:00:00Z"},
)  # fmt: skip
Holidays = listed(
    Holiday, "holiday", "holidays", fields=("site", "on", "name"), by=("site", "on"), fixed=("site",),
    body={"site": 1, "on": "2026-12-25", "name": "Christmas"},
)  # fmt: skip
Ways = listed(
    Travel, "way between sites", "ways between sites", fields=("site", "to_site", "minutes"), by=("site", "to_site"),
    fixed=("site",), body={"site": 1, "to_site": 2, "minutes": 45}, add="It counts both ways.",
)  # fmt: skip
RequiredSkills = listed(
    RequiredSkill, "required skill", "required skills",
    fields=("site", "skill", "order", "failure_mode", "maintenance_type"),
    by=("site", "skill", "order", "failure_mode", "maintenance_type"), fixed=("site",),
    body={"site": 1, "skill": 5, "failure_mode": "VIB"}, takes="orders.edit",
    add="Asked for by one order, or by those of a failure mode, of a type, or of both.",
)  # fmt: skip
Timings = listed(
    OrderTiming, "timing of an order", "timings of orders",
    fields=("order", "parts_from", "fails_from", "lead_minutes"),
    by=("order",), fixed=("order",), body={"order": 9, "parts_from": "2026-03-04T09:00:00Z"}, takes="orders.edit",
    add="When its parts are there; the early bound of a predicted failure, and the lead before it.",
)  # fmt: skip
MachineTimes = listed(
    MachineHours, "pattern of machine hours", "machine hours: when machines may be worked on",
    fields=("site", "equipment", *PATTERN), by=("site", "equipment"), fixed=("site",),
    body={"site": 1, "equipment": 4, **WEEK}, add="Of a machine, or of all in a line. Without any: at any time.",
)  # fmt: skip

LISTS: Mapping[str, Any] = {
    "teams": Teams, "skills": Skills, "workers": Workers, "worker-skills": WorkerSkills, "working-hours": Hours,
    "absences": Absences, "holidays": Holidays, "travel": Ways, "required-skills": RequiredSkills,
    "order-timings": Timings, "machine-hours": MachineTimes,
}  # fmt: skip
"""By address."""
