"""The flow's own record: runs and the attempts at their stages."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Now
from django.utils import timezone

from agents import backup_models, export_models, report_models  # noqa: F401  # Django looks for tables here
from mlops.models import Errand, ErrandStatus
from sensors.models import LANES, Equipment, Sensor, Site

STATUSES = ["ACTIVE", "QUARANTINE", "DONE", "FAILED", "REPLAY", "DISCARDED"]
STAGES = ["INGEST", "VALIDATE", "DETECT", "DECIDE", "NOTIFY"]
UNFINISHED = ~Q(status__in=["DONE", "FAILED", "DISCARDED"])


class RunQuerySet(models.QuerySet["Run"]):
    def strange(self) -> RunQuerySet:
        """Not at an end, and where this version does not know its way: another one wrote them."""
        return self.filter(UNFINISHED, ~Q(status__in=STATUSES) | ~Q(stage__in=STAGES))


class Run(models.Model):
    """One trip through the five stages of what waits in a lane, or in some lanes beside each other."""

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE", "Active"
        QUARANTINE = "QUARANTINE", "In quarantine: searched for the part that fails"
        DONE = "DONE", "Done"
        FAILED = "FAILED", "Failed: set aside, can be replayed"
        REPLAY = "REPLAY", "Waiting to be replayed"
        DISCARDED = "DISCARDED", "Discarded by a person, with a reason"

    class Stage(models.TextChoices):
        INGEST = "INGEST", "Ingest"
        VALIDATE = "VALIDATE", "Validate"
        DETECT = "DETECT", "Detect"
        DECIDE = "DECIDE", "Decide"
        NOTIFY = "NOTIFY", "Notify"

    lane = models.PositiveSmallIntegerField()
    lanes = models.PositiveSmallIntegerField(db_default=1, help_text="How many lanes it goes down, from the first on.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    stage = models.CharField(max_length=16, choices=Stage.choices, default=Stage.INGEST, help_text="The next to run.")
    attempts = models.PositiveIntegerField(default=0, help_text="At this stage, counted before the work.")
    lease_token = models.BigIntegerField(default=0, help_text="Grows with every claim: fences off a frozen worker.")
    lease_until = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    due_at = models.DateTimeField(db_default=Now())
    ring_after = models.DateTimeField(db_default=Now(), help_text="The sweep does not ring before.")
    rings = models.PositiveIntegerField(default=0)
    readings = models.PositiveIntegerField(default=0)
    verdicts = models.BinaryField(default=bytes, help_text="Keep, quality, reason and lateness, written by validate.")
    findings = models.JSONField(default=dict, help_text="What a stage leaves for the next.")
    gathered = models.JSONField(
        default=dict, db_default=models.Value({}, models.JSONField()), editable=False,
        help_text="The requests it is of: how many, the ids of the first, and traces. See agents.causes.",
    )  # fmt: skip
    split_from = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="split_off", help_text="The run it was a piece of, at first."
    )
    edition = models.PositiveIntegerField(
        db_default=0, help_text="Grows when the run is divided: readings cached before are no longer its own."
    )
    quarantines = models.PositiveIntegerField(db_default=0, help_text="At this stage.")
    error_class = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)
    cause = models.CharField(
        max_length=16, blank=True, db_default="", help_text="Hash of stage, error class and place in the code."
    )
    payload_sha256 = models.CharField(max_length=64, blank=True, db_default="", help_text="Of the packed readings.")
    resolution = models.TextField(blank=True, db_default="", help_text="Who discarded it, and why.")
    case = models.ForeignKey(
        "Case", models.PROTECT, null=True, db_index=False, related_name="runs",
        help_text="Of its latest failure for good.",
    )  # fmt: skip
    created_at = models.DateTimeField(db_default=Now(), db_index=True)
    finished_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            ExclusionConstraint(
                name="run_lanes_apart",
                expressions=[(Func("lane", F("lane") + F("lanes"), function="int4range"), RangeOperators.OVERLAPS)],
                condition=Q(status="ACTIVE"),
            ),
            models.CheckConstraint(condition=Q(lanes__gt=0, lane__lte=LANES - F("lanes")), name="run_lane"),
            models.CheckConstraint(condition=Q(status__in=STATUSES), name="run_status"),
            models.CheckConstraint(condition=Q(stage__in=STAGES), name="run_stage"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status="ACTIVE"), name="run_due"),
            models.Index(fields=["lane", "id"], condition=Q(status="REPLAY"), name="run_to_replay"),
            models.Index(fields=["due_at"], condition=Q(status="QUARANTINE"), name="run_in_quarantine"),
            models.Index(fields=["cause", "id"], condition=Q(status="FAILED"), name="run_set_aside"),
            models.Index(fields=["id"], condition=UNFINISHED, name="run_unfinished"),
            models.Index(fields=["case", "id"], condition=Q(case__isnull=False), name="run_of_case"),
        ]

    def __str__(self) -> str:
        return f"run {self.pk} in lane {self.lane}" + (f" and {self.lanes - 1} more" if self.lanes > 1 else "")

    @property
    def place(self) -> int:
        """Where it stands in the order of its lane: a piece stands where the whole stood."""
        return self.split_from_id or self.pk

    @property
    def was_aside(self) -> bool:
        """A replay: what the whole it was a piece of went on to judge came before it (P3)."""
        return bool(self.payload_sha256)


class StageAttempt(models.Model):
    """One attempt at one stage of a run, kept for ever: what happened, how long it took."""

    class Outcome(models.TextChoices):
        DONE = "DONE", "Done"
        RETRY = "RETRY", "Failed, will be tried again"
        QUARANTINE = "QUARANTINE", "Failed, sent to quarantine"
        SEARCHED = "SEARCHED", "Searched in quarantine for the part that fails"
        FAILED = "FAILED", "Failed for good"
        FENCED = "FENCED", "Another worker had taken over"

    run = models.ForeignKey(Run, models.CASCADE, related_name="stage_attempts")
    stage = models.CharField(max_length=16, choices=Run.Stage.choices)
    lease_token = models.BigIntegerField()
    worker = models.CharField(max_length=100)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(default=timezone.now)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    error_class = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "stage", "lease_token"], name="stage_attempt_once"),
            models.UniqueConstraint(fields=["run", "stage"], condition=Q(outcome="DONE"), name="stage_done_once"),
            models.CheckConstraint(condition=Q(ended_at__gte=F("started_at")), name="stage_attempt_ends_after_start"),
            models.CheckConstraint(
                condition=Q(outcome__in=["DONE", "RETRY", "QUARANTINE", "SEARCHED", "FAILED", "FENCED"]),
                name="stage_attempt_outcome",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stage} of run {self.run_id}: {self.outcome}"


class JobRun(models.Model):
    """One periodic job in one of its periods: done once in it, or tried until it is. See ``agents.jobs``."""

    class Outcome(models.TextChoices):
        RUNNING = "RUNNING", "Begun"
        DONE = "DONE", "Done"
        FAILED = "FAILED", "Failed: tried again at the next tick of its period"

    job = models.CharField(max_length=60, help_text="A name in agents.timetable.")
    period = models.DateTimeField(help_text="When the period begins.")
    started_at = models.DateTimeField(help_text="Of the last attempt.")
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    attempts = models.PositiveIntegerField(
        default=1, help_text="Grows with every attempt, which fences off a frozen one."
    )
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["job", "period"], name="job_once_a_period"),
            models.CheckConstraint(condition=Q(outcome__in=["RUNNING", "DONE", "FAILED"]), name="job_outcome"),
            models.CheckConstraint(
                condition=Q(outcome="RUNNING", finished_at__isnull=True)
                | (~Q(outcome="RUNNING") & Q(finished_at__isnull=False)),
                name="job_finished_unless_running",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job} of {self.period:%Y-%m-%d %H:%M:%S}"


class Heartbeat(models.Model):
    """What became of the calls of the outside heartbeat: one row. See ``agents.heartbeat``."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    answered_at = models.DateTimeField(null=True, help_text="The last call that was answered.")
    failed_at = models.DateTimeField(null=True, help_text="The last call that was not.")
    failures = models.PositiveBigIntegerField(default=0, help_text="Calls that were not answered, ever.")
    error = models.TextField(blank=True, help_text="Of the last one that was not.")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="heartbeat_one_row")]

    def __str__(self) -> str:
        return f"heartbeat, last answered {self.answered_at}"


