"""Models of a site, learned from what is stored of its machines: what counts, who sees them, and the gate."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from agents import predict, sweeper
from agents.doorbell import Bell
from agents.questions import api as questions_api
from agents.trainings import jobs, requests
from mlops import ledger, loader, owners, site_recipes
from mlops.known_faults import KnownFaults
from mlops.learning.contract import NotAtHand
from mlops.loader import Shelf
from mlops.models import ModelPolicy, ModelVersion, Prediction, Question, Training
from mlops.multivariate import Multivariate
from sensors import columns, labels, regimes, store
from sensors.columns import Float64
from sensors.models import Equipment, Event, Membership, Site
from tests import factories, model_servers
from tests.client import JSON, client, problem
from tests.factories import NOON
from tests.model_servers import Server

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
FEATURES = {"flow": "l/min", "power": "kW", "heat": "°C"}
ROWS = 1_600
FAULTS = (1_180, 1_300, 1_400, 1_500)
"""Where faults begin in the later part, which is held out."""
LASTS = 50
Role = Membership.Role


@pytest.fixture(autouse=True)
def places(
    mlflow_server: Server, redis_empty: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MLFLOW_TRACKING_URI, settings.MLFLOW_TRACKING_PASSWORD = mlflow_server.url, model_servers.PASSWORD
    settings.ML_ARTIFACTS = (tmp_path / "artifacts").as_uri()
    settings.ML_CACHE_DIR = tmp_path / "cache"
    monkeypatch.setattr(loader, "shelf", Shelf(most_bytes=10**7, seconds=60))
    # MLflow keeps what earlier tests told it, and so must have never heard of the ids of this one's trainings.
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('mlops_training', 'id'), %s)", [secrets.randbits(40)])


def when(row: int) -> datetime:
    return NOON + row * MINUTE


def values(seed: int = 1, *, rows: int = ROWS) -> Float64:
    """(rows, 3): a pump's load goes up and down, and the three follow it."""
    lot = np.random.default_rng(seed)
    load = np.convolve(lot.normal(size=rows + 60), np.ones(60) / 8, mode="valid")[:rows]
    return np.outer(load, [1.0, 2.0, -1.0]) + lot.normal(0, 0.3, (rows, 3)) + [100, 20, 60]


def faulty(value: Float64, *begins: int, shift: float = 0.6) -> Float64:
    out = value.copy()
    for begin in begins:
        out[begin : begin + LASTS, 2] += shift
    return out


def pump(site: Site, value: Float64, *, tag: str = "P-1", **fields: Any) -> Equipment:
    """A machine with its readings, one a minute from noon on."""
    machine = factories.machine(site=site, tag=tag, equipment_class="PUMP")
    for column, (feature, unit) in enumerate(FEATURES.items()):
        sensor = factories.sensor(machine=machine, feature=feature, unit=unit, **fields)
        put(sensor.pk, value[:, column])
    return machine


def put(sensor: int, value: Float64, *, first: int = 0, quality: int = 0) -> None:
    at = np.array([columns.from_instant(when(first + n)) for n in range(len(value))], np.int64)
    rows = columns.Columns(np.full(len(at), sensor, np.int64), at, value, np.zeros(len(at), np.int32))
    store.make_partitions(store.days_of(rows))
    store.insert(rows, quality=np.full(len(at), quality, np.uint8), reason=np.zeros(len(at), np.uint8))


def say(machine: Equipment, begin: int, kind: str = "FAULT", *, lasts: int = LASTS) -> None:
    ends = when(begin + lasts - 1)
    labels.add(
        machine=machine, sensor=None, from_at=when(begin), to_at=ends, kind=kind, actor=factories.user()
    )  # fmt: skip


def asked(site: Site, *, days: int | None = None, **options: Any) -> Training:
    name = requests.model_of(site, "pump", look_back_days=days)
    return requests.ask(name, cause="PERSON", options=options)


def recipe(site: Site, *, days: int | None = None) -> Any:
    """What would be learned from; nothing is trained."""
    name = requests.model_of(site, "pump", look_back_days=days)
    return site_recipes.recipe_of(Training(name=name, options=owners.options(ModelPolicy.objects.get(pk=name))))


