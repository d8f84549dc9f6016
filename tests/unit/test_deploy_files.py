"""What containers, Prometheus, Grafana and CI are told, held against the code. No container engine is needed."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shlex
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from django.urls import resolve
from django_prometheus import middleware
from prometheus_client import Counter, Histogram

from agents import exposition, intake, measures
from config import celery, embedded, gauges, health, supervisor
from deploy import healthcheck
from deploy.grafana import boards
from tests.unit import test_env

ROOT = Path(__file__).resolve().parents[2]
WORKERS = {*celery.QUEUES}
APP = {"web", "live", "migrate", "sweeper", "backup", "beat", "flower", "mlflow", *WORKERS}
SERVERS = {"postgres", "redis", "store", "prometheus", "alertmanager", "grafana"}
FOR_CELERY = {"REMAP_SIGTERM", "FLOWER_BASIC_AUTH"}  # read by Celery and Flower themselves
PORTS = {"web": 8000, "live": 8001, "flower": 5555, "mlflow": 5000, "prometheus": 9090, "grafana": 3000,
         "alertmanager": 9093}  # fmt: skip


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@functools.cache
def load(path: str) -> Any:
    return yaml.safe_load(read(path))


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load("docker-compose.yml")["services"]
    return found


def command(name: str) -> list[str]:
    given: list[str] = services()[name].get("command", [])
    return given


@functools.cache
def instructions() -> tuple[tuple[str, str], ...]:
    """The Dockerfile as pairs of instruction and its text, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", read("deploy/Dockerfile"), flags=re.M))
    return tuple(tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip())  # type: ignore[misc]


def last(instruction: str) -> str:
    return [text for name, text in instructions() if name == instruction][-1]


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


@functools.cache
def node() -> dict[str, list[str]]:
    """The commands of ``manage.py up``."""
    children = supervisor.service(
        port=8000, flower_port=5555, mlflow_port=5000, live_port=8001, beat_file=Path("beat-file"), concurrency=1
    )
    return {child.name: list(child.command)[1:] for child in children}


# Compose


def test_compose_has_every_process_and_every_server() -> None:
    assert set(services()) == APP | SERVERS


def test_each_queue_has_a_worker_of_its_own_and_no_worker_reads_another() -> None:
    read_by = {name: option(command(name), "-Q") for name in WORKERS}
    assert read_by == {name: name for name in celery.QUEUES}
    assert {option(command(name), "-n") for name in WORKERS} == {f"{name}@%h" for name in WORKERS}


def test_the_queues_of_one_node_are_those_of_compose() -> None:
    workers = [words for words in node().values() if "worker" in words]
    assert sorted(q for words in workers for q in option(words, "-Q").split(",")) == sorted(celery.QUEUES)


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_is_started_as_on_one_node(name: str) -> None:
    there, here = node()["aside" if name == "quarantine" else "intake"], command(name)
    own = {"-n", "-Q", "--concurrency"}

    def shared(words: list[str]) -> list[str]:
        return [word for i, word in enumerate(words) if word not in own and words[i - 1] not in own]

    assert ["-m", *shared(here)] == shared(there)
    if name != "quarantine":
        assert f"--destination {name}@$$HOSTNAME" in services()[name]["healthcheck"]["test"][1]


def test_beat_flower_mlflow_live_and_sweep_are_started_as_on_one_node() -> None:
    assert ["-m", *command("beat")] == ["/tmp/beat" if word == "beat-file" else word for word in node()["beat"]]
    for name, program in (("flower", ["-m"]), ("mlflow", []), ("live", [])):
        expected = [word.replace("127.0.0.1", "0.0.0.0").replace("--db=", "--db=/flower/") for word in node()[name]]
        assert [*program, *(word for word in command(name) if word != "python")] == expected
    assert command("sweeper") == ["python", *node()["sweep"]]


def test_what_a_service_keeps_belongs_to_its_user_from_the_start() -> None:
    """A volume takes the owner of the folder that the image has at its place."""
    mounts = [mount.split(":") for name in APP for mount in services()[name].get("volumes", ())]
    made = re.search(r"install --directory --owner 10001 --group 10001 --mode 700 (.*)", read("deploy/Dockerfile"))
    assert made is not None
    assert {mount[1] for mount in mounts if not mount[0].startswith(".")} == set(made[1].split())


def test_every_management_command_exists() -> None:
    asked = [words[2] for name in APP if (words := command(name))[:2] == ["python", "manage.py"]]
    assert sorted(asked) == ["backup", "migrate", "sweep"]
    assert set(asked) <= set(get_commands())


