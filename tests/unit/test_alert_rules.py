"""Each alert on made series: well, then ill: silent while well and until its time has passed, then firing."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES, PROMETHEUS = ROOT / "deploy/prometheus/rules.yml", ROOT / "deploy/prometheus/prometheus.yml"
ALERTMANAGER = ROOT / "deploy/alertmanager/alertmanager.yml"
WELL_MINUTES, SLACK_MINUTES = 30, 10
RUNBOOK = "docs/runbook.md"


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None,
        reason=f"no {program} on this machine: install prometheus and prometheus-alertmanager to check the alert rules",
    )


@dataclass(frozen=True, slots=True)
class Case:
    """Values of series, by series: a number that stays, or a step a minute (such as ``+60``) of a counter.

    ``ill`` names what changes; None: the series ends.
    """

    well: dict[str, str]
    ill: dict[str, str | None]


def gauge(name: str, *, well: float, ill: float) -> Case:
    return Case({name: str(well)}, {name: str(ill)})


VIEW = 'django_http_responses_total_by_status_view_method_total{status="%s",view="ingest"}'
SLOW = 'django_http_requests_latency_seconds_by_view_method_bucket{le="%s",view="ingest"}'
ALARM = 'pdm_reading_to_alarm_seconds_bucket{le="%s"}'
TRIED = 'pdm_stage_attempts_total{stage="detect",result="retry"}'
CASES: dict[str, Case] = {
    "ServiceDown": gauge('up{job="workers",instance="detect:9100"}', well=1, ill=0),
    "FiguresMissing": Case({"pdm_database_up": "1"}, {"pdm_database_up": None}),
    "DatabaseDown": gauge("pdm_database_up", well=1, ill=0),
    "RedisDown": Case(
        {'pdm_database_up{instance="web:8000"}': "1", 'pdm_redis_clients{instance="web:8000"}': "9"},
        {'pdm_redis_clients{instance="web:8000"}': None},
    ),
    "ErrorsHigh": Case({VIEW % 200: "+1000", VIEW % 503: "+9"}, {VIEW % 503: "+12"}),
    "AnswersSlow": Case(
        {SLOW % "2.5": "+995", SLOW % "5.0": "+1000", SLOW % "7.5": "+1000", SLOW % "+Inf": "+1000"},
        {SLOW % "2.5": "+500", SLOW % "5.0": "+980"},
    ),
    "ReadingsWait": gauge("pdm_parts_oldest_waiting_age_seconds", well=60, ill=61),
    "BacklogDeep": gauge('pdm_queue_messages{queue="detect"}', well=10_000, ill=10_001),
    "IntakeRefuses": Case(
        {'pdm_intake_refused_total{reason="backlog-age"}': "+0", 'pdm_intake_refused_total{reason="client"}': "+9"},
        {'pdm_intake_refused_total{reason="backlog-age"}': "+1"},
    ),
    "StageWaits": gauge('pdm_stage_oldest_due_age_seconds{stage="detect"}', well=59, ill=61),
    "StageErrorsHigh": Case({TRIED: "+1", 'pdm_stage_received_total{stage="detect"}': "+200"}, {TRIED: "+3"}),
    "AlarmsSlow": Case(
        {ALARM % "2.5": "+1000", ALARM % "5.0": "+1000", ALARM % "10.0": "+1000", ALARM % "+Inf": "+1000"},
        {ALARM % "2.5": "+500", ALARM % "5.0": "+980"},
    ),
    "RunsSetAside": gauge("pdm_runs_failed", well=0, ill=1),
    "RunsNobodyKnows": gauge("pdm_runs_strange", well=0, ill=1),
    "RunsStuck": Case(
        {"pdm_watchdog_stuck_runs": "0", "pdm_watchdog_stalled_lanes": "0"}, {"pdm_watchdog_stalled_lanes": "1"}
    ),
    "LeasesExpired": gauge("pdm_watchdog_expired_leases", well=0, ill=1),
    "JobsOverdue": gauge("pdm_watchdog_overdue_jobs", well=0, ill=1),
    "MessagesWait": Case(
        {"pdm_watchdog_overdue_deliveries": "0", "pdm_deliveries_oldest_due_age_seconds": "599"},
        {"pdm_deliveries_oldest_due_age_seconds": "601"},
    ),
    "EscalationsLate": Case(
        {"pdm_watchdog_missing_escalations": "0", "pdm_watchdog_overdue_escalations": "0"},
        {"pdm_watchdog_overdue_escalations": "1"},
    ),
    "HeartbeatNotAnswered": gauge("pdm_heartbeat_age_seconds", well=-1, ill=301),
    "SensorsSilent": gauge("pdm_watchdog_silent_sensors", well=0, ill=1),
    "ReadingsDrift": gauge("pdm_models_drifted", well=0, ill=1),
    "ModelsDegraded": gauge("pdm_models_degraded", well=0, ill=1),
    "BackupFailed": gauge("pdm_backup_failed", well=0, ill=1),
    # Time begins at 0 in these tests: what was done a day and more "later" is done now.
    "BackupOld": gauge(
        'pdm_backup_last_success_timestamp_seconds{kind="whole"}', well=-25 * 3600, ill=-26 * 3600
    ),
    "PartitionsMissing": gauge("pdm_partitions_ahead", well=3, ill=1),
    "AuditTrailBroken": gauge("pdm_audit_breaks", well=0, ill=1),
    "AuditNotSealed": gauge("pdm_audit_oldest_unsealed_age_seconds", well=30, ill=901),
    "ConnectionsMany": gauge('pdm_database_connections{state="other"}', well=100, ill=101),
    "DiskFills": gauge("pdm_disk_free_ratio", well=0.2, ill=0.19),
    "MemoryShort": gauge("pdm_memory_used_ratio", well=0.8, ill=0.81),
    "ServiceMemoryHigh": Case(
        {"pdm_service_memory_bytes": "800", "pdm_service_memory_limit_bytes": "1000"},
        {"pdm_service_memory_bytes": "801"},
    ),
}  # fmt: skip
ALWAYS = {"DeadMansSwitch"}


@functools.cache
def rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_each_alert_has_a_case() -> None:
    assert set(rules()) == set(CASES) | ALWAYS


@pytest.mark.parametrize("name", sorted(rules()))
def test_an_alert_says_what_it_is_how_grave_it_is_and_where_to_read_on(name: str) -> None:
    rule = rules()[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "none"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"{RUNBOOK}#{name.lower()}"


def sections() -> dict[str, str]:
    """The runbook's sections of alerts, by name."""
    parts = re.split(r"^### (\w+)\n", (ROOT / RUNBOOK).read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_each_alert_has_a_section_in_the_runbook_and_each_section_an_alert() -> None:
    assert set(sections()) == set(rules())


@pytest.mark.parametrize("name", sorted(rules()))
def test_a_section_says_what_it_means_how_to_look_and_how_to_mend(name: str) -> None:
    told = sections()[name]
    for word in ("**Means.**", "**Look.**", "**Mend.**"):
        assert told.count(word) == 1, word


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@needs("promtool")
def test_prometheus_takes_the_rules_and_the_configuration(tmp_path: Path) -> None:
    run("promtool", "check", "rules", str(RULES))
    (tmp_path / "token").touch()
    (tmp_path / "rules.yml").write_text(RULES.read_text(encoding="utf-8"), encoding="utf-8")
    told = PROMETHEUS.read_text(encoding="utf-8").replace("/run/secrets/metrics_token", str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(told, encoding="utf-8")
    run("promtool", "check", "config", str(tmp_path / "prometheus.yml"))


@needs("amtool")
def test_alertmanager_takes_its_configuration() -> None:
    run("amtool", "check-config", str(ALERTMANAGER))


@needs("amtool")
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=DeadMansSwitch", "severity=none"), "dead-man"),
        (("alertname=DatabaseDown", "severity=critical"), "on-call"),
        (("alertname=SensorsSilent", "severity=warning"), "office"),
    ],
)
def test_who_hears_of_an_alert_depends_on_how_grave_it_is(labels: tuple[str, ...], receiver: str) -> None:
    run(
        "amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", f"--verify.receivers={receiver}", *labels
    )