def learned(site: Site, *, days: int | None = None) -> Multivariate:
    made = recipe(site, days=days)
    found = made.fit(made.split(made.load(Path()))[0], made.defaults, seed=1)
    assert isinstance(found, Multivariate)
    return found


def same(one: Multivariate, other: Multivariate) -> bool:
    mine, theirs = one.parts(), other.parts()
    return all(
        np.array_equal(mine[kind][unit][part], theirs[kind][unit][part])
        for kind in ("planes", "tails")
        for unit in mine[kind]
        for part in mine[kind][unit]
    )


def train(site: Site, **options: Any) -> ModelVersion:
    row = asked(site, **options)
    assert jobs.perform(row.pk) == "done", Training.objects.get(pk=row.pk).reason
    return ModelVersion.objects.get(training=row)


@pytest.fixture
def site() -> Site:
    """Two pumps, of which one has four faults in the later part, all labelled."""
    made = factories.site(slug="north", name="North works")
    machine = pump(made, faulty(values(1), *FAULTS), tag="P-1")
    pump(made, values(2), tag="P-2")
    for begin in FAULTS:
        say(machine, begin)
    return made


# What is learned from


def test_the_look_back_ends_at_the_newest_reading_whatever_the_clock_says(site: Site) -> None:
    [first, second] = recipe(site).load(Path()).tracks
    assert (first.unit, second.unit) == ("P-1", "P-2")
    assert (len(first.at), first.at[-1]) == (ROWS - 1, columns.from_instant(when(ROWS - 1)))
    [first, second] = recipe(site, days=1).load(Path()).tracks
    assert first.at[0] == second.at[0] == columns.from_instant(when(ROWS - 24 * 60))


def test_nothing_before_the_newest_regime_of_a_sensor_is_learned_from() -> None:
    moved = values()
    moved[:400] += 30
    sites = [factories.site(), factories.site()]
    machines = [pump(one, value) for one, value in zip(sites, (values(), moved), strict=True)]
    assert not same(*(learned(one) for one in sites))
    for machine in machines:
        sensor = machine.machine_sensors.get(feature="heat")
        regimes.declare(
            machine=machine, sensor=sensor, since=when(400), reason="New impeller", actor=factories.user()
        )  # fmt: skip
    assert same(*(learned(one) for one in sites))
    assert recipe(sites[0]).load(Path()).tracks[0].at[0] == columns.from_instant(when(401))


def test_a_labelled_fault_does_not_move_what_is_normal_and_one_that_is_not_labelled_does() -> None:
    sites = [factories.site(), factories.site()]
    machines = [
        pump(one, faulty(values(), 300, shift=shift)) for one, shift in zip(sites, (5.0, -40.0), strict=True)
    ]  # fmt: skip
    assert not same(*(learned(one) for one in sites))
    for machine in machines:
        say(machine, 300)
    assert same(*(learned(one) for one in sites))


def test_false_alarms_and_what_was_meant_are_normal(site: Site) -> None:
    before = learned(site)
    machine = Equipment.objects.get(tag="P-2")
    say(machine, 200, "FALSE_ALARM")
    say(machine, 400, "EXPECTED")
    assert same(before, learned(site))
    assert recipe(site).load(Path()).truth.sum() == len(FAULTS) * LASTS


def test_a_retracted_label_is_no_truth(site: Site) -> None:
    for label in Equipment.objects.get(tag="P-1").labels.all():
        labels.retract(label.pk, actor=factories.user())
    assert recipe(site).load(Path()).truth.sum() == 0


def test_readings_that_are_not_good_are_not_learned_from_and_late_ones_are() -> None:
    value = values()
    one, other = factories.site(), factories.site()
    pump(one, value[:-30])
    machine = pump(other, value[:700])
    for column, feature in enumerate(FEATURES):
        sensor = machine.machine_sensors.get(feature=feature).pk
        put(sensor, value[800:-30, column], first=800)
        put(sensor, value[700:800, column], first=700)
        put(sensor, value[-30:, column] + 99, first=len(value) - 30, quality=2)
    assert same(learned(one), learned(other))