def test_the_app_gets_every_variable_it_reads_and_no_other() -> None:
    given = set(services()["web"]["environment"])
    # Compose's image sets the folder; a file may give any value.
    assert given - FOR_CELERY == test_env.names_read() - {"BELLWETHER_HOME"}
    shared = given - {"BELLWETHER_ROLE", "DATABASE_WEB_URL"}
    counting = {*WORKERS, "sweeper"}
    for name in APP - {"flower", "web"} - counting:
        assert set(services()[name]["environment"]) == shared
    for name in counting:
        assert set(services()[name]["environment"]) == shared | {"PROMETHEUS_MULTIPROC_DIR"}
    assert set(services()["flower"]["environment"]) == shared | {"FLOWER_BASIC_AUTH"}


def test_the_web_server_alone_connects_as_the_role_that_row_security_holds() -> None:
    role, script = settings.DATABASE_WEB_ROLE, read("deploy/postgres/web.sh")
    assert services()["web"]["environment"]["DATABASE_WEB_URL"].startswith(f"postgresql://{role}:")
    assert f"ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS" in script
    children = supervisor.service(port=1, flower_port=2, beat_file=Path("beat"), concurrency=1)
    assert {child.name: child.told for child in children if child.told} == {"web": {"BELLWETHER_ROLE": "web"}}


def test_no_secret_stands_in_compose() -> None:
    for name, service in services().items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|_KEY", variable):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+(:-|:\?[^}]*)?\}", value), f"{name}: {variable}"


def test_ports_are_few_and_bound_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert published == {name: [f"127.0.0.1:{port}:{port}"] for name, port in PORTS.items()}
    assert option(shlex.split(last("CMD").strip("[]").replace(",", " ")), "--port") == "8000"
    assert "--port=5555" in command("flower")
    assert option(command("mlflow"), "--port") == "5000"


@pytest.mark.parametrize("name", sorted(APP | SERVERS))
def test_a_service_is_confined(name: str) -> None:
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["mem_limit"] and service["cpus"] and service["pids_limit"]
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert name in APP or service["user"] not in ("root", "0")
    assert service.get("read_only") or name in {"postgres", "store", "prometheus", "alertmanager"}


@pytest.mark.parametrize("name", sorted(APP | SERVERS))
def test_a_service_says_whether_it_is_well(name: str) -> None:
    check = services()[name].get("healthcheck")
    if name == "web":
        assert check is None  # the image's own
    elif name in {"migrate", "beat", "sweeper", "quarantine", "backup"}:
        assert check == {"disable": True}
    else:
        assert check["test"] and check["interval"] and check["timeout"] and check["retries"]


def test_images_are_pinned() -> None:
    for name in SERVERS:
        assert re.search(r":v?\d", services()[name]["image"]), name
    for name in APP:
        assert services()[name]["build"] == {"context": ".", "dockerfile": "deploy/Dockerfile"}


def test_what_is_mounted_from_the_tree_is_there() -> None:
    for service in services().values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists()
                assert volume.endswith(":ro")
            else:
                assert source in load("docker-compose.yml")["volumes"]


def test_the_servers_are_set_as_the_embedded_ones() -> None:
    words = command("postgres")
    given = dict(word.split("=", 1) for i, word in enumerate(words) if words[i - 1] == "-c")
    lines = [line for line in embedded.POSTGRES_CONF.splitlines() if "=" in line]
    assert given == {key.strip(): value.strip() for key, value in (line.split("=") for line in lines)}
    redis = command("redis")[2]
    for line in ("maxmemory-policy noeviction", "appendonly yes", 'save ""'):
        assert line in embedded.REDIS_CONF
        assert f"--{line}" in redis
    major = services()["postgres"]["image"].split(":")[1]
    assert f"pginstall{major}" in read("config/embedded.py")


def test_mlflow_and_the_store_agree() -> None:
    mlflow, store = services()["mlflow"]["environment"], services()["store"]["environment"]
    assert mlflow["ML_ARTIFACTS"] == f"${{ML_ARTIFACTS:-s3://{store['S3_BUCKET']}}}"
    for ours, theirs in (("S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID"), ("S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY")):
        assert mlflow[ours].split(":")[0].rstrip("}") == store[theirs].rstrip("}")
    assert mlflow["MLFLOW_TRACKING_URI"] == f"${{MLFLOW_TRACKING_URI:-http://mlflow:{PORTS['mlflow']}}}"
    role = re.search(r"CREATE ROLE (\w+) .*CREATE DATABASE (\w+) OWNER (\w+)", read("deploy/postgres/mlflow.sh"), re.S)
    assert role is not None
    assert mlflow["MLFLOW_DATABASE_URL"].startswith(f"postgresql://{role[1]}:")
    assert mlflow["MLFLOW_DATABASE_URL"].endswith(f"@postgres:5432/{role[2]}")


