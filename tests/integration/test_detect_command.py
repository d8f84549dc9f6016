"""``manage.py detect`` as it is called: on real files, in a process of its own, with no server and no settings."""

from __future__ import annotations

import csv
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from agents import water_flow
from sensors.columns import from_instant
from sensors.connectors.csv import parse_instant
from tests.bench import results

ROOT = Path(__file__).resolve().parents[2]
NAB = results.DATA / "nab" / "data" / "realKnownCause" / "ambient_temperature_system_failure.csv"
SKAB = results.DATA / "skab" / "valve1" / "0.csv"
PLAIN = {"PATH", "LANG", "LC_ALL", "TMPDIR", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
HEAVY = ("mlflow", "pandas", "sklearn", "scipy.stats", "matplotlib", "boto3")  # numba looks at scipy's version


def environment(home: Path) -> dict[str, str]:
    """No URL, no secret, no settings; servers that would be started would have their folders here."""
    return {name: value for name, value in os.environ.items() if name in PLAIN} | {
        "BELLWETHER_HOME": str(home / "home"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "HOME": str(home),
    }


def detect(home: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "manage.py", "detect", *map(str, arguments)],
        cwd=ROOT, env=environment(home), capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def hits(found: list[dict[str, str]], start: str, end: str) -> int:
    return sum(float(r["score"] or 0) >= 0.5 for r in found if start <= r["time"] <= end)


def test_the_documented_anomalies_of_the_demonstration_are_found(tmp_path: Path) -> None:
    out = tmp_path / "judged.csv"
    said = detect(tmp_path, water_flow.path(), "--out", out).stderr
    found = read(out)
    assert [r["row"] for r in found] == [str(n) for n in range(1, 1269)]
    instants = [parse_instant(r["time"], zone=water_flow.DOCUMENTED[0].start.tzinfo) for r in found]
    odd = [
        from_instant(at)
        for at, r in zip(instants, found, strict=True)
        if at and r["verdict"] not in ("normal", "not judged")
    ]
    for stretch in water_flow.DOCUMENTED:
        assert any(from_instant(stretch.start) <= at <= from_instant(stretch.end) for at in odd)
    assert "rows       1268: judged" in said
    assert {r["verdict"] for r in found if r["rarity"] and float(r["rarity"]) == 0} == {"normal"}


@pytest.mark.skipif(not NAB.exists(), reason=f"the real data sets are not at hand ({results.DATA})")
def test_a_real_file_of_the_numenta_benchmark(tmp_path: Path) -> None:
    out, picture = tmp_path / "judged.csv", tmp_path / "judged.png"
    said = detect(tmp_path, NAB, "--out", out, "--plot", picture).stderr
    found = read(out)
    assert (len(found), {r["contributor"] for r in found}) == (7267, {"", "value"})
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "time: instants in 'timestamp'" in said
    again = detect(tmp_path, NAB, "--out", "-", "--quiet")
    assert (again.stdout, again.stderr) == (out.read_text(), "")


@pytest.mark.skipif(not SKAB.exists(), reason=f"the real data sets are not at hand ({results.DATA})")
def test_a_real_file_of_eight_sensors(tmp_path: Path) -> None:
    out, picture = tmp_path / "judged.csv", tmp_path / "judged.svg"
    arguments = (SKAB, "--out", out, "--train", 400, "--false-alarms-per-week", 5, "--details", "--plot", picture)
    said = detect(tmp_path, *arguments).stderr
    found = read(out)
    assert {r["reason"] for r in found[:400]} == {"training"}
    assert all(r["score"] and r["Temperature rarity"] for r in found[400:])
    assert len(found[0]) == 7 + 8 * 3
    assert "without 'anomaly': a label by its name" in said
    assert picture.read_text().lstrip().startswith("<?xml")


def test_no_server_is_started_and_no_secret_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("time,v\n" + "".join(f"{1_700_000_000 + n},{n % 7}\n" for n in range(200)))
    detect(tmp_path, tmp_path / "in.csv", "--out", tmp_path / "out.csv")
    assert len(read(tmp_path / "out.csv")) == 200
    home = tmp_path / "home"
    assert {path.name for path in home.iterdir()} <= {"secrets.json", "secrets.lock"} if home.exists() else True


def test_servers_that_do_not_answer_are_not_asked(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("time,v\n1700000000,1\n1700000001,2\n")
    gone = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    subprocess.run(
        [sys.executable, "manage.py", "detect", tmp_path / "in.csv", "--out", tmp_path / "out.csv"],
        cwd=ROOT, env=environment(tmp_path) | gone, check=True, capture_output=True, timeout=100,
    )  # fmt: skip
    assert len(read(tmp_path / "out.csv")) == 2


LOADED = """
import io, json, sys
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "detect", sys.argv[1], "--out", sys.argv[2], "--quiet"])
json.dump(sorted(sys.modules), sys.stdout)
"""


def test_who_draws_nothing_does_not_load_what_draws(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("time,v\n1700000000,1\n1700000001,2\n")
    done = subprocess.run(
        [sys.executable, "-c", LOADED, tmp_path / "in.csv", tmp_path / "out.csv"], cwd=ROOT, text=True,
        env=environment(tmp_path) | {"DJANGO_SETTINGS_MODULE": "config.settings"}, capture_output=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [name for name in HEAVY if f'"{name}"' in done.stdout] == []
    assert '"agents.judge_file"' in done.stdout


def test_a_mistake_ends_with_a_word_and_no_output(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("time,v\n")
    said = detect(tmp_path, tmp_path / "in.csv", "--out", tmp_path / "out.csv", code=1).stderr
    assert said.startswith("CommandError: ") and "no rows" in said
    assert not (tmp_path / "out.csv").exists()


def test_a_reader_that_leaves_early_leaves_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("time,v\n" + "".join(f"{1_700_000_000 + n},{n % 7}\n" for n in range(20_000)))
    with subprocess.Popen(
        [sys.executable, "manage.py", "detect", tmp_path / "in.csv", "--out", "-"],
        cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout and process.stderr
        assert process.stdout.readline() == "row,time,score,verdict,contributor,rarity,reason\n"
        process.stdout.close()
        assert process.stderr.read() == "CommandError: Nobody reads the output any more.\n"


def test_progress_is_shown_on_a_terminal_alone(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("time,v\n" + "".join(f"{1_700_000_000 + n},{n % 7}\n" for n in range(600)))
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "manage.py", "detect", tmp_path / "in.csv", "--out", tmp_path / "out.csv"],
        cwd=ROOT, env=environment(tmp_path), stderr=theirs, check=True, timeout=100,
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "100%" in shown and "bytes" in shown and "rows       600: judged" in shown
    assert "\x1b[31" not in shown
    assert "%" not in detect(tmp_path, tmp_path / "in.csv", "--out", tmp_path / "out.csv").stderr
