"""Facts: what was measured, by which sensor of which machine, and the journal of what happened."""

from __future__ import annotations

import math
import uuid
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Now

from sensors import (  # noqa: F401  # Django looks for tables here
    audit_models,
    identity_models,
    journal_order,
    operating_models,
    request_models,
    sessions,
    zones,
)
from sensors.default_models import LONGEST_RATE_SPAN, MOST_ALARM_READINGS

LANES = 64
"""Sequential streams of the flow. A fixed number: a machine keeps its lane."""


class Site(models.Model):
    """The tenant: everything belongs to one, and nobody sees a site they are no member of."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="IANA name, such as Europe/Rome.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    members: models.ManyToManyField[User, Membership] = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Membership", related_name="sites"
    )

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of that name, else UTC: no page is missing because somebody mistyped it."""
        try:
            return ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo("UTC")


ROLES = ["VIEWER", "TECHNICIAN", "PLANNER", "RELIABILITY", "DATA_SCIENTIST", "ADMIN", "AUDITOR", "INGEST"]


class Membership(models.Model):
    """What a person or client may do in a site."""

    class Role(models.TextChoices):
        VIEWER = "VIEWER", "Viewer: reads"
        TECHNICIAN = "TECHNICIAN", "Technician: also acknowledges and works on orders"
        PLANNER = "PLANNER", "Planner: also plans work, people, parts and windows"
        RELIABILITY = "RELIABILITY", "Reliability engineer: also defines and tunes alarms and limits"
        DATA_SCIENTIST = "DATA_SCIENTIST", "Data scientist: also labels, trains and promotes models"
        ADMIN = "ADMIN", "Site administrator: everything in the site"
        AUDITOR = "AUDITOR", "Auditor: reads, who did what as well"
        INGEST = "INGEST", "Ingest client: sends readings, and reads"

        @property
        def short(self) -> str:
            return str(self.label).partition(":")[0].lower()

    site = models.ForeignKey(Site, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        ordering = ["site", "user"]
        constraints = [
            models.UniqueConstraint(fields=["site", "user"], name="membership_once"),
            models.CheckConstraint(condition=Q(role__in=ROLES), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.site}: {self.role}"


class Equipment(models.Model):
    """A node of a site's tree. *Machine* is the level that is judged, alarmed and repaired as one."""

    class Level(models.TextChoices):
        LINE = "LINE", "Line or section"
        MACHINE = "MACHINE", "Machine"
        COMPONENT = "COMPONENT", "Component"

    class Criticality(models.TextChoices):
        CRITICAL = "CRITICAL", "Critical: stops the site or endangers people"
        HIGH = "HIGH", "High"
        MEDIUM = "MEDIUM", "Medium"
        LOW = "LOW", "Low"

    class Support(models.TextChoices):
        RIGID = "RIGID", "Rigid"
        FLEXIBLE = "FLEXIBLE", "Flexible"

    class MachineGroup(models.IntegerChoices):
        LARGE = 1, "1: above 300 kW, or shaft height from 315 mm"
        MEDIUM = 2, "2: 15 to 300 kW, or shaft height 160 to 315 mm"
        PUMP_SEPARATE = 3, "3: pump with a driver of its own"
        PUMP_INTEGRATED = 4, "4: pump with an integrated driver"

    site = models.ForeignKey(Site, models.PROTECT, related_name="equipment")
    parent = models.ForeignKey("self", models.PROTECT, related_name="children", null=True, blank=True)
    machine = models.ForeignKey(
        "self",
        models.PROTECT,
        related_name="components",
        null=True,
        editable=False,
        help_text="The machine this is a component of; a machine's own is itself; a line has none.",
    )
    level = models.CharField(max_length=16, choices=Level.choices, default=Level.MACHINE)
    tag = models.CharField(max_length=100, help_text="The site's own name of it, unique in the site.")
    name = models.CharField(max_length=200)
    equipment_class = models.CharField(
        max_length=50, blank=True, help_text="Class in the sense of ISO 14224, such as PUMP or COMPRESSOR."
    )
    criticality = models.CharField(max_length=16, choices=Criticality.choices, default=Criticality.MEDIUM)
    machine_group = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        choices=MachineGroup.choices,
        help_text="For vibration zones by ISO 20816-3; pumps go by how they are driven, not by power.",
    )
    support_class = models.CharField(
        max_length=16,
        blank=True,
        db_default="",
        choices=Support.choices,
        help_text="For vibration zones: rigid where the first natural frequency of machine and support is at least "
        "a quarter above the main excitation.",
    )
    lane = models.PositiveSmallIntegerField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "equipment"
        ordering = ["site", "tag"]
        constraints = [
            models.UniqueConstraint(fields=["site", "tag"], name="equipment_tag_once"),
            models.CheckConstraint(
                condition=Q(level="MACHINE", lane__isnull=False, lane__lt=LANES)
                | (~Q(level="MACHINE") & Q(lane__isnull=True)),
                name="equipment_machine_has_lane",
            ),
            models.CheckConstraint(condition=~Q(parent=F("id")), name="equipment_not_its_parent"),
            models.CheckConstraint(
                condition=Q(level="LINE", machine__isnull=True)
                | Q(level="MACHINE")
                | Q(level="COMPONENT", machine__isnull=False),
                name="equipment_component_has_machine",
            ),
            models.CheckConstraint(condition=Q(level__in=["LINE", "MACHINE", "COMPONENT"]), name="equipment_level"),
            models.CheckConstraint(condition=Q(machine_group__in=[1, 2, 3, 4]), name="equipment_machine_group"),
            models.CheckConstraint(
                condition=Q(support_class__in=["", "RIGID", "FLEXIBLE"]), name="equipment_support_class"
            ),
            models.CheckConstraint(
                condition=Q(criticality__in=["CRITICAL", "HIGH", "MEDIUM", "LOW"]), name="equipment_criticality"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tag} – {self.name}" if self.name != self.tag else self.tag

    def clean(self) -> None:
        if self.parent_id is None or self.parent is None:
            if self.level == self.Level.COMPONENT:
                raise ValidationError({"parent": "A component needs the machine or component it is part of."})
            return
        if self.parent.site_id != self.site_id:
            raise ValidationError({"parent": "The parent belongs to another site."})
        if self.level == self.Level.COMPONENT and self.parent.level == self.Level.LINE:
            raise ValidationError({"parent": "A component is part of a machine or of another component."})
        if self.level != self.Level.COMPONENT and self.parent.level != self.Level.LINE:
            raise ValidationError({"parent": "A machine or line stands in a line, not in a machine."})
        node: Equipment | None = self.parent
        while node is not None:
            if self.pk is not None and node.pk == self.pk:
                raise ValidationError({"parent": "That would make a circle."})
            node = node.parent


class Sensor(models.Model):
    """One measured quantity of one equipment."""

    class Kind(models.TextChoices):
        FLOW = "FLOW", "Flow"
        LEVEL = "LEVEL", "Level"
        PRESSURE = "PRESSURE", "Pressure"
        TEMPERATURE = "TEMPERATURE", "Temperature"
        VIBRATION = "VIBRATION", "Vibration"
        SPEED = "SPEED", "Speed"
        CURRENT = "CURRENT", "Electric current"
        VOLTAGE = "VOLTAGE", "Voltage"
        POWER = "POWER", "Power"
        OTHER = "OTHER", "Other"

    site = models.ForeignKey(Site, models.PROTECT, related_name="sensors")
    equipment = models.ForeignKey(Equipment, models.PROTECT, related_name="sensors")
    machine = models.ForeignKey(Equipment, models.PROTECT, related_name="machine_sensors", editable=False)
    gateway = models.ForeignKey(
        Equipment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="sensors_behind",
        help_text="The device its readings come through: if that falls silent, one order for it, not one a machine.",
    )
    external_id = models.CharField(max_length=200, help_text="The name readings come under, unique in the site.")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.OTHER)
    unit = models.CharField(max_length=32, blank=True)
    measuring_point = models.CharField(
        max_length=100,
        blank=True,
        db_default="",
        help_text="The same for sensors of one machine that measure one thing: if one leaves the others, it is sick.",
    )
    feature = models.CharField(
        max_length=100, blank=True, db_default="", default="",
        help_text="Name under which models know this quantity, such as T24: of one sensor of a machine.",
    )  # fmt: skip
    physical_low = models.FloatField(null=True, blank=True, help_text="Below this the sensor cannot measure.")
    physical_high = models.FloatField(null=True, blank=True, help_text="Above this the sensor cannot measure.")
    low_low = models.FloatField(null=True, blank=True, help_text="Alarm limit.")
    low = models.FloatField(null=True, blank=True, help_text="Alarm limit.")
    high = models.FloatField(null=True, blank=True, help_text="Alarm limit.")
    high_high = models.FloatField(null=True, blank=True, help_text="Alarm limit.")
    deadband = models.FloatField(
        default=0, validators=[MinValueValidator(0)], help_text="How far inside a limit before it clears."
    )
    alarm_readings = models.PositiveSmallIntegerField(
        "readings beyond a limit", default=1, db_default=1, validators=[MinValueValidator(1)],
        help_text="N of M: at least so many ...",
    )  # fmt: skip
    alarm_readings_of = models.PositiveSmallIntegerField(
        "of the last readings", default=1, db_default=1,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_ALARM_READINGS)],
        help_text="... of the sensor's last so many must be beyond a limit before it counts.",
    )  # fmt: skip
    rise_per_minute = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0)],
        help_text="Alarm limit of the rate of change: it may rise by so much a minute.",
    )  # fmt: skip
    fall_per_minute = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0)], help_text="It may fall by so much a minute."
    )  # fmt: skip
    rate_span_seconds = models.PositiveIntegerField(
        default=60, db_default=60, validators=[MinValueValidator(1), MaxValueValidator(LONGEST_RATE_SPAN)],
        help_text="The rate is that over so long: the longer, the less a single reading tells.",
    )  # fmt: skip
    resolution = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0)], help_text="Smallest step the sensor can show."
    )
    max_rate = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Units per second the machine cannot exceed; leave empty where unknown.",
    )
    period_seconds = models.PositiveIntegerField(null=True, blank=True, help_text="Usual time between readings.")
    silent_after_seconds = models.PositiveIntegerField(
        "no data for (seconds)", null=True, blank=True, validators=[MinValueValidator(1)],
        help_text="Of a sensor with a period: told as silent after so long without data. Empty: by its period.",
    )  # fmt: skip
    lateness_seconds = models.PositiveIntegerField(
        default=300, help_text="A reading older than the newest by more than this is late: it never alarms or clears."
    )
    on_delay_seconds = models.PositiveIntegerField(default=0, help_text="Abnormal for so long before it alarms.")
    off_delay_seconds = models.PositiveIntegerField(default=0, help_text="Normal for so long before it clears.")
    settings_from = models.JSONField(default=dict, db_default=Value({}, models.JSONField()), editable=False)
    calibration_due_on = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "external_id"]
        constraints = [
            models.UniqueConstraint(fields=["site", "external_id"], name="sensor_external_id_once"),
            models.UniqueConstraint(
                fields=["machine", "feature"], condition=~Q(feature=""), name="sensor_feature_once_a_machine"
            ),
            models.CheckConstraint(
                condition=Q(
                    kind__in=[
                        "FLOW",
                        "LEVEL",
                        "PRESSURE",
                        "TEMPERATURE",
                        "VIBRATION",
                        "SPEED",
                        "CURRENT",
                        "VOLTAGE",
                        "POWER",
                        "OTHER",
                    ]
                ),
                name="sensor_kind",
            ),
            models.CheckConstraint(
                condition=Q(physical_low__isnull=True)
                | Q(physical_high__isnull=True)
                | Q(physical_low__lt=F("physical_high")),
                name="sensor_physical_limits_ordered",
            ),
            models.CheckConstraint(
                condition=Q(
                    alarm_readings__gte=1,
                    alarm_readings__lte=F("alarm_readings_of"),
                    alarm_readings_of__lte=MOST_ALARM_READINGS,
                ),
                name="sensor_n_of_m",
                violation_error_message="Of the last readings no more can be beyond a limit than there are.",
            ),
        ]

    def __str__(self) -> str:
        return self.external_id

    @property
    def vibration_zones(self) -> zones.Zones | zones.Refusal:
        """By its own equipment's machine group and support class, else by the machine's."""
        own, machine = self.equipment, self.machine
        group = own.machine_group if own.machine_group is not None else machine.machine_group
        support = own.support_class or machine.support_class
        return zones.of(kind=self.kind, unit=self.unit, group=group, support=support)

    def clean(self) -> None:
        self._check_rates()
        if self.silent_after_seconds is not None and self.silent_after_seconds < (self.period_seconds or math.inf):
            raise ValidationError({"silent_after_seconds": "It needs a period, and cannot be shorter than that."})
        limits = [
            (name, value)
            for name in ("physical_low", "low_low", "low", "high", "high_high", "physical_high")
            if (value := getattr(self, name)) is not None
        ]
        for (name, value), (above, ceiling) in pairwise(limits):
            if value >= ceiling:
                raise ValidationError({name: f"Must be below {above} ({ceiling:g})."})
        if self.equipment_id is not None:
            if self.equipment.site_id != self.site_id:
                raise ValidationError({"equipment": "The equipment belongs to another site."})
            if self.equipment.level == Equipment.Level.LINE:
                raise ValidationError({"equipment": "A sensor sits on a machine or a component, not on a line."})
            self._check_feature()
        if self.gateway is not None:
            if self.gateway.site_id != self.site_id:
                raise ValidationError({"gateway": "The gateway belongs to another site."})
            if self.gateway.level != Equipment.Level.MACHINE:
                raise ValidationError({"gateway": "A gateway is equipment of level machine, with orders of its own."})

    def _check_feature(self) -> None:
        same = Sensor.objects.filter(machine=self.equipment.machine_id, feature=self.feature).exclude(pk=self.pk)
        if self.feature and (other := same.first()) is not None:
            raise ValidationError({"feature": f"{other} is the feature {self.feature} of this machine already."})

    def _check_rates(self) -> None:
        """What is faster than the machine can change is bad data, which no limit is held against."""
        for name in ("rise_per_minute", "fall_per_minute"):
            rate = getattr(self, name)
            if rate is not None and self.max_rate is not None and rate >= 60 * self.max_rate:
                raise ValidationError({name: f"Must be below max rate, {60 * self.max_rate:g} a minute."})


