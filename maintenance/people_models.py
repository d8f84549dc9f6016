"""The tables of who can work when and where: teams, workers, skills, hours, holidays, absences, ways between sites; and
what an order asks for.

Imported by ``maintenance.models``, where Django looks for tables; it names those of there by their names.
"""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from maintenance.order_models import WorkOrder
from sensors.models import Equipment, Site

A_DAY = 24 * 60
EVERY_DAY = [MinValueValidator(1)]


class Team(models.Model):
    """Workers who belong together."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="teams")
    name = models.CharField(max_length=100)

    class Meta:
        ordering = ["site", "name"]
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="team_name_once")]

    def __str__(self) -> str:
        return self.name


class Skill(models.Model):
    """What somebody can or may do. Skills of several sites with one code are the same."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="skills")
    code = models.SlugField(max_length=40, help_text="The same in all sites, such as hv-switching.")
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ["site", "code"]
        constraints = [models.UniqueConstraint(fields=["site", "code"], name="skill_code_once")]

    def __str__(self) -> str:
        return self.name


class Worker(models.Model):
    """Somebody who carries out work. Works in every site in which the user's role lets them act on orders; the home
    site's time zone and holidays are the worker's."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="workers", verbose_name="home site")
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="worker")
    team = models.ForeignKey(Team, models.SET_NULL, null=True, blank=True, related_name="workers")
    is_scheduled = models.BooleanField(default=True, help_text="Whether the schedule gives this person work.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "user"]

    def __str__(self) -> str:
        return str(self.user)


class WorkerSkill(models.Model):
    """A skill that a worker has, until it expires."""

    worker = models.ForeignKey(Worker, models.CASCADE, related_name="skills")
    skill = models.ForeignKey(Skill, models.CASCADE, related_name="holders")
    expires_on = models.DateField("counts until", null=True, blank=True, help_text="The last day. Empty: no end.")

    class Meta:
        ordering = ["worker", "skill"]
        constraints = [models.UniqueConstraint(fields=["worker", "skill"], name="worker_skill_once")]

    def __str__(self) -> str:
        return f"{self.worker}: {self.skill}"


class WorkingHours(models.Model):
    """When a worker works: on some days in a row, again after some days (see ``maintenance.rotas.Turn``)."""

    worker = models.ForeignKey(Worker, models.CASCADE, related_name="hours")
    first_on = models.DateField("first day")
    days = models.PositiveSmallIntegerField("days in a row", default=5, validators=EVERY_DAY)
    every_days = models.PositiveSmallIntegerField("again every so many days", default=7, validators=EVERY_DAY)
    starts = models.TimeField(help_text="By the wall clock of the home site.")
    ends = models.TimeField(help_text="Not after the start: on the next day.")
    last_on = models.DateField("last day", null=True, blank=True, help_text="None begin later. Empty: no end.")

    class Meta:
        verbose_name_plural = "working hours"
        ordering = ["worker", "first_on", "starts", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(days__gte=1, days__lte=F("every_days")), name="hours_days",
                violation_error_message="At most as many days in a row as there are until it begins again.",
            ),
            models.CheckConstraint(
                condition=Q(last_on=None) | Q(last_on__gte=F("first_on")), name="hours_last_day",
                violation_error_message="The last day is before the first.",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.worker}, {self.starts:%H:%M} to {self.ends:%H:%M} from {self.first_on}"


class Holiday(models.Model):
    """A day on which nobody of a site begins to work."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="holidays")
    on = models.DateField()
    name = models.CharField(max_length=100)

    class Meta:
        ordering = ["site", "on"]
        constraints = [models.UniqueConstraint(fields=["site", "on"], name="holiday_once")]

    def __str__(self) -> str:
        return f"{self.on}: {self.name}"