class Case(models.Model):
    """Failures with one cause, and what was made of them: the doctor's or a person's."""

    class Status(models.TextChoices):
        OPEN = "OPEN", "Open: nobody has looked at it"
        INVESTIGATING = "INVESTIGATING", "Being diagnosed"
        REMEDIATING = "REMEDIATING", "A remedy is under way"
        RESOLVED = "RESOLVED", "Resolved: its runs came through"
        FAILED = "FAILED", "A person is asked: the doctor can do no more"
        CANCELLED = "CANCELLED", "Cancelled: its runs were discarded, or somebody gave it up"

    class Likely(models.TextChoices):
        DEPENDENCY = "DEPENDENCY", "Something the stage needs is down or in the way"
        PAYLOAD = "PAYLOAD", "Bad payload"
        SCHEMA = "SCHEMA", "Database and code do not fit together"
        RESOURCE = "RESOURCE", "Out of memory, time or space"
        BUG = "BUG", "Bug in the code"
        UNKNOWN = "UNKNOWN", "Unknown"

    ENDED = (Status.RESOLVED, Status.CANCELLED)

    cause = models.CharField(max_length=16, help_text="Hash of stage, error class and place in the code.")
    stage = models.CharField(max_length=16, choices=Run.Stage.choices)
    error_class = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    likely_cause = models.CharField(max_length=16, choices=Likely.choices, default=Likely.UNKNOWN)
    rule = models.CharField(max_length=50, blank=True, help_text="Of the table in agents.diagnosis.")
    remedy = models.CharField(max_length=30, blank=True)
    evidence = models.JSONField(default=dict, help_text="What the rule read.")
    failures = models.PositiveIntegerField(default=0, help_text="How often a run was set aside for this cause.")
    version = models.CharField(max_length=16, help_text="Of the code, at the latest failure.")
    attempts = models.PositiveIntegerField(default=0, help_text="Trials of the remedy.")
    trial = models.ForeignKey(
        Run, models.PROTECT, null=True, related_name="+", help_text="Replayed to see if it helps."
    )
    helped = models.BooleanField(null=True, help_text="Whether the latest trial came through.")
    due_at = models.DateTimeField(db_default=Now(), help_text="When the doctor looks again.")
    opened_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["cause"], condition=~Q(status__in=["RESOLVED", "CANCELLED"]), name="case_one_open_per_cause"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["OPEN", "INVESTIGATING", "REMEDIATING", "RESOLVED", "FAILED", "CANCELLED"]),
                name="case_status",
            ),
            models.CheckConstraint(
                condition=Q(likely_cause__in=["DEPENDENCY", "PAYLOAD", "SCHEMA", "RESOURCE", "BUG", "UNKNOWN"]),
                name="case_likely_cause",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["RESOLVED", "CANCELLED"], ended_at__isnull=False)
                | (~Q(status__in=["RESOLVED", "CANCELLED"]) & Q(ended_at__isnull=True)),
                name="case_ends_with_its_status",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"], condition=Q(status__in=["OPEN", "INVESTIGATING", "REMEDIATING"]), name="case_due"
            )
        ]

    def __str__(self) -> str:
        return f"case {self.pk}: {self.title}"


