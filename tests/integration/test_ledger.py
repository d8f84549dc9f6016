from __future__ import annotations

import threading
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from mlops import ledger
from mlops.models import Deployment, ModelPolicy, ModelVersion, Training
from sensors.models import Event

NAME = "made-wear"


def trained(name: str = NAME) -> Training:
    return Training.objects.create(name=name, status="DONE", finished_at=timezone.now())


def registered(*objections: str, name: str = NAME) -> ModelVersion:
    known: dict[str, Any] = {
        "experiment": "made", "kind": "made-line", "signature": {}, "settings": {}, "figures": {"rmse": [1, 0, 2]},
        "baselines": {}, "comparisons": [], "objections": list(objections), "learned_from": 7, "held_out": 3,
        "data_sha256": "d" * 64, "sha256": "a" * 64, "size": 9, "uri": "file:///nowhere", "run_id": "r",
        "mlflow_version": 1, "card": "",
    }  # fmt: skip
    with transaction.atomic():
        return ledger.register(trained(name), **known)


def entries(alias: str = "CHAMPION") -> list[tuple[int, str, bool]]:
    rows = Deployment.objects.filter(name=NAME, alias=alias).order_by("id").select_related("version")
    return [(row.version.version, row.action, row.to_at is None) for row in rows]


@pytest.mark.django_db
def test_versions_are_numbered_and_a_training_makes_one() -> None:
    first, second, other = registered(), registered(), registered(name="another")
    assert (first.version, second.version, other.version) == (1, 2, 1)
    assert ledger.register(second.training, kind="whatever") == second


@pytest.mark.django_db
def test_the_first_that_beats_its_baselines_speaks_and_one_that_does_not_never_does() -> None:
    with transaction.atomic():
        assert ledger.settle(registered("worse than the mean."), beside=None) is None
        assert ledger.champion(NAME) is None
        ledger.settle(registered(), beside=None)
    assert entries() == [(2, "PROMOTED", True)]
    with pytest.raises(ledger.Refused, match="worse than the mean"):
        ledger.promote(ModelVersion.objects.get(version=1), actor="ann", reason="I like it")


@pytest.mark.django_db
def test_one_that_is_not_better_answers_in_the_shadow_and_a_person_may_not_promote_it() -> None:
    first = registered()
    ledger.promote(first, actor="ann", reason="first")
    ledger.settle(registered("no better than champion 1."), beside=first)
    assert (ledger.champion(NAME).version, ledger.challenger(NAME).version) == (1, 2)  # type: ignore[union-attr]
    assert entries("CHALLENGER") == [(2, "CHALLENGED", True)]
    ledger.withdraw(NAME, actor="ann")
    assert ledger.challenger(NAME) is None
    with pytest.raises(ledger.Refused, match="no challenger"):
        ledger.withdraw(NAME, actor="ann")


@pytest.mark.django_db
def test_where_a_person_decides_a_better_one_waits_in_the_shadow() -> None:
    first = registered()
    ledger.promote(first, actor="ann", reason="first")
    ModelPolicy.objects.filter(pk=NAME).delete()
    ModelPolicy.objects.create(name=NAME, promotion="MANUAL")
    better = registered()
    ledger.settle(better, beside=first)
    assert (ledger.champion(NAME).version, ledger.challenger(NAME).version) == (1, 2)  # type: ignore[union-attr]
    ledger.promote(better, actor="ann", reason="seen for a week")
    assert entries() == [(1, "PROMOTED", False), (2, "PROMOTED", True)]
    assert entries("CHALLENGER") == [(2, "CHALLENGED", False)]
    with pytest.raises(ledger.Refused, match="champion already"):
        ledger.promote(better, actor="ann", reason="again")


@pytest.mark.django_db
def test_rolled_back_the_one_before_speaks_again_and_the_ledger_tells_who_spoke_when() -> None:
    first, second = registered(), registered()
    ledger.promote(first, actor="ann", reason="first")
    ledger.promote(second, actor="training 2", reason="better")
    entry = ledger.rollback(NAME, actor="bob", reason="it cries wolf")
    assert (entry.version, entry.action, entry.actor) == (first, "ROLLED_BACK", "bob")
    assert entries() == [(1, "PROMOTED", False), (2, "PROMOTED", False), (1, "ROLLED_BACK", True)]
    day = timedelta(days=1)
    for number, row in enumerate(Deployment.objects.order_by("id")):
        row.from_at = timezone.now() - (3 - number) * day
        row.to_at = timezone.now() - (2 - number) * day if number < 2 else None
        row.save(update_fields=["from_at", "to_at"])
    asked = [ledger.live_at(NAME, timezone.now() - days * day) for days in (4, 2.5, 1.5, 0)]
    assert asked == [None, first, second, first]
    assert ledger.rollback(NAME, actor="bob", reason="sorry", to=second).version == second


