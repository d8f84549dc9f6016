"""What was learned: the state of the stages, a row per machine; and models with the ledger of which of them spoke."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from mlops import drift_models, limit_models, performance_models  # noqa: F401  # Django looks for tables here
from sensors.models import Equipment, Site


class MachineState(models.Model):
    """What validate and detect remember of a machine's sensors, packed by ``mlops.state``.

    Each of the two names the last run it has seen, so that a run is never learned from twice.
    """

    machine = models.OneToOneField(Equipment, models.CASCADE, primary_key=True, related_name="state")
    memory = models.BinaryField(default=bytes, help_text="Of validate.")
    memory_run_id = models.BigIntegerField(default=0)
    learned = models.BinaryField(default=bytes, help_text="Of detect.")
    learned_run_id = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"state of machine {self.machine_id}"


class ModelPolicy(models.Model):
    """How a model is looked after, by name: made when it is first trained, changed by people."""

    class Promotion(models.TextChoices):
        MANAGED = "MANAGED", "By itself, where the gate is passed"
        MANUAL = "MANUAL", "By a person, where the gate is passed"

    name = models.CharField(primary_key=True, max_length=100)
    promotion = models.CharField(
        max_length=16, choices=Promotion.choices, default=Promotion.MANAGED,
        help_text="Who makes a version champion that is better than the one before.",
    )  # fmt: skip
    retrain_days = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Trained anew so often; empty: only when asked for."
    )
    cooldown_hours = models.PositiveSmallIntegerField(
        default=24, help_text="After a training nothing but a person asks for another so long."
    )
    most_a_month = models.PositiveSmallIntegerField(
        "trainings a month", default=10, help_text="That nothing but a person asks for, at most."
    )
    challenger_share = models.FloatField(
        "challenger's share of lanes", default=0.0,
        help_text="0 to 1: of so many lanes the challenger's answers are the ones that are shown (A/B).",
    )  # fmt: skip
    site = models.ForeignKey(
        Site, models.PROTECT, null=True, blank=True, editable=False, related_name="model_policies",
        help_text="It learns from this site's readings and is asked about its machines alone; empty: of all sites.",
    )  # fmt: skip
    equipment_class = models.CharField(
        max_length=50,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Of a site's model, in capitals.",
    )
    look_back_days = models.PositiveSmallIntegerField(
        "days it learns from", default=90, db_default=90, validators=[MinValueValidator(1), MaxValueValidator(3_650)],
        help_text="Of a site's model: up to the newest reading.",
    )  # fmt: skip
    retrain_labels = models.PositiveSmallIntegerField(
        "new labels", null=True, blank=True, default=5, db_default=5, validators=[MinValueValidator(1)],
        help_text="Of a site's model: so many labels since its last training ask for another; empty: none do.",
    )  # fmt: skip
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name, verbose_name_plural = "model", "models"
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["site", "equipment_class"], name="policy_one_of_a_site_and_class"),
            models.CheckConstraint(
                condition=Q(site__isnull=True, equipment_class="") | (Q(site__isnull=False) & ~Q(equipment_class="")),
                name="policy_of_a_site_has_a_class",
            ),
            models.CheckConstraint(condition=Q(promotion__in=["MANAGED", "MANUAL"]), name="policy_promotion"),
            models.CheckConstraint(
                condition=Q(challenger_share__gte=0, challenger_share__lte=1), name="policy_share_is_one"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ErrandStatus(models.TextChoices):
    PENDING = "PENDING", "Waiting for a worker"
    RUNNING = "RUNNING", "Under way"
    DONE = "DONE", "Done"
    FAILED = "FAILED", "Failed: the reason says why"


class Errand(models.Model):
    """What a worker needs to take a row, when that was, and what came of it (``agents.errand``). Attempts are counted
    before the work."""

    UNFINISHED = ("PENDING", "RUNNING")

    status = models.CharField(max_length=16, choices=ErrandStatus.choices, default=ErrandStatus.PENDING)
    reason = models.TextField(blank=True, help_text="Why it failed.")
    attempts = models.PositiveIntegerField(default=0)
    lease_token = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    due_at = models.DateTimeField(db_default=Now())
    ring_after = models.DateTimeField(db_default=Now())
    rings = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True


class Training(Errand):
    """A training that was asked for, and what came of it. Kept, never changed after its end."""

    Status = ErrandStatus

    class Cause(models.TextChoices):
        PERSON = "PERSON", "A person asked for it"
        SCHEDULE = "SCHEDULE", "It was due"
        DRIFT = "DRIFT", "Drift was found"

    name = models.CharField(max_length=100, help_text="Of the model.")
    cause = models.CharField(max_length=16, choices=Cause.choices, default=Cause.PERSON)
    options = models.JSONField(default=dict, help_text="Seed, seconds for the search, hyper-parameters where given.")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", help_text="Empty: the service itself."
    )
    step = models.CharField(max_length=100, blank=True, help_text="What is done now.")
    done_share = models.FloatField(default=0.0)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=Q(status__in=["PENDING", "RUNNING"]), name="training_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "RUNNING", "DONE", "FAILED"]), name="training_status"
            ),
            models.CheckConstraint(condition=Q(cause__in=["PERSON", "SCHEDULE", "DRIFT"]), name="training_cause"),
            models.CheckConstraint(
                condition=Q(status__in=["DONE", "FAILED"], finished_at__isnull=False)
                | (~Q(status__in=["DONE", "FAILED"]) & Q(finished_at__isnull=True)),
                name="training_ends_with_its_status",
            ),
            models.CheckConstraint(condition=~Q(status="FAILED") | ~Q(reason=""), name="training_has_reason"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status__in=["PENDING", "RUNNING"]), name="training_due"),
            models.Index(fields=["name", "-id"], name="training_of_model"),
        ]

    def __str__(self) -> str:
        return f"training {self.pk} of {self.name}" if self.pk else "a training"


class ModelVersion(models.Model):
    """One model that was trained: what it takes, what it was measured at, and where its bytes are. Never changed."""

    name = models.CharField(max_length=100)
    version = models.PositiveIntegerField()
    experiment = models.CharField(max_length=100)
    training = models.OneToOneField(Training, models.PROTECT, related_name="version")
    kind = models.CharField(max_length=50, help_text="Of the code that answers.")
    signature = models.JSONField(help_text="Features and outputs with their units, and how far it looks back.")
    settings = models.JSONField(help_text="Hyper-parameters.")
    figures = models.JSONField(help_text="On what was held out: name -> value with the ends of its interval.")
    baselines = models.JSONField(help_text="Theirs, by name.")
    comparisons = models.JSONField(help_text="With each baseline and with the champion of the time.")
    objections = models.JSONField(help_text="Why the gate does not let it pass; empty: it does.")
    usual_losses = models.JSONField(
        default=list, db_default=[], help_text="Of intervals: the loss over the width, of each block that was held out."
    )
    learned_from = models.PositiveIntegerField(help_text="Questions it was taught.")
    held_out = models.PositiveIntegerField(help_text="Questions it was measured at.")
    data_sha256 = models.CharField(max_length=64, help_text="Of the data it was taught and measured at.")
    sha256 = models.CharField(max_length=64, help_text="Of its bytes; checked before they are opened.")
    size = models.PositiveIntegerField(help_text="In bytes.")
    uri = models.CharField(max_length=500, help_text="Where its bytes are.")
    run_id = models.CharField(max_length=64, help_text="In MLflow.")
    mlflow_version = models.PositiveIntegerField(help_text="Its number in MLflow's registry.")
    card = models.TextField(help_text="What a person should know of it, as Markdown.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name, verbose_name_plural = "version of a model", "versions of models"
        ordering = ["name", "-version"]
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="version_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Deployment(models.Model):
    """One entry of the ledger: which version had an alias of its model from when to when, by whom and why.

    Entries are added and ended, never changed or deleted otherwise. An alias has one version at a time.
    """

    class Alias(models.TextChoices):
        CHAMPION = "CHAMPION", "Champion: it speaks"
        CHALLENGER = "CHALLENGER", "Challenger: it answers in the shadow"

    class Action(models.TextChoices):
        PROMOTED = "PROMOTED", "Promoted"
        ROLLED_BACK = "ROLLED_BACK", "Rolled back to it"
        CHALLENGED = "CHALLENGED", "Set beside the champion"

    name = models.CharField(max_length=100)
    alias = models.CharField(max_length=16, choices=Alias.choices)
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="deployments")
    action = models.CharField(max_length=16, choices=Action.choices)
    from_at = models.DateTimeField(db_default=Now())
    to_at = models.DateTimeField(null=True)
    gate = models.JSONField(default=dict, help_text="The figures that it was let pass, or stopped, by.")
    actor = models.CharField(max_length=150, help_text="Who: a person's name, or what of the service.")
    reason = models.TextField()
    ended_by = models.CharField(max_length=150, blank=True)
    mirrored_at = models.DateTimeField(null=True, help_text="When MLflow was told of it as it stands.")

    class Meta:
        verbose_name, verbose_name_plural = "entry of the ledger", "entries of the ledger"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "alias"], condition=Q(to_at__isnull=True), name="deployment_one_at_a_time"
            ),
            models.CheckConstraint(condition=Q(alias__in=["CHAMPION", "CHALLENGER"]), name="deployment_alias"),
            models.CheckConstraint(
                condition=Q(action__in=["PROMOTED", "ROLLED_BACK", "CHALLENGED"]), name="deployment_action"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="deployment_has_reason"),
            models.CheckConstraint(
                condition=Q(to_at__isnull=True) | Q(to_at__gte=F("from_at")), name="deployment_ends_after_it_begins"
            ),
        ]
        indexes = [
            models.Index(fields=["name", "alias", "-from_at"], name="deployment_live_at"),
            models.Index(fields=["id"], condition=Q(mirrored_at__isnull=True), name="deployment_not_mirrored"),
        ]

    def __str__(self) -> str:
        return f"{self.version} as {self.alias.lower()}"


class Question(Errand):
    """What a client asks of a model over REST, and the answer; a worker gives it. Forgotten after a day."""

    class Kind(models.TextChoices):
        PREDICT = "PREDICT", "What the model says"
        DRIFT = "DRIFT", "Whether the features are as they were when it was taught"

    class Status(models.TextChoices):
        PENDING = "PENDING", "Waiting for a worker"
        RUNNING = "RUNNING", "Under way"
        DONE = "DONE", "Answered"
        FAILED = "FAILED", "Not answered: the reason says why"

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = models.CharField(max_length=100, help_text="Of the model.")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    asked = models.JSONField(help_text="Rows of the features in the order of the signature, their instants, options.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    reason = models.TextField(blank=True)
    answer = models.JSONField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=["PREDICT", "DRIFT"]), name="question_kind"),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "RUNNING", "DONE", "FAILED"]), name="question_status"
            ),
            models.CheckConstraint(condition=~Q(status="DONE") | Q(answer__isnull=False), name="question_has_answer"),
            models.CheckConstraint(condition=~Q(status="FAILED") | ~Q(reason=""), name="question_has_reason"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status__in=["PENDING", "RUNNING"]), name="question_due"),
            models.Index(fields=["created_at"], name="question_age"),
        ]

    def __str__(self) -> str:
        return f"question {self.pk} to {self.name}"


class Prediction(models.Model):
    """What one version said of one machine at one instant, and whether it was shown or only kept beside."""

    machine = models.ForeignKey(Equipment, models.CASCADE, related_name="predictions")
    name = models.CharField(max_length=100, help_text="Of the model.")
    version = models.PositiveIntegerField()
    alias = models.CharField(max_length=16, choices=Deployment.Alias.choices)
    is_shown = models.BooleanField(help_text="Whether people were shown it; the other one answers in the shadow.")
    asked_at = models.DateTimeField(help_text="The instant it is about: of the newest readings it saw, in event time.")
    from_at = models.DateTimeField(help_text="Of the oldest readings it saw.")
    outputs = models.JSONField(help_text="Of each output its unit and value; null = it says nothing.")
    contributions = models.JSONField(null=True, help_text="Of features to the answer, where it was explained.")
    degraded = models.TextField(blank=True, help_text="Why an older version spoke; empty where the champion did.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["machine", "name", "version", "asked_at"], name="prediction_once"),
            models.CheckConstraint(condition=Q(alias__in=["CHAMPION", "CHALLENGER"]), name="prediction_alias"),
        ]
        indexes = [
            models.Index(fields=["machine", "name", "-asked_at"], name="prediction_newest"),
            models.Index(fields=["name", "version", "-asked_at"], name="prediction_of_version"),
            models.Index(fields=["created_at"], name="prediction_age"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version} of machine {self.machine_id}"


class ModelHealth(models.Model):
    """How it went when a model was last asked about live machines; a row per model, written over each time."""

    name = models.CharField(primary_key=True, max_length=100)
    looked_at = models.DateTimeField(help_text="When it was last its turn.")
    answered_at = models.DateTimeField(null=True, help_text="When it last answered.")
    trouble = models.TextField(blank=True, help_text="Why nobody speaks, or another version than is meant to.")
    not_answered = models.JSONField(default=dict, help_text="Id of a machine that it fits -> why there is no answer.")

    class Meta:
        verbose_name, verbose_name_plural = "health of a model", "health of models"
        ordering = ["name"]

    def __str__(self) -> str:
        return f"health of {self.name}"
