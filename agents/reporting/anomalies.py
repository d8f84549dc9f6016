"""The report of anomalies and alarms."""

from __future__ import annotations

from django.db.models import Count, Q

from agents.reporting.document import Document, Figure, Table, rounded
from agents.reporting.period import Asked
from maintenance import alarm_report
from maintenance.models import AlarmTransition, Anomaly
from sensors.models import Equipment

MOST_MACHINES = 50
MACHINE, INSTRUMENT = Q(nature="MACHINE"), Q(nature="INSTRUMENT")


def make(asked: Asked) -> Document:
    began = Anomaly.objects.filter(site=asked.site, **asked.within("started_at"))
    active = AlarmTransition.objects.filter(
        alarm__site=asked.site, action__in=("OPENED", "REOPENED"), **asked.within("at")
    )
    counts = began.aggregate(
        anomalies=Count("pk", filter=MACHINE),
        faults=Count("pk", filter=INSTRUMENT),
        affected=Count("machine", filter=MACHINE, distinct=True),
        false=Count("pk", filter=MACHINE & Q(verdict="FALSE_POSITIVE")),
        late=Count("pk", filter=Q(retrospective=True)),
    )
    open_then = Anomaly.objects.filter(Q(ended_at=None) | Q(ended_at__gte=asked.end), site=asked.site)
    figures = [
        Figure("anomalies", "Anomalies of machines", counts["anomalies"], "", "Anomalies of machines that began in the "
               "period."),
        Figure("instrument_faults", "Faults of instruments", counts["faults"], "", "Faults of sensors that began "
               "in the period: data that the machine cannot have produced."),
        Figure("machines_affected", "Machines with anomalies", counts["affected"], "", "Different machines of which an "
               "anomaly began in the period."),
        Figure("false_positives", "Judged false", counts["false"], "", "Of the anomalies of machines those that triage "
               "judged false positives."),
        Figure("late_findings", "Found in late data", counts["late"], "", "Anomalies and faults that began in the "
               "period and were found in readings that came late."),
        Figure("open_at_the_end", "Open at the end", open_then.filter(started_at__lt=asked.end).count(), "",
               "Anomalies and faults that began before the end of the period and were not over by then."),
        *_alarms(asked),
    ]  # fmt: skip
    plots = [
        asked.by_day(began, "started_at", name="anomalies", title="Anomalies and faults by day", unit="began"),
        asked.by_day(active, "at", name="activations", title="Alarms by day", unit="became active"),
    ]
    return asked.document("ANOMALY", "Anomalies and alarms", figures, [_by_machine(asked), _by_kind(asked)], plots)


def _alarms(asked: Asked) -> list[Figure]:
    """As the page of alarm performance has them, for one operator."""
    made = alarm_report.make(asked.site.pk, start=asked.start, end=asked.end, now=asked.end).report
    told = [
        Figure("activations", "Activations of alarms", made.activations, "", "How often alarms became active in the "
               "period."),
        Figure("alarms", "Different alarms", made.alarms, "", "Pairs of machine and failure mode that became active."),
    ]  # fmt: skip
    for one in made.figures:
        target = f" Target: {one.target.asked}." if one.target.asked else ""
        told.append(
            Figure(f"alarm_{one.target.name}", one.target.title, rounded(one.value), one.target.unit,
                   f"ISA-18.2, for one operator.{target} {one.target.source}")
        )  # fmt: skip
    return told


def _by_machine(asked: Asked) -> Table:
    within = {f"anomalies__{name}": value for name, value in asked.within("started_at").items()}
    machines = Equipment.objects.filter(site=asked.site, **within).annotate(
        of_machine=Count("anomalies", filter=Q(anomalies__nature="MACHINE")),
        of_instrument=Count("anomalies", filter=Q(anomalies__nature="INSTRUMENT")),
    )
    rows = machines.order_by("-of_machine", "-of_instrument", "tag").values_list(
        "tag", "name", "of_machine", "of_instrument"
    )
    return Table(
        "machines", f"Machines, those with most anomalies first ({MOST_MACHINES} at most)",
        ("machine", "name", "anomalies", "instrument_faults"), tuple(rows[:MOST_MACHINES]),
    )  # fmt: skip


def _by_kind(asked: Asked) -> Table:
    began = Anomaly.objects.filter(site=asked.site, **asked.within("started_at")).order_by()
    rows = began.values_list("nature", "detector", "kind", "failure_mode").annotate(number=Count("pk"))
    return Table(
        "kinds", "Anomalies and faults by kind", ("nature", "detector", "kind", "failure_mode", "number"),
        tuple(rows.order_by("-number", "nature", "detector", "kind", "failure_mode")),
    )  # fmt: skip
