"""Planning work in a real browser: by dragging, by keyboard, and on a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from maintenance.models import WorkOrder
from sensors.models import Membership
from tests import factories
from tests.e2e.test_browser import CHROMIUM, FLAGS, pytestmark

__all__ = ["pytestmark"]
PHONE = {"width": 360, "height": 740}


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
def tina(transactional_db: None) -> User:
    return factories.user(site=factories.site(), role=Membership.Role.TECHNICIAN, is_staff=True, username="tina")


@pytest.fixture
def order(tina: User) -> WorkOrder:
    machine = factories.machine(site=tina.sites.get(), tag="P-1")
    return WorkOrder.objects.create(
        site=machine.site, machine=machine, maintenance_type="INSPECTION", priority="HIGH",
        title="Look at the coupling", opened_at=timezone.now(), due_at=timezone.now() - timedelta(hours=1),
    )  # fmt: skip


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, tina: User, settings: Settings) -> Iterator[Page]:
    """A page of a technician; in the end no script may have failed, and nothing may have been asked of elsewhere."""
    settings.LOGIN_RATE = "1000/m"  # she logs in for each test
    opened = browser.new_page(base_url=live_server.url, viewport={"width": 1400, "height": 900})
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    ours = (live_server.url, "data:")
    opened.on("request", lambda one: None if one.url.startswith(ours) else faults.append(one.url))
    opened.goto("/admin/")
    opened.fill("[name=username]", "tina")
    opened.fill("[name=password]", factories.PASSWORD)
    opened.click("[type=submit]")
    opened.wait_for_url("**/admin/")
    yield opened
    opened.close()
    assert faults == []


def fits(page: Page) -> bool:
    """Whether nothing of the page lies beyond its right edge."""
    return bool(page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_card_is_dragged_to_a_column_that_takes_it(page: Page, order: WorkOrder, tina: User) -> None:
    page.goto("/admin/order-board/")
    card = page.locator(f"#order-{order.pk}")
    card.drag_to(page.locator("[data-drop=IN_PROGRESS]"))
    assert page.url.endswith("/admin/order-board/")
    card.drag_to(page.locator("[data-drop=ASSIGNED]"))
    page.wait_for_url(f"**/admin/order-board/{order.pk}/assign/")
    page.select_option("[name=assignee]", str(tina.pk))
    page.click("button:has-text('Assign')")
    page.wait_for_url("**/admin/order-board/")
    page.wait_for_selector(f"[data-drop=ASSIGNED] #order-{order.pk}")
    order.refresh_from_db()
    assert (order.status, order.assigned_to) == ("ASSIGNED", tina)


def test_a_card_is_moved_with_the_keyboard_alone(page: Page, order: WorkOrder) -> None:
    page.goto("/admin/order-board/")
    page.locator(f"#order-{order.pk} summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/admin/order-board/{order.pk}/plan/")


def test_an_order_is_dragged_onto_a_day_and_a_person(page: Page, order: WorkOrder, tina: User) -> None:
    page.goto("/admin/order-calendar/?week=2026-03-02")
    page.locator(f"#order-{order.pk}").drag_to(page.locator(f"[data-drop='day=2026-03-04&who={tina.pk}']"))
    page.wait_for_url(f"**/admin/order-calendar/{order.pk}/?**")
    page.click("button:has-text('Move')")
    page.wait_for_url("**/admin/order-calendar/?**")
    page.wait_for_selector(f"[data-drop='day=2026-03-04&who={tina.pk}'] #order-{order.pk}")
    order.refresh_from_db()
    assert order.assigned_to == tina
    assert order.planned_start == datetime.fromisoformat("2026-03-04T07:00:00Z")


def test_every_page_can_be_used_on_a_phone(page: Page, order: WorkOrder) -> None:
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    page.goto("/admin/order-calendar/")
    assert fits(page)
    page.click(f"[aria-label='Plan WO-{order.pk}']")
    page.wait_for_url(f"**/admin/order-calendar/{order.pk}/?**")
    assert fits(page)
    page.fill("[name=start_0]", timezone.now().date().isoformat())
    page.fill("[name=start_1]", "09:00")
    page.click("button:has-text('Move')")
    page.wait_for_selector(f"[aria-label='Move WO-{order.pk}']")
    assert fits(page)
    for url in ("/admin/order-board/", f"/admin/order-print/{order.pk}/", "/admin/import-export/"):
        page.goto(url)
        assert fits(page), url
    page.goto("/admin/order-board/")
    page.click(f"#order-{order.pk} summary")
    assert page.locator(f"#order-{order.pk} [data-move=assign]").is_visible()


@pytest.mark.parametrize("width", [1280, 1400])
def test_an_orders_page_fits_a_laptop_and_says_which_order_it_is(
    page: Page, order: WorkOrder, tina: User, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for status in WorkOrder.Status:
        WorkOrder.objects.update(
            status=status, assigned_to=tina, planned_start=timezone.now(), planned_minutes=60, hold_reason="No crane",
            findings="Worn", completed_at=timezone.now(), closed_at=timezone.now(),
        )  # fmt: skip
        page.goto(f"/admin/maintenance/workorder/{order.pk}/change/")
        assert fits(page), status
        assert page.locator(f"#workorder_form >> text=/^\\s*WO-{order.pk}\\s*$/").is_visible(), status
        title = page.locator("h1").bounding_box()
        assert title is not None
        assert title["width"] >= 100, status


def test_the_buttons_for_parts_are_behind_one(page: Page, order: WorkOrder) -> None:
    page.goto(f"/admin/maintenance/workorder/{order.pk}/change/")
    page.click("a:not([href]):has-text('Parts')")
    page.click("nav a:visible:has-text('Reserve part')")
    page.wait_for_url(f"**/{order.pk}/reserve/")


def test_a_file_is_chosen_and_its_name_is_shown(page: Page, order: WorkOrder, tmp_path: Path) -> None:
    photo = tmp_path / "seal.png"
    photo.write_bytes(b"\x89PNG\r\n\x1a\n")
    page.goto(f"/admin/carry-out/{order.pk}/")
    page.click("summary:has-text('Add a file')")
    page.set_input_files("[name=file-file]", photo)
    page.wait_for_selector("[aria-label='Choose file to upload'][value='seal.png']")


def test_the_printed_order_has_its_code_and_nothing_of_the_screen(page: Page, order: WorkOrder) -> None:
    page.goto(f"/admin/order-print/{order.pk}/")
    assert page.locator(".screen").is_visible()
    page.emulate_media(media="print")
    assert not page.locator(".screen").is_visible()
    box = page.locator("figure svg").bounding_box()
    assert box is not None
    assert box["width"] > 100
