"""A site with rows of every kind, for tests of pages that show them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import count

import numpy as np
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.utils import timezone

from agents.backup_models import Backup
from agents.export_models import Export, ExportPiece
from agents.models import Backtest, Case, CaseTransition, JobRun, Run, StageAttempt, Throttle
from agents.report_models import Report, ReportSchedule
from maintenance.approval_models import ApprovalDecision, ApprovalPolicy, ApprovalWait, Delegation
from maintenance.attachment_models import Attachment
from maintenance.checklist_models import Checklist, ChecklistItem, ChecklistTemplate, TemplateItem
from maintenance.definition_models import AlarmDefinition
from maintenance.effort_models import Downtime, Labour, LabourRate, OrderCost
from maintenance.escalation_life import Step
from maintenance.escalation_models import Call, Chain, ChainStep, Escalation, Override, Rota, Shift
from maintenance.flood_models import Flood
from maintenance.models import (
    Alarm,
    AlarmTransition,
    Anomaly,
    Attempt,
    Channel,
    Decision,
    LinkUse,
    LogEntry,
    LogLanguage,
    MaintenanceWindow,
    Notification,
    Reader,
    Subscription,
    Suppression,
    WorkOrder,
    WorkOrderTransition,
)
from maintenance.operating_models import OperatingState
from maintenance.parent_models import ParentRule
from maintenance.part_models import Movement, OrderPart, Part, Stock, Store, Tool, ToolLoan
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
from maintenance.permit_models import Permit, PermitRule, WorkRules
from maintenance.plan_models import Meter, MeterReading, Plan, PlanOccurrence
from maintenance.schedule_models import Schedule, ScheduleVisit
from maintenance.webhook_models import Webhook, WebhookDelivery, WebhookTry
from mlops.drift_models import DriftCheck
from mlops.limit_models import LimitForecast
from mlops.models import Deployment, MachineState, ModelHealth, ModelPolicy, ModelVersion, Prediction, Training
from mlops.performance_models import LivePerformance
from sensors import columns, keys, store
from sensors.default_models import SensorDefault
from sensors.identity_models import TokenFamily
from sensors.models import (
    Batch,
    BatchPart,
    DiscoveredSensor,
    Equipment,
    Event,
    Label,
    ReadingConflict,
    Regime,
    Sensor,
    SensorPresence,
    Site,
)
from sensors.operating_models import OperatingRule
from tests import factories
from tests.factories import NOON

_number = count(1)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rows:
    """One row of each kind, all of one machine."""

    machine: Equipment
    sensor: Sensor
    discovered: DiscoveredSensor
    batch: Batch
    part: BatchPart
    run: Run
    case: Case
    anomaly: Anomaly
    alarm: Alarm
    order: WorkOrder
    channel: Channel
    label: Label
    regime: Regime
    backtest: Backtest
    suppression: Suppression


def readings(sensor: Sensor, values: list[float], *, quality: int = 0) -> None:
    """Hourly readings from noon on."""
    at = columns.from_instant(NOON) + np.arange(len(values), dtype=np.int64) * 3_600 * columns.SECOND_US
    taken = columns.Columns(
        np.full(len(values), sensor.pk, np.int64), at, np.array(values), np.arange(len(values), dtype=np.int32)
    )
    store.make_partitions(store.days_of(taken))
    marks = np.full(len(values), quality, np.uint8)
    store.insert(taken, quality=marks, reason=marks * 0)


def rows(site: Site, *, name: str = "") -> Rows:
    """A new machine with a sensor that saw something, and all that came of it."""
    n = next(_number)
    tag = f"{name or 'machine'}-{n}"
    machine = factories.machine(site=site, tag=tag, name=tag)
    sensor = factories.sensor(machine=machine, external_id=f"{tag}.flow", name=f"{tag} flow", unit="l/s", high=40.0)
    batch, part, discovered = _intake(site, sensor, n)
    run = Run.objects.create(
        lane=machine.lane or 0, status=Run.Status.FAILED, stage="DETECT", readings=10, error_class="ZeroDivisionError",
        error="Traceback: <b>division by zero</b>",
    )  # fmt: skip
    BatchPart.objects.filter(pk=part.pk).update(run_id=run.pk)
    case = _case(run, n, name)
    StageAttempt.objects.create(
        run=run,
        stage="DETECT",
        lease_token=1,
        worker="worker-1",
        started_at=NOON,
        ended_at=NOON + HOUR,
        outcome="FAILED",
    )
    ParentRule.objects.create(site=site, machine=machine, equipment=machine, hides=["ALL"])
    SensorDefault.objects.create(site=site, equipment_class=tag.upper(), unit="l/s", high=40.0, on_delay_seconds=5)
    SensorPresence.objects.create(sensor=sensor, heard_at=NOON, due_at=NOON + HOUR, silent_since=NOON)
    JobRun.objects.create(
        job=f"job-{n}", period=NOON, started_at=NOON, finished_at=NOON + HOUR, outcome="FAILED",
        error="Traceback\nNo <b>",
    )  # fmt: skip
    Throttle.objects.create(
        user=factories.user(site=site, role="INGEST"), readings_per_second=10, until=NOON, reason="<b>bad</b> readings"
    )
    keys.create(site=site, name=tag, kind="DEVICE", sensors=[sensor], actor=factories.user())
    AccessAttempt.objects.create(username=f"<b>{tag}</b>", failures_since_start=5)
    TokenFamily.objects.create(user=factories.user(), agent="<b>app</b>")
    _models(machine, n)
    LimitForecast.objects.create(
        machine=machine, sensor=sensor, limit_name="high", limit=9.0, day=NOON.date(), asked_at=NOON, state="TREND",
        p10=60.0, p50=90.0, p90=120.0, tested_at=NOON, is_proven=True,
    )  # fmt: skip
    MachineState.objects.create(machine=machine, memory=b"memory", learned=b"learned", memory_run_id=run.pk)
    label, regime = _told(sensor)
    Backup.objects.create(kind=Backup.Kind.WHOLE, status=Backup.Status.DONE, place="/backups", stamp=f"{n:016}")
    backtest = Backtest.objects.create(
        site=site, machine=machine, sensor=sensor, from_at=NOON, to_at=NOON + 24 * HOUR, look_back_days=14,
        status="FAILED", reason="<b>no</b> readings", finished_at=NOON,
    )  # fmt: skip
    export = Export.objects.create(
        site=site, asked_by=factories.user(site=site, role="VIEWER"), what="readings", form="csv", machine=machine,
        sensor=sensor, from_at=NOON, to_at=NOON + HOUR, status="FAILED", reason="<b>too</b> many", finished_at=NOON,
    )  # fmt: skip
    ExportPiece.objects.create(export=export, attempt=1, number=0, data=b"half a file")
    anomaly = _anomaly(sensor, run)
    alarm, order = _consequences(anomaly, run, n)
    person = factories.user(site=site, role="VIEWER", username=f"{tag}-reader")
    reader = Reader.objects.create(site=site, user=person)
    channel = Channel.objects.create(
        site=site, kind="EMAIL", name=f"{tag} mail", target="a@example.org", secret="s3cret", reader=reader
    )
    _reports(channel, tag)
    Subscription.objects.create(site=site, reader=reader, equipment=machine, kinds=["alarm.opened"])
    message = Notification.objects.create(
        site=site, channel=channel, event_type="alarm.opened", subject_line=f"{tag} alarm", payload={"alarm": alarm.pk},
        key=f"notification/{n}", status="FAILED", error="550 no such user", run_id=run.pk,
    )  # fmt: skip
    Attempt.objects.create(
        notification=message, attempt=1, worker="worker-1", began_at=NOON, outcome="FAILED", error="550 no <b> user"
    )  # fmt: skip
    LinkUse.objects.create(
        key=f"link/{n}", purpose="acknowledge", user=reader.user, alarm=alarm, notification=message
    )  # fmt: skip
    event = Event.objects.create(
        site=site, type="alarm.opened", subject=f"alarm/{alarm.pk}", key=f"event/{n}", occurred_at=NOON
    )
    _webhook(event, tag)
    suppression = Suppression.objects.create(
        site=site, machine=machine, failure_mode="VIB", kind="SHELVED", reason="Probe is <b>loose</b>", from_at=NOON,
        until=NOON + HOUR,
    )  # fmt: skip
    MaintenanceWindow.objects.create(
        site=site, equipment=machine, reason=f"Stop of {tag} for <b>cleaning</b>", first_on=NOON.date(),
        starts=NOON.time(), minutes=60, look_at=NOON + 9_999 * HOUR,
    )  # fmt: skip
    _operating(sensor)
    Flood.objects.create(site=site, began_at=NOON, ended_at=NOON + HOUR, activations=11)
    _escalation(alarm, reader, n)
    _plan(order)
    _stores(order)
    _carrying_out(order, person)
    LogEntry.objects.create(
        site=site, machine=machine, at=NOON, author=person, title=f"Swept {tag}", found="<b>dust</b>"
    )
    LogLanguage.objects.get_or_create(site=site, language="ENGLISH")
    approval(order, person, n)
    _workforce(order, n)
    return Rows(
        machine, sensor, discovered, batch, part, run, case, anomaly, alarm, order, channel, label, regime, backtest,
        suppression,
    )  # fmt: skip


def _reports(channel: Channel, tag: str) -> None:
    site = channel.site
    Report.objects.create(
        site=site, kind="ANOMALY", form="CSV", from_at=NOON, to_at=NOON + 24 * HOUR, status="FAILED",
        reason=f"<b>{tag}</b> is not to be counted", finished_at=NOON,
    )  # fmt: skip
    mailed = ReportSchedule.objects.create(site=site, kind="MAINTENANCE", next_at=timezone.now() + 9_999 * HOUR)
    mailed.channels.add(channel)


def _plan(order: WorkOrder) -> None:
    """A plan by calendar and meter, with an open order."""
    of = {"site": order.site, "machine": order.machine}
    meter = Meter.objects.create(**of, name=f"Hours of {order.machine.tag}", total=90.0, value=90.0, read_at=NOON)
    MeterReading.objects.create(meter=meter, at=NOON, value=90.0, total=90.0)
    plan = Plan.objects.create(
        **of, title=f"Oil of {order.machine.tag}", every=1, first_on=NOON.date(), meter=meter, meter_every=100.0,
        nominal_on=NOON.date(), due_on=NOON.date(), due_at=NOON, target=100.0,
    )  # fmt: skip
    PlanOccurrence.objects.create(plan=plan, number=1, order=order, due_on=NOON.date(), opened_at=NOON)


def _carrying_out(order: WorkOrder, person: User) -> None:
    site, tag = order.site, order.machine.tag
    template = ChecklistTemplate.objects.create(site=site, name=f"{tag} <b>monthly</b>")
    TemplateItem.objects.create(template=template, text="Is the <b>guard</b> in place?", kind="PASS_FAIL")
    checklist = Checklist.objects.create(order=order, template=template, name=template.name, attached_at=NOON)
    ChecklistItem.objects.create(checklist=checklist, position=1, text="<b>Guard</b>", kind="TICK", is_required=False)
    LabourRate.objects.create(site=site, worker=person, hourly_cost=48)
    Labour.objects.create(order=order, worker=person, from_at=NOON, until_at=NOON + HOUR, hourly_cost=48)
    OrderCost.objects.create(order=order, kind="RENTAL", text="<b>Crane</b>", amount=100)
    Attachment.objects.create(
        site=site, order=order, file=f"orders/{order.pk}", name="seal.png", media_type="image/png", size=1, sha256=""
    )
    rules, _ = WorkRules.objects.get_or_create(site=site, defaults={"currency": "CHF"})
    PermitRule.objects.get_or_create(rules=rules, kind="LOCK_OUT", maintenance_type="INSPECTION")
    Downtime.objects.create(site=site, machine=order.machine, order=order, from_at=NOON, reason="BREAKDOWN")
    Permit.objects.create(
        site=site, order=order, kind="LOCK_OUT", valid_from=NOON, valid_until=NOON + HOUR, issued_by=person,
        conditions="Breaker <b>Q7</b> is locked",
    )  # fmt: skip


def approval(order: WorkOrder, taker: User, n: int) -> None:
    """An order that waits, by a policy, with somebody who may decide on it beside an administrator."""
    policy = ApprovalPolicy.objects.create(site=order.site, most_cost=n, answer="WAIT", wait_minutes=60, then="REJECT")
    Delegation.objects.create(
        site=order.site, giver=factories.user(site=order.site), taker=taker, from_at=NOON,
        until_at=NOON + HOUR, reason=f"<b>{order.machine.tag}</b>",
    )  # fmt: skip
    ApprovalWait.objects.create(
        site=order.site, order=order, since=NOON, policy=policy, policy_revision=1, until=NOON + HOUR
    )
    ApprovalDecision.objects.create(
        site=order.site, order=order, what="WAITS", by_agent=True, policy=policy, policy_revision=1,
        policy_said={"id": policy.pk, "name": "<b>any</b>"}, facts={"cost": None}, key=f"approval/{n}", at=NOON,
        until=NOON + HOUR,
    )  # fmt: skip


def _escalation(alarm: Alarm, reader: Reader, n: int) -> None:
    rota = Rota.objects.create(site=alarm.site, name=f"{alarm.machine.tag} nights")
    Shift.objects.create(rota=rota, reader=reader, first_on=NOON.date(), starts=NOON.time(), ends=NOON.time())
    Override.objects.create(rota=rota, reader=reader, from_at=NOON, until_at=NOON + HOUR)
    chain = Chain.objects.create(
        site=alarm.site, name=f"{alarm.machine.tag} chain", lowest_priority="CRITICAL",
        is_enabled=not Chain.objects.filter(site=alarm.site).exists(),
    )  # fmt: skip
    ChainStep.objects.create(chain=chain, position=1, rota=rota)
    step = asdict(Step("rota", rota.pk, rota.name, after_minutes=10))
    row = Escalation.objects.create(
        site=alarm.site, alarm=alarm, chain=chain, chain_name=chain.name, plan=[step], priority="HIGH", cause=n,
        looked_until=n, due_at=timezone.now() + HOUR, started_at=NOON,
    )  # fmt: skip
    Call.objects.create(escalation=row, step=0, time=1, due_at=NOON, at=NOON, outcome="TOLD", whom=str(reader))


def _webhook(event: Event, tag: str) -> None:
    """An address that events go to, with a delivery it refused."""
    webhook = Webhook.objects.create(
        site_id=event.site_id, name=f"{tag} <b>ERP</b>", url="https://erp.example.org/in", types=["alarm.*"],
        secret="s3cret", read_transaction=0,
    )  # fmt: skip
    refused = WebhookDelivery.objects.create(
        webhook=webhook, event=event, status="FAILED", reason="answered 400: <b>no</b>", finished_at=NOON
    )
    WebhookTry.objects.create(
        delivery=refused, attempt=1, began_at=NOON, milliseconds=12, answered=400, answer="<b>no</b>"
    )


def _operating(sensor: Sensor) -> None:
    of = {"site": sensor.site, "machine": sensor.machine}
    OperatingRule.objects.create(**of, sensor=sensor, off_below=1.0, running_above=2.0, off_hides=["ALL"])
    OperatingState.objects.create(
        **of, state="OFF", since=NOON, source="<b>the PLC</b>", heard_at=NOON, confirmed_at=NOON,
        due_at=timezone.now() + 9_999 * HOUR,
    )  # fmt: skip


def _stores(order: WorkOrder) -> None:
    tag = order.machine.tag
    where = Store.objects.create(site=order.site, name=f"{tag} store")
    part = Part.objects.create(site=order.site, number=f"P-{tag}", name="Seal <b>ring</b>", minimum=5)
    Stock.objects.create(part=part, store=where, on_hand=3, reserved=1)
    Movement.objects.create(
        site=order.site, part=part, store=where, kind="RECEIVE", quantity=3, on_hand=3, value=0, at=NOON,
        reason="Came <b>late</b>",
    )  # fmt: skip
    OrderPart.objects.create(order=order, part=part, store=where, wanted=4, reserved=1)
    tool = Tool.objects.create(site=order.site, store=where, number=f"T-{tag}", name="Laser <b>x</b>")
    holder = factories.user(site=order.site, role="TECHNICIAN", username=f"{tag}-holder")
    ToolLoan.objects.create(tool=tool, holder=holder, order=order, issued_at=NOON)


def _workforce(order: WorkOrder, n: int) -> None:
    """Somebody who can do the order, and a schedule in which they do."""
    site, tag = order.site, order.machine.tag
    user = factories.user(site=site, role="TECHNICIAN", username=f"{tag}-worker")
    team, skill = Team.objects.create(site=site, name=f"{tag} team"), _skill(site, tag)
    worker = Worker.objects.create(site=site, user=user, team=team)
    WorkerSkill.objects.create(worker=worker, skill=skill)
    hours = {"first_on": NOON.date(), "starts": NOON.time(), "ends": (NOON + 8 * HOUR).time()}
    WorkingHours.objects.create(worker=worker, **hours)
    MachineHours.objects.create(site=site, equipment=order.machine, **hours)
    Absence.objects.create(worker=worker, from_at=NOON, until_at=NOON + HOUR, reason="A <b>cold</b>")
    Holiday.objects.create(site=site, on=NOON.date() + timedelta(days=n), name=f"{tag} day")
    Travel.objects.create(site=site, to_site=factories.site(slug=f"annex-{n}", name=f"{tag} annex"), minutes=30)
    RequiredSkill.objects.create(site=site, skill=skill, failure_mode="LOO")
    OrderTiming.objects.create(order=order, parts_from=NOON)
    schedule = Schedule.objects.create(
        site=site, status="DISCARDED", begins_at=NOON, made_at=NOON, method="cp-sat", cost=10, bound=8, seconds=1
    )
    ScheduleVisit.objects.create(schedule=schedule, order=order, person=user, start_at=NOON, end_at=NOON + HOUR)


def _skill(site: Site, tag: str) -> Skill:
    return Skill.objects.create(site=site, code=f"{tag}-skill".lower(), name=f"{tag} skill")


def _told(sensor: Sensor) -> tuple[Label, Regime]:
    of = {"site": sensor.site, "machine": sensor.machine}
    label = Label.objects.create(
        **of, sensor=sensor, kind="FAULT", failure_mode="LOO", from_at=NOON, to_at=NOON + HOUR, note="<b>worn</b>"
    )  # fmt: skip
    return label, Regime.objects.create(**of, since=NOON - 24 * HOUR, reason="Another <b>impeller</b>")


def _intake(site: Site, sensor: Sensor, n: int) -> tuple[Batch, BatchPart, DiscoveredSensor]:
    batch = Batch.objects.create(
        site=site, body_sha256=hashlib.sha256(str(n).encode()).hexdigest(), items=4, accepted=2, held=1, duplicates=0,
        rejected=1, results=[{"pointer": "#/3", "status": "rejected", "reason": "bad-value"}],
    )  # fmt: skip
    packed = columns.pack(columns.empty())
    part = BatchPart.objects.create(
        batch=batch, lane=sensor.machine.lane, state="STORED", readings=2, stored=2, already_stored=0, conflicts=0,
        columns=packed,
    )  # fmt: skip
    found = DiscoveredSensor.objects.create(site=site, external_id=f"unknown-{n}", readings=1)
    BatchPart.objects.create(batch=batch, discovered=found, state="HELD", readings=0, columns=packed)
    ReadingConflict.objects.create(sensor=sensor, measured_at=NOON, value=3.0, part=part)
    return batch, part, found


def _models(machine: Equipment, n: int) -> None:
    """A model with a version that spoke of the machine, and somebody asked it. Models serve all sites."""
    name = f"wear-{n}"
    policy = ModelPolicy.objects.create(name=name)
    training = Training.objects.create(name=policy.name, status="FAILED", reason="<b>no</b> data", finished_at=NOON)
    version = ModelVersion.objects.create(
        name=name, version=1, experiment="wear", training=training, kind="line", settings={"depth": 3},
        signature={"features": [], "outputs": []}, figures={"rmse": [1.0, 0.5, 2.0]},
        baselines={"mean": {"rmse": [2.0, None, None]}}, objections=["<b>too</b> few blocks"],
        comparisons=[{"other": "mean", "gain": [1.0, None, None], "worse": {}}],
        learned_from=7, held_out=3, data_sha256="d" * 64, sha256="a" * 64, size=9, uri="file:///nowhere", run_id="r",
        mlflow_version=1, card="# <b>wear</b>",
    )  # fmt: skip
    Deployment.objects.create(
        name=name, alias="CHAMPION", version=version, action="PROMOTED", actor="ann", reason="<b>better</b>"
    )
    Prediction.objects.create(
        machine=machine, name=name, version=1, alias="CHAMPION", is_shown=True, asked_at=NOON, from_at=NOON - HOUR,
        outputs={"wear": {"unit": "mm", "value": 1.5}},
    )  # fmt: skip
    ModelHealth.objects.create(
        name=name, looked_at=NOON, trouble="<b>nobody</b> speaks", not_answered={str(machine.pk): "<b>few</b> rows"}
    )
    DriftCheck.objects.create(
        machine=machine, name=name, version=1, from_at=NOON - HOUR, to_at=NOON, verdict="AS_BEFORE", reason="none",
        features=[{"feature": "<b>load</b>", "p": 0.5, "q": None, "effect": 0.1, "shift": 0.1, "drifted": False,
                   "words": "<b>no</b> more"}],
    )  # fmt: skip
    LivePerformance.objects.create(
        machine=machine, name=name, version=1, from_at=NOON - HOUR, to_at=NOON, answers=200, known=3,
        figures=[{"name": "f1", "expected": 0.7, "low": 0.6, "high": 0.8, "held_out": 0.75, "measured": 0.5}],
        said=["label 1 says FAULT <b>LOO</b>"], changes=[{"by": "adwin", "at": columns.instant_text(NOON)}],
        measured_at=NOON,
    )  # fmt: skip


def _case(run: Run, n: int, name: str) -> Case:
    case = Case.objects.create(
        cause=f"{n:016x}", stage="DETECT", error_class="ZeroDivisionError", failures=1, version="v1",
        title=f"Detect: ZeroDivisionError in {name}",
    )  # fmt: skip
    Run.objects.filter(pk=run.pk).update(case=case)
    CaseTransition.objects.create(case=case, to_status="OPEN", actor="doctor", reason=f"Run {run.pk} was set aside.")
    return case


def _anomaly(sensor: Sensor, run: Run) -> Anomaly:
    return Anomaly.objects.create(
        site=sensor.site, sensor=sensor, machine=sensor.machine, detector="adaptive", detector_version="1",
        kind="LOW_VALUE", failure_mode="LOO", started_at=NOON, last_at=NOON + 2 * HOUR, ended_at=NOON + 3 * HOUR,
        readings=3, peak_score=7.5, peak_at=NOON + HOUR, observed=9.93, expected_low=19.0, expected_high=31.0,
        window_from=NOON - 5 * HOUR, window_to=NOON + 2 * HOUR, contributors=[[sensor.pk, 1.0]], first_run_id=run.pk,
        last_run_id=run.pk,
    )  # fmt: skip


def _consequences(anomaly: Anomaly, run: Run, n: int) -> tuple[Alarm, WorkOrder]:
    about = {"site": anomaly.site, "machine": anomaly.machine, "failure_mode": "LOO", "priority": "HIGH"}
    definition = AlarmDefinition.objects.create(
        site=anomaly.site, machine=anomaly.machine, sensor_kind="FLOW", priority="HIGH", cause="A <b>worn</b> seal",
        consequence="The pump runs dry", response="Change the filter", respond_within_minutes=30,
    )  # fmt: skip
    alarm = Alarm.objects.create(**about, raised_at=NOON, sensor=anomaly.sensor, peak_score=7.5, definition=definition)
    AlarmTransition.objects.create(alarm=alarm, action="OPENED", key=f"alarm/{n}", at=NOON, run_id=run.pk)
    Decision.objects.create(
        machine=anomaly.machine, failure_mode="LOO", anomaly=anomaly, action="OPENED", reason="above the threshold",
        at=NOON, run_id=run.pk, key=f"decision/{n}",
    )  # fmt: skip
    order = WorkOrder.objects.create(
        **about, maintenance_type="CORRECTIVE_DEFERRED", title=f"Low output of {anomaly.machine.tag}", alarm=alarm,
        opened_at=NOON,
    )  # fmt: skip
    WorkOrderTransition.objects.create(order=order, action="OPENED", to_status="OPEN", key=f"order/{n}", at=NOON)
    return alarm, order