# The image


def test_the_image_has_two_stages_and_no_build_tools() -> None:
    stages = [text for name, text in instructions() if name == "FROM"]
    assert stages == ["python:3.11-slim AS build", "python:3.11-slim"]
    final = instructions()[[i for i, (name, _) in enumerate(instructions()) if name == "FROM"][-1] :]
    assert not any(re.search(r"apt|gcc|build-essential|pip install", text) for _, text in final)


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last("USER"))


def test_the_image_serves_as_one_node_does() -> None:
    there, here = node()["web"], json.loads(last("CMD"))
    assert here == ["python", *("0.0.0.0" if word == "127.0.0.1" else word for word in there)]
    assert last("EXPOSE") == option(here, "--port") == "8000"


def test_the_images_health_check_asks_an_address_that_exists() -> None:
    words = json.loads(last("HEALTHCHECK").split("CMD", 1)[1])
    assert words[1] == "deploy/healthcheck.py"
    assert resolve(words[2].removeprefix("http://127.0.0.1:8000")).url_name == "live"


def test_what_the_image_copies_is_there_and_is_not_ignored() -> None:
    copied = [text.split()[0] for name, text in instructions() if name == "COPY" and not text.startswith("--from")]
    allowed = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    assert all((ROOT / path).exists() for path in copied)
    for package in ("agents", "config", "maintenance", "mlops", "sensors", "templates"):
        assert package in copied


def test_the_image_leaves_out_requirements_that_exist() -> None:
    left_out = re.search(r"\^\(([^)]*)\)==", read("deploy/Dockerfile"))
    assert left_out is not None
    for package in left_out[1].split("|"):
        assert re.search(rf"^{re.escape(package)}==", read("requirements.txt"), re.M), package


def test_the_image_is_built_with_production_settings() -> None:
    run = next(text for name, text in instructions() if "collectstatic" in text)
    given = set(re.findall(r"\b([A-Z_]+)=", run))
    assert {"BELLWETHER_PRODUCTION", "SECRET_KEY", "JWT_SIGNING_KEY", "DATABASE_URL", "REDIS_URL"} <= given
    assert given <= test_env.names_read()


class _Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        expected = self.headers["Host"] == "bellwether.example" and self.path == "/health/live"
        self.send_response(200 if expected else 400)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def door() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Door) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_health_check_speaks_with_a_host_that_is_let_through(door: str) -> None:
    assert healthcheck.is_well(f"{door}/health/live", {"ALLOWED_HOSTS": ".bellwether.example, web"})
    assert not healthcheck.is_well(f"{door}/health/live", {})
    assert not healthcheck.is_well(f"{door}/elsewhere", {"ALLOWED_HOSTS": "bellwether.example"})


def test_the_health_check_fails_where_nothing_listens() -> None:
    assert not healthcheck.is_well("http://127.0.0.1:1/health/live", {})


# Prometheus and Grafana


def test_prometheus_asks_web_for_its_metrics() -> None:
    job = load("deploy/prometheus/prometheus.yml")["scrape_configs"][0]
    assert resolve(job["metrics_path"]).url_name == "metrics"
    assert job["static_configs"][0]["targets"] == ["web:8000"]
    assert services()["web"]["environment"]["ALLOWED_HOSTS"].endswith(",web")
    secret = job["authorization"]["credentials_file"].removeprefix("/run/secrets/")
    assert services()["prometheus"]["secrets"] == [secret]
    assert load("docker-compose.yml")["secrets"][secret] == {"environment": "METRICS_TOKEN"}
    for file in load("deploy/prometheus/prometheus.yml")["rule_files"]:
        assert (ROOT / "deploy/prometheus" / file).exists()


def test_prometheus_reaches_whom_it_asks_and_tells_alertmanager() -> None:
    told = load("deploy/prometheus/prometheus.yml")
    targets = [target for job in told["scrape_configs"] for one in job["static_configs"] for target in one["targets"]]
    targets += [t for one in told["alerting"]["alertmanagers"] for two in one["static_configs"] for t in two["targets"]]
    mine = set(services()["prometheus"]["networks"])
    for name in {target.split(":")[0] for target in targets} - {"localhost"}:
        assert mine & set(services()[name]["networks"]), name