def test_a_machine_with_too_few_rows_is_left_out_and_without_one_nothing_is_trained(site: Site) -> None:
    pump(site, values(3, rows=150), tag="P-3")
    assert [track.unit for track in recipe(site).load(Path()).tracks] == ["P-1", "P-2"]
    small = factories.site(name="South works")
    pump(small, values(rows=150))
    with pytest.raises(NotAtHand, match="A PUMP of South works with 200 rows"):
        recipe(small)
    row = asked(small)
    assert jobs.perform(row.pk) == "failed"
    row.refresh_from_db()
    assert "is not at hand" in row.reason


def test_a_class_without_tagged_sensors_is_refused_at_once(site: Site) -> None:
    with pytest.raises(requests.Refused, match="no machine of class 'FAN'"):
        requests.model_of(site, "FAN")
    assert ModelPolicy.objects.count() == 0


def test_a_sites_model_has_a_name_of_its_own() -> None:
    names = []
    for slug, kind in (("a-b", "c"), ("a", "B C"), ("rig", "ポンプ"), ("a", "b/c")):
        made = Site.objects.filter(slug=slug).first() or factories.site(slug=slug)
        names.append(owners.of_site(made, kind).name)
    assert names == ["a-b-c-anomaly", "a-b-c-anomaly-2", "rig-anomaly-2", "a-b-c-anomaly-3"]
    assert owners.of_site(Site.objects.get(slug="a"), "b c").name == "a-b-c-anomaly-2"


# The gate, and the life of a model


def test_a_model_that_finds_labelled_faults_speaks_about_the_machines_of_its_site(site: Site) -> None:
    other = pump(factories.site(), values(1))
    version = train(site)
    assert version.objections == []
    assert (version.name, version.experiment, version.kind) == ("north-pump-anomaly", "machine-anomaly", "multivariate")
    assert version.figures["skill"][0] > version.baselines["T2 and Q"]["skill"][0] + 0.02
    assert "2 machines of class PUMP of North works (P-1, P-2)" in version.card
    assert ledger.champion(version.name) == version
    assert predict.look_round() == 2
    assert set(Prediction.objects.values_list("machine__tag", "machine__site")) == {("P-1", site.pk), ("P-2", site.pk)}
    assert not Prediction.objects.filter(machine=other).exists()
    assert {one.outputs["anomalous"]["value"] for one in Prediction.objects.all()} == {0.0}
    event = Event.objects.get(type="model.promoted")
    assert event.site_id == site.pk


def test_without_labelled_faults_nobody_knows_whether_it_finds_any_and_it_may_not_speak() -> None:
    made = factories.site()
    pump(made, values())
    version = train(made)
    assert "0 stretches of faults were held out; to judge by them takes 4" in version.objections[0]
    assert version.figures["false_alarms"][0] < 0.05
    assert ledger.champion(version.name) is None
    assert "Against it: skill: 0 stretches" in version.card


def test_a_model_is_trained_by_the_command_and_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="no machine of class 'FAN'"):
        call_command("train", site="north", equipment_class="FAN")
    with pytest.raises(CommandError, match="There is no site 'nowhere'"):
        call_command("train", site="nowhere", equipment_class="PUMP")
    call_command("train", site="north", equipment_class="pump", look_back=30)
    assert "north-pump-anomaly" in capsys.readouterr().out
    [row] = Training.objects.all()
    assert row.options == {"site": site.pk, "equipment_class": "PUMP", "look_back_days": 30}
    call_command("train", "--list")
    assert "of a site" in capsys.readouterr().out


# Over REST, and on pages

RETRAIN = "/api/v1/ml/retrain/"


@pytest.fixture
def boss(site: Site) -> Client:
    return client(factories.user(site=site, role=Role.ADMIN))


@pytest.fixture
def stranger(site: Site) -> Client:
    """Of another site; they look after it."""
    return client(factories.user(site=factories.site(), role=Role.ADMIN))