class Absence(models.Model):
    """A worker is away: ill, on leave, at a training."""

    worker = models.ForeignKey(Worker, models.CASCADE, related_name="absences")
    from_at = models.DateTimeField("from")
    until_at = models.DateTimeField("until")
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["worker", "from_at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(until_at__gt=F("from_at")), name="absence_ends_after_start",
                violation_error_message="It ends before it begins.",
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.worker} away from {self.from_at:%Y-%m-%d %H:%M} UTC"


class Travel(models.Model):
    """How long it takes from a site to another one, and back."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="ways")
    to_site = models.ForeignKey(Site, models.CASCADE, related_name="ways_here", verbose_name="to")
    minutes = models.PositiveIntegerField()

    class Meta:
        verbose_name_plural = "travel"
        ordering = ["site", "to_site"]
        constraints = [
            models.UniqueConstraint(fields=["site", "to_site"], name="travel_once"),
            models.CheckConstraint(
                condition=~Q(site=F("to_site")), name="travel_elsewhere",
                violation_error_message="It leads to the site itself.",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.site} to {self.to_site}: {self.minutes} min"


class RequiredSkill(models.Model):
    """Which orders of a site ask for a skill: one order, or those of a failure mode, of a type, or of both."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="required_skills")
    skill = models.ForeignKey(Skill, models.CASCADE, related_name="required_by")
    order = models.ForeignKey(WorkOrder, models.CASCADE, null=True, blank=True, related_name="required_skills")
    failure_mode = models.CharField(max_length=3, blank=True, help_text="In the sense of ISO 14224. Empty: of any.")
    maintenance_type = models.CharField(
        max_length=24, blank=True, choices=WorkOrder.Type.choices, help_text="Empty: of any."
    )

    class Meta:
        ordering = ["site", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["site", "skill", "order", "failure_mode", "maintenance_type"], name="required_skill_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(order=None) | Q(failure_mode="", maintenance_type=""), name="required_skill_of_one_order",
                violation_error_message="Of one order it asks for the skill whatever its failure mode and type.",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        whose = self.order or " ".join(filter(None, [self.failure_mode, self.maintenance_type])) or "all orders"
        return f"{self.skill} for {whose}"


class OrderTiming(models.Model):
    """What bounds the time of an order, beside when it is due."""

    order = models.OneToOneField(WorkOrder, models.CASCADE, related_name="timing")
    parts_from = models.DateTimeField(
        "parts from", null=True, blank=True, help_text="When all parts are there: it does not begin earlier."
    )
    fails_from = models.DateTimeField(
        "may fail from", null=True, blank=True, help_text="The early bound of a predicted failure."
    )
    lead_minutes = models.PositiveIntegerField(
        default=0, help_text="How long before that the work has to be done: what must happen between the two."
    )

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Timing of WO-{self.order_id}"


class MachineHours(models.Model):
    """When a machine, or all that stand in a line, may be worked on. Without any: at any time."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="machine_hours")
    equipment = models.ForeignKey(Equipment, models.CASCADE, related_name="hours")
    first_on = models.DateField("first day")
    days = models.PositiveSmallIntegerField("days in a row", default=5, validators=EVERY_DAY)
    every_days = models.PositiveSmallIntegerField("again every so many days", default=7, validators=EVERY_DAY)
    starts = models.TimeField(help_text="By the wall clock of the site.")
    ends = models.TimeField(help_text="Not after the start: on the next day.")
    last_on = models.DateField("last day", null=True, blank=True, help_text="None begin later. Empty: no end.")

    class Meta:
        verbose_name_plural = "machine hours"
        ordering = ["site", "equipment", "first_on", "starts"]
        constraints = [
            models.CheckConstraint(
                condition=Q(days__gte=1, days__lte=F("every_days")), name="machine_hours_days",
                violation_error_message="At most as many days in a row as there are until it begins again.",
            ),
            models.CheckConstraint(
                condition=Q(last_on=None) | Q(last_on__gte=F("first_on")), name="machine_hours_last_day",
                violation_error_message="The last day is before the first.",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.equipment}, {self.starts:%H:%M} to {self.ends:%H:%M} from {self.first_on}"