def test_alertmanager_holds_no_secret_and_is_given_the_files_that_it_names() -> None:
    named = set(re.findall(r"/run/secrets/(\w+)", read("deploy/alertmanager/alertmanager.yml")))
    assert named == set(services()["alertmanager"]["secrets"])
    assert named <= set(load("docker-compose.yml")["secrets"])
    assert not re.search(
        r"^\s*(\w*password|credentials|\w*_key|bearer_token):", read("deploy/alertmanager/alertmanager.yml"), re.M
    )


def test_prometheus_asks_every_process_that_counts() -> None:
    workers = load("deploy/prometheus/prometheus.yml")["scrape_configs"][1]
    port = services()["ingest"]["environment"]["METRICS_PORT"]
    asked = {target for one in workers["static_configs"] for target in one["targets"]}
    assert asked == {f"{name}:{port}" for name in (*WORKERS, "sweeper")}
    assert workers["authorization"] == load("deploy/prometheus/prometheus.yml")["scrape_configs"][0]["authorization"]


def expressions() -> list[str]:
    rules = [rule["expr"] for group in load("deploy/prometheus/rules.yml")["groups"] for rule in group["rules"]]
    return rules + [query for board in boards.BOARDS for panel in board.panels for query in panel.lines.values()]


def metrics() -> set[str]:
    """Names of our own, as Prometheus sees them."""
    own = [family.name for collector in gauges.COLLECTORS for family in collector().describe()]
    counted = [metric for module in (intake, measures) for metric in vars(module).values()]
    counters = [f"{metric._name}_total" for metric in counted if isinstance(metric, Counter)]
    histograms = [metric._name for metric in counted if isinstance(metric, Histogram)]
    spread = [f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")]
    return {
        *health.GAUGES,
        health.DATABASE_UP[0],
        "pdm_alarm_nuisances",
        exposition.MEMORY,
        exposition.MEMORY_LIMIT,
        *own,
        *counters,
        *histograms,
        *spread,
    }


def test_rules_and_dashboards_ask_for_metrics_that_exist() -> None:
    exported = Path(middleware.__file__).read_text(encoding="utf-8")
    asked = {name for text in expressions() for name in re.findall(r"\b(?:pdm|django)_\w+", text)}
    assert len(asked) >= 6
    for name in asked:
        base = re.sub(r"_(total|bucket|count|sum)$", "", name)
        assert name in metrics() or f'"{base}"' in exported or f'"{name}"' in exported, name


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    source = load("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    assert boards.SOURCE["uid"] == source["uid"]
    folder = load("deploy/grafana/provisioning/dashboards/bellwether.yml")["providers"][0]["options"]["path"]
    mounted = [v.split(":") for v in services()["grafana"]["volumes"]]
    assert ["./deploy/grafana/dashboards", folder, "ro"] in mounted


def test_the_dashboards_are_those_that_are_written_down() -> None:
    """After a change: ``python -m deploy.grafana.boards``."""
    assert {path.name for path in boards.FOLDER.iterdir()} == {boards.file_of(board).name for board in boards.BOARDS}
    for board in boards.BOARDS:
        assert boards.file_of(board).read_text(encoding="utf-8") == boards.text(board)


# Make, CI, requirements


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.M))


def test_make_has_the_commands_and_each_says_what_it_does() -> None:
    expected = {
        "help",
        "demo",
        "up",
        "down",
        "test",
        "train-all",
        "drill",
        "alerts",
        "chaos",
        "bench",
        "bench-alarms",
        "bench-backtest",
        "bench-detectors",
        "bench-doctor",
        "bench-drift",
        "bench-explaining",
        "bench-exports",
        "bench-faults",
        "bench-files",
        "bench-kpi",
        "bench-machines",
        "bench-models",
        "bench-nab",
        "bench-orders",
        "bench-pipeline",
        "bench-profile",
        "bench-schedule",
        "bench-similar",
        "bench-skab",
        "bench-store",
        "bench-storms",
        "bench-urgent",
        "matrix",
        "readiness",
        "coverage",
        "load",
        "lint",
        "types",
        "audit",
        "check",
        "client",
        "fuzz-api",
        "openapi",
        "documents",
        "lock",
        "clean",
    }
    assert targets() == expected
    phony = set(re.findall(r"^\.PHONY: (.*)$", read("Makefile"), re.M)[0].split())
    assert phony == expected