def test_a_sites_administrator_trains_rolls_back_and_promotes_and_its_members_read(site: Site, boss: Client) -> None:
    body = {"site": "north", "equipment_class": "PUMP", "look_back_days": 10}
    made = boss.post(RETRAIN, body, JSON)
    assert (made.status_code, made.json()["name"]) == (202, "north-pump-anomaly")
    sweeper.work_off([Bell("train", made.json()["id"])])
    assert boss.get(made.json()["status_url"]).json()["version"] == 1
    name = made.json()["name"]
    ledger.register(Training.objects.create(name=name, status="DONE", finished_at=timezone.now()), **copied(name))
    reason = {"reason": "let us see"}
    assert boss.post(f"/api/v1/ml/models/{name}/promote/", {"version": 2} | reason, JSON).status_code == 200
    assert boss.post(f"/api/v1/ml/models/{name}/rollback/", reason, JSON).json()["version"] == 1
    member = client(factories.user(site=site, role=Role.TECHNICIAN))
    [model] = member.get("/api/v1/ml/models/").json()["results"]
    assert (model["site"], model["equipment_class"], model["champion"]) == (site.pk, "PUMP", 1)
    assert len(member.get(f"/api/v1/ml/models/{name}/versions/").json()["results"]) == 2
    assert len(member.get("/api/v1/ml/deployments/").json()["results"]) == 3
    assert len(member.get("/api/v1/ml/trainings/").json()["results"]) == 2
    for where in ("promote", "rollback"):
        answer = member.post(f"/api/v1/ml/models/{name}/{where}/", {"version": 1} | reason, JSON)
        problem(answer, status=403, name="forbidden")
    problem(member.post(RETRAIN, body, JSON), status=403, name="forbidden")
    problem(member.post(RETRAIN, {"model": name}, JSON), status=403, name="forbidden")


def copied(name: str) -> dict[str, Any]:
    version = ledger.champion(name)
    assert version is not None
    left_out = ("id", "name", "version", "training", "created_at")
    return {
        field.name: getattr(version, field.name) for field in version._meta.fields if field.name not in left_out
    }  # fmt: skip


def test_of_another_sites_model_nothing_is_seen_asked_or_changed(site: Site, stranger: Client) -> None:
    name = train(site).name
    for where in ("models", "deployments", "trainings"):
        assert stranger.get(f"/api/v1/ml/{where}/").json()["results"] == []
    entry, row = ledger.Deployment.objects.get(), Training.objects.get()
    for where in (f"models/{name}", f"models/{name}/versions", f"deployments/{entry.pk}", f"trainings/{row.pk}"):
        assert stranger.get(f"/api/v1/ml/{where}/").status_code == 404
    assert stranger.post(f"/api/v1/ml/models/{name}/rollback/", {"reason": "x"}, JSON).status_code == 404
    assert stranger.post(f"/api/v1/ml/trainings/{row.pk}/again/", {}, JSON).status_code == 404
    problem(stranger.post(RETRAIN, {"model": name}, JSON), status=403, name="forbidden")
    answer = stranger.post(RETRAIN, {"site": "north", "equipment_class": "PUMP"}, JSON)
    problem(answer, status=404, name="not-found")
    features = {feature: {"unit": unit, "values": [1.0] * 10} for feature, unit in FEATURES.items()}
    for where in ("predict", "detect_anomaly"):
        answer = stranger.post(f"/api/v1/ml/{where}/", {"model": name, "features": features}, JSON)
        assert "speaks" in problem(answer, status=400, name="invalid")["errors"][0]["detail"]


