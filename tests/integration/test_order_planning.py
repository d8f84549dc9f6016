"""The board, the calendar, the order on paper and what a planner looks for in the list."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from maintenance import checklists, order_board, order_board_page, order_calendar_page, order_life, order_print
from maintenance.checklist_models import ChecklistTemplate
from maintenance.models import WorkOrder
from maintenance.order_life import OVER, Status
from maintenance.part_models import OrderPart, Part, Store
from sensors.models import Equipment, Membership, Site
from tests import factories, plant

pytestmark = pytest.mark.django_db
ROLES = Membership.Role
ROME = ZoneInfo("Europe/Rome")
BOARD, CALENDAR = order_board_page.NAME, order_calendar_page.NAME
LIST = "admin:maintenance_workorder_changelist"


@pytest.fixture
def machine() -> Equipment:
    return factories.machine(site=factories.site(time_zone="Europe/Rome"), tag="P-1")


@pytest.fixture
def tina(machine: Equipment) -> User:
    return factories.user(site=machine.site, role=ROLES.TECHNICIAN, is_staff=True, username="tina")


@pytest.fixture
def page(client: Client, tina: User) -> Client:
    client.force_login(tina)
    return client


def order(machine: Equipment, **fields: Any) -> WorkOrder:
    about = {"site": machine.site, "machine": machine, "maintenance_type": "INSPECTION", "priority": "MEDIUM"}
    return WorkOrder.objects.create(**about | {"title": "Look", "opened_at": timezone.now()} | fields)


def planned(machine: Equipment, start: datetime, minutes: int = 90, **fields: Any) -> WorkOrder:
    return order(machine, **{"status": "PLANNED", "planned_start": start, "planned_minutes": minutes} | fields)


def of_board(client: Client, **asked: Any) -> dict[str, Any]:
    columns = client.get(reverse(BOARD), asked).context["columns"]
    return {column.status: column for column, _ in columns}


# The board


def test_an_empty_board_says_so(page: Client) -> None:
    assert "Nothing is to be done" in page.get(reverse(BOARD)).content.decode()


def test_the_board_has_what_is_to_be_done_and_what_was_done_lately(
    page: Client, machine: Equipment, tina: User
) -> None:
    now = timezone.now()
    done = {"status": "COMPLETED", "findings": "Well."}
    shown = [
        order(machine, status="REQUESTED"), order(machine), planned(machine, now),
        order(machine, status="ASSIGNED", assigned_to=tina), order(machine, status="IN_PROGRESS", assigned_to=tina),
        order(machine, status="ON_HOLD", assigned_to=tina, hold_reason="the crane"),
        order(machine, **done, completed_at=now),
    ]  # fmt: skip
    order(machine, **done, completed_at=now - timedelta(days=8))
    order(machine, status="CANCELLED")
    board = of_board(page)
    assert [[card.order for card in board[status].cards] for status in order_board.COLUMNS] == [[one] for one in shown]
    assert "the crane" in page.get(reverse(BOARD)).content.decode()


def test_a_column_has_its_most_urgent_cards_and_says_how_many_more(page: Client, machine: Equipment) -> None:
    now = timezone.now()
    for _ in range(order_board.MOST_CARDS):
        order(machine)
    late = order(machine, due_at=now - timedelta(hours=1))
    soon = order(machine, due_at=now + timedelta(hours=1))
    worst = order(machine, priority="CRITICAL")
    column = of_board(page)["OPEN"]
    assert [card.order for card in column.cards[:3]] == [worst, late, soon]
    assert [card.due for card in column.cards[:3]] == ["", "OVERDUE", "SOON"]
    assert (len(column.cards), column.total, column.more) == (order_board.MOST_CARDS, 28, 3)
    text = page.get(reverse(BOARD)).content.decode()
    assert "3 more in the list" in text
    assert page.get(reverse(LIST, query={"status__exact": "OPEN"})).context["cl"].result_count == 28


@pytest.mark.parametrize("status", [status for status in Status if status not in OVER])
def test_a_card_offers_exactly_the_steps_of_its_status(status: Status) -> None:
    names = {move.name for move in order_board.moves(status)}
    assert names == {
        button.name for action, button in order_board.BUTTONS.items() if (status, action) in order_life.TABLE
    }  # fmt: skip
    assert names


def test_a_card_is_moved_by_the_buttons_question_and_back_to_the_board(
    page: Client, machine: Equipment, tina: User
) -> None:
    card = order(machine)
    url = f"{reverse(order_board_page.MOVE, args=[card.pk, 'assign'])}?assigned=nobody"
    assert f'href="{url}"' in page.get(reverse(BOARD), {"assigned": "nobody"}).content.decode()
    assert "Who" in page.get(url).content.decode()
    answer = page.post(url, {"confirmed": "1", "assignee": tina.pk})
    assert answer.headers["Location"] == f"{reverse(BOARD)}?assigned=nobody"
    card.refresh_from_db()
    assert (card.status, card.assigned_to) == ("ASSIGNED", tina)
    assert card.transitions.get().actor == tina
    assert page.get(reverse(order_board_page.MOVE, args=[card.pk, "vanish"])).status_code == 404


def test_a_step_that_the_status_does_not_allow_is_refused_in_words(page: Client, machine: Equipment) -> None:
    card = order(machine)
    answer = page.post(reverse(order_board_page.MOVE, args=[card.pk, "start"]), {"confirmed": "1"}, follow=True)
    assert "it cannot be started" in answer.content.decode()


def test_the_board_shows_times_of_the_site_and_says_of_which(page: Client, machine: Equipment, tina: User) -> None:
    planned(machine, datetime(2026, 12, 1, 8, tzinfo=ROME), due_at=datetime(2026, 12, 2, 0, 30, tzinfo=ROME))
    text = page.get(reverse(BOARD)).content.decode()
    assert "planned 2026-12-01 08:00 · due 2026-12-02 00:30</p>" in text
    assert text.count("Times are those of the site, Europe/Rome.") == 1
    other = factories.site(time_zone="Asia/Tokyo")
    Membership.objects.create(site=other, user=tina, role=ROLES.TECHNICIAN)
    planned(factories.machine(site=other), datetime(2026, 12, 1, 9, tzinfo=ZoneInfo("Asia/Tokyo")))
    text = page.get(reverse(BOARD)).content.decode()
    assert "planned 2026-12-01 09:00 (Asia/Tokyo)" in text
    assert "due 2026-12-02 00:30 (Europe/Rome)" in text


def test_an_orders_page_shows_times_of_the_site_and_says_of_which(page: Client, machine: Equipment) -> None:
    made = planned(machine, datetime(2026, 12, 1, 8, tzinfo=ROME))
    text = page.get(reverse("admin:maintenance_workorder_change", args=[made.pk])).content.decode()
    assert "2026-12-01 08:00:00 CET" in text
    assert "Times without a zone are in Europe/Rome." in text
    text = page.get(reverse(LIST)).content.decode()
    assert "2026-12-01 08:00" in text
    assert "Times without a zone are in Europe/Rome." in text


# The plan


def plan_of(made: WorkOrder) -> str:
    return reverse("admin:maintenance_workorder_plan", args=[made.pk])


def test_what_is_planned_is_proposed_again_in_the_sites_time(page: Client, machine: Equipment) -> None:
    made = planned(machine, datetime(2026, 12, 1, 8, tzinfo=ROME), minutes=90)
    text = page.get(plan_of(made)).content.decode()
    for said in ('value="2026-12-01"', 'value="08:00:00"', 'value="90"', "to begin. In Europe/Rome."):
        assert said in text, said
    page.post(plan_of(made), {"confirmed": "1", "start_0": "2026-12-01", "start_1": "09:30", "minutes": "90"})
    made.refresh_from_db()
    assert (made.planned_start, made.planned_minutes) == (datetime(2026, 12, 1, 9, 30, tzinfo=ROME), 90)
    assert made.transitions.get().comment == "2026-12-01 08:30 UTC, 90 min"
    assert 'value="60"' in page.get(plan_of(order(machine))).content.decode()


@pytest.mark.parametrize("start", ["0001-01-01", "9999-12-31"])
def test_a_time_at_the_end_of_time_is_no_fault(page: Client, machine: Equipment, tina: User, start: str) -> None:
    for zone in ("Asia/Tokyo", "America/Denver"):
        Site.objects.filter(pk=machine.site_id).update(time_zone=zone)
        made = order(machine, assigned_to=tina, status="ASSIGNED")
        said = {"confirmed": "1", "start_0": start, "start_1": "23:00" if start[0] == "9" else "01:00", "minutes": "90"}
        assert page.post(plan_of(made), said).status_code in (200, 302)


def test_who_has_other_work_then_is_told_and_nothing_is_refused(page: Client, machine: Equipment, tina: User) -> None:
    at = datetime(2036, 12, 1, 8, tzinfo=ROME)
    about = {"status": "ASSIGNED", "assigned_to": tina}
    first, over = planned(machine, at, **about), planned(machine, at, **about | {"status": "CANCELLED"})
    made = order(machine, **about)
    said = {"confirmed": "1", "start_0": "2036-12-01", "start_1": "09:00", "minutes": "30"}
    text = page.post(plan_of(made), said, follow=True).content.decode()
    assert f"tina has other work while WO-{made.pk} is planned: WO-{first.pk} at 2036-12-01 08:00, 90 min." in text
    assert f"WO-{over.pk}" not in text
    made.refresh_from_db()
    assert made.planned_start == at + timedelta(hours=1)
    url = reverse(order_calendar_page.MOVE, args=[made.pk])
    assert "has other work" in page.post(url, said | {"start_1": "07:45", "assignee": ""}, follow=True).content.decode()
    assert "has other work" not in page.post(url, said | {"start_1": "09:30"}, follow=True).content.decode()
    third = planned(machine, at)
    assign = reverse("admin:maintenance_workorder_assign", args=[third.pk])
    text = page.post(assign, {"confirmed": "1", "assignee": tina.pk}, follow=True).content.decode()
    assert f"WO-{first.pk} at 2036-12-01 08:00, 90 min." in text


def test_work_in_another_site_is_told_of_without_its_number(page: Client, machine: Equipment, tina: User) -> None:
    at, theirs = datetime(2036, 12, 1, 8, tzinfo=ROME), factories.machine(site=factories.site())
    hidden = planned(theirs, at, status="ASSIGNED", assigned_to=tina, title="theirs")
    made = order(machine, status="ASSIGNED", assigned_to=tina)
    said = {"confirmed": "1", "start_0": "2036-12-01", "start_1": "08:00", "minutes": "30"}
    text = page.post(plan_of(made), said, follow=True).content.decode()
    assert "an order of another site at 2036-12-01 08:00, 90 min." in text
    assert f"WO-{hidden.pk}" not in text


def test_a_start_in_the_past_is_told(page: Client, machine: Equipment) -> None:
    made = order(machine)
    said = {"confirmed": "1", "start_0": "2026-03-02", "start_1": "08:00", "minutes": "30"}
    text = page.post(plan_of(made), said, follow=True).content.decode()
    assert f"WO-{made.pk} is planned to begin in the past, 2026-03-02 08:00." in text
    made.refresh_from_db()
    assert made.status == "PLANNED"


def test_the_board_is_narrowed_to_who_has_the_work(page: Client, machine: Equipment, tina: User) -> None:
    mine, nobodys = order(machine, status="ASSIGNED", assigned_to=tina), order(machine)
    assert [len(of_board(page, assigned="me")[s].cards) for s in ("OPEN", "ASSIGNED")] == [0, 1]
    assert [card.order for card in of_board(page, assigned="nobody")["OPEN"].cards] == [nobodys]
    assert [card.order for card in of_board(page, assigned="rubbish")["ASSIGNED"].cards] == [mine]


# The calendar


def week_of(client: Client, site: Site, week: str = "2026-03-23") -> dict[str, list[tuple[str, str]]]:
    """Who -> (day, order's title with its times), in the week of a site."""
    found = client.get(reverse(CALENDAR), {"site": site.pk, "week": week}).context["week"]
    return {
        str(person.user or "nobody"): [
            (f"{day.on:%a}", f"{block.start:%H:%M}-{block.end:%H:%M} {block.order.title}")
            for day in person.days
            for block in day.blocks
        ]
        for person in found.people
    }


def test_the_week_shows_who_does_what_when_in_the_sites_time(page: Client, machine: Equipment, tina: User) -> None:
    planned(machine, datetime(2026, 3, 24, 8, tzinfo=ROME), title="oil")
    planned(machine, datetime(2026, 3, 29, 23, tzinfo=ROME), title="belt", status="ASSIGNED", assigned_to=tina)
    planned(machine, datetime(2026, 3, 20, 8, tzinfo=ROME), minutes=4 * 1_440, title="overhaul")
    planned(machine, datetime(2026, 3, 30, 0, tzinfo=ROME), title="next week")
    planned(machine, datetime(2026, 3, 22, 22, tzinfo=ROME), minutes=120, title="last week")
    assert week_of(page, machine.site, "2026-03-25") == {
        "nobody": [("Mon", "08:00-08:00 overhaul"), ("Tue", "08:00-09:30 oil")],
        "tina": [("Sun", "23:00-00:30 belt")],
    }


def cell(text: str, day: str, who: str) -> str:
    """What stands in a cell of the calendar, without its marks."""
    _, _, after = text.partition(f'data-drop="day={day}&amp;who={who}"')
    return " ".join(re.sub(r"<[^>]*>", " ", after[after.index(">") + 1 : after.index("</td>")]).split())


def test_the_calendar_says_the_times_of_the_site(page: Client, machine: Equipment, tina: User) -> None:
    moved = order(machine)
    url = reverse(order_calendar_page.MOVE, args=[moved.pk])
    said = {"confirmed": "1", "start_0": "2026-12-01", "start_1": "07:00", "minutes": "60", "assignee": ""}
    page.post(url, said)
    night = planned(machine, datetime(2026, 12, 2, 0, 30, tzinfo=ROME), 60, status="ASSIGNED", assigned_to=tina)
    longer = planned(machine, datetime(2026, 12, 3, 0, 30, tzinfo=ROME), 1_440)
    order(machine, due_at=datetime(2026, 12, 5, 0, 30, tzinfo=ROME))
    text = page.get(reverse(CALENDAR), {"week": "2026-12-01"}).content.decode()
    assert cell(text, "2026-12-01", "").startswith(f"07:00–08:00 WO-{moved.pk} ")
    assert cell(text, "2026-12-02", str(tina.pk)).startswith(f"00:30–01:30 WO-{night.pk} ")
    assert cell(text, "2026-12-03", "").startswith(f"00:30–00:30 WO-{longer.pk} 3 Dec to 4 Dec")
    assert "due 2026-12-05" in text


def test_the_calendar_names_a_machine_once(page: Client, machine: Equipment) -> None:
    by_alarm = planned(machine, datetime(2026, 12, 1, 8, tzinfo=ROME), title="P-1: Low output")
    order(machine, title="P-1: Low output")
    text = page.get(reverse(CALENDAR), {"week": "2026-12-01"}).content.decode()
    assert f"WO-{by_alarm.pk} P-1: Low output" in cell(text, "2026-12-01", "")
    assert text.count("P-1: Low output") == 2
    assert "P-1: P-1" not in text
    assert planned(machine, timezone.now(), title="P-10 swap").title_with_tag == "P-1: P-10 swap"


@pytest.mark.parametrize("week", ["", "rubbish", "2026-02-31", "9999-12-31", "0001-01-01"])
def test_a_week_that_is_none_is_this_one(page: Client, machine: Equipment, week: str) -> None:
    found = page.get(reverse(CALENDAR), {"week": week}).context["week"]
    assert timezone.now().astimezone(ROME).date() in found.days


def test_what_has_no_time_waits_beside_the_week_most_urgent_first(page: Client, machine: Equipment) -> None:
    some, worst = order(machine), order(machine, priority="CRITICAL")
    order(machine, status="CANCELLED")
    assert page.get(reverse(CALENDAR)).context["week"].unplanned == (worst, some)


def test_an_order_is_planned_and_assigned_by_a_drop_and_a_confirmation(
    page: Client, machine: Equipment, tina: User
) -> None:
    waits = order(machine)
    url = reverse(order_calendar_page.MOVE, args=[waits.pk])
    asked = page.get(url, {"day": "2026-03-31", "who": tina.pk})
    assert 'value="2026-03-31"' in asked.content.decode()
    assert 'value="07:00:00"' in asked.content.decode()
    said = {"confirmed": "1", "start_0": "2026-03-31", "start_1": "07:30", "minutes": "45", "assignee": tina.pk}
    answer = page.post(f"{url}?site={machine.site_id}&week=2026-03-30", said)
    assert answer.headers["Location"] == f"{reverse(CALENDAR)}?site={machine.site_id}&week=2026-03-30"
    waits.refresh_from_db()
    assert (waits.status, waits.assigned_to, waits.planned_minutes) == ("ASSIGNED", tina, 45)
    assert waits.planned_start == datetime(2026, 3, 31, 7, 30, tzinfo=ROME)
    assert list(waits.transitions.values_list("action", flat=True)) == ["PLANNED", "ASSIGNED"]


def test_a_move_to_another_day_keeps_the_hour_and_says_nothing_twice(page: Client, machine: Equipment) -> None:
    moved = planned(machine, datetime(2026, 3, 24, 8, tzinfo=ROME))
    url = reverse(order_calendar_page.MOVE, args=[moved.pk])
    assert 'value="08:00:00"' in page.get(url, {"day": "2026-03-30", "who": ""}).content.decode()
    same = {"confirmed": "1", "start_0": "2026-03-24", "start_1": "08:00", "minutes": "90", "assignee": ""}
    page.post(url, same)
    assert not moved.transitions.exists()


def test_a_move_that_is_refused_leaves_all_as_it_was(page: Client, machine: Equipment, tina: User) -> None:
    running = planned(machine, datetime(2026, 3, 24, 8, tzinfo=ROME), status="IN_PROGRESS", assigned_to=tina)
    said = {"confirmed": "1", "start_0": "2026-03-25", "start_1": "08:00", "minutes": "90", "assignee": ""}
    url = reverse(order_calendar_page.MOVE, args=[running.pk])
    assert "cannot be planned" in page.post(url, said, follow=True).content.decode()
    assert "data-move" not in page.get(reverse(CALENDAR), {"week": "2026-03-24"}).content.decode()
    said |= {"start_0": "2026-03-29", "start_1": "02:30"}
    assert "couldn’t be interpreted" in page.post(url, said).content.decode()


# On paper


def test_an_order_is_printed_with_a_code_that_leads_to_its_page(
    page: Client, machine: Equipment, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://plant.example"
    made = planned(machine, datetime(2026, 3, 24, 8, tzinfo=ROME), description="Turn <b>off</b> first\nthen look")
    text = page.get(reverse(order_print.NAME, args=[made.pk])).content.decode()
    address = f"https://plant.example/admin/maintenance/workorder/{made.pk}/change/"
    assert address in text
    assert order_print.qr(address) in text
    assert "Turn &lt;b&gt;off&lt;/b&gt; first<br>then look" in text
    assert "2026-03-24 08:00, 90 min" in text
    assert not [src for src in text.split('src="')[1:] if src.startswith("http")]
    change = page.get(reverse("admin:maintenance_workorder_change", args=[made.pk])).content.decode()
    assert reverse(order_print.NAME, args=[made.pk]) in change


def test_the_paper_has_permits_parts_and_checklists(page: Client, machine: Equipment, tina: User) -> None:
    made = order(machine)
    template = ChecklistTemplate.objects.create(site=machine.site, name="Before the start", permit_kind="HOT_WORK")
    template.items.create(position=1, text="Guard <closed>", kind="TICK")
    template.items.create(position=2, text="Vibration", kind="READING", unit="mm/s", high=4.5)
    checklists.attach(made.pk, actor=tina, template=template)
    seal, store = (
        Part.objects.create(site=machine.site, number="S-7", name="Seal"),
        Store.objects.create(site=machine.site, name="Main store"),
    )
    OrderPart.objects.create(order=made, part=seal, store=store, wanted=2)
    text = page.get(reverse(order_print.NAME, args=[made.pk])).content.decode()
    for said in ("Hot work", "2 pcs", "S-7 Seal", "Main store", "1. Guard &lt;closed&gt; *", "4.5 mm/s"):
        assert said in text, said


# The list


def test_the_list_has_what_a_planner_looks_for(page: Client, machine: Equipment, tina: User) -> None:
    now = timezone.now()
    day = timedelta(days=1)
    made = {
        "requested": order(machine, status="REQUESTED", planned_start=now - day),
        "overdue": order(machine, due_at=now - day, planned_start=now - day),
        "due": order(machine, due_at=now + day, planned_start=now - day),
        "planned": planned(machine, now + day),
        "unplanned": order(machine),
        "held": order(machine, status="ON_HOLD", assigned_to=tina, hold_reason="crane", planned_start=now - day),
    }
    order(machine, status="CANCELLED", due_at=now - day)
    for sort, row in made.items():
        assert list(page.get(reverse(LIST), {"planning": sort}).context["cl"].result_list) == [row], sort
    text = page.get(reverse(LIST)).content.decode()
    assert "overdue" in text
    assert "due soon" in text


# Who may see and do what; what it costs


def test_pages_show_a_members_sites_only(page: Client, machine: Equipment) -> None:
    theirs = plant.rows(factories.site(name="Theirs"), name="theirs").order
    for url in (reverse(BOARD), reverse(CALENDAR), f"{reverse(CALENDAR)}?site={theirs.site_id}"):
        assert "theirs" not in page.get(url).content.decode().lower()
    assert page.get(reverse(BOARD), {"site": theirs.site_id}).context["columns"][1][0].total == 0
    for url in (
        reverse(order_print.NAME, args=[theirs.pk]), reverse(order_board_page.MOVE, args=[theirs.pk, "assign"]),
        reverse(order_calendar_page.MOVE, args=[theirs.pk]),
    ):  # fmt: skip
        assert page.get(url).status_code == 404


def test_a_viewer_sees_and_moves_nothing(client: Client, machine: Equipment) -> None:
    made = order(machine)
    client.force_login(factories.user(site=machine.site, role=ROLES.VIEWER, is_staff=True))
    for url in (reverse(BOARD), reverse(CALENDAR)):
        text = client.get(url).content.decode()
        assert f"WO-{made.pk}" in text
        assert 'draggable="true"' not in text
        assert f"{made.pk}/assign" not in text
    assert client.get(reverse(order_print.NAME, args=[made.pk])).status_code == 200
    for url in (
        reverse(order_board_page.MOVE, args=[made.pk, "assign"]), reverse(order_calendar_page.MOVE, args=[made.pk]),
    ):  # fmt: skip
        assert client.get(url).status_code == 403
        assert client.post(url, {"confirmed": "1"}).status_code == 403


def test_staff_without_a_site_see_nothing(client: Client, machine: Equipment) -> None:
    client.force_login(factories.user(is_staff=True))
    assert [client.get(reverse(name)).status_code for name in (BOARD, CALENDAR)] == [403, 403]


def test_the_pages_ask_as_often_whatever_is_stored(page: Client, machine: Equipment, tina: User) -> None:
    counted = []
    for more in (2, 20):
        for n in range(more):
            start = timezone.now() + timedelta(hours=n)
            planned(machine, start, status="ASSIGNED", assigned_to=tina)
            order(factories.machine(site=machine.site), due_at=start)
        counted.append([])
        for url in (reverse(BOARD), reverse(CALENDAR), reverse(LIST)):
            with CaptureQueriesContext(connection) as queries:
                assert page.get(url).status_code == 200
            counted[-1].append(len(queries))
    assert counted[0] == counted[1]
    assert max(counted[1]) <= 12
