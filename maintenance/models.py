"""Judgements and their consequences: anomalies, alarms, work orders, notifications."""

from __future__ import annotations

from datetime import date

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from maintenance import (  # Django looks for tables here
    approval_models,  # noqa: F401
    attachment_models,  # noqa: F401
    checklist_models,  # noqa: F401
    effort_models,  # noqa: F401
    escalation_models,  # noqa: F401
    flood_models,  # noqa: F401
    part_models,  # noqa: F401
    people_models,  # noqa: F401
    permit_models,  # noqa: F401
    plan_models,  # noqa: F401
    schedule_models,  # noqa: F401
    webhook_models,  # noqa: F401
)
from maintenance.definition_models import AlarmDefinition, AlarmPriority
from maintenance.history_models import PastOrder as PastOrder
from maintenance.log_models import LogEntry as LogEntry
from maintenance.log_models import LogLanguage as LogLanguage
from maintenance.log_models import LogLine as LogLine
from maintenance.operating_models import OperatingState
from maintenance.order_models import PRIORITY_KNOWN
from maintenance.order_models import Priority as Priority
from maintenance.order_models import WorkOrder as WorkOrder
from maintenance.order_models import WorkOrderTransition as WorkOrderTransition
from maintenance.parent_models import ParentRule
from sensors.models import Equipment, Sensor, Site

ALARM_PRIORITY_KNOWN = PRIORITY_KNOWN | Q(priority="ADVISORY")


class Triaged(models.Model):
    """What triage made of it (see ``maintenance.triage``)."""

    class Verdict(models.TextChoices):
        CREDIBLE = "CREDIBLE", "Credible"
        DOUBTFUL = "DOUBTFUL", "Doubtful"
        FALSE_POSITIVE = "FALSE_POSITIVE", "False positive"

    verdict = models.CharField(
        max_length=16, choices=Verdict.choices, blank=True, db_default="", help_text="Empty where it was not asked."
    )
    verdict_reasons = models.JSONField(db_default=models.Value([], models.JSONField()))

    class Meta:
        abstract = True


VERDICT_KNOWN = Q(verdict__in=["", "CREDIBLE", "DOUBTFUL", "FALSE_POSITIVE"])


