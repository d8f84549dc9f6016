"""Whoever can write to the broker can ring any bell, and nothing more."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from celery.signals import celeryd_init
from celery.worker.control import Panel
from django.db import Error, transaction
from kombu import Exchange, Queue
from kombu.exceptions import ContentDisallowed

from agents.models import Run, StageAttempt
from config import remote_control
from config.celery import app
from maintenance.models import Alarm, Notification, WorkOrder
from sensors.models import Event
from tests import factories, plant

pytestmark = [
    pytest.mark.usefixtures("redis_empty"),
    pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning"),  # binding a task that names its queue
]
QUEUE = Queue("ingest", Exchange(""), routing_key="ingest")
TAKES_AN_ID = ("ingest", "validate", "detect", "decide", "notify", "quarantine", "deliver", "backtest", "train",
               "webhook",
               "answer", "schedule", "export", "report")  # fmt: skip
FORGED: tuple[Any, ...] = (0, -1, 10**9, 2**63, 2**200, "1; DROP TABLE sensors_site", None, [1], {"id": 1})


def stored() -> dict[str, Any]:
    """What a bell could have changed."""
    models = (Run, StageAttempt, Alarm, WorkOrder, Notification, Event)
    return {model.__name__: list(model._default_manager.order_by("pk").values()) for model in models}


def test_every_task_is_held_to_this() -> None:
    app.loader.import_default_modules()
    ours = {name.removeprefix("agents.") for name in app.tasks if name.startswith("agents.")}
    assert ours - set(app.conf.beat_schedule) - {"agents"} == set(TAKES_AN_ID)


@pytest.mark.django_db
@pytest.mark.parametrize("name", TAKES_AN_ID)
def test_a_forged_id_has_no_effect(name: str) -> None:
    plant.rows(factories.site())
    app.loader.import_default_modules()
    before = stored()
    for forged in FORGED:
        try:
            with transaction.atomic():
                app.tasks[f"agents.{name}"].run(forged)
        except (Error, TypeError, ValueError, KeyError, IndexError):
            continue  # refused, and nothing kept
    assert stored() == before


@pytest.mark.django_db
def test_a_bell_for_what_is_not_due_has_no_effect() -> None:
    """The id of a row that is there, of whatever site: the row says what is to be done with it, not the message."""
    plant.rows(factories.site())
    done = list(Run.objects.exclude(status="ACTIVE").values_list("pk", flat=True))
    assert done
    before = stored()
    for stage in ("validate", "detect", "decide", "notify"):
        for key in done:
            app.tasks[f"agents.{stage}"].run(key)
    assert stored() == before


def test_a_pickle_in_a_message_is_not_opened(tmp_path: Path) -> None:
    marker = tmp_path / "opened"
    body = f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode()
    with app.connection_for_write() as connection, connection.channel() as channel:
        for kind in ("application/x-python-serialize", "application/x-yaml", "application/x-msgpack"):
            connection.Producer(channel).publish(
                body, routing_key="ingest", declare=[QUEUE], content_type=kind, content_encoding="binary",
                headers={"task": "agents.ingest", "id": str(uuid.uuid4())},
            )  # fmt: skip
            message = QUEUE(channel).get(accept=app.conf.accept_content)
            with pytest.raises(ContentDisallowed):
                message.decode()
            message.ack()
    assert not marker.exists()
    assert app.conf.accept_content == ["json"]
    assert app.conf.result_backend is None


def test_workers_answer_questions_and_take_no_orders() -> None:
    celeryd_init.send(sender="worker", instance=None, conf=app.conf, options={})
    assert set(Panel.data) == remote_control.ANSWERED
    assert {Panel.meta[name].type for name in Panel.data} <= {"inspect"}
