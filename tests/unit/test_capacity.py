"""What so many sensors ask of an installation: by hand, and as docs/scaling.md shows it."""

from __future__ import annotations

import io
import math
import re
import tracemalloc

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from agents import capacity
from agents.capacity import Fleet, Place
from config import supervisor
from sensors.wholesale import Place as SensorPlace
from tests import documents

SHOWN = re.compile(r"<!-- capacity (.*?) -->\n```text\n(.*?)```\n<!-- end -->", re.S)


def printed(arguments: str) -> str:
    out = io.StringIO()
    call_command("capacity", *arguments.split(), stdout=out)
    return out.getvalue()


def need(name: str, fleet: Fleet, place: Place) -> capacity.Need:
    (found,) = (one for one in capacity.needs(fleet, place) if one.name.startswith(name))
    return found


def test_the_paper_shows_what_the_command_prints(settings: Settings) -> None:
    settings.REQUEST_RATES = {"client": (6_000, 60), "site": (60_000, 60)}  # as they are outside of tests
    shown = SHOWN.findall(documents.read("docs/scaling.md"))
    assert len(shown) == documents.read("docs/scaling.md").count("<!-- capacity") == 5
    assert [arguments for arguments, table in shown if table != printed(arguments)] == []


def test_the_paper_and_the_model_have_the_figures_of_the_measurements() -> None:
    text = documents.read("docs/performance.md")
    us, ms = r"([\d.]+) us[^|]*", r"([\d.]+) ms"
    lines = {
        name: re.search(rf"^\| {name}[^|]* \| {us}\|[^|]*\| {us}\| {ms}", text, re.M)
        for name in ("all", "web", "Postgres")
    }
    measured = {"all": capacity.ALL_US, "web": capacity.WEB_US, "Postgres": capacity.POSTGRES_US}
    for name, found in lines.items():
        assert found is not None
        a_request = [float(found[3]) * 1000, float(found[2]) * 100, float(found[1]) * 1000]
        assert list(measured[name]) == pytest.approx(a_request)
    for figure in ("2.6; 25 before", "67 ms", "2.9 ms", "949,000 readings/s", "3.8 KiB a sensor and run", "277 MiB"):
        assert figure in text


def test_a_thousand_sensors_once_a_second_by_hand() -> None:
    fleet, place = Fleet(sensors=1000, per_minute=60, per_request=100, days=365, fresh_days=3), Place()
    assert (fleet.readings, fleet.requests) == (1000, 10)
    assert need("processors, all", fleet, place).needed == pytest.approx(10 * 4100e-6)
    assert need("processor of one web", fleet, place).enough_for == pytest.approx(1000 * 0.5 / 0.016)
    disk = 1000 * 86_400 * (3 * 25 + 362 * 2.6) + 1000 * 3.8 * 1024
    assert need("disk, GB", fleet, place).needed == pytest.approx(disk / 1e9)
    assert need("disk writes", fleet, place).needed == pytest.approx(2 * (1000 * 3.8 * 1024 + 1000 * 25) / 1e6)
    assert need("readings of a minute", fleet, place).enough_for == pytest.approx(2_000_000 / 60)


def test_requests_between_the_measured_sizes_cost_what_lies_between() -> None:
    assert [capacity.request_us(capacity.ALL_US, size) for size in (1, 100, 1000)] == [2700, 4100, 7600]
    assert capacity.request_us(capacity.ALL_US, 550) == pytest.approx(5850)
    assert capacity.request_us(capacity.ALL_US, 10_000) == pytest.approx(76_000)


def test_what_is_used_up_first_is_told_first_and_nothing_is_enough_for_less() -> None:
    found = capacity.needs(Fleet(100_000, 60), Place())
    assert [one.enough_for for one in found] == sorted(one.enough_for for one in found)
    for one in found:
        assert (one.needed > one.at_hand) == (one.enough_for < 100_000)


def test_a_run_holds_no_more_than_it_takes() -> None:
    roomy, narrow = Place(memory_mib=2048), Place(memory_mib=512)
    assert math.isinf(need("learned state", Fleet(1_000_000, 1), roomy).enough_for)
    assert need("learned state", Fleet(1_000_000, 1), narrow).enough_for < 200_000


def test_the_web_server_remembers_so_much_of_a_sensor() -> None:
    known: dict[str | int, int] = {}
    tracemalloc.start()
    for number in range(20_000):
        code = SensorPlace(number + 1_000_000, number % 64, False).code
        known[f"line-{number // 100}/machine-{number // 10}.flow-{number % 10}"] = known[number + 1_000_000] = code
    measured = tracemalloc.get_traced_memory()[0] / 20_000
    tracemalloc.stop()
    assert measured == pytest.approx(capacity.REMEMBERED_BYTES, rel=0.4)


def test_connections_and_shares_are_counted() -> None:
    assert capacity.WEB_THREADS == supervisor.WEB_THREADS
    busy = Fleet(100_000, 60)
    assert (capacity.web_servers(busy), capacity.connections(busy)) == (4, 4 * 16 + 25)
    assert (capacity.least(busy, per_minute=6000), capacity.least(busy, per_minute=None)) == (10, 1)


@pytest.mark.parametrize("arguments", ["--sensors 0", "--sensors 1 --per-request 10001", "--sensors 1 --per-minute 0"])
def test_what_makes_no_sense_is_refused(arguments: str) -> None:
    with pytest.raises(CommandError, match="--"):
        printed(arguments)