class SensorPresence(models.Model):
    """When a sensor that has a period was heard last, by arrival, and is due again. See ``sensors.presence``."""

    sensor = models.OneToOneField(Sensor, models.CASCADE, primary_key=True, related_name="presence")
    heard_at = models.DateTimeField(help_text="When a current reading arrived, to within a part of its tolerance.")
    due_at = models.DateTimeField(help_text="It is silent if nothing current arrives by then.")
    silent_since = models.DateTimeField(null=True, help_text="When it was heard last before a silence that was told.")

    class Meta:
        verbose_name = "silent sensor"
        ordering = ["silent_since", "sensor"]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(silent_since=None), name="presence_due"),
            models.Index(fields=["silent_since"], condition=Q(silent_since__isnull=False), name="presence_silent"),
        ]

    def __str__(self) -> str:
        return f"{self.sensor}, last heard {self.heard_at:%Y-%m-%d %H:%M:%S}"


class DiscoveredSensor(models.Model):
    """A name under which readings came that no sensor has: held back until somebody adopts or ignores it."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="discovered_sensors")
    external_id = models.CharField(max_length=200)
    first_seen_at = models.DateTimeField(db_default=Now(), editable=False)
    last_seen_at = models.DateTimeField(db_default=Now(), editable=False)
    readings = models.PositiveBigIntegerField(default=0, editable=False, help_text="Held back so far.")
    sensor = models.OneToOneField(
        Sensor, models.PROTECT, null=True, editable=False, related_name="discovery", help_text="What it became."
    )

    class Meta:
        ordering = ["-last_seen_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["site", "external_id"], name="discovered_once")]

    def __str__(self) -> str:
        return self.external_id


class Batch(models.Model):
    """What a client sent in one request, with a result per item."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    site = models.ForeignKey(Site, models.PROTECT, related_name="batches")
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    correlation_id = models.CharField(max_length=64, blank=True, editable=False)
    traceparent = models.CharField(max_length=55, blank=True, default="", db_default="", editable=False)
    idempotency_key = models.CharField(max_length=255, blank=True, editable=False)
    body_sha256 = models.CharField(max_length=64, editable=False, validators=[RegexValidator(r"^[0-9a-f]{64}$")])
    items = models.PositiveIntegerField()
    accepted = models.PositiveIntegerField()
    held = models.PositiveIntegerField(help_text="Of sensors not known yet.")
    duplicates = models.PositiveIntegerField(help_text="Twice in the body.")
    rejected = models.PositiveIntegerField()
    results = models.JSONField(help_text="Every item that was not simply accepted: pointer, status, reason, detail.")
    received_at = models.DateTimeField(db_default=Now(), editable=False, db_index=True)

    class Meta:
        verbose_name_plural = "batches"
        ordering = ["-received_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(items=F("accepted") + F("held") + F("duplicates") + F("rejected")),
                name="batch_books_balance",
            ),
            models.UniqueConstraint(
                fields=["site", "submitted_by", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="batch_idempotency_key_once",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class BatchPart(models.Model):
    """The accepted readings of one batch that go down one lane, or that wait for one sensor to be adopted."""

    class State(models.TextChoices):
        HELD = "HELD", "Held back: its sensor is not known yet"
        WAITING = "WAITING", "Waiting for a run"
        TAKEN = "TAKEN", "Taken by a run"
        STORED = "STORED", "Stored"
        SET_ASIDE = "SET_ASIDE", "Set aside"

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="parts")
    lane = models.PositiveSmallIntegerField(null=True)
    discovered = models.ForeignKey(DiscoveredSensor, models.CASCADE, null=True, related_name="parts")
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    readings = models.PositiveIntegerField()
    columns = models.BinaryField(help_text="Packed by sensors.columns.")
    run_id = models.BigIntegerField(null=True, help_text="The run that took it.")
    stored = models.PositiveIntegerField(null=True)
    already_stored = models.PositiveIntegerField(null=True, help_text="The same reading was there before.")
    conflicts = models.PositiveIntegerField(null=True, help_text="The same instant was there with another value.")
    outcome = models.JSONField(
        default=dict, help_text="Positions of the items that turned out as duplicate or conflict."
    )
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["HELD", "WAITING", "TAKEN", "STORED", "SET_ASIDE"]), name="part_state"
            ),
            models.CheckConstraint(
                condition=Q(state="HELD", lane__isnull=True, discovered__isnull=False)
                | (~Q(state="HELD") & Q(lane__isnull=False)),
                name="part_has_lane_unless_held",
            ),
            models.CheckConstraint(
                condition=~Q(state="STORED") | Q(readings=F("stored") + F("already_stored") + F("conflicts")),
                name="part_books_balance",
            ),
        ]
        indexes = [
            models.Index(fields=["lane", "id"], condition=Q(state="WAITING"), name="part_waiting"),
            models.Index(fields=["run_id"], condition=Q(run_id__isnull=False), name="part_of_run"),
        ]

    def __str__(self) -> str:
        return f"part {self.pk} of {self.batch_id}"