@needs("promtool")
def test_each_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    tests = [{"name": name, "interval": "1m", **played(name, case)} for name, case in CASES.items()]
    tests.append({"name": "always", "interval": "1m", "promql_expr_test": [asked("DeadMansSwitch", 0, fires=True)]})
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": tests}), encoding="utf-8")
    run("promtool", "test", "rules", str(tmp_path / "tests.yml"))


def minutes(name: str) -> int:
    told = rules()[name].get("for", "0m")
    assert told.endswith("m")
    return int(told[:-1])


def played(name: str, case: Case) -> dict[str, Any]:
    """The series of a case, and when its alert is to fire: never before it has been ill for its time."""
    until = WELL_MINUTES + minutes(name) + SLACK_MINUTES
    series = [
        {"series": each, "values": values(well, case.ill.get(each, well), steps=until - WELL_MINUTES)}
        for each, well in case.well.items()
    ]
    times = [(WELL_MINUTES, False), (WELL_MINUTES + minutes(name), False), (until, True)]
    return {"input_series": series, "promql_expr_test": [asked(name, at, fires=fires) for at, fires in times]}


def values(well: str, ill: str | None, *, steps: int) -> str:
    """In promtool's notation: the value at minute 0, then so many minutes well and so many ill."""
    if not well.startswith("+"):
        gone = "_" if ill is None else ill
        return f"{well}+0x{WELL_MINUTES} {gone}{'' if ill is None else '+0'}x{steps}"
    assert ill is not None
    rate, faster = int(well), int(ill)
    begins = rate * WELL_MINUTES + faster
    return f"0{well}x{WELL_MINUTES} {begins}{ill}x{steps - 1}"


def asked(name: str, minute: int, *, fires: bool) -> dict[str, Any]:
    expression = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
    return {
        "expr": expression, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": 1}] if fires else []
    }  # fmt: skip