@pytest.mark.django_db
def test_one_that_was_compared_with_another_champion_than_speaks_now_waits_in_the_shadow() -> None:
    first, second, third, fourth = registered(), registered(), registered(), registered("worse than the mean.")
    ledger.promote(first, actor="ann", reason="first")
    for version, beside, told in (
        (second, None, "when it was measured nobody spoke."),
        (third, second, f"when it was measured {second} spoke."),
        (fourth, second, "worse than the mean."),
    ):
        entry = ledger.settle(version, beside=beside)
        assert entry is not None and (entry.version, entry.action) == (version, "CHALLENGED")
        assert f"Not compared with {first}, which speaks now" in entry.reason and told in entry.reason
    assert ledger.champion(NAME) == first


@pytest.mark.django_db(transaction=True)
def test_a_rollback_that_comes_while_a_version_is_settled_is_never_undone_by_it() -> None:
    """Whoever of the two is first, the new version speaks only where it was compared with who spoke."""
    for _ in range(4):
        Deployment.objects.all().delete()
        first, second = registered(), registered()
        ledger.promote(first, actor="ann", reason="first")
        ledger.promote(second, actor="ann", reason="better")
        third, start = registered(), threading.Barrier(2)

        def settle(version: ModelVersion = third, beside: ModelVersion = second, start: Any = start) -> None:
            start.wait(30)
            with transaction.atomic():
                ledger.settle(version, beside=beside)
            connection.close()

        def roll_back(start: Any = start) -> None:
            start.wait(30)
            ledger.rollback(NAME, actor="bob", reason="it cries wolf")
            connection.close()

        threads = [threading.Thread(target=settle), threading.Thread(target=roll_back)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        told = [(row.version, row.action) for row in Deployment.objects.filter(name=NAME).order_by("id")][2:]
        settled_first = [(third, "PROMOTED"), (second, "ROLLED_BACK")]
        rolled_back_first = [(first, "ROLLED_BACK"), (third, "CHALLENGED")]
        assert told in (settled_first, rolled_back_first)


@pytest.mark.django_db
def test_there_is_nothing_to_roll_back_to_where_only_one_ever_spoke() -> None:
    ledger.promote(registered(), actor="ann", reason="first")
    with pytest.raises(ledger.Refused, match="could speak again"):
        ledger.rollback(NAME, actor="bob", reason="no")
    never = registered()
    with pytest.raises(ledger.Refused, match="could speak again"):
        ledger.rollback(NAME, actor="bob", reason="no", to=never)


@pytest.mark.django_db
def test_the_journal_tells_of_every_entry_once() -> None:
    first, second = registered(), registered()
    ledger.promote(first, actor="ann", reason="first")
    ledger.promote(second, actor="ann", reason="better")
    ledger.rollback(NAME, actor="bob", reason="no")
    told = Event.objects.filter(subject__startswith=f"model/{NAME}").order_by("id")
    assert [(one.type, one.data["version"], one.actor) for one in told] == [
        ("model.promoted", 1, "ann"), ("model.promoted", 2, "ann"), ("model.rolled_back", 1, "bob"),
    ]  # fmt: skip


@pytest.mark.django_db
def test_the_database_has_one_champion_whatever_a_program_does() -> None:
    version = registered()
    row = {"name": NAME, "alias": "CHAMPION", "version": version, "action": "PROMOTED", "actor": "x", "reason": "y"}
    Deployment.objects.create(**row)
    with pytest.raises(IntegrityError), transaction.atomic():
        Deployment.objects.create(**row)


@pytest.mark.django_db(transaction=True)
def test_of_many_promotions_at_once_each_is_whole() -> None:
    versions = [registered() for _ in range(6)]
    start = threading.Barrier(len(versions))

    def promote(version: ModelVersion) -> None:
        start.wait(30)
        ledger.promote(version, actor=f"person {version.version}", reason="now")
        connection.close()

    threads = [threading.Thread(target=promote, args=[version]) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = entries()
    assert [standing for _, _, standing in found] == [False] * 5 + [True]
    rows = list(Deployment.objects.filter(alias="CHAMPION").order_by("id"))
    assert all(row.to_at == after.from_at for row, after in pairwise(rows))


@pytest.mark.django_db
def test_what_mlflow_was_told_of_is_told_again_when_it_ends() -> None:
    first, second = registered(), registered()
    ledger.promote(first, actor="ann", reason="first")
    entry = ledger.not_mirrored().get()
    ledger.promote(second, actor="ann", reason="better")
    ledger.mirrored(entry)
    assert ledger.not_mirrored().count() == 2
    for row in ledger.not_mirrored():
        ledger.mirrored(row)
    assert ledger.not_mirrored().count() == 0