class Anomaly(Triaged):
    """A finding that was committed: a stretch of one sensor's readings that was judged abnormal."""

    class Nature(models.TextChoices):
        MACHINE = "MACHINE", "Of the machine"
        INSTRUMENT = "INSTRUMENT", "Of the sensor: the machine cannot have produced this data"

    site = models.ForeignKey(Site, models.PROTECT, related_name="anomalies")
    sensor = models.ForeignKey(Sensor, models.PROTECT, related_name="anomalies")
    machine = models.ForeignKey(Equipment, models.PROTECT, related_name="anomalies")
    nature = models.CharField(max_length=16, choices=Nature.choices, default=Nature.MACHINE)
    detector = models.CharField(max_length=50)
    detector_version = models.CharField(max_length=50)
    kind = models.CharField(max_length=32)
    failure_mode = models.CharField(max_length=3, help_text="In the sense of ISO 14224.")
    started_at = models.DateTimeField()
    last_at = models.DateTimeField(help_text="Newest abnormal reading.")
    ended_at = models.DateTimeField(null=True, help_text="Empty while it lasts.")
    readings = models.PositiveIntegerField()
    peak_score = models.FloatField()
    peak_at = models.DateTimeField()
    observed = models.FloatField(null=True, help_text="Value at the peak; empty where there is none, as in a gap.")
    expected_low = models.FloatField(null=True)
    expected_high = models.FloatField(null=True)
    window_from = models.DateTimeField(help_text="The readings the verdict rests on.")
    window_to = models.DateTimeField()
    contributors = models.JSONField(default=list, help_text="Sensor ids with their shares.")
    retrospective = models.BooleanField(default=False, help_text="Found in late data: never pages, never clears.")
    detail = models.TextField(blank=True)
    is_settled = models.BooleanField(
        default=False, editable=False, help_text="Nothing more can come of it: decide looks at it no more."
    )
    first_run_id = models.BigIntegerField()
    last_run_id = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "anomalies"
        ordering = ["-started_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["sensor", "detector", "started_at", "retrospective"],
                condition=Q(nature="MACHINE"),
                name="anomaly_once",
            ),
            models.UniqueConstraint(
                fields=["sensor", "kind", "started_at", "retrospective"],
                condition=Q(nature="INSTRUMENT"),
                name="anomaly_fault_once",
            ),
            models.CheckConstraint(condition=Q(nature__in=["MACHINE", "INSTRUMENT"]), name="anomaly_nature"),
            models.CheckConstraint(condition=VERDICT_KNOWN, name="anomaly_verdict"),
            models.CheckConstraint(condition=Q(last_at__gte=F("started_at")), name="anomaly_ends_after_start"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("last_at")), name="anomaly_end_is_last"
            ),
        ]
        indexes = [
            models.Index(fields=["machine", "failure_mode"], condition=Q(ended_at=None), name="anomaly_standing"),
            models.Index(fields=["machine"], condition=Q(is_settled=False), name="anomaly_to_decide"),
            models.Index(fields=["machine", "failure_mode", "ended_at"], name="anomaly_of_mode"),
            models.Index(fields=["site", "-started_at", "-id"], name="anomaly_of_site"),
            models.Index(fields=["machine", "started_at"], condition=Q(nature="MACHINE"), name="anomaly_of_machine"),
            models.Index(fields=["sensor", "ended_at"], condition=Q(nature="INSTRUMENT"), name="anomaly_fault_end"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.sensor} from {self.started_at:%Y-%m-%d %H:%M}"


class DetectorRecord(models.Model):
    """How often a detector was right about a sensor: a view. Each live anomaly counts once, as its labels say."""

    id = models.BigIntegerField(primary_key=True, help_text="That of the first of its anomalies.")
    site = models.ForeignKey(Site, models.DO_NOTHING, related_name="+", db_constraint=False)
    sensor = models.ForeignKey(Sensor, models.DO_NOTHING, related_name="+", db_constraint=False)
    detector = models.CharField(max_length=50)
    anomalies = models.IntegerField()
    real = models.IntegerField(help_text="Labelled as a fault.")
    false = models.IntegerField(help_text="Labelled as a false alarm.")
    expected = models.IntegerField(help_text="Labelled as expected.")
    unknown = models.IntegerField(help_text="Not labelled.")
    precision = models.FloatField(null=True, help_text="Share of the real among the real and the false ones.")
    days = models.IntegerField(help_text="Days (UTC) of which readings of the sensor are stored.")
    false_per_week = models.FloatField(null=True, help_text="False ones of seven such days.")
    last_at = models.DateTimeField(help_text="When the newest of its anomalies began.")

    class Meta:
        managed = False
        db_table = "maintenance_detectorrecord"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.detector} on {self.sensor}"