def test_rows_are_asked_about_with_the_machine_they_are_of(
    site: Site, monkeypatch: pytest.MonkeyPatch, redis_empty: None
) -> None:
    wait = questions_api.wait_for

    def answered(row: Question) -> Question:
        sweeper.work_off([Bell("answer", row.pk)])
        return wait(row)

    monkeypatch.setattr(questions_api, "wait_for", answered)
    name = train(site).name
    features = {feature: {"unit": unit, "values": [1.0] * 10} for feature, unit in FEATURES.items()}
    body = {"model": name, "features": features}
    http = client(factories.user(site=site, role=Membership.Role.TECHNICIAN))

    def ask(**more: Any) -> Any:
        return http.post("/api/v1/ml/predict/", body | more, JSON)

    [error] = problem(ask(), status=400, name="invalid")["errors"]
    assert error["pointer"] == "#/equipment" and "give the id" in error["detail"]
    elsewhere = factories.machine(site=factories.site())
    for machine in (elsewhere.pk, 2**40):
        [error] = problem(ask(equipment=machine), status=400, name="invalid")["errors"]
        assert error["pointer"] == "#/equipment" and "no such machine" in error["detail"]
    pump = Equipment.objects.filter(site=site, equipment_class="PUMP").order_by("pk")[0]
    found = ask(equipment=pump.pk).json()
    assert found["status"] == "DONE" and found["answer"]["outputs"]["score"]["values"][0] is not None
    new = factories.machine(site=site, equipment_class="PUMP")
    found = ask(equipment=new.pk).json()
    assert found["status"] == "FAILED" and f"did not learn from machine {new.tag}" in found["reason"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "model"),
        ({"model": "rig-anomaly", "site": "north", "equipment_class": "PUMP"}, "site"),
        ({"model": "rig-anomaly", "look_back_days": 3}, "look_back_days"),
        ({"model": "rig-anomaly", "incremental": True}, "incremental"),
        ({"site": "north"}, "equipment_class"),
        ({"site": "north", "equipment_class": "FAN"}, "equipment_class"),
        ({"site": "north", "equipment_class": "PUMP", "look_back_days": 0}, "look_back_days"),
    ],
)
def test_what_is_asked_wrongly_is_a_clear_error(body: dict[str, Any], field: str, site: Site) -> None:
    answer = client(factories.user(is_superuser=True)).post(RETRAIN, body, JSON)
    assert [one["pointer"] for one in problem(answer, status=400, name="invalid")["errors"]] == [f"#/{field}"]


def page(name: str, *keys: object) -> str:
    return reverse(f"admin:mlops_{name}", args=keys)


def test_pages_show_a_sites_model_to_its_members_and_let_its_administrators_train_it(
    site: Site, client: Client
) -> None:
    version = train(site)
    row = Training.objects.get()
    pages = [
        page("modelpolicy_change", version.name), page("modelversion_change", version.pk),
        page("deployment_change", ledger.Deployment.objects.get().pk), page("training_change", row.pk),
    ]  # fmt: skip
    lists = [page(f"{name}_changelist") for name in ("modelpolicy", "modelversion", "deployment", "training")]
    train_page, back = page("training_train"), page("modelpolicy_roll_back", version.name)
    ask = {"site": site.pk, "equipment_class": "PUMP", "look_back_days": "20", "confirmed": "yes"}

    client.force_login(factories.user(site=factories.site(), role=Role.ADMIN, is_staff=True))
    assert not any(version.name in client.get(one).content.decode() for one in [*lists, train_page])
    assert [client.get(one).status_code for one in pages] == [302] * 4
    assert client.post(train_page, ask).status_code == 200
    assert client.post(train_page, {"name": version.name, "confirmed": "yes"}).status_code == 200
    assert (Training.objects.count(), client.get(back).status_code) == (1, 404)

    client.force_login(factories.user(site=site, role=Role.TECHNICIAN, is_staff=True))
    assert [client.get(one).status_code for one in pages] == [200] * 4
    assert all(version.name in client.get(one).content.decode() for one in lists)
    assert [client.get(one).status_code for one in (train_page, back)] == [403, 403]

    client.force_login(factories.user(site=site, role=Role.ADMIN, is_staff=True))
    assert client.get(back).status_code == 200
    assert "rig-anomaly" not in client.get(train_page).content.decode()
    assert client.post(train_page, ask).status_code == 302
    assert Training.objects.get(status="PENDING").options["look_back_days"] == 20


# What new labels ask for