def test_make_names_management_commands_and_variables_that_exist() -> None:
    asked = set(re.findall(r"manage\.py (\w+)", read("Makefile")))
    assert {"demo", "up", "down", "check", "makemigrations", "spectacular"} <= asked <= set(get_commands())
    assert set(re.findall(r"^check: export (\w+)", read("Makefile"), re.M)) <= test_env.names_read()


def test_ci_runs_make_and_nothing_of_its_own() -> None:
    asked = set(
        re.findall(r"make (?:--no-print-directory )?([a-z]+)", re.sub(r"^#.*$", "", read(".ci/run"), flags=re.M))
    )
    assert asked == {"test", "lint", "audit", "types", "check", "readiness"}
    assert (ROOT / ".ci/run").stat().st_mode & stat.S_IXUSR


def test_the_workflow_runs_the_same_on_every_supported_python() -> None:
    job = load(".github/workflows/ci.yml")["jobs"]["run"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    supported = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', read("pyproject.toml"))
    assert supported is not None
    expected = [f"3.{minor}" for minor in range(int(supported[1]), int(supported[2]))]
    assert job["strategy"]["matrix"]["python"] == expected
    assert (3, int(supported[1])) <= sys.version_info[:2] < (3, int(supported[2]))
    cached = next(step["with"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    assert all((ROOT / path).exists() for path in cached["cache-dependency-path"].split())


def test_pre_commit_runs_make() -> None:
    hooks = [hook for repo in load(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in load(".pre-commit-config.yaml")["repos"]} == {"local"}
    assert {hook["entry"].removeprefix("make ") for hook in hooks} <= targets()


def pins(path: str) -> dict[str, str]:
    lines = [line.split(";")[0].strip() for line in read(path).splitlines() if re.match(r"[A-Za-z0-9]", line)]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==[\w.+!]+", line) for line in lines), path
    return {re.split(r"\[|==", line)[0].lower(): line.split("==")[1] for line in lines}


def test_the_requirements_of_the_tests_are_exact_and_only_their_own() -> None:
    main, tests = pins("requirements.txt"), pins("tests/requirements.txt")
    assert set(main) & set(tests) == set()
    group = re.search(r"^test = \[(.*?)^\]", read("pyproject.toml"), re.S | re.M)
    assert group is not None
    wanted = {re.split(r"\[", name)[0].lower() for name in re.findall(r'"([^"]+)"', group[1])}
    assert wanted <= set(main) | set(tests)


def test_direct_dependencies_are_pinned_as_compiled() -> None:
    group = re.search(r"^dependencies = \[(.*?)^\]", read("pyproject.toml"), re.S | re.M)
    assert group is not None
    direct = dict(re.findall(r'"([\w-]+)(?:\[[^\]]*\])?==([\w.]+)"', group[1]))
    compiled = pins("requirements.txt")
    assert direct.items() <= compiled.items()


# What is told to people

PAGES = (
    "README.md",
    "docs/architecture.md",
    "docs/deployment.md",
    "docs/intake.md",
    "docs/failures.md",
    "docs/runbook.md",
)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_files_that_are_there(page: str) -> None:
    text = read(page)
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.[a-z]+|[\w-]+\.(?:yml|toml|py|txt))`", text))
    folders = [
        ROOT,
        *(ROOT / folder for folder in ("agents", "config", "maintenance", "mlops", "mlops/detectors", "sensors")),
    ]
    generated = {"docker-compose.override.yml"}
    assert named
    assert [name for name in named - generated if not any((folder / name).exists() for folder in folders)] == []
    linked = set(re.findall(r"\]\(([^)#:]+)\)", text)) - set(re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text))
    assert [name for name in linked if not ((ROOT / page).parent / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_commands_addresses_and_metrics_that_exist(page: str) -> None:
    text = read(page)
    assert set(re.findall(r"manage\.py ([\w-]+)", text)) <= set(get_commands())
    assert set(re.findall(r"^(?:    |`)make ([a-z-]+)", text, re.M)) <= targets()
    for address in re.findall(r"http://127\.0\.0\.1:8000(/[\w/.-]*)", text):
        assert resolve(address.replace("BATCH", "7b7c5a0e-3f0e-4f3e-9d0e-000000000000"))
    assert set(re.findall(r"\bpdm_\w+", text)) <= metrics()


def test_deployment_names_every_service_and_every_check() -> None:
    text = read("docs/deployment.md")
    assert [name for name in services() if f"`{name}`" not in text] == []
    ids = set(re.findall(r"bellwether\.([EW]\d+)", read("config/checks.py")))
    assert ids == set(re.findall(r"\b([EW]0\d\d)\b", text))