class Reading(models.Model):
    """One value of one sensor at one instant, of the newest days: a view of chunks, to look at and to count.

    Filled by ``sensors.store``; windows, older days and the newest values are read through ``sensors.series``.
    """

    pk = models.CompositePrimaryKey("sensor_id", "measured_at")
    sensor = models.ForeignKey(Sensor, models.DO_NOTHING, db_constraint=False, related_name="readings")
    measured_at = models.DateTimeField()
    value = models.FloatField()
    quality = models.SmallIntegerField()
    reason = models.SmallIntegerField()

    class Meta:
        managed = False
        db_table = "sensors_reading"

    def __str__(self) -> str:
        return f"{self.sensor_id} at {self.measured_at:%Y-%m-%dT%H:%M:%S%z}: {self.value}"


class ReadingConflict(models.Model):
    """The same sensor and instant came with another value: the first is kept, the other one is here."""

    sensor = models.ForeignKey(Sensor, models.CASCADE, related_name="conflicts")
    measured_at = models.DateTimeField()
    value = models.FloatField()
    part = models.ForeignKey(BatchPart, models.CASCADE, related_name="conflict_rows")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["sensor", "measured_at", "value"], name="conflict_once")]

    def __str__(self) -> str:
        return f"{self.sensor_id} at {self.measured_at}: {self.value}"