class Alarm(Triaged):
    """An abnormal condition that requires a response (ISA-18.2). One open per machine and failure mode."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="alarms")
    machine = models.ForeignKey(Equipment, models.PROTECT, related_name="alarms")
    failure_mode = models.CharField(max_length=3)
    priority = models.CharField(max_length=16, choices=AlarmPriority.choices)
    is_active = models.BooleanField(default=True, help_text="The condition stands.")
    is_acknowledged = models.BooleanField(default=False)
    is_open = models.GeneratedField(
        expression=models.ExpressionWrapper(Q(is_active=True) | Q(is_acknowledged=False), models.BooleanField()),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    raised_at = models.DateTimeField(help_text="In event time.")
    returned_at = models.DateTimeField(null=True, help_text="When it returned to normal, in event time.")
    occurrences = models.PositiveIntegerField(default=1)
    sensor = models.ForeignKey(Sensor, models.PROTECT, related_name="alarms", help_text="The first to tell.")
    peak_score = models.FloatField(default=0)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    acknowledged_at = models.DateTimeField(null=True)
    assigned_to = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="alarms")
    definition = models.ForeignKey(
        AlarmDefinition, models.SET_NULL, null=True, related_name="alarms", help_text="What holds for it."
    )
    re_alarm_at = models.DateTimeField(null=True, editable=False, help_text="When it is told again.")
    re_alarms = models.PositiveSmallIntegerField(db_default=0, default=0, help_text="How often it was told again.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-raised_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["machine", "failure_mode"],
                condition=Q(is_active=True) | Q(is_acknowledged=False),
                name="alarm_one_open",
            ),
            models.CheckConstraint(condition=ALARM_PRIORITY_KNOWN, name="alarm_priority"),
            models.CheckConstraint(
                condition=Q(re_alarm_at__isnull=True) | Q(is_active=True), name="alarm_re_alarm_while_active"
            ),
            models.CheckConstraint(condition=VERDICT_KNOWN, name="alarm_verdict"),
        ]
        indexes = [
            models.Index(fields=["site", "-raised_at", "-id"], name="alarm_of_site"),
            models.Index(fields=["machine", "failure_mode", "-raised_at"], name="alarm_of_mode"),
            models.Index(fields=["re_alarm_at"], condition=Q(re_alarm_at__isnull=False), name="alarm_re_alarm_due"),
            models.Index(fields=["site"], condition=Q(is_active=True, is_acknowledged=False), name="alarm_unseen"),
        ]

    def __str__(self) -> str:
        return f"{self.priority} {self.failure_mode} on {self.machine}"


class AlarmTransition(models.Model):
    """One step in the life of an alarm."""

    class Action(models.TextChoices):
        OPENED = "OPENED", "Opened"
        NOTED = "NOTED", "Noted: an advisory"
        RAISED = "RAISED", "Raised in priority"
        RETURNED = "RETURNED", "Returned to normal"
        REOPENED = "REOPENED", "Active again"
        RE_ALARMED = "RE_ALARMED", "Still active: told again"
        ACKNOWLEDGED = "ACKNOWLEDGED", "Acknowledged"
        UNACKNOWLEDGED = "UNACKNOWLEDGED", "No longer acknowledged"
        COMMENTED = "COMMENTED", "Commented"
        ASSIGNED = "ASSIGNED", "Assigned"
        SHELVED = "SHELVED", "Shelved"
        UNSHELVES_SOON = "UNSHELVES_SOON", "Shelving ends soon"
        UNSHELVED = "UNSHELVED", "No longer shelved"
        SUPPRESSED = "SUPPRESSED", "Suppressed by design"
        UNSUPPRESSED = "UNSUPPRESSED", "No longer suppressed by design"
        OUT_OF_SERVICE = "OUT_OF_SERVICE", "Out of service"
        BACK_IN_SERVICE = "BACK_IN_SERVICE", "Back in service"

    alarm = models.ForeignKey(Alarm, models.CASCADE, related_name="transitions")
    action = models.CharField(max_length=16, choices=Action.choices)
    key = models.CharField(max_length=200, unique=True, help_text="Made of ids, causes and event time.")
    at = models.DateTimeField(help_text="In event time.")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)
    run_id = models.BigIntegerField(null=True, help_text="The run that decided it.")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    reason = models.CharField(max_length=100, blank=True)
    comment = models.TextField(blank=True)
    suppression = models.CharField(
        max_length=16, blank=True, db_default="", help_text="Why nobody was told: the alarm was hidden."
    )
    to_tell = models.BooleanField(db_default=False, help_text="No run tells of it: the sweep has still to.")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    action__in=[
                        "OPENED", "RAISED", "RETURNED", "REOPENED", "ACKNOWLEDGED", "UNACKNOWLEDGED", "COMMENTED",
                        "ASSIGNED", "SHELVED", "UNSHELVES_SOON", "UNSHELVED", "SUPPRESSED", "UNSUPPRESSED",
                        "OUT_OF_SERVICE", "BACK_IN_SERVICE", "NOTED", "RE_ALARMED",
                    ]
                ),
                name="alarm_transition_action",
            ),
            models.CheckConstraint(
                condition=Q(suppression__in=["", "SHELVED", "BY_DESIGN", "OUT_OF_SERVICE"]),
                name="alarm_transition_suppression",
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["run_id"], condition=Q(run_id__isnull=False), name="alarm_transition_of_run"),
            models.Index(fields=["id"], condition=Q(to_tell=True), name="alarm_transition_to_tell"),
            models.Index(fields=["alarm", "id"], name="alarm_transition_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.alarm_id}"


class MaintenanceWindow(models.Model):
    """Time set aside for work: the alarms of its machines are suppressed by design. See ``maintenance.occurrences``."""

    MOST_DAYS = 28
    A_DAY = 24 * 60
    LATEST = date(2199, 12, 31)

    site = models.ForeignKey(Site, models.PROTECT, related_name="maintenance_windows")
    equipment = models.ForeignKey(
        Equipment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="maintenance_windows",
        help_text="A machine, or a line with all that stands in it. Empty for the whole site.",
    )
    reason = models.TextField(help_text="Who looks at what is hidden reads it.")
    first_on = models.DateField(
        validators=[MaxValueValidator(LATEST)], help_text="Day of the first one, in the site's time zone."
    )
    starts = models.TimeField(help_text="In the site's time zone.")
    minutes = models.PositiveIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(MOST_DAYS * A_DAY)], help_text="How long it lasts."
    )
    weekdays = models.JSONField(
        default=list, blank=True, help_text="Days on which it comes again: 1 = Monday to 7 = Sunday. None = once."
    )
    last_on = models.DateField(
        null=True, blank=True, validators=[MaxValueValidator(LATEST)],
        help_text="Last day on which it may begin; of one that comes again.",
    )  # fmt: skip
    look_at = models.DateTimeField(
        null=True, editable=False, help_text="When the sweep looks at it next; empty: nothing more comes of it."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    cancelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    cancelled_at = models.DateTimeField(null=True, editable=False)
    cancel_reason = models.TextField(blank=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="window_reason"),
            models.CheckConstraint(condition=Q(minutes__gte=1), name="window_lasts"),
            models.CheckConstraint(condition=Q(weekdays__contained_by=[1, 2, 3, 4, 5, 6, 7]), name="window_weekdays"),
            models.CheckConstraint(
                condition=Q(weekdays=[], last_on=None)
                | (~Q(weekdays=[]) & Q(last_on__isnull=False, last_on__gte=F("first_on"))),
                name="window_has_an_end",
                violation_error_message="What comes again needs a last day, not before the first; "
                "nothing else has one.",
            ),
        ]
        indexes = [
            models.Index(fields=["look_at"], condition=Q(look_at__isnull=False), name="window_due"),
            models.Index(fields=["site", "-id"], name="window_of_site"),
        ]

    def __str__(self) -> str:
        return f"{self.equipment or self.site}: {self.reason}"[:120]


class Suppression(models.Model):
    """Hides the alarms of a machine, or of one failure mode of it, while it stands: ``ended_at`` is empty.

    They go on being evaluated and recorded, but nobody is told and no work is called for. Each has an end: an instant,
    or that of the work order it belongs to.
    """

    class Kind(models.TextChoices):
        SHELVED = "SHELVED", "Shelved"
        BY_DESIGN = "BY_DESIGN", "Suppressed by design"
        OUT_OF_SERVICE = "OUT_OF_SERVICE", "Out of service"

    site = models.ForeignKey(Site, models.PROTECT, related_name="suppressions")
    machine = models.ForeignKey(Equipment, models.PROTECT, related_name="suppressions")
    failure_mode = models.CharField(max_length=3, blank=True, help_text="Empty: all of the machine.")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    one_shot = models.BooleanField(default=False, help_text="Ends as soon as the alarm has returned to normal.")
    reason = models.TextField()
    from_at = models.DateTimeField()
    until = models.DateTimeField(null=True, help_text="When it ends at the latest.")
    work_order = models.ForeignKey(
        "WorkOrder", models.PROTECT, null=True, related_name="suppressions", help_text="It ends with this order."
    )
    window = models.ForeignKey(
        MaintenanceWindow, models.PROTECT, null=True, related_name="suppressions", help_text="Whose occurrence it is."
    )
    operating = models.ForeignKey(
        OperatingState, models.PROTECT, null=True, related_name="suppressions",
        help_text="The state of the machine that hides them: what happens in it is hidden, in event time.",
    )  # fmt: skip
    parent_rule = models.ForeignKey(
        ParentRule, models.RESTRICT, null=True, related_name="suppressions", help_text="By which an alarm hides others."
    )
    parent_alarm = models.ForeignKey(
        Alarm, models.CASCADE, null=True, related_name="hides", help_text="What they follow from, in event time."
    )
    over_at = models.DateTimeField(
        null=True, help_text="When that state is over, in event time, where it is known; what was on then is told yet."
    )
    notice_at = models.DateTimeField(
        null=True, help_text="When to say that it ends soon; empty where that is done or not called for."
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    end_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["SHELVED", "BY_DESIGN", "OUT_OF_SERVICE"]), name="suppression_kind"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="suppression_reason"),
            models.CheckConstraint(
                condition=Q(until__isnull=False) | Q(work_order__isnull=False, kind="OUT_OF_SERVICE"),
                name="suppression_has_an_end",
            ),
            models.CheckConstraint(
                condition=Q(until__isnull=True) | Q(until__gt=F("from_at")), name="suppression_ends_after_start"
            ),
            models.CheckConstraint(
                condition=Q(one_shot=False) | (Q(kind="SHELVED") & ~Q(failure_mode="")), name="suppression_one_shot"
            ),
            models.UniqueConstraint(
                fields=["machine", "failure_mode"],
                condition=Q(kind="SHELVED", ended_at=None),
                name="suppression_one_shelf",
            ),
            models.UniqueConstraint(
                fields=["work_order"], condition=Q(ended_at=None), name="suppression_one_of_an_order"
            ),
            models.UniqueConstraint(fields=["window", "machine", "from_at"], name="suppression_once_an_occurrence"),
            models.UniqueConstraint(fields=["operating", "failure_mode", "from_at"], name="suppression_once_a_state"),
            models.CheckConstraint(
                condition=Q(operating__isnull=True) | Q(kind="BY_DESIGN", until__isnull=False),
                name="suppression_by_state",
            ),
            models.UniqueConstraint(
                fields=["parent_rule", "parent_alarm", "machine", "failure_mode", "from_at"],
                name="suppression_once_a_parent",
            ),
            models.CheckConstraint(
                condition=Q(parent_rule__isnull=True, parent_alarm__isnull=True)
                | Q(parent_rule__isnull=False, parent_alarm__isnull=False, kind="BY_DESIGN", until__isnull=False),
                name="suppression_by_parent",
            ),
        ]
        indexes = [
            models.Index(fields=["machine"], condition=Q(ended_at=None), name="suppression_standing"),
            models.Index(fields=["until"], condition=Q(ended_at=None), name="suppression_due"),
            models.Index(
                fields=["notice_at"], condition=Q(ended_at=None, notice_at__isnull=False), name="suppression_notice"
            ),
            models.Index(
                fields=["machine", "from_at"],
                condition=Q(kind__in=["OUT_OF_SERVICE", "BY_DESIGN"]),
                name="suppression_of_work",
            ),
            models.Index(
                fields=["machine", "ended_at"], condition=Q(operating__isnull=False), name="suppression_of_state"
            ),
            models.Index(fields=["site", "-id"], name="suppression_of_site"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.machine}, {self.failure_mode or 'all failure modes'}"


class Decision(models.Model):
    """What decide made of an anomaly and why, also where it did nothing."""

    machine = models.ForeignKey(Equipment, models.CASCADE, related_name="decisions")
    failure_mode = models.CharField(max_length=3)
    anomaly = models.ForeignKey(Anomaly, models.CASCADE, null=True, related_name="decisions")
    action = models.CharField(max_length=32)
    reason = models.CharField(max_length=100)
    at = models.DateTimeField(help_text="In event time.")
    run_id = models.BigIntegerField()
    key = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.action}: {self.reason}"


class Reader(models.Model):
    """A person who gets messages of a site, and when and how many at a time they want."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="readers")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="readers")
    time_zone = models.CharField(
        max_length=64, blank=True, help_text="IANA name, such as Europe/Lisbon; empty for the site's."
    )
    quiet_from = models.TimeField(null=True, blank=True, help_text="In the person's time; what comes then waits.")
    quiet_until = models.TimeField(null=True, blank=True)
    critical_at_once = models.BooleanField(
        default=True, help_text="Critical ones wait neither for quiet hours to end nor for a digest."
    )
    limit_messages = models.PositiveIntegerField(
        default=0,
        help_text="So many in the minutes beside it at most; what is more comes in a digest. 0 = any number.",
    )
    limit_minutes = models.PositiveIntegerField(default=10, validators=[MinValueValidator(1)])
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "user"]
        constraints = [
            models.UniqueConstraint(fields=["site", "user"], name="reader_once"),
            models.CheckConstraint(
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="reader_quiet_has_both_ends",
                violation_error_message="Quiet hours need a beginning and an end.",
            ),
            models.CheckConstraint(condition=Q(limit_minutes__gte=1), name="reader_limit_lasts"),
        ]

    def __str__(self) -> str:
        return str(self.user)


