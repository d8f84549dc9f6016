"""The pages of models in a real browser: each draws without a fault and fits, on a desk and on a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from sensors.models import Membership
from tests import factories, plant
from tests.e2e.test_browser import CHROMIUM, FLAGS, pytestmark

__all__ = ["pytestmark"]
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1400, "height": 900}
PLACES = (
    "mlops/modelpolicy/", "mlops/driftcheck/", "mlops/liveperformance/", "mlops/prediction/", "mlops/modelhealth/",
    "mlops/training/", "machine-health/",
)  # fmt: skip
SHOTS = os.environ.get("BELLWETHER_SHOTS")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # As in test_browser: Playwright keeps an event loop in this thread.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            yield chromium
            chromium.close()


@pytest.fixture
def rows(transactional_db: None) -> plant.Rows:
    return plant.rows(factories.site())


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, rows: plant.Rows, settings: Settings) -> Iterator[Page]:
    """A page of a technician; in the end no script may have failed, and nothing may have been asked of elsewhere."""
    settings.LOGIN_RATE = "1000/m"  # each test logs in
    factories.user(site=rows.machine.site, role=Membership.Role.TECHNICIAN, is_staff=True, username="tina")
    opened = browser.new_page(base_url=live_server.url, viewport=DESK)  # type: ignore[arg-type]
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    opened.on("request", lambda one: None if one.url.startswith((live_server.url, "data:")) else faults.append(one.url))
    opened.goto("/admin/")
    opened.fill("[name=username]", "tina")
    opened.fill("[name=password]", factories.PASSWORD)
    opened.click("[type=submit]")
    opened.wait_for_url("**/admin/")
    yield opened
    opened.close()
    assert faults == []


def test_every_page_of_models_draws_and_fits_on_a_desk_and_on_a_phone(page: Page, rows: plant.Rows) -> None:
    for place in PLACES:
        page.set_viewport_size(DESK)  # type: ignore[arg-type]
        page.goto(f"/admin/{place}")
        look(page, place, "list")
        first = page.locator("#result_list tbody tr a").first
        if first.count():
            first.click()
            page.wait_for_load_state()
            look(page, place, "row")
            page.set_viewport_size(PHONE)  # type: ignore[arg-type]
            look(page, place, "phone")
    page.goto(f"/admin/sensors/equipment/{rows.machine.pk}/change/")
    page.wait_for_selector("section[aria-label='What models say']")
    look(page, "machine", "row")


def look(page: Page, place: str, what: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{place.strip('/').replace('/', '-')}-{what}.png"), full_page=True)
    assert "None" not in page.locator("body").inner_text(), (place, what)
    wide = "() => [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > innerWidth"
    wide += " && !one.closest('.desk-scroll, .overflow-x-auto, #nav-sidebar')).map(one => one.outerHTML.slice(0, 200))"
    fits = page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert fits, (place, what, page.evaluate(wide)[-4:])
