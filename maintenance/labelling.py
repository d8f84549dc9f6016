"""What a person makes of an anomaly: a fault, expected, or a false alarm. The question on its page."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from maintenance import failure_modes
from maintenance.models import Anomaly
from sensors import ask, label_pages, labels, show
from sensors.desk import Desk

MODES = [(mode.code, f"{mode.code} – {mode.name}") for mode in failure_modes.CATALOGUE.modes.values()]


def view(page: Desk, request: HttpRequest, key: str) -> HttpResponse:
    anomaly: Anomaly = ask.row_of(page, request, key)
    actor: Any = request.user
    window = {"from_at": anomaly.started_at, "to_at": anomaly.last_at}
    question = ask.Question(
        title="What was it?",
        button="Label",
        done="Labelled",
        explain="Says what was true of the window. An alarm that stands goes on; what comes after is judged by it.",
        form=partial(label_pages.found_form, modes=MODES, mode=anomaly.failure_mode, **window),
        perform=lambda row, answers: label_pages.add_label(row.sensor, row.machine, actor, answers),
        refusals=(labels.AlreadyLabelled,),
    )
    back = reverse("admin:maintenance_anomaly_change", args=[anomaly.pk])
    return ask.answer(page, request, [anomaly], question, back=back)


def listing(anomaly: Anomaly) -> str:
    """A link to the labels of the anomaly's machine."""
    return show.listing("sensors_label", f"of {anomaly.machine.tag}", machine__id__exact=anomaly.machine_id)
