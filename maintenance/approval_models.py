"""The tables of approval: policies, delegations, what waits, and what was decided.

Imported by ``maintenance.models``, where Django looks for tables; it names those of there by their names.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from maintenance.order_models import Priority, WorkOrder
from sensors.models import Site

PERSON = settings.AUTH_USER_MODEL
LONGEST_WAIT = 366 * 24 * 60
MOST_REMINDERS = 100


class ApprovalPolicy(models.Model):
    """What goes ahead by itself, and what waits for whom (see ``maintenance.approval_life``); empty = any."""

    class Confidence(models.TextChoices):
        CREDIBLE = "CREDIBLE", "Credible"
        DOUBTFUL = "DOUBTFUL", "Doubtful"
        FALSE_POSITIVE = "FALSE_POSITIVE", "False positive"
        NONE = "NONE", "No verdict: no alarm is behind it"

    class Answer(models.TextChoices):
        GO_AHEAD = "GO_AHEAD", "Goes ahead by itself"
        WAIT = "WAIT", "Waits for approval"

    class Then(models.TextChoices):
        REMIND = "REMIND", "Remind, and hand on to the next"
        REJECT = "REJECT", "Reject it"
        KEEP = "KEEP", "Keep waiting"

    site = models.ForeignKey(Site, models.PROTECT, related_name="approval_policies")
    maintenance_type = models.CharField(
        "type of work", max_length=24, blank=True, choices=WorkOrder.Type.choices, help_text="Empty: any."
    )
    priority = models.CharField(max_length=16, blank=True, choices=Priority.choices, help_text="Empty: any.")
    confidence = models.CharField(
        max_length=16, blank=True, choices=Confidence.choices,
        help_text="What triage made of the alarm behind it; empty: any.",
    )  # fmt: skip
    most_cost = models.DecimalField(
        "costs up to", max_digits=12, decimal_places=2, null=True, blank=True, validators=[MinValueValidator(0)],
        help_text="Empty: any. An order of which nobody said what it costs is below no limit.",
    )  # fmt: skip
    is_trial = models.BooleanField(
        "on trial", default=False, help_text="What it would decide is recorded, and nothing is done."
    )
    answer = models.CharField(max_length=16, choices=Answer.choices)
    approver = models.ForeignKey(
        PERSON, models.SET_NULL, null=True, blank=True, related_name="+",
        help_text="Who is asked; empty: the administrators of the site.",
    )  # fmt: skip
    then_approver = models.ForeignKey(
        PERSON, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name="handed on to",
        help_text="Who is asked when time is up; empty: the administrators of the site.",
    )  # fmt: skip
    wait_minutes = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(LONGEST_WAIT)],
        help_text="How long it waits until time is up.",
    )  # fmt: skip
    then = models.CharField("when time is up", max_length=16, blank=True, choices=Then.choices)
    reminders = models.PositiveSmallIntegerField(
        default=0, validators=[MaxValueValidator(MOST_REMINDERS)], help_text="How often, where it is reminded of."
    )
    revision = models.PositiveIntegerField(default=1, editable=False)
    updated_by = models.ForeignKey(PERSON, models.SET_NULL, null=True, related_name="+", editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "approval policies"
        ordering = ["site", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["site", "maintenance_type", "priority", "confidence", "most_cost", "is_trial"],
                nulls_distinct=False,
                name="approval_policy_one_of_scope",
                violation_error_message="There is a policy of this scope already.",
            ),
            models.CheckConstraint(condition=Q(most_cost=None) | Q(most_cost__gte=0), name="approval_policy_cost"),
            models.CheckConstraint(
                condition=Q(answer="GO_AHEAD", approver=None, wait_minutes=None, then="")
                | (
                    Q(answer="WAIT", wait_minutes__isnull=False, wait_minutes__gte=1)
                    & Q(then__in=["REMIND", "REJECT", "KEEP"])
                ),
                name="approval_policy_says_all",
                violation_error_message="What waits needs a time, and what happens when it is up; what goes ahead "
                "needs none of it.",
            ),
            models.CheckConstraint(
                condition=Q(then="REMIND", reminders__gte=1) | (~Q(then="REMIND") & Q(reminders=0, then_approver=None)),
                name="approval_policy_reminders",
                violation_error_message="Say how often it is reminded of, and to whom it is handed on, exactly where "
                "that happens when time is up.",
            ),
        ]

    def __str__(self) -> str:
        parts = [
            self.get_maintenance_type_display() or "any work",
            f"priority {self.priority.lower()}" if self.priority else "",
            f"confidence {self.confidence.lower().replace('_', ' ')}" if self.confidence else "",
            f"up to {self.most_cost}" if self.most_cost is not None else "",
            "on trial" if self.is_trial else "",
        ]
        return ", ".join(part for part in parts if part)


class Delegation(models.Model):
    """Somebody who approves lets somebody else do it too, for a while."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="delegations")
    giver = models.ForeignKey(PERSON, models.CASCADE, related_name="+", verbose_name="from", editable=False)
    taker = models.ForeignKey(PERSON, models.CASCADE, related_name="+", verbose_name="to")
    from_at = models.DateTimeField("from when")
    until_at = models.DateTimeField("until when")
    reason = models.CharField(max_length=200, blank=True)
    ended_at = models.DateTimeField(null=True, editable=False, help_text="When it was ended before its time.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(until_at__gt=F("from_at")), name="delegation_ends_after_start",
                violation_error_message="It ends before it begins.",
            ),
            models.CheckConstraint(condition=~Q(giver=F("taker")), name="delegation_of_two"),
        ]  # fmt: skip
        indexes = [models.Index(fields=["site", "taker"], name="delegation_of_taker")]

    def __str__(self) -> str:
        return f"{self.giver} to {self.taker} until {self.until_at:%Y-%m-%d %H:%M} UTC"