def test_a_version_that_was_shown_labelled_faults_passes_the_same_gate_and_the_same_labels_change_nothing() -> None:
    site, begins = factories.site(), (300, 500, 700, *FAULTS)
    machine = pump(site, faulty(values(1), *begins, shift=0.45), tag="P-1")
    pump(site, values(2), tag="P-2")
    for begin in begins:
        say(machine, begin)
    first = train(site, settings={"span": 10, "explained": 0.9, "budget": 0.001})
    second = train(site, incremental=True)
    before, after = loader.opened(first).learned, loader.opened(second).learned
    assert isinstance(before, Multivariate) and isinstance(after, KnownFaults)
    assert same(before, after)
    assert [one.fault for one in after.windows] == [True] * 3
    assert second.figures["recall"][0] > first.figures["recall"][0] + 0.2
    assert second.objections == []
    assert second.comparisons[-1]["other"] == "champion 1"
    assert ledger.champion(first.name) == second
    again = asked(site, incremental=True)
    assert jobs.perform(again.pk) == "failed"
    again.refresh_from_db()
    assert again.reason.startswith("A label in the earlier part of the readings that the champion does not know")
    assert (ledger.champion(first.name), ModelVersion.objects.count()) == (second, 2)
    machine.labels.filter(from_at__lt=when(1_000)).update(retracted_at=timezone.now())
    for begin in (200, 400, 600, 800):  # where nothing was wrong
        say(machine, begin)
    third = train(site, incremental=True)
    assert any("champion 2" in why for why in third.objections)
    assert (ledger.champion(first.name), ledger.challenger(first.name)) == (second, third)


def test_without_a_champion_or_a_label_in_the_earlier_part_no_step_is_made(site: Site) -> None:
    for missing in ("A champion of north-pump-anomaly", "A label in the earlier part"):
        row = asked(site, incremental=True)
        assert jobs.perform(row.pk) == "failed"
        row.refresh_from_db()
        assert row.reason.startswith(missing)
        train(site)


def test_enough_new_labels_ask_for_a_training_once(site: Site) -> None:
    version = train(site)
    machine = Equipment.objects.get(tag="P-2")
    ModelPolicy.objects.update(retrain_labels=2, cooldown_hours=0)
    say(machine, 100, "FALSE_ALARM")
    assert jobs.look_round() == []
    say(machine, 200, "FALSE_ALARM")
    ModelPolicy.objects.update(cooldown_hours=24)
    assert jobs.look_round() == []
    ModelPolicy.objects.update(cooldown_hours=0)
    [moving] = Training.objects.filter(pk__in=jobs.look_round())
    assert (moving.name, moving.cause, moving.options["incremental"]) == (version.name, "SCHEDULE", True)
    ended(moving)
    assert jobs.look_round() == []
    say(machine, 300, "FALSE_ALARM")
    say(machine, 400, "FALSE_ALARM")
    [anew] = Training.objects.filter(pk__in=jobs.look_round())
    assert "incremental" not in anew.options  # a step was made, and the champion is the same
    ended(anew)
    ModelPolicy.objects.update(retrain_labels=None)
    say(machine, 500, "FALSE_ALARM")
    say(machine, 600, "FALSE_ALARM")
    assert jobs.look_round() == []


def ended(row: Training) -> None:
    Training.objects.filter(pk=row.pk).update(status="DONE", finished_at=timezone.now())


def test_labelled_faults_ask_for_a_step_and_then_for_a_model_that_is_taught_without_them(site: Site) -> None:
    train(site)
    ModelPolicy.objects.update(retrain_labels=1, cooldown_hours=0)
    for number, incremental in enumerate((True, False, True), start=1):
        say(Equipment.objects.get(tag="P-1"), 100 * number)
        [row] = Training.objects.filter(pk__in=jobs.look_round())
        assert ("incremental" in row.options) == incremental
        ended(row)


def test_labels_of_other_sites_and_classes_ask_for_nothing(site: Site) -> None:
    train(site)
    ModelPolicy.objects.update(retrain_labels=1, cooldown_hours=0)
    say(pump(factories.site(), values(rows=10)), 1)
    say(factories.machine(site=site, equipment_class="FAN"), 1)
    assert jobs.look_round() == []


def test_a_model_that_never_spoke_is_trained_anew_when_faults_were_labelled(site: Site) -> None:
    Equipment.objects.get(tag="P-1").labels.all().update(retracted_at=timezone.now())
    assert train(site).objections
    ModelPolicy.objects.update(retrain_labels=4, cooldown_hours=0)
    for begin in FAULTS:
        say(Equipment.objects.get(tag="P-1"), begin)
    [row] = jobs.look_round()
    assert jobs.perform(row) == "done"
    assert ledger.champion("north-pump-anomaly") is not None
