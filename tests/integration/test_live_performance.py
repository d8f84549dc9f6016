"""How good models are about live machines: expected of what they say themselves, and measured as truth comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from agents import drift
from agents.live_performance import WINDOW
from mlops import artifact_store, classification, forecasting, ledger, loader, performances
from mlops.forecasting import Belief
from mlops.learning import artifact
from mlops.learning.contract import Answers, Feature, Learned, Signature
from mlops.learning.examples import Examples, Track, everywhere
from mlops.learning.kinds import KINDS
from mlops.loader import Shelf
from mlops.models import ModelVersion, Prediction
from mlops.performance_models import LivePerformance
from mlops.seasons import Plan
from sensors import columns, labels, store
from sensors.columns import SECOND_US, Float64, to_instant
from sensors.models import Equipment, Label, Membership, Sensor
from tests import factories
from tests.client import client
from tests.factories import NOON
from tests.integration.test_ledger import NAME, registered

pytestmark = pytest.mark.django_db

MINUTE_US = 60 * SECOND_US
LOAD = (Feature("load", "kN"),)
FAILS = Signature(LOAD, (Feature("failure"), Feature("probability")), period_us=MINUTE_US)
LEFT = Signature(LOAD, tuple(Feature(f"rul_{share}", "h") for share in ("p10", "p50", "p90")), period_us=MINUTE_US)
SCORED = Signature(LOAD, (Feature("score"), Feature("anomalous")), period_us=MINUTE_US)


@dataclass(frozen=True, slots=True)
class Mute:
    """Answers nothing here: what it said is made by the tests."""

    kind: str = "made-mute"

    def parts(self) -> dict[str, Any]:
        return {}

    def answer(self, examples: Examples) -> Answers:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def places(redis_empty: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ML_ARTIFACTS = (tmp_path / "artifacts").as_uri()
    settings.ML_CACHE_DIR = tmp_path / "cache"
    monkeypatch.setattr(loader, "shelf", Shelf(most_bytes=10**6, seconds=60))
    monkeypatch.setitem(KINDS, "made-mute", lambda parts: Mute())


@pytest.fixture
def press() -> Equipment:
    machine = factories.machine(site=factories.site(), equipment_class="PRESS")
    factories.sensor(machine=machine, feature="load", unit="kN")
    return machine


def champion(learned: Learned, signature: Signature, **known: Any) -> ModelVersion:
    version = registered()
    data = artifact.pack(learned, signature, None)
    version.uri = f"{loader.settings.ML_ARTIFACTS}/{version.version}/model.skops"
    version.sha256, version.size, version.signature = artifact.digest(data), len(data), asdict(signature)
    for column, value in known.items():
        setattr(version, column, value)
    version.save()
    artifact_store.put(version.uri, data)
    ledger.promote(version, actor="ann", reason="test")
    return version


def classifier() -> classification.Classifier:
    """Of two states the second matters: the higher the load, the likelier."""
    lot = np.random.default_rng(3)
    load = lot.uniform(0, 10, 400)
    examples = everywhere([Track("press", np.arange(400), load[:, None])], [(load + lot.normal(0, 2, 400) > 7) * 1.0])
    return classification.teach(
        examples, lambda: make_pipeline(StandardScaler(), LogisticRegression()),
        inner=[(examples.take(np.arange(200)), examples.take(np.arange(200, 400)))], outputs=("failure", "probability"),
        one_sided=True,
    )  # fmt: skip


def said(machine: Equipment, version: ModelVersion, minute: int = 0, **outputs: Float64) -> None:
    """A prediction each minute, from so many minutes after noon on."""
    count = len(next(iter(outputs.values())))
    Prediction.objects.bulk_create(
        Prediction(
            machine=machine, name=NAME, version=version.version, alias="CHAMPION", is_shown=True,
            asked_at=at_minute(minute + k), from_at=NOON,
            outputs={name: {"unit": "", "value": float(value[k])} for name, value in outputs.items()},
        )
        for k in range(count)
    )  # fmt: skip


def at_minute(minute: float) -> Any:
    return NOON + timedelta(minutes=minute)


def label(machine: Equipment, kind: str, first: float, last: float) -> Label:
    row, _ = labels.add(
        machine=machine, sensor=None, from_at=at_minute(first), to_at=at_minute(last), kind=kind, actor=factories.user()
    )
    return row


def by_name(row: LivePerformance) -> Mapping[str, Mapping[str, Any]]:
    row.refresh_from_db()
    return {one["name"]: one for one in row.figures}


def stretches(true: Float64) -> Sequence[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], true, [0]])))
    return list(zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True))


def test_what_a_classifier_expects_of_itself_is_kept_and_what_labels_say_comes_to_stand_beside(
    press: Equipment,
) -> None:
    version = champion(classifier(), FAILS, figures={"f1": [0.8, 0.7, 0.9]})
    lot = np.random.default_rng(1)
    probability = np.repeat(lot.uniform(0, 1, 20), WINDOW // 20)
    said(press, version, failure=(probability > 0.5) * 1.0, probability=probability)
    drift.look_round()
    row = LivePerformance.objects.get()
    assert (row.machine, row.name, row.version, row.answers) == (press, NAME, version.version, WINDOW)
    assert (row.from_at, row.to_at, row.known, row.changes) == (NOON, at_minute(WINDOW - 1), 0, None)
    f1 = by_name(row)["f1"]
    assert 0 < f1["low"] < f1["expected"] < f1["high"] < 1
    assert (f1["held_out"], f1["measured"], row.measured_at) == (0.8, None, None)
    true = (np.repeat(lot.uniform(0, 1, 20), WINDOW // 20) < probability) * 1.0
    made = [label(press, "FAULT", first, last) for first, last in stretches(true)]
    made += [label(press, "EXPECTED", first, last) for first, last in stretches(1 - true)]
    drift.look_round()
    measured = by_name(row)["f1"]["measured"]
    alarm = probability >= classifier().threshold
    hits = float((alarm & (true == 1)).sum())
    assert measured == pytest.approx(2 * hits / (alarm.sum() + true.sum()))
    assert (row.known, len(row.said)) == (WINDOW, len(made))
    assert row.said[0].startswith(f"label {min(one.pk for one in made if one.from_at == NOON)} says ")
    assert by_name(row)["f1"]["expected"] == f1["expected"]
    for one in made:
        labels.retract(one.pk, actor=factories.user())
    drift.look_round()
    assert (by_name(row)["f1"]["measured"], row.known, row.said) == (None, 0, [])


def test_where_labels_tell_of_a_part_only_that_part_is_measured(press: Equipment) -> None:
    version = champion(classifier(), FAILS)
    probability = np.full(WINDOW, 0.9)
    said(press, version, failure=np.ones(WINDOW), probability=probability)
    label(press, "FAULT", 0, 29)
    label(press, "FALSE_ALARM", 30, 39)
    label(press, "FAULT", 10_000, 10_001)
    drift.look_round()
    row = LivePerformance.objects.get()
    assert (by_name(row)["precision"]["measured"], row.known, len(row.said)) == (0.75, 40, 2)


def test_answers_are_taken_once_and_fewer_than_a_window_wait(press: Equipment) -> None:
    version = champion(classifier(), FAILS)
    said(press, version, failure=np.zeros(WINDOW - 1), probability=np.full(WINDOW - 1, 0.1))
    drift.look_round()
    assert not LivePerformance.objects.exists()
    said(press, version, WINDOW - 1, failure=np.zeros(WINDOW), probability=np.full(WINDOW, 0.1))
    for _ in range(3):
        drift.look_round()
    assert [(one.from_at, one.to_at) for one in LivePerformance.objects.all()] == [(NOON, at_minute(WINDOW - 1))]


def test_what_remained_is_held_against_the_next_fault(press: Equipment) -> None:
    """It says two hours from begin to end: right to within one at first, and wrong from then on."""
    usual = [0.1, 0.2, 0.3]
    version = champion(Mute(), LEFT, usual_losses=usual, figures={"coverage": [0.75, None, None]})
    said(press, version, rul_p10=np.full(WINDOW, 1.0), rul_p50=np.full(WINDOW, 2.0), rul_p90=np.full(WINDOW, 3.0))
    drift.look_round()
    row = LivePerformance.objects.get()
    assert by_name(row)["pinball"]["expected"] == pytest.approx(0.2 * 2)
    assert (by_name(row)["coverage"]["expected"], by_name(row)["coverage"]["held_out"]) == (0.8, 0.75)
    label(press, "FAULT", 210, 220)
    label(press, "FAULT", 2_000, 2_010)
    drift.look_round()
    inside = sum(60 <= 210 - minute <= 180 for minute in range(WINDOW))
    assert by_name(row)["coverage"]["measured"] == pytest.approx(inside / WINDOW)
    assert (row.known, len(row.said)) == (WINDOW, 1)


def test_a_value_ahead_is_measured_by_later_readings_and_nobody_has_to_say_anything(press: Equipment) -> None:
    plan = Plan(ahead=10, period_us=MINUTE_US, seasons=(), memory=20)
    track = Track("press", np.arange(200) * MINUTE_US, np.random.default_rng(1).normal(5, 1, (200, 1)))
    later = np.append(track.value[10:, 0], np.full(10, np.nan))
    asked = everywhere([track], [later])
    learned = forecasting.teach(
        asked.take((asked.end > 40) & np.isfinite(later)), plan, (), references=("last",), belief=Belief(50, 1.0, 50.0)
    )
    signature = Signature(LOAD, tuple(Feature(name, "kN") for name in ("p10", "p50", "p90")), period_us=MINUTE_US)
    version = champion(learned, signature)
    said(press, version, p10=np.full(WINDOW, 4.0), p50=np.full(WINDOW, 5.0), p90=np.full(WINDOW, 6.0))
    values = np.where(np.arange(WINDOW + 10) < 60, 5.0, 9.0)
    read(press, values[: WINDOW + 9])
    drift.look_round()
    row = LivePerformance.objects.get()
    assert [one["name"] for one in row.figures] == ["coverage"]
    assert (row.known, row.measured_at) == (0, None)
    read(press, values[WINDOW + 9 :], minute=WINDOW + 9)
    drift.look_round()
    assert by_name(row)["coverage"]["measured"] == pytest.approx(50 / WINDOW)
    assert (row.known, row.said) == (WINDOW, ["later readings"])


def read(machine: Equipment, value: Float64, *, minute: int = 0) -> None:
    at = columns.from_instant(NOON) + (minute + np.arange(len(value), dtype=np.int64)) * MINUTE_US
    sensor = Sensor.objects.get(machine=machine)
    taken = columns.Columns(np.full(len(at), sensor.pk), at, value, np.arange(len(at), dtype=np.int32))
    store.make_partitions(store.days_of(taken))
    store.insert(taken, quality=np.zeros(len(at), np.uint8), reason=np.zeros(len(at), np.uint8))


def test_scores_that_change_are_found_beside_those_before(press: Equipment) -> None:
    version = champion(Mute(), SCORED)
    score = np.random.default_rng(2).normal(0.2, 0.05, 3 * WINDOW)
    score[2 * WINDOW + 50 :] += 0.5
    for number in range(3):
        mine = score[number * WINDOW : (number + 1) * WINDOW]
        said(press, version, number * WINDOW, score=mine, anomalous=np.zeros(WINDOW))
        drift.look_round()
    first, calm, changed = LivePerformance.objects.order_by("to_at")
    assert (first.changes, first.figures, calm.changes) == (None, [], [])
    assert {one["by"] for one in changed.changes} == {"adwin", "page-hinkley"}
    soonest = min(one["at"] for one in changed.changes)
    assert at_minute(2 * WINDOW + 50).isoformat() <= soonest < at_minute(2 * WINDOW + 100).isoformat()


def test_they_are_forgotten_with_the_answers_they_were_made_of(press: Equipment) -> None:
    version = champion(classifier(), FAILS)
    said(press, version, failure=np.zeros(WINDOW), probability=np.full(WINDOW, 0.1))
    drift.look_round()
    assert performances.forget(before=NOON - timedelta(days=9)) == 0
    assert performances.forget(before=to_instant(2**52)) == 1


def test_members_see_both_over_rest_and_on_the_pages_and_where_nothing_is_known_they_are_told(
    press: Equipment,
) -> None:
    site = press.site
    viewer = factories.user(site=site, role=Membership.Role.VIEWER, is_staff=True)
    version = champion(classifier(), FAILS, figures={"f1": [0.8, 0.7, 0.9]})
    desk, http = Client(), client(viewer)
    desk.force_login(viewer)
    ledger.policy(NAME)
    assert "200 in a row" in desk.get("/admin/mlops/liveperformance/").content.decode()
    assert "Nothing is known yet" in desk.get(f"/admin/mlops/modelpolicy/{NAME}/change/").content.decode()
    other = factories.machine(site=factories.site(), equipment_class="PRESS")
    factories.sensor(machine=other, feature="load", unit="kN")
    for machine in (press, other):
        said(machine, version, failure=np.ones(WINDOW), probability=np.full(WINDOW, 0.75))
    label(press, "FAULT", 0, 30)
    drift.look_round()
    mine, theirs = LivePerformance.objects.get(machine=press), LivePerformance.objects.get(machine=other)
    [told] = http.get("/api/v1/ml/performances/", {"name": NAME}).json()["results"]
    assert (told["id"], told["known"], told["changes"]) == (mine.pk, 31, None)
    assert {one["name"]: one["measured"] for one in told["figures"]}["precision"] == 1.0
    assert http.get(f"/api/v1/ml/performances/{theirs.pk}/").status_code == 404
    for page in ("/admin/mlops/liveperformance/", f"/admin/mlops/modelpolicy/{NAME}/change/"):
        shown = desk.get(page).content.decode()
        assert press.tag in shown and other.tag not in shown and "1 of 31 answers" in shown and "0.8" in shown
    assert f"{NAME} {version.version}" in desk.get("/admin/mlops/liveperformance/").content.decode()
    page = desk.get(f"/admin/mlops/liveperformance/{mine.pk}/change/").content.decode()
    assert "says FAULT" in page and "as held out" in page


def test_the_list_takes_as_many_queries_for_one_row_as_for_many(press: Equipment) -> None:
    viewer = factories.user(site=press.site, role=Membership.Role.VIEWER, is_staff=True)
    desk, counts = Client(), []
    desk.force_login(viewer)
    for number in range(6):
        LivePerformance.objects.create(
            machine=press, name=NAME, version=1, from_at=at_minute(number), to_at=at_minute(number), answers=200
        )
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert desk.get("/admin/mlops/liveperformance/").status_code == 200
        counts.append(len(queries))
    assert counts[-1] == counts[1]