class ApprovalWait(models.Model):
    """An order that waits for approval: whom for, until when. Gone when it was decided; the decisions stay."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="approval_waits")
    order = models.OneToOneField(WorkOrder, models.CASCADE, related_name="approval_wait")
    since = models.DateTimeField()
    policy = models.ForeignKey(ApprovalPolicy, models.SET_NULL, null=True, related_name="waits")
    policy_revision = models.PositiveIntegerField(null=True)
    asked = models.ForeignKey(
        PERSON, models.SET_NULL, null=True, related_name="+", help_text="Empty: the administrators of the site."
    )
    until = models.DateTimeField(null=True, help_text="When its time is up; empty: no policy says.")
    reminded = models.PositiveSmallIntegerField(default=0)
    is_left = models.BooleanField(default=False, help_text="Its time is up, and nothing more is done by itself.")
    deferred_until = models.DateTimeField(null=True, help_text="Set aside until then.")
    defer_reason = models.TextField(blank=True)
    deferred_by = models.ForeignKey(PERSON, models.SET_NULL, null=True, related_name="+")
    due_at = models.DateTimeField(null=True, help_text="When the agent looks at it next; empty: it does not.")

    class Meta:
        verbose_name = "order waiting for approval"
        verbose_name_plural = "orders waiting for approval"
        ordering = ["since", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(deferred_until=None) | (~Q(defer_reason="") & Q(due_at__isnull=False)),
                name="approval_wait_deferred_with_a_reason",
            )
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="approval_wait_due"),
            models.Index(fields=["site", "since"], name="approval_wait_of_site"),
        ]

    def __str__(self) -> str:
        return f"WO-{self.order_id}"

    def is_overdue(self, now: datetime) -> bool:
        """Whether its time is up, or was: a reminder gives it more, and hides that from nobody."""
        late = self.is_left or self.reminded > 0 or (self.until is not None and self.until <= now)
        return late and self.deferred_until is None


class ApprovalDecision(models.Model):
    """What was decided about an order, by whom or by which policy. Kept for ever."""

    class What(models.TextChoices):
        WENT_AHEAD = "WENT_AHEAD", "Goes ahead by itself"
        WAITS = "WAITS", "Waits for approval"
        REMINDED = "REMINDED", "Time was up: reminded, and handed on"
        LEFT = "LEFT", "Time was up: keeps waiting"
        APPROVED = "APPROVED", "Approved"
        REJECTED = "REJECTED", "Rejected"
        MODIFIED = "MODIFIED", "Changed"
        DEFERRED = "DEFERRED", "Set aside"

    site = models.ForeignKey(Site, models.PROTECT, related_name="approval_decisions")
    order = models.ForeignKey(WorkOrder, models.PROTECT, related_name="approval_decisions")
    what = models.CharField(max_length=16, choices=What.choices)
    is_trial = models.BooleanField("trial", default=False, help_text="It would have been so, and nothing was done.")
    by_agent = models.BooleanField(help_text="A policy decided it, and no person.")
    policy = models.ForeignKey(ApprovalPolicy, models.SET_NULL, null=True, related_name="+")
    policy_revision = models.PositiveIntegerField(null=True)
    policy_said = models.JSONField(null=True, help_text="The policy as it was.")
    actor = models.ForeignKey(PERSON, models.SET_NULL, null=True, related_name="+")
    for_whom = models.ForeignKey(
        PERSON, models.SET_NULL, null=True, related_name="+", help_text="Whose delegate the actor was."
    )
    asked = models.ForeignKey(PERSON, models.SET_NULL, null=True, related_name="+")
    until = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)
    facts = models.JSONField(help_text="The order, as far as it mattered.")
    key = models.CharField(max_length=200, unique=True, help_text="Made of ids and causes.")
    at = models.DateTimeField()
    to_tell = models.BooleanField(default=False, editable=False, help_text="The sweep has still to tell of it.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(by_agent=False, is_trial=False) | Q(by_agent=True, actor=None, for_whom=None),
                name="approval_decision_in_nobodys_name",
            ),
            models.CheckConstraint(
                condition=Q(by_agent=False) | Q(policy_said__isnull=False, policy_revision__isnull=False),
                name="approval_decision_names_its_policy",
            ),
            models.CheckConstraint(
                condition=~Q(what__in=["REJECTED", "DEFERRED"]) | ~Q(reason=""), name="approval_decision_has_a_reason"
            ),
            models.CheckConstraint(
                condition=Q(what__in=[
                    "WENT_AHEAD", "WAITS", "REMINDED", "LEFT", "APPROVED", "REJECTED", "MODIFIED", "DEFERRED",
                ]),
                name="approval_decision_what",
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["site", "-id"], name="approval_decision_of_site"),
            models.Index(fields=["id"], condition=Q(to_tell=True), name="approval_decision_to_tell"),
        ]

    def __str__(self) -> str:
        return f"{self.get_what_display()}: WO-{self.order_id}"
