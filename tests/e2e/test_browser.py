"""The admin in a real browser: it logs in, draws, acts, and no script of it fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from maintenance.models import Alarm
from sensors.models import Membership
from tests import factories, plant

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to run browser tests"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Playwright keeps an event loop in this thread; Django would take our ORM calls for calls from async code.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def rows() -> plant.Rows:
    made = plant.rows(factories.site())
    plant.readings(made.sensor, [20.0, 21.0, 9.93, 22.0])
    return made


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, rows: plant.Rows) -> Iterator[Page]:
    """A page of a technician who has logged in; in the end no script may have failed."""
    factories.user(site=rows.machine.site, role=Membership.Role.TECHNICIAN, is_staff=True, username="tina")
    opened = browser.new_page(base_url=live_server.url, viewport={"width": 1400, "height": 900})
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    opened.goto("/admin/")
    opened.fill("[name=username]", "tina")
    opened.fill("[name=password]", factories.PASSWORD)
    opened.click("[type=submit]")
    opened.wait_for_url("**/admin/")
    yield opened
    opened.close()
    assert faults == []


def test_the_overview_leads_to_the_open_alarms(page: Page, rows: plant.Rows) -> None:
    page.click("a.desk-tile:has-text('Open alarms')")
    page.wait_for_url("**/admin/maintenance/alarm/?is_open__exact=1")
    assert page.locator("#result_list").inner_text().count(rows.machine.tag) >= 1


def test_a_sensors_chart_is_drawn_and_fills_its_panel(page: Page, rows: plant.Rows) -> None:
    page.goto(f"/admin/sensors/sensor/{rows.sensor.pk}/change/")
    chart = page.locator("svg.readings-chart")
    box = chart.bounding_box()
    assert box is not None
    assert box["width"] > 600
    assert chart.locator("path.chart-line").evaluate("line => line.getTotalLength()") > 100
    assert page.locator("rect.chart-machine").count() >= 1
    page.click("nav[aria-label=Period] a:has-text('All')")
    page.wait_for_url("**?period=all")
    assert page.locator("svg.readings-chart").count() == 1


def test_an_alarm_is_acknowledged_from_its_page(page: Page, rows: plant.Rows) -> None:
    page.goto(f"/admin/maintenance/alarm/{rows.alarm.pk}/change/")
    page.click("a:has-text('Acknowledge')")
    page.fill("[name=comment]", "Seen.")
    page.click("button:has-text('Acknowledge')")
    page.wait_for_selector("text=Acknowledged:")
    assert Alarm.objects.get(pk=rows.alarm.pk).is_acknowledged


def test_the_chart_follows_the_dark_theme(page: Page, rows: plant.Rows) -> None:
    page.goto(f"/admin/sensors/sensor/{rows.sensor.pk}/change/")
    colour = "() => getComputedStyle(document.querySelector('path.chart-line')).stroke"
    light = page.evaluate(colour)
    page.evaluate("() => document.documentElement.classList.toggle('dark')")
    assert page.evaluate(colour) != light