class CaseTransition(models.Model):
    """One line of a case's history, written once: who moved it, when and why."""

    case = models.ForeignKey(Case, models.CASCADE, related_name="transitions")
    from_status = models.CharField(max_length=16, choices=Case.Status.choices, blank=True)
    to_status = models.CharField(max_length=16, choices=Case.Status.choices)
    actor = models.CharField(max_length=150, help_text="A user's name, or doctor.")
    reason = models.TextField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.from_status or '-'} to {self.to_status} of case {self.case_id}"


class Release(models.Model):
    """A version of the code that ran here, and since when."""

    version = models.CharField(max_length=16, unique=True, help_text="Hash over the source.")
    first_seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-first_seen_at", "-id"]

    def __str__(self) -> str:
        return self.version


class Throttle(models.Model):
    """A client that may send only so much for a while, because most of what it sent lately could not be used."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="throttle")
    readings_per_second = models.PositiveIntegerField()
    until = models.DateTimeField()
    reason = models.TextField()
    case = models.ForeignKey(Case, models.SET_NULL, null=True, related_name="throttles")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(readings_per_second__gt=0), name="throttle_lets_something_in")
        ]
        indexes = [models.Index(fields=["until"], name="throttle_until")]

    def __str__(self) -> str:
        return f"{self.user} to {self.readings_per_second} readings a second"


class Backtest(Errand):
    """A question, what a limit or a detector would have done with stored readings, and its answer. Kept, never changed.

    Of a sensor, else of a machine, else of the whole site. See ``agents.backtests``.
    """

    Status = ErrandStatus

    site = models.ForeignKey(Site, models.CASCADE, related_name="backtests")
    machine = models.ForeignKey(Equipment, models.CASCADE, null=True, related_name="backtests")
    sensor = models.ForeignKey(Sensor, models.CASCADE, null=True, related_name="backtests")
    from_at = models.DateTimeField(help_text="First instant of the period.")
    to_at = models.DateTimeField(help_text="The period ends before it.")
    look_back_days = models.FloatField(help_text="Readings so long before the period teach and are not counted.")
    proposed = models.JSONField(default=dict, help_text="What is to differ from how things are; empty: nothing.")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    slices = models.PositiveIntegerField(default=0, help_text="How many there are to judge.")
    slices_done = models.PositiveIntegerField(default=0)
    result = models.JSONField(null=True, help_text="Figures of each side, and the versions they were found with.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(to_at__gt=F("from_at")), name="backtest_period_not_empty"),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "RUNNING", "DONE", "FAILED"]), name="backtest_status"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["DONE", "FAILED"], finished_at__isnull=False)
                | (~Q(status__in=["DONE", "FAILED"]) & Q(finished_at__isnull=True)),
                name="backtest_ends_with_its_status",
            ),
            models.CheckConstraint(condition=~Q(status="DONE") | Q(result__isnull=False), name="backtest_has_result"),
            models.CheckConstraint(condition=~Q(status="FAILED") | ~Q(reason=""), name="backtest_has_reason"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status__in=["PENDING", "RUNNING"]), name="backtest_due"),
            models.Index(fields=["site", "-id"], name="backtest_of_site"),
        ]

    def __str__(self) -> str:
        place = self.sensor or self.machine or self.site
        return f"backtest {self.pk} of {place}, {self.from_at:%Y-%m-%d} to {self.to_at:%Y-%m-%d}"
