"""The doctor's table of rules."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import diagnosis
from agents.diagnosis import PLANS, RULES, Likely, Remedy, Symptoms
from agents.models import Case


def symptoms(text: str = "", **fields: object) -> Symptoms:
    return Symptoms(**({"kind": "BUG", "error_class": "ValueError", "text": text} | fields))  # type: ignore[arg-type]


CHAINED = """Traceback (most recent call last):
  File "stages.py", line 1, in step
psycopg2.errors.UndefinedColumn: column "x" does not exist
LINE 1: SELECT x
               ^

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "stages.py", line 1, in step
django.db.utils.ProgrammingError: column "x" does not exist
LINE 1: SELECT x
               ^
"""


def test_a_traceback_names_what_was_raised_and_what_postgres_answered() -> None:
    seen = symptoms(CHAINED, error_class="ProgrammingError")
    assert seen.raised == {"UndefinedColumn", "ProgrammingError"}
    assert seen.condition == "UndefinedColumn"
    assert symptoms("Traceback (most recent call last):\nMemoryError\n").raised == {"MemoryError", "ValueError"}
    assert symptoms().condition == ""


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ("It was killed by signal 9.", 9),
        ("It was killed by signal 11.", 11),
        ("Its process ended with status 137.", 9),
        ("Its process ended with status 1.", 0),
        ("It did not end within 30 s and was killed.", None),
        ("3 searches in quarantine began and none ended: their workers were killed.", None),
    ],
)
def test_how_a_process_died_is_read_from_what_is_told_of_it(text: str, signal: int | None) -> None:
    assert symptoms(text, error_class="WorkerDied", kind="DEATH").signal == signal
    assert symptoms(text).signal is None


def test_rules_have_names_of_their_own_and_the_last_fits_everything() -> None:
    assert [name for name, count in Counter(rule.name for rule in RULES).items() if count > 1] == []
    assert all(len(rule.name) <= 50 and rule.says.endswith(".") for rule in RULES)
    assert RULES[-1].fits(symptoms())
    assert {rule.likely for rule in RULES} == set(Likely)


def test_every_remedy_has_a_plan_and_no_rule_chooses_what_only_people_do() -> None:
    assert set(PLANS) == set(Remedy)
    assert Remedy.PERSON not in {rule.remedy for rule in RULES}


def test_causes_are_those_that_are_stored() -> None:
    assert set(Likely) == set(Case.Likely.values)


def test_waits_grow_and_trials_are_few() -> None:
    for plan in PLANS.values():
        waits = [plan.wait_before(n) for n in range(1, plan.trials + 1)]
        assert waits == sorted(waits)
        assert all(30 <= wait <= 4 * 3600 for wait in waits)
        assert plan.trials <= 5


@given(
    kind=st.sampled_from(["PERMANENT", "TRANSIENT", "BUG", "DEATH", ""]),
    error_class=st.sampled_from(["ValueError", "MemoryError", "WorkerDied", "ProgrammingError", "Refused", "X"]),
    text=st.text(max_size=200),
    failures=st.integers(1, 2_000),
    spared=st.integers(0, 1_000),
    sites=st.integers(0, 50),
    split=st.booleans(),
    since_deployment=st.none() | st.floats(-1e6, 1e6),
    migrations_pending=st.booleans(),
    sender=st.none() | st.integers(1, 9),
    lately=st.integers(0, 1_000),
)
def test_whatever_is_seen_there_is_a_diagnosis(**fields: object) -> None:
    rule = diagnosis.diagnose(Symptoms(**fields))  # type: ignore[arg-type]
    assert rule in RULES


def test_a_deployment_counts_for_an_hour_and_only_where_nothing_was_done_since() -> None:
    assert diagnosis.diagnose(symptoms(since_deployment=600.0)).name == "after-a-deployment"
    assert diagnosis.diagnose(symptoms(since_deployment=600.0, spared=9)).name != "after-a-deployment"
    assert diagnosis.diagnose(symptoms(since_deployment=7_200.0)).name == "unknown"


def test_a_client_is_slowed_down_for_many_bad_payloads_of_its_own_in_a_short_time() -> None:
    many = {"kind": "PERMANENT", "sender": 7, "lately": 10}
    assert diagnosis.diagnose(symptoms(**many)).remedy == Remedy.THROTTLE
    assert diagnosis.diagnose(symptoms(**many | {"lately": 9})).remedy == Remedy.ASK
    assert diagnosis.diagnose(symptoms(**many | {"sender": None})).remedy == Remedy.ASK
    bug = many | {"kind": "BUG", "failures": 10}
    assert diagnosis.diagnose(symptoms(**bug, spared=0)).likely == Likely.BUG
    assert diagnosis.diagnose(symptoms(**bug, spared=50)).remedy == Remedy.THROTTLE


def test_the_same_failure_at_several_sites_is_not_one_senders_fault() -> None:
    assert diagnosis.diagnose(symptoms(sites=1, failures=2, spared=50)).likely == Likely.PAYLOAD
    assert diagnosis.diagnose(symptoms(sites=3, failures=3, spared=50)).likely == Likely.BUG


@pytest.mark.parametrize(
    ("text", "error_class", "likely"),
    [
        ("psycopg2.OperationalError: connection refused", "OperationalError", Likely.DEPENDENCY),
        ("requests.exceptions.HTTPError: 503 Server Error: Busy for url", "HTTPError", Likely.DEPENDENCY),
        ("requests.exceptions.HTTPError: 404 Client Error: Not Found for url", "HTTPError", Likely.UNKNOWN),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate", "_ArrayMemoryError", Likely.RESOURCE),
        ("psycopg2.errors.UniqueViolation: duplicate key", "UniqueViolation", Likely.BUG),
        ("psycopg2.errors.DeadlockDetected: deadlock detected", "DeadlockDetected", Likely.DEPENDENCY),
        ("psycopg2.errors.DiskFull: could not extend file", "DiskFull", Likely.RESOURCE),
        (CHAINED, "ProgrammingError", Likely.SCHEMA),
    ],
)
def test_the_last_word_of_a_traceback_decides(text: str, error_class: str, likely: Likely) -> None:
    assert diagnosis.diagnose(symptoms(text, error_class=error_class)).likely == likely


def test_where_little_is_known_it_says_so() -> None:
    rule = diagnosis.diagnose(symptoms())
    assert (rule.likely, rule.remedy) == (Likely.UNKNOWN, Remedy.ASK)


def test_the_table_stands_in_the_page_for_operators() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "failures.md").read_text(encoding="utf-8")
    rows = [f"| `{rule.name}` | {rule.says} | {rule.likely} | {rule.remedy} |" for rule in RULES]
    assert "\n".join(rows) in page
    for name, plan in PLANS.items():
        trials = f" Trials: {plan.trials}, the first after {plan.wait:g} s" if plan.trials else " |"
        assert f"| {name} | {plan.says}{trials}" in page