class Channel(models.Model):
    """Where a site's messages go: one recipient on one medium."""

    class Kind(models.TextChoices):
        EMAIL = "EMAIL", "E-mail"
        WEBHOOK = "WEBHOOK", "Signed webhook"
        SERVICE = "SERVICE", "Slack, Teams, SMS, Telegram, ntfy and others (apprise)"
        CONSOLE = "CONSOLE", "Console (the worker's log)"

    class Language(models.TextChoices):
        ENGLISH = "en", "English"
        PORTUGUESE = "pt", "Portuguese"

    site = models.ForeignKey(Site, models.CASCADE, related_name="channels")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = models.CharField(max_length=100)
    target = models.CharField(max_length=500, blank=True, help_text="Mail address or https URL; none for the console.")
    secret = models.CharField(
        max_length=1_000, blank=True, help_text="Signs a webhook's body (HMAC-SHA256); of a service, its address."
    )
    lowest_priority = models.CharField(
        max_length=16, choices=Priority.choices, default=Priority.LOW, help_text="Nothing below this is sent."
    )
    reader = models.ForeignKey(
        Reader,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="channels",
        help_text="Whose address it is: their quiet hours and limit hold. Empty where it is shared.",
    )
    language = models.CharField(max_length=2, choices=Language.choices, default=Language.ENGLISH, db_default="en")
    digest_minutes = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Collect for so many minutes into one message. 0 = each at once."
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="owned_channels",
        help_text="Who looks after it, and is told when nothing can be sent there any more.",
    )
    is_enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=300, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, db_default=0, editable=False, help_text="In a row.")
    silent_until = models.DateTimeField(
        null=True, editable=False, help_text="The target rests after failures; nothing is sent before."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "name"]
        constraints = [
            models.UniqueConstraint(fields=["site", "name"], name="channel_name_once"),
            models.CheckConstraint(
                condition=Q(kind__in=["EMAIL", "WEBHOOK", "SERVICE", "CONSOLE"]), name="channel_kind"
            ),
            models.CheckConstraint(condition=Q(language__in=["en", "pt"]), name="channel_language"),
        ]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """What a person or a channel is to be told of. A channel that none names gets all of its site."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="subscriptions")
    reader = models.ForeignKey(Reader, models.CASCADE, null=True, blank=True, related_name="subscriptions")
    channel = models.ForeignKey(Channel, models.CASCADE, null=True, blank=True, related_name="subscriptions")
    equipment = models.ForeignKey(
        Equipment,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="subscriptions",
        help_text="A machine, or a line with all that stands in it. Empty for the whole site.",
    )
    lowest_priority = models.CharField(
        max_length=16, choices=Priority.choices, default=Priority.LOW, help_text="Nothing below this is told."
    )
    kinds = models.JSONField(default=list, blank=True, help_text="Kinds of event; none chosen = all.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(lowest_priority__in=["CRITICAL", "HIGH", "MEDIUM", "LOW"]), name="subscription_priority"
            ),
            models.CheckConstraint(
                condition=Q(reader__isnull=False, channel__isnull=True) | Q(reader__isnull=True, channel__isnull=False),
                name="subscription_of_one",
                violation_error_message="Choose a person or a channel, one of the two.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reader or self.channel}: {self.equipment or self.site}"


class Notification(models.Model):
    """One message to one recipient on one channel: an outbox row."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "Waiting to be sent"
        HELD = "HELD", "Held for a digest"
        DIGESTED = "DIGESTED", "Told in a digest"
        SENT = "SENT", "Sent"
        SUPERSEDED = "SUPERSEDED", "Superseded: not sent"
        FAILED = "FAILED", "Failed for good"

    class Urgency(models.IntegerChoices):
        """What is sent first, the highest first; of one, what was due first."""

        ORDINARY = 0, "Ordinary"
        CRITICAL = 1, "Of a critical alarm"
        ESCALATION = 2, "Escalation"

    site = models.ForeignKey(Site, models.CASCADE, related_name="notifications")
    channel = models.ForeignKey(Channel, models.RESTRICT, related_name="notifications")
    event_type = models.CharField(max_length=60)
    subject_line = models.CharField(max_length=300)
    payload = models.JSONField(help_text="What the message is rendered from.")
    key = models.CharField(max_length=200, unique=True, help_text="Made of ids and causes; sent as idempotency key.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    urgency = models.PositiveSmallIntegerField(
        choices=Urgency.choices, default=Urgency.ORDINARY, db_default=0, help_text="What is sent first."
    )
    attempts = models.PositiveIntegerField(default=0)
    lease_token = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    due_at = models.DateTimeField(db_default=Now())
    ring_after = models.DateTimeField(db_default=Now(), help_text="The sweep does not ring before.")
    rings = models.PositiveIntegerField(default=0)
    admitted_at = models.DateTimeField(null=True, help_text="When it counted against the person's limit.")
    held_for = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="Why it did not go at once."
    )
    digest = models.ForeignKey("self", models.SET_NULL, null=True, related_name="told", help_text="What told it.")
    sent_at = models.DateTimeField(null=True)
    provider_reference = models.CharField(max_length=300, blank=True)
    error = models.TextField(blank=True)
    run_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "HELD", "DIGESTED", "SENT", "SUPERSEDED", "FAILED"]),
                name="notification_status",
            ),
            models.CheckConstraint(
                condition=~Q(status="SENT") | Q(sent_at__isnull=False), name="notification_sent_when"
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status="PENDING"), name="notification_due"),
            models.Index(
                fields=["-urgency", "due_at", "id"],
                condition=Q(status="PENDING", urgency__gt=0),
                name="notification_urgent",
            ),
            models.Index(fields=["channel", "due_at"], condition=Q(status="HELD"), name="notification_held"),
            models.Index(
                fields=["channel", "admitted_at"], condition=Q(admitted_at__isnull=False), name="notification_admitted"
            ),
            models.Index(fields=["site", "-id"], name="notification_of_site"),
        ]

    def __str__(self) -> str:
        return self.subject_line