class Told(models.Model):
    """What a person says of a machine, or of one sensor of it. It is retracted, never changed or deleted.

    That the sensor is one of the machine's, and the machine one of the site's, is a foreign key over both columns.
    """

    site = models.ForeignKey(Site, models.PROTECT, related_name="%(class)ss")
    machine = models.ForeignKey(Equipment, models.PROTECT, related_name="%(class)ss")
    sensor = models.ForeignKey(
        Sensor,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="%(class)ss",
        help_text="Empty: every sensor of the machine.",
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    retracted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    retracted_at = models.DateTimeField(null=True, help_text="Empty while it holds.")

    class Meta:
        abstract = True

    GIVEN = ("site", "machine", "sensor", "created_by", "retracted_by", "retracted_at")
    """What its writer gives, and no person types."""

    @property
    def place(self) -> Equipment | Sensor:
        return self.machine if self.sensor is None else self.sensor

    def clean(self) -> None:
        if self.machine.level != Equipment.Level.MACHINE:
            raise ValidationError({"machine": "Choose a machine: it is the level that is judged as one."})
        if self.sensor is not None and self.sensor.machine_id != self.machine_id:
            raise ValidationError({"sensor": "The sensor is not one of this machine's."})


class Label(Told):
    """What a person found to be true of a window of readings; both its ends belong to it."""

    class Kind(models.TextChoices):
        FAULT = "FAULT", "Fault: something was wrong with the machine"
        EXPECTED = "EXPECTED", "Expected: abnormal, and meant to be, such as a test or cleaning"
        FALSE_ALARM = "FALSE_ALARM", "False alarm: nothing was abnormal"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    from_at = models.DateTimeField()
    to_at = models.DateTimeField()
    failure_mode = models.CharField(
        max_length=3, blank=True, validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters, such as VIB.")],
        help_text="Of a fault, where it is known, in the sense of ISO 14224.",
    )  # fmt: skip
    note = models.TextField(blank=True)

    class Meta:
        ordering = ["-from_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["machine", "sensor", "from_at", "to_at"],
                condition=Q(retracted_at=None),
                nulls_distinct=False,
                name="label_once",
            ),
            models.CheckConstraint(condition=Q(to_at__gte=F("from_at")), name="label_window_not_empty"),
            models.CheckConstraint(condition=Q(kind__in=["FAULT", "EXPECTED", "FALSE_ALARM"]), name="label_kind"),
            models.CheckConstraint(condition=Q(kind="FAULT") | Q(failure_mode=""), name="label_mode_of_fault"),
        ]
        indexes = [
            models.Index(fields=["site", "-from_at", "-id"], name="label_of_site"),
            models.Index(fields=["machine", "-from_at"], name="label_of_machine"),
            models.Index(
                fields=["machine", "-to_at"], condition=Q(kind="FAULT", retracted_at=None), name="label_fault"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.place}, {self.from_at:%Y-%m-%d %H:%M} to {self.to_at:%Y-%m-%d %H:%M} UTC"

    def clean(self) -> None:
        super().clean()
        if self.to_at < self.from_at:
            raise ValidationError({"to_at": "The window ends before it begins."})
        if self.failure_mode and self.kind != self.Kind.FAULT:
            raise ValidationError({"failure_mode": "Only a fault has a failure mode."})


class Regime(Told):
    """From here on this is normal: what the detectors learned before counts no longer."""

    since = models.DateTimeField(help_text="The first instant of the new normal.")
    reason = models.TextField()

    class Meta:
        ordering = ["-since", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["machine", "sensor", "since"],
                condition=Q(retracted_at=None),
                nulls_distinct=False,
                name="regime_once",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="regime_has_reason"),
        ]
        indexes = [
            models.Index(fields=["site", "-since", "-id"], name="regime_of_site"),
            models.Index(fields=["machine", "-since"], name="regime_of_machine"),
        ]

    def __str__(self) -> str:
        return f"new normal of {self.place} from {self.since:%Y-%m-%d %H:%M} UTC"


class Event(models.Model):
    """One entry of the journal: what happened to which subject. Written with the change it tells of, never altered."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="events", null=True)
    type = models.CharField(max_length=60, help_text="Such as alarm.opened; see sensors.journal.")
    subject = models.CharField(max_length=60, help_text="Kind and id, such as alarm/7.")
    key = models.CharField(max_length=200, unique=True, help_text="Made of ids and causes: the same event comes once.")
    occurred_at = models.DateTimeField(help_text="When it happened, in event time.")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)
    actor = models.CharField(max_length=150, blank=True, help_text="Who did it; empty for the flow itself.")
    data = models.JSONField(default=dict)
    correlation_id = models.CharField(
        max_length=64, blank=True, default="", db_default="", editable=False, help_text="Of the request or run."
    )
    traceparent = models.CharField(max_length=55, blank=True, default="", db_default="", editable=False)
    written_in = models.BigIntegerField(
        null=True, editable=False, db_default=journal_order.OWN_TRANSACTION, help_text="See sensors.feed."
    )

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["subject", "id"], name="event_of_subject"),
            models.Index(fields=["site", "written_in", "id"], name="event_in_order_of_site"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.subject}"
