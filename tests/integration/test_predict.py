"""Models are asked about live machines: which they fit, what is stored and shown, and when a champion is taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from agents import breaches, housekeeping, jobs, predict
from mlops import artifact_store, ledger, loader, said, serving
from mlops.learning import artifact
from mlops.learning.contract import Answers, Feature, Signature
from mlops.learning.examples import Examples
from mlops.learning.kinds import KINDS
from mlops.loader import Shelf
from mlops.models import Deployment, ModelHealth, ModelPolicy, ModelVersion, Prediction
from sensors import columns, sheets, store
from sensors.exchange import Outcome
from sensors.exchange_rows import SensorRows
from sensors.models import Equipment, Event, Sensor
from tests import factories
from tests.client import client
from tests.factories import NOON
from tests.integration.test_ledger import NAME, registered

pytestmark = pytest.mark.django_db
MINUTE = columns.SECOND_US * 60
FEATURES = (Feature("load", "kN"), Feature("heat", "°C"))
SIGNATURE = Signature(FEATURES, (Feature("wear", "mm"),), equipment_class="PRESS")
MINUTELY = Signature(FEATURES, (Feature("wear", "mm"),), rows=5, least=3, period_us=MINUTE)
OF_ALARMS = Signature(FEATURES, (Feature("anomalous"),), equipment_class="PRESS")
RUL = Signature(
    FEATURES, (*(Feature(f"rul_{share}", "s") for share in ("p10", "p50", "p90")), Feature("coverage_proven"))
)


@dataclass(frozen=True, slots=True)
class Told:
    """Outputs = the sum of the newest load and what was taught; ``above``: 1 where the load is higher, else 0; a load
    of 13 it cannot bear."""

    added: Mapping[str, float]
    above: float | None = None
    kind: str = "made-told"

    def parts(self) -> dict[str, Any]:
        return {"added": dict(self.added), "above": self.above}

    def answer(self, examples: Examples) -> Answers:
        load = examples.now[:, 0]
        if (load == 13).any():
            raise ZeroDivisionError("thirteen")
        if self.above is not None:
            return {"anomalous": (load > self.above).astype(np.float64)}
        return {name: load * (name != "coverage_proven") + value for name, value in self.added.items()}


@pytest.fixture(autouse=True)
def places(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.ML_ARTIFACTS = (tmp_path / "artifacts").as_uri()
    settings.ML_CACHE_DIR = tmp_path / "cache"
    monkeypatch.setattr(loader, "shelf", Shelf(most_bytes=10**6, seconds=60))
    KINDS["made-told"] = lambda parts: Told(parts["added"], parts["above"])
    yield
    del KINDS["made-told"]


def version(
    learned: Told, signature: Signature = SIGNATURE, *, name: str = NAME, alias: str = "CHAMPION", **known: Any
) -> ModelVersion:
    made = registered(name=name)
    data = artifact.pack(learned, signature, None)
    made.uri = f"{loader.settings.ML_ARTIFACTS}/{name}/{made.version}/model.skops"
    made.sha256, made.size, made.signature = artifact.digest(data), len(data), asdict(signature)
    for column, value in known.items():
        setattr(made, column, value)
    made.save()
    artifact_store.put(made.uri, data)
    if alias == "CHAMPION":
        ledger.promote(made, actor="ann", reason="test")
    else:
        ledger.challenge(made, actor="ann", reason="test")
    return made


def share(of_lanes: float) -> None:
    ModelPolicy.objects.create(name=NAME, challenger_share=of_lanes)


def press(*, lane: int = 0, units: Sequence[str] = ("kN", "°C"), **fields: Any) -> Equipment:
    fields = {"equipment_class": "Press", "site": fields.pop("site", None) or factories.site()} | fields
    machine = factories.machine(lane=lane, **fields)
    for feature, unit in zip(("load", "heat"), units, strict=False):
        factories.sensor(machine=machine, feature=feature, unit=unit)
    return machine


def measured(machine: Equipment, loads: Sequence[float], *, start: int = 0, bad: bool = False) -> None:
    """A load and a heat of 60 each minute, from so many minutes after noon on."""
    at = columns.from_instant(NOON) + (start + np.arange(len(loads), dtype=np.int64)) * MINUTE
    for sensor in Sensor.objects.filter(machine=machine).exclude(feature=""):
        value = np.array(loads, np.float64) if sensor.feature == "load" else np.full(len(loads), 60.0)
        taken = columns.Columns(np.full(len(at), sensor.pk), at, value, np.arange(len(at), dtype=np.int32))
        store.make_partitions(store.days_of(taken))
        marks = np.full(len(at), 2 if bad and sensor.feature == "load" else 0, np.uint8)
        store.insert(taken, quality=marks, reason=marks * 0)


def stored() -> list[tuple[int, int, str, bool, float | None]]:
    """Minutes after noon, version, alias, whether it is shown, wear."""
    return [
        (round((row.asked_at - NOON).total_seconds() / 60), row.version, row.alias, row.is_shown,
         row.outputs["wear"]["value"])
        for row in Prediction.objects.order_by("asked_at", "machine_id", "version")
    ]  # fmt: skip


def whys(signature: Signature = SIGNATURE) -> list[str]:
    classes = [signature.equipment_class]
    return [fit.why for fit in serving.fits(asdict(signature), serving.machines(classes=classes))]


# Which machines


def test_a_machine_that_lacks_a_feature_or_has_another_unit_is_not_asked_and_told_why() -> None:
    version(Told({"wear": 1.0}))
    for machine in (press(), press(units=("kN",)), press(units=("N", "°C")), press(equipment_class="PUMP")):
        measured(machine, [7.0])
    factories.machine(site=factories.site(), equipment_class="PRESS")
    factories.machine(site=factories.site(), equipment_class="PUMP")
    assert whys() == [
        "", "No sensor is tagged as heat.", "load is in N; the model takes kN.",
        "It is of class PUMP; the model is for PRESS.", "No sensor is tagged as load, heat.",
    ]  # fmt: skip
    assert predict.look_round() == 1
    assert stored() == [(0, 1, "CHAMPION", True, 8.0)]


def test_a_model_for_any_machine_asks_those_that_have_all_its_features_their_components_counted() -> None:
    machine = press(units=("kN",), equipment_class="")
    part = factories.machine(site=machine.site, level="COMPONENT", parent=machine)
    factories.sensor(machine=part, feature="heat", unit="°C")
    factories.machine(site=machine.site)
    assert whys(MINUTELY) == [""]


def test_two_sensors_of_a_machine_are_never_one_feature() -> None:
    machine, other = press(), press()
    with pytest.raises(ValidationError, match="is the feature load of this machine already"):
        factories.sensor(machine=machine, feature="load")
    last = factories.sensor(machine=machine)
    with pytest.raises(IntegrityError), transaction.atomic():
        Sensor.objects.filter(pk=last.pk).update(feature="load")
    assert Sensor.objects.filter(feature="load").count() == 2
    assert factories.sensor(machine=other).feature == ""


def test_the_feature_of_a_sensor_comes_by_import_and_is_told_by_rest() -> None:
    machine = factories.machine(site=factories.site())
    admin = factories.user(site=machine.site)
    first, second = factories.sensor(machine=machine), factories.sensor(machine=machine)

    def imported(text: str) -> list[Outcome]:
        return SensorRows(machine.site, admin).run(sheets.read("file", text.encode()), trial=False)

    assert [one.what for one in imported(f"external_id,feature\n{first.external_id},T24\n")] == ["CHANGED"]
    told = client(admin).get("/api/v1/sensors/", {"external_id": first.external_id}).json()["results"]
    assert told[0]["feature"] == "T24"
    (wrong,) = imported(f"external_id,feature\n{second.external_id},T24\n")
    assert (wrong.what, "is the feature T24 of this machine already" in wrong.faults[0]) == ("WRONG", True)


# Rows


def test_rows_are_those_of_the_models_period_and_a_gap_is_missing_not_filled() -> None:
    seen: list[Any] = []

    @dataclass(frozen=True, slots=True)
    class Seeing(Told):
        def answer(self, examples: Examples) -> Answers:
            seen.append((examples.tracks[0].at, examples.tracks[0].value[:, 0]))
            return {"wear": examples.now[:, 0]}

    KINDS["made-told"] = lambda parts: Seeing(parts["added"], parts["above"])
    version(Told({"wear": 0.0}), MINUTELY)
    machine = press()
    measured(machine, [1.0, 2.0])
    assert predict.look_round() == 0
    told = "2 of the 3 rows that version 1 needs are there."
    assert ModelHealth.objects.get().not_answered == {str(machine.pk): told}
    assert said.not_asked(machine) == [(NAME, told)]
    measured(machine, [3.0, 4.0, 5.0, 6.0], start=3)
    measured(machine, [99.0], start=7, bad=True)
    assert predict.look_round() == 1
    at, load = seen[-1]
    assert [(one - columns.from_instant(NOON)) / MINUTE for one in at] == [2, 3, 4, 5, 6]
    np.testing.assert_array_equal(load, [np.nan, 3, 4, 5, 6])
    row = Prediction.objects.get()
    assert (row.from_at, row.asked_at) == (NOON + timedelta(minutes=2), NOON + timedelta(minutes=6))


def test_without_a_period_rows_are_the_readings_of_the_feature_that_is_read_least_often() -> None:
    version(Told({"wear": 0.0}), Signature(FEATURES, (Feature("wear", "mm"),), rows=4, least=2))
    machine = press()
    measured(machine, [1.0, 2.0, 3.0])
    heat = Sensor.objects.get(machine=machine, feature="heat")
    at = np.array([columns.from_instant(NOON) + 3 * MINUTE + 5])
    taken = columns.Columns(np.array([heat.pk]), at, np.array([61.0]), np.zeros(1, np.int32))
    store.insert(taken, quality=np.zeros(1, np.uint8), reason=np.zeros(1, np.uint8))
    assert predict.look_round() == 1
    assert stored() == [(2, 1, "CHAMPION", True, 3.0)]


# Who answers, and what is shown


def test_a_round_that_is_done_again_changes_nothing_and_new_readings_are_asked_about() -> None:
    version(Told({"wear": 1.0}))
    machine = press()
    measured(machine, [7.0])
    assert (predict.look_round(), predict.look_round()) == (1, 0)
    measured(machine, [8.0], start=1)
    assert jobs.run("predict", predict.look_round) == jobs.Result.DONE
    assert stored() == [(0, 1, "CHAMPION", True, 8.0), (1, 1, "CHAMPION", True, 9.0)]


def test_the_challenger_answers_in_the_shadow_and_is_shown_in_its_share_of_lanes() -> None:
    version(Told({"wear": 1.0}))
    version(Told({"wear": 2.0}), alias="CHALLENGER")
    share(0.25)
    for lane in (15, 16):
        measured(press(lane=lane), [7.0])
    assert predict.look_round() == 4
    assert stored() == [
        (0, 1, "CHAMPION", False, 8.0), (0, 2, "CHALLENGER", True, 9.0),
        (0, 1, "CHAMPION", True, 8.0), (0, 2, "CHALLENGER", False, 9.0),
    ]  # fmt: skip


def test_where_the_challenger_fails_the_champion_is_shown_in_its_lanes_too() -> None:
    version(Told({"wear": 1.0}))
    version(Told({}), alias="CHALLENGER")
    share(1.0)
    machine = press()
    measured(machine, [7.0])
    assert predict.look_round() == 1
    assert stored() == [(0, 1, "CHAMPION", True, 8.0)]
    assert "Version 2 fails: KeyError" in ModelHealth.objects.get().not_answered[str(machine.pk)]


def test_the_failure_of_one_machine_is_told_and_stops_no_other() -> None:
    version(Told({"wear": 1.0}))
    bad, good = press(), press()
    measured(bad, [13.0])
    measured(good, [7.0])
    assert predict.look_round() == 1
    assert [row.machine for row in Prediction.objects.all()] == [good]
    assert said.not_asked(bad) == [(NAME, "Version 1 fails: ZeroDivisionError: thirteen")]


def test_without_the_store_it_goes_on_from_the_disk_and_a_champion_that_cannot_be_had_is_told() -> None:
    version(Told({"wear": 1.0}))
    machine = press()
    measured(machine, [7.0])
    predict.look_round()
    loader.shelf = Shelf(most_bytes=10**6, seconds=60)
    Path(loader.settings.ML_ARTIFACTS.removeprefix("file://")).rename(loader.settings.ML_CACHE_DIR / "gone")
    measured(machine, [8.0], start=1)
    assert predict.look_round() == 1
    version(Told({"wear": 2.0}))
    Path(loader.settings.ML_ARTIFACTS.removeprefix("file://")).rename(loader.settings.ML_CACHE_DIR / "gone too")
    measured(machine, [9.0], start=2)
    predict.look_round()
    assert [row[:2] for row in stored()] == [(0, 1), (1, 1), (2, 1)]
    assert "Version 1 speaks instead of the champion" in Prediction.objects.first().degraded  # type: ignore[union-attr]
    assert "Version 1 speaks instead of the champion" in ModelHealth.objects.get().trouble


def test_a_model_that_is_silent_is_told_and_others_are_asked() -> None:
    version(Told({"wear": 1.0}), name="mute")
    Path(loader.settings.ML_ARTIFACTS.removeprefix("file://")).rename(loader.settings.ML_CACHE_DIR)
    version(Told({"wear": 1.0}))
    measured(press(), [7.0])
    assert predict.look_round() == 1
    mute = ModelHealth.objects.get(name="mute")
    assert "No version of mute speaks" in mute.trouble
    assert mute.answered_at is None


def test_a_round_asks_the_database_as_often_for_many_machines_as_for_few() -> None:
    version(Told({"wear": 1.0}))
    version(Told({"wear": 2.0}), alias="CHALLENGER")
    measured(press(), [7.0])
    predict.look_round()
    counted = []
    for more in (2, 9):
        for _ in range(more):
            measured(press(), [7.0])
        with CaptureQueriesContext(connection) as queries:
            assert predict.look_round() == 2 * more
        counted.append(len(queries))
    assert counted[0] == counted[1]
    assert counted[1] <= 30


# What people see


@pytest.mark.parametrize(("proven", "told"), [(0.0, "not shown: its coverage is unproven"), (1.0, "17 to 57 s (P10")])
def test_what_is_unproven_is_stored_and_shown_nowhere(proven: float, told: str, client: Client) -> None:
    version(Told({"rul_p10": 10.0, "rul_p50": 20.0, "rul_p90": 50.0, "coverage_proven": proven}), RUL)
    machine = press()
    measured(machine, [7.0])
    predict.look_round()
    assert Prediction.objects.get().outputs["rul_p50"]["value"] == 27
    boss = factories.user(is_staff=True, is_superuser=True)
    client.force_login(boss)
    page = client.get(reverse("admin:sensors_equipment_change", args=[machine.pk])).content.decode()
    assert told in page
    assert ("27 s" in page) == bool(proven)
    assert "What models say" in page
    outputs = rest(boss)[0]["outputs"]
    assert outputs["rul_p50"]["value"] == (27 if proven else None)


def rest(user: Any, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client(user).get("/api/v1/ml/predictions/", query).json()["results"]
    return found


def test_rest_lists_predictions_of_the_callers_sites_alone() -> None:
    version(Told({"wear": 1.0}))
    version(Told({"wear": 2.0}), alias="CHALLENGER")
    ours, theirs = press(), press()
    for machine in (ours, theirs):
        measured(machine, [7.0])
    predict.look_round()
    member = factories.user(site=ours.site, role="VIEWER")
    assert {row["machine"] for row in rest(member)} == {ours.pk}
    assert [row["version"] for row in rest(member, is_shown="true")] == [1]
    assert rest(member, machine=theirs.pk) == rest(member, name="another") == []
    other = Prediction.objects.filter(machine=theirs).first()
    assert client(member).get(f"/api/v1/ml/predictions/{other.pk}/").status_code == 404  # type: ignore[union-attr]
    assert client().get("/api/v1/ml/predictions/").status_code == 401


def test_the_models_page_tells_its_health_and_no_machine_of_another_site(client: Client) -> None:
    version(Told({"wear": 1.0}))
    ours, theirs, lame = press(), press(units=("N", "°C"), tag="THEIRS"), press(units=("kN",), tag="LAME")
    measured(ours, [7.0])
    Equipment.objects.filter(pk=lame.pk).update(site=ours.site)
    predict.look_round()
    client.force_login(factories.user(site=ours.site, role="VIEWER", is_staff=True))
    page = client.get(reverse("admin:mlops_modelpolicy_change", args=[NAME])).content.decode()
    assert "Machines that it fits: 1" in page
    assert "Last answered: 2" in page
    assert "LAME" in page
    assert "No sensor is tagged as heat." in page
    assert theirs.tag not in page


def test_what_models_said_is_forgotten_after_its_days(settings: Settings) -> None:
    settings.ML_PREDICTIONS_DAYS = 30
    version(Told({"wear": 1.0}))
    machine = press()
    for minute in (0, 1):
        measured(machine, [7.0], start=minute)
        predict.look_round()
    Prediction.objects.filter(asked_at=NOON).update(created_at=timezone.now() - timedelta(days=31))
    assert housekeeping.forget_predictions() == 1
    assert [row[0] for row in stored()] == [1]


# Breaches


def answered(machine: Equipment, champion: ModelVersion, load: float, *, rows: int = 60, **outputs: Any) -> None:
    """What a champion said of so many minutes, as rounds would have left it."""
    measured(machine, [load] * rows)
    Prediction.objects.bulk_create(
        Prediction(
            machine=machine, name=NAME, version=champion.version, alias="CHAMPION", is_shown=True,
            asked_at=NOON + timedelta(minutes=minute), from_at=NOON, outputs=outputs,
        )
        for minute in range(rows)
    )  # fmt: skip


ALARM = {"unit": "", "value": 1.0}


def test_a_champion_that_calls_too_much_anomalous_is_taken_back_once() -> None:
    version(Told({}, above=10.0), OF_ALARMS)
    second = version(Told({}, above=1.0), OF_ALARMS, figures={"false_alarms": [0.02, 0.01, 0.03]})
    ModelPolicy.objects.create(name=NAME, promotion="MANUAL")
    answered(press(), second, 5.0, anomalous=ALARM)
    assert breaches.look_round() == [NAME]
    entry = Deployment.objects.get(to_at=None)
    assert (entry.version.version, entry.action, entry.actor) == (1, "ROLLED_BACK", "predict")
    assert entry.reason == (
        "Version 2 called anomalous in 100% of its 60 newest answers within 24 h up to 2026-03-01 12:59 UTC (at most "
        "20% is borne); asked about 60 of the same, version 1 did so in 0%, and this one in 100%."
    )
    assert Event.objects.filter(type="model.rolled_back", actor="predict").count() == 1
    ledger.promote(second, actor="ann", reason="I know better")
    Prediction.objects.update(created_at=timezone.now())
    assert breaches.look_round() == []
    assert ledger.champion(NAME) == second


def test_a_champion_that_says_nothing_is_taken_back_and_one_that_says_most_is_not() -> None:
    version(Told({"wear": 1.0}))
    second = version(Told({"wear": 2.0}))
    machine = press()
    answered(machine, second, 5.0, wear={"unit": "mm", "value": None})
    quiet = Prediction.objects.filter(asked_at__lt=NOON + timedelta(minutes=31))
    Prediction.objects.exclude(pk__in=quiet).update(outputs={"wear": {"unit": "mm", "value": 3.0}})
    Prediction.objects.filter(asked_at=NOON).update(outputs={"wear": {"unit": "mm", "value": 3.0}})
    assert breaches.look_round() == []
    Prediction.objects.filter(asked_at=NOON).update(outputs={"wear": {"unit": "mm", "value": None}})
    assert breaches.look_round() == [NAME]
    assert "Version 2 said nothing in 52%" in Deployment.objects.get(to_at=None).reason


def test_a_plant_that_has_become_anomalous_is_no_breach() -> None:
    version(Told({}, above=4.0), OF_ALARMS)
    second = version(Told({}, above=1.0), OF_ALARMS)
    answered(press(), second, 5.0, anomalous=ALARM)
    assert breaches.look_round() == []
    assert ledger.champion(NAME) == second


@pytest.mark.parametrize(("rows", "false_alarms"), [(49, 0.0), (60, 0.21)])
def test_few_answers_and_what_was_known_before_are_no_breach(rows: int, false_alarms: float) -> None:
    version(Told({}, above=10.0), OF_ALARMS)
    second = version(Told({}, above=1.0), OF_ALARMS, figures={"false_alarms": [false_alarms, 0, 1]})
    answered(press(), second, 5.0, rows=rows, anomalous=ALARM)
    assert breaches.look_round() == []


def test_nobody_is_rolled_back_to_who_was_taken_back() -> None:
    first = version(Told({}, above=10.0), OF_ALARMS)
    second = version(Told({}, above=1.0), OF_ALARMS)
    machine = press()
    answered(machine, second, 5.0, anomalous=ALARM)
    assert breaches.look_round() == [NAME]
    Prediction.objects.all().delete()
    Prediction.objects.bulk_create(
        Prediction(
            machine=machine, name=NAME, version=1, alias="CHAMPION", is_shown=True, from_at=NOON,
            asked_at=NOON + timedelta(minutes=minute), outputs={"anomalous": ALARM},
        )
        for minute in range(60)
    )  # fmt: skip
    assert breaches.look_round() == []
    assert ledger.champion(NAME) == first