class Attempt(models.Model):
    """One try to send a message: a line of the ledger."""

    class Outcome(models.TextChoices):
        SENT = "SENT", "Sent"
        RETRY = "RETRY", "To be tried again"
        FAILED = "FAILED", "Failed for good"

    notification = models.ForeignKey(Notification, models.CASCADE, related_name="tries")
    attempt = models.PositiveIntegerField()
    worker = models.CharField(max_length=100)
    began_at = models.DateTimeField(help_text="When it was claimed.")
    ended_at = models.DateTimeField(db_default=Now(), editable=False)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    reference = models.CharField(max_length=300, blank=True, help_text="What the other side calls the message.")
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(outcome__in=["SENT", "RETRY", "FAILED"]), name="attempt_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} {self.notification_id}"


class LinkUse(models.Model):
    """A link in a message that somebody used: what was done, in whose name."""

    key = models.CharField(max_length=200, unique=True, help_text="Purpose, message and alarm: a link is used once.")
    purpose = models.CharField(max_length=16)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    alarm = models.ForeignKey(Alarm, models.CASCADE, related_name="link_uses")
    notification = models.ForeignKey(Notification, models.CASCADE, related_name="link_uses")
    address = models.GenericIPAddressField(null=True, help_text="Where the request came from.")
    used_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.purpose} by {self.user}"
