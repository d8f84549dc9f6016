"""Equipment, sensors and requests of work from files and to files."""

from __future__ import annotations

import io
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from maintenance import exchange_page, meters, plans
from maintenance.models import WorkOrder
from maintenance.order_exchange import OrderRows
from maintenance.part_exchange import PartRows
from maintenance.part_models import Part
from maintenance.plan_exchange import PlanRows
from maintenance.plan_models import Meter, Plan
from sensors import sheets
from sensors.exchange import Outcome
from sensors.exchange_rows import EquipmentRows, SensorRows
from sensors.models import Equipment, Event, Membership, Sensor, Site
from tests import factories, plant

pytestmark = pytest.mark.django_db
ROLES = Membership.Role


@pytest.fixture
def site() -> Site:
    return factories.site(time_zone="Europe/Rome")


@pytest.fixture
def anna(site: Site) -> User:
    return factories.user(site=site, role=ROLES.ADMIN, is_staff=True, username="anna")


def run(table: Any, text: str | bytes, *, trial: bool = False) -> list[Outcome]:
    found: list[Outcome] = table.run(sheets.read("file", text.encode() if isinstance(text, str) else text), trial=trial)
    return found


def whats(outcomes: list[Outcome]) -> list[str]:
    return [one.what for one in outcomes]


def faults(outcomes: list[Outcome]) -> dict[int, tuple[str, ...]]:
    return {one.number: one.faults for one in outcomes if one.faults}


def workbook(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


PLANT = """tag,name,level,parent,criticality,machine_group
L-1,Line 1,LINE,,,
P-1,Pump,MACHINE,L-1,High,2
P-1.B,Bearing,Component,P-1,,
"""


def test_a_plant_is_imported_with_its_tree_lanes_and_journal(site: Site, anna: User) -> None:
    assert whats(run(EquipmentRows(site, anna), PLANT)) == ["NEW"] * 3
    pump, bearing = Equipment.objects.get(tag="P-1"), Equipment.objects.get(tag="P-1.B")
    assert (pump.parent, pump.machine, pump.criticality, pump.machine_group) == (
        Equipment.objects.get(tag="L-1"), pump, "HIGH", 2,
    )  # fmt: skip
    assert pump.lane is not None
    assert (bearing.machine, bearing.criticality) == (pump, "MEDIUM")
    told = Event.objects.get(subject=f"equipment/{pump.pk}")
    assert (told.type, told.actor, told.site) == ("equipment.added", "anna", site)
    assert told.data["after"]["parent"] == "L-1"


def test_a_trial_run_says_the_same_and_stores_nothing(site: Site, anna: User) -> None:
    tried = run(EquipmentRows(site, anna), PLANT, trial=True)
    assert (Equipment.objects.count(), Event.objects.count()) == (0, 0)
    assert tried == run(EquipmentRows(site, anna), PLANT)


def test_the_same_file_again_changes_nothing(site: Site, anna: User) -> None:
    run(EquipmentRows(site, anna), PLANT)
    before = Event.objects.count()
    assert whats(run(EquipmentRows(site, anna), PLANT)) == ["SAME"] * 3
    assert Event.objects.count() == before


def test_a_missing_column_leaves_and_an_empty_cell_empties(site: Site, anna: User) -> None:
    run(EquipmentRows(site, anna), PLANT)
    assert whats(run(EquipmentRows(site, anna), "tag,machine_group\nP-1,\n")) == ["CHANGED"]
    pump = Equipment.objects.get(tag="P-1")
    assert (pump.machine_group, pump.criticality, pump.name) == (None, "HIGH", "Pump")
    told = Event.objects.get(type="equipment.changed")
    assert told.data == {"before": {"machine_group": 2}, "after": {"machine_group": None}, "imported": True}


def test_every_fault_is_told_by_row_and_nothing_is_stored(site: Site, anna: User) -> None:
    outcomes = run(
        EquipmentRows(site, anna),
        "tag,name,level,parent,criticality,machine_group\n"
        "P-1,Pump,MACHINE,,HIGH,2\n"
        "P-2,Fan,TRUCK,L-9,URGENT,two\n"
        ",Nameless,MACHINE,,,\n"
        "P-1,Again,MACHINE,,,\n"
        "C-1,Coupling,COMPONENT,,,\n"
        "C-2,Seal,COMPONENT,P-4,,\n"
        "P-3,Gear,MACHINE,,,,,more\n"
        "P-4,,MACHINE,,,\n",
    )
    told = faults(outcomes)
    assert whats(outcomes) == ["NEW", *["WRONG"] * 7]
    assert told[3] == (
        "level: 'TRUCK' is none of LINE, MACHINE, COMPONENT.",
        f"parent: There is no equipment 'L-9' in {site}.",
        "criticality: 'URGENT' is none of CRITICAL, HIGH, MEDIUM, LOW.",
        "machine_group: 'two' is none of 1, 2, 3, 4.",
    )
    assert told[4] == ("tag: It must be said.",)
    assert told[5] == ("tag: P-1 is in row 2 already.",)
    assert told[6] == ("parent: A component needs the machine or component it is part of.",)
    assert told[7] == (f"parent: There is no equipment 'P-4' in {site}.",)
    assert told[8] == ("It has 8 cells, and there are 6 columns.",)
    assert told[9] == ("name: This field cannot be blank.",)
    assert (Equipment.objects.count(), Event.objects.count()) == (0, 0)


def test_what_was_judged_stays_where_it_is(site: Site, anna: User) -> None:
    made = plant.rows(site)
    other = factories.machine(site=site, tag="P-9")
    plant.readings(made.sensor, [1.0])
    moved = f"external_id,equipment\n{made.sensor.external_id},P-9\n"
    assert faults(run(SensorRows(site, anna), moved)) == {
        2: ("equipment: A sensor with readings stays with the machine it was judged with.",)
    }
    assert faults(run(EquipmentRows(site, anna), f"tag,level\n{other.tag},LINE\n"))[2][0].startswith("level: The level")


@pytest.mark.parametrize(("comma", "low", "fault"), [
    (False, "1.5", ""), (True, "1,5", ""), (True, "-,5", ""), (False, "1e-3", ""),
    (False, "1,5", "has a ','"), (True, "1.5", "has a '.'"), (False, "1,234.5", "has a ','"),
    (False, "1 234", "is no number"), (False, "5 bar", "is no number"), (False, "nan", "is no number"),
    (False, "1e999", "is no number"), (False, "#REF!", "is no number"), (False, "0x10", "is no number"),
])  # fmt: skip
def test_numbers_are_read_in_the_mark_that_was_chosen(
    site: Site, anna: User, comma: bool, low: str, fault: str
) -> None:
    sensor = factories.sensor(machine=factories.machine(site=site), external_id="s")
    told = faults(run(SensorRows(site, anna, comma=comma), f'external_id\tlow\ns\t"{low}"\n'))
    sensor.refresh_from_db()
    if fault:
        assert fault in told[2][0]
        assert sensor.low is None
    else:
        assert told == {}
        assert sensor.low == float(low.replace(",", "."))


@pytest.mark.parametrize("due", ["3/4/2026", "20260403", "2026-02-30", "46115"])
def test_a_day_that_could_be_two_is_refused(site: Site, anna: User, due: str) -> None:
    factories.sensor(machine=factories.machine(site=site), external_id="s")
    told = faults(run(SensorRows(site, anna), f"external_id,calibration_due_on\ns,{due}\n"))
    assert told[2] == (f"calibration_due_on: {due!r} is no day: write it as 2026-03-31.",)


def test_a_workbook_brings_its_own_numbers_and_days(site: Site, anna: User) -> None:
    factories.machine(site=site, tag="4711")
    rows = workbook(
        ["external_id", "name", "equipment", "low", "period_seconds", "calibration_due_on"],
        [815, "Flow", 4711.0, -2.5, 60.0, datetime(2026, 4, 3)],
    )
    assert faults(run(SensorRows(site, anna), rows)) == {}
    sensor = Sensor.objects.get(external_id="815")
    assert (sensor.equipment.tag, sensor.low, sensor.period_seconds) == ("4711", -2.5, 60)
    assert sensor.calibration_due_on == date(2026, 4, 3)


def test_the_rules_of_sensors_hold(site: Site, anna: User) -> None:
    factories.sensor(machine=factories.machine(site=site), external_id="s", high=4.0)
    told = faults(run(SensorRows(site, anna), "external_id,low,deadband,rate_span_seconds\ns,5,-1,1.5\n"))
    assert told[2] == (
        "rate_span_seconds: 1.5 is no whole number.",
        "deadband: Ensure this value is greater than or equal to 0.",
        "low: Must be below high (4).",
    )


def test_what_only_the_database_refuses_is_told_in_words(site: Site, anna: User) -> None:
    factories.sensor(machine=factories.machine(site=site, tag="P-1"), external_id="s")
    text = "external_id,name,equipment,alarm_readings,alarm_readings_of\ns,S,P-1,3,2\nnew,N,P-1,2,1\nfine,F,P-1,1,1\n"
    outcomes = run(SensorRows(site, anna), text)
    assert faults(outcomes) == dict.fromkeys(
        (2, 3), ("Of the last readings no more can be beyond a limit than there are.",)
    )
    assert whats(outcomes) == ["WRONG", "WRONG", "NEW"]
    assert not Sensor.objects.filter(external_id="fine").exists()


def test_a_table_with_other_columns_is_refused(site: Site, anna: User) -> None:
    with pytest.raises(sheets.BadSheet, match="no column lane"):
        run(EquipmentRows(site, anna), "tag,lane\nP,1\n")
    with pytest.raises(sheets.BadSheet, match="missing: tag"):
        run(EquipmentRows(site, anna), "name\nP\n")


def test_another_sites_rows_are_neither_found_nor_touched(site: Site, anna: User) -> None:
    theirs = factories.machine(site=factories.site(), tag="P-1", name="Theirs")
    told = run(SensorRows(site, anna), "external_id,name,equipment\ns,S,P-1\n")
    assert faults(told) == {2: (f"equipment: There is no equipment 'P-1' in {site}.",)}
    assert whats(run(EquipmentRows(site, anna), "tag,name\nP-1,Ours\n")) == ["NEW"]
    theirs.refresh_from_db()
    assert theirs.name == "Theirs"


# Requests of work

ASKED = "machine,title,maintenance_type,due_at\nP-1,Oil,INSPECTION,2026-03-06\nP-1,Belt,INSPECTION,2026-03-06 14:00\n"


def test_requests_are_imported_and_wait_for_approval(site: Site, anna: User) -> None:
    machine = factories.machine(site=site, tag="P-1", criticality="HIGH")
    assert whats(run(OrderRows(site, anna), ASKED)) == ["NEW"] * 2
    oil, belt = WorkOrder.objects.order_by("id")
    assert (oil.machine, oil.status, oil.priority, oil.requested_by) == (machine, "REQUESTED", "MEDIUM", anna)
    assert (oil.due_at, belt.due_at) == tuple(
        datetime.fromisoformat(text) for text in ("2026-03-06T23:59+01:00", "2026-03-06T14:00+01:00")
    )
    assert Event.objects.filter(type="work_order.requested", actor="anna").count() == 2
    assert "asked for already: WO-" in faults(run(OrderRows(site, anna), ASKED))[2][0]
    assert WorkOrder.objects.count() == 2


def test_a_request_that_is_refused_is_told_and_takes_the_others_back(site: Site, anna: User) -> None:
    factories.machine(site=site, tag="P-1")
    text = "machine,title,maintenance_type,failure_mode,due_at\n"
    text += "P-1,A,INSPECTION,VIB,\nP-1,B,INSPECTION,VIB,\nP-1,C,INSPECTION,ZZZ,2026-03-29 02:30\nP-1,,TEA,,\n"
    told = faults(run(OrderRows(site, anna), text))
    assert "has an open order for this failure mode already" in told[3][0]
    assert "does not exist in Europe/Rome" in told[4][0]
    assert told[5][0].startswith("maintenance_type: 'TEA' is none of")
    assert told[5][1] == "title: This field cannot be blank."
    assert WorkOrder.objects.count() == 0


def test_what_requests_will_cost_is_for_the_policies(site: Site, anna: User) -> None:
    factories.machine(site=site, tag="P-1")
    head = "machine,title,maintenance_type,expected_cost\n"
    assert faults(run(OrderRows(site, anna), f"{head}P-1,Oil,INSPECTION,120.50\nP-1,Belt,INSPECTION,\n")) == {}
    costs = WorkOrder.objects.order_by("id").values_list("expected_cost", flat=True)
    assert list(costs) == [Decimal("120.50"), None]
    told = faults(run(OrderRows(site, anna), f"{head}P-1,Seal,INSPECTION,-1\n"))
    assert told[2] == ("expected_cost: Ensure this value is greater than or equal to 0.",)


# Parts

PARTS = "number,name,unit,unit_cost,lead_time_days,minimum,is_active\n"
PARTS += "6205,Bearing,pcs,12.50,9,4,yes\nOIL-46,Oil,l,3.1415,,0.5,no\n"


def test_parts_are_imported_and_the_same_file_changes_nothing(site: Site, anna: User) -> None:
    assert whats(run(PartRows(site, anna), PARTS)) == ["NEW"] * 2
    oil, bearing = Part.objects.order_by("name").reverse()
    assert (bearing.number, bearing.unit_cost, bearing.lead_time_days, bearing.minimum) == (
        "6205",
        Decimal("12.5"),
        9,
        4,
    )
    assert (oil.unit_cost, oil.lead_time_days, oil.minimum, oil.is_active) == (
        Decimal("3.1415"), None, Decimal("0.5"), False,
    )  # fmt: skip
    assert Event.objects.filter(type="part.added", actor="anna", site=site).count() == 2
    assert whats(run(PartRows(site, anna), PARTS)) == ["SAME"] * 2
    assert whats(run(PartRows(site, anna, comma=True), "number;unit_cost\n6205;13,75\n")) == ["CHANGED"]
    bearing.refresh_from_db()
    assert (bearing.unit_cost, bearing.name) == (Decimal("13.75"), "Bearing")
    told = Event.objects.get(type="part.changed")
    assert (told.data["before"]["unit_cost"], told.data["after"]["unit_cost"]) == ("12.5", "13.75")


def test_what_is_wrong_with_parts_is_told_by_row(site: Site, anna: User) -> None:
    told = faults(run(
        PartRows(site, anna),
        "number,name,unit_cost,minimum,is_active\nA,,-1,x,maybe\nB,Oil,1.00001,1,yes\n,Nut,1,1,yes\nB,Nut,1,1,yes\n",
    ))  # fmt: skip
    assert told[2] == (
        "minimum: 'x' is no number: no units, no spaces, nothing between thousands.",
        "is_active: 'maybe' is none of True, False.",
        "name: This field cannot be blank.",
        "unit_cost: Ensure this value is greater than or equal to 0.",
    )
    assert told[3] == ("unit_cost: Ensure that there are no more than 4 decimal places.",)
    assert told[4] == ("number: It must be said.",)
    assert told[5] == ("number: B is in row 3 already.",)
    assert not Part.objects.exists()


def test_a_workbooks_amounts_are_what_it_shows(site: Site, anna: User) -> None:
    rows = workbook(["number", "name", "unit_cost", "is_active"], [6205, "Bearing", 0.1 + 0.2, True])
    assert faults(run(PartRows(site, anna), rows)) == {}
    assert Part.objects.get(number="6205").unit_cost == Decimal("0.3")


def test_another_sites_part_is_not_touched(site: Site, anna: User) -> None:
    theirs = Part.objects.create(site=factories.site(), number="6205", name="Theirs")
    assert whats(run(PartRows(site, anna), "number,name\n6205,Ours\n")) == ["NEW"]
    theirs.refresh_from_db()
    assert theirs.name == "Theirs"


# Preventive plans

PLANS = "machine,title,kind,sensor,every,unit,first_on,due_time,meter,meter_every\n"
PLANS += "P-1,Oil,WORK,,6,Months,2026-09-01,07:30,Hours,500\nP-1,Gauge,CALIBRATION,s,1,MONTH,2026-09-01,,,\n"


@pytest.fixture
def pump(site: Site, anna: User) -> Equipment:
    machine = factories.machine(site=site, tag="P-1")
    factories.sensor(machine=machine, external_id="s")
    meters.add(Meter(site=site, machine=machine, name="Hours"), actor=anna)
    return machine


def test_plans_are_imported_and_move_as_those_of_the_page(site: Site, anna: User, pump: Equipment) -> None:
    assert faults(run(PlanRows(site, anna), PLANS)) == {}
    oil, gauge = Plan.objects.order_by("id")
    assert (oil.machine, oil.every, oil.unit, oil.due_time, oil.minutes) == (pump, 6, "MONTH", time(7, 30), 60)
    assert (oil.due_on, oil.target, oil.meter_first, oil.created_by) == (date(2026, 9, 1), 500.0, 500.0, anna)
    assert oil.look_at is not None
    assert gauge.sensor == Sensor.objects.get(calibration_due_on=date(2026, 9, 1))
    assert Event.objects.filter(type="plan.added", actor="anna").count() == 2


def test_the_same_plans_again_change_nothing_also_when_the_meter_went_on(
    site: Site, anna: User, pump: Equipment
) -> None:
    run(PlanRows(site, anna), PLANS)
    Meter.objects.update(total=300.0)
    with_first = "".join(f"{line},{'' if n else 'meter_first'}\n" for n, line in enumerate(PLANS.splitlines()))
    for text in (PLANS, with_first):
        assert whats(run(PlanRows(site, anna), text)) == ["SAME"] * 2
    assert whats(run(PlanRows(site, anna), "machine,title,every\nP-1,Oil,3\n")) == ["CHANGED"]
    oil = Plan.objects.get(title="Oil")
    assert (oil.every, oil.meter_first, oil.due_time) == (3, 500.0, time(7, 30))
    assert Event.objects.get(type="plan.changed").actor == "anna"


def test_another_meter_counts_from_now_on(site: Site, anna: User, pump: Equipment) -> None:
    run(PlanRows(site, anna), PLANS)
    meters.add(Meter(site=site, machine=pump, name="Starts", unit="STARTS"), actor=anna)
    Meter.objects.filter(name="Starts").update(total=40.0)
    run(PlanRows(site, anna), "machine,title,meter\nP-1,Oil,Starts\n")
    assert Plan.objects.get(title="Oil").meter_first == 540.0


def test_what_is_wrong_with_plans_is_told_by_row(site: Site, anna: User, pump: Equipment) -> None:
    elsewhere = factories.machine(site=site, tag="P-2")
    factories.sensor(machine=elsewhere, external_id="theirs")
    plans.add(Plan(site=site, machine=pump, title="Belt", every=1, unit="WEEK", first_on=date(2026, 9, 1)), actor=anna)
    text = "machine,title,kind,sensor,every,first_on,due_time,meter,meter_every,season_first\n"
    text += "P-1,A,,theirs,1,2026-09-01,at noon,Miles,5,\nP-9,B,,,1,2026-09-01,,,,\nP-1,,,,1,2026-09-01,,,,\n"
    text += "P-1,C,,,,,,,,\nP-1,D,CALIBRATION,,1,2026-09-01,,,,\nP-1,E,,,1,2026-09-01,,,,04-01\n"
    text += "P-1,Belt,CALIBRATION,s,1,2026-09-01,,,,\nP-1,Belt,,,1,2026-09-01,,,,\n"
    told = faults(run(PlanRows(site, anna), text))
    assert told[2] == (
        "sensor: P-1 has none that is called 'theirs'.",
        "due_time: 'at noon' is no time of the day: write it as 17:00.",
        "meter: P-1 has none that is called 'Miles'.",
    )
    assert told[3] == (f"machine: There is no equipment 'P-9' in {site}.",)
    assert told[4] == ("title: It must be said.",)
    assert told[5] == ("Say when it comes again: by the calendar, by a meter, or both.",)
    assert told[6] == ("Name the sensor where one is calibrated, and only there.",)
    assert told[7] == ("season_last: A season has a first and a last day.",)
    assert told[8] == (
        "kind: The kind of a plan that exists stays as it is.", "sensor: A plan that exists stays with its sensor.",
    )  # fmt: skip
    assert told[9] == ("title: P-1: Belt is in row 8 already.",)
    assert Plan.objects.count() == 1


def test_a_workbooks_plan_names_sensors_and_days_by_its_own_cells(site: Site, anna: User) -> None:
    factories.sensor(machine=factories.machine(site=site, tag="4711"), external_id="815")
    rows = workbook(
        ["machine", "title", "kind", "sensor", "every", "first_on", "due_time"],
        [4711, "Gauge", "Calibration of a sensor", 815.0, 12, datetime(2026, 9, 1), time(6, 30)],
    )
    assert faults(run(PlanRows(site, anna), rows)) == {}
    plan = Plan.objects.get(sensor__external_id="815")
    assert (plan.due_on, plan.due_time, plan.every) == (date(2026, 9, 1), time(6, 30), 12)


def test_which_of_several_plans_is_meant_is_not_guessed(site: Site, anna: User, pump: Equipment) -> None:
    for _ in range(2):
        plans.add(Plan(site=site, machine=pump, title="Belt", every=1, first_on=date(2026, 9, 1)), actor=anna)
    told = faults(run(PlanRows(site, anna), "machine,title,every\nP-1,Belt,2\n"))
    assert told[2] == ("title: The machine has several plans of this title: change them on their pages.",)


# Pages


def upload(client: Client, site: Site, kind: str, text: str, **more: Any) -> Any:
    file = SimpleUploadedFile("plant.csv", text.encode())
    said = {"kind": kind, "site": site.pk, "mark": "point", "file": file} | more
    return client.post(reverse(exchange_page.NAME), said)


def test_a_file_is_tried_and_then_imported(client: Client, site: Site, anna: User) -> None:
    client.force_login(anna)
    assert client.get(reverse(exchange_page.NAME)).status_code == 200
    tried = upload(client, site, "equipment", PLANT)
    assert tried.context["counts"] == {"NEW": 3, "CHANGED": 0, "SAME": 0, "WRONG": 0}
    assert Equipment.objects.count() == 0
    done = client.post(reverse(exchange_page.NAME), {"held": tried.context["held"]}, follow=True)
    assert "3 new, 0 changed" in done.content.decode()
    assert Equipment.objects.filter(site=site).count() == 3


def test_a_file_with_faults_offers_no_import(client: Client, site: Site, anna: User) -> None:
    client.force_login(anna)
    answer = upload(client, site, "equipment", "tag,name,level\nP-1,<b>Pump</b>,TRUCK\n")
    text = answer.content.decode()
    assert "&#x27;TRUCK&#x27; is none of" in text
    assert 'name="held"' not in text
    assert "The file is empty." in upload(client, site, "equipment", " ").content.decode()


def test_what_changed_since_the_trial_run_stops_the_import(client: Client, site: Site, anna: User) -> None:
    client.force_login(anna)
    held = upload(client, site, "equipment", "tag,name,level\nP-1,Pump,LINE\nP-2,Fan,LINE\n").context["held"]
    factories.machine(site=site, tag="P-1")
    answer = client.post(reverse(exchange_page.NAME), {"held": held})
    assert "Nothing was imported" in answer.content.decode()
    assert not Equipment.objects.filter(tag="P-2").exists()


def test_nobody_imports_what_another_held_or_what_was_made_up(client: Client, site: Site, anna: User) -> None:
    client.force_login(anna)
    held = upload(client, site, "equipment", PLANT).context["held"]
    client.force_login(factories.user(site=site, role=ROLES.ADMIN, is_staff=True))
    assert client.post(reverse(exchange_page.NAME), {"held": held}).status_code == 403
    assert "too old" in client.post(reverse(exchange_page.NAME), {"held": f"{held}x"}, follow=True).content.decode()
    assert Equipment.objects.count() == 0


def test_who_lost_the_role_meanwhile_imports_nothing(client: Client, site: Site, anna: User) -> None:
    client.force_login(anna)
    held = upload(client, site, "equipment", PLANT).context["held"]
    Membership.objects.filter(user=anna).update(role=ROLES.TECHNICIAN)
    assert client.post(reverse(exchange_page.NAME), {"held": held}).status_code == 403


@pytest.mark.parametrize(("role", "kind", "status"), [
    (ROLES.TECHNICIAN, "equipment", 403), (ROLES.TECHNICIAN, "sensors", 403), (ROLES.TECHNICIAN, "work-orders", 200),
    (ROLES.TECHNICIAN, "parts", 403), (ROLES.TECHNICIAN, "plans", 403), (ROLES.ADMIN, "plans", 200),
    (ROLES.ADMIN, "sensors", 200),
])  # fmt: skip
def test_an_import_takes_the_role(client: Client, site: Site, role: str, kind: str, status: int) -> None:
    client.force_login(factories.user(site=site, role=role, is_staff=True))
    assert upload(client, site, kind, "external_id,name\ns,S\n").status_code == status


def test_a_viewer_is_offered_no_import_and_no_other_site(client: Client, site: Site) -> None:
    other = factories.site(name="Elsewhere")
    client.force_login(factories.user(site=site, role=ROLES.VIEWER, is_staff=True))
    page = client.get(reverse(exchange_page.NAME))
    assert page.context["upload"] is None
    assert "Elsewhere" not in page.content.decode()
    upload(client, site, "equipment", PLANT)
    upload(client, other, "equipment", PLANT)
    assert Equipment.objects.count() == 0
    asked = {"kind": "equipment", "site": other.pk, "format": "csv"}
    assert client.get(reverse(exchange_page.EXPORT), asked).headers["Content-Type"].startswith("text/html")
    client.force_login(factories.user(is_staff=True))
    assert client.get(reverse(exchange_page.NAME)).status_code == 403
    assert client.get(reverse(exchange_page.EXPORT), asked).status_code == 403


def exported(client: Client, site: Site, kind: str, form: str = "csv", **more: Any) -> bytes:
    answer = client.get(reverse(exchange_page.EXPORT), {"kind": kind, "site": site.pk, "format": form} | more)
    assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="{site.slug}-{kind}-')
    return answer.content


@pytest.mark.parametrize("form", ["csv", "xlsx"])
@pytest.mark.parametrize(
    ("kind", "table"),
    [("equipment", EquipmentRows), ("sensors", SensorRows), ("parts", PartRows), ("plans", PlanRows)],
)
def test_what_is_exported_can_be_imported(
    client: Client, site: Site, anna: User, kind: str, table: Any, form: str
) -> None:
    client.force_login(anna)
    line = factories.machine(site=site, tag="=L", name="'+Line", level="LINE")
    machine = factories.machine(site=site, tag="@P", name="-1", parent=line)
    factories.sensor(machine=machine, external_id="s", low=-2.5, high=1e-7, calibration_due_on=date(2026, 4, 3))
    Part.objects.create(site=site, number="-7", name="=Seal", unit_cost=Decimal("0.125"), is_active=False)
    metered = meters.add(Meter(site=site, machine=machine, name="@Hours"), actor=anna)
    plans.add(
        Plan(
            site=site, machine=machine, title="+Oil", every=1, first_on=date(2026, 4, 3), due_time=time(6, 45),
            meter=metered, meter_every=0.5,
        ), actor=anna,
    )  # fmt: skip
    content = exported(client, site, kind, form)
    sheet = sheets.read("file", content)
    assert {row.cells for row in sheet.rows}
    assert not any(
        isinstance(cell, str) and cell[:1] in sheets.FORMULA
        for row in sheet.rows
        for cell in row.cells
        if cell != "-2.5"
    )
    outcomes = run(table(site, anna), content)
    assert faults(outcomes) == {}
    assert set(whats(outcomes)) == {"SAME"}


def test_orders_are_exported_with_all_that_is_on_record(client: Client, site: Site, anna: User) -> None:
    client.force_login(anna)
    order = plant.rows(site).order
    WorkOrder.objects.filter(pk=order.pk).update(title='=HYPERLINK("http://x")', assigned_to=anna)
    plant.rows(factories.site())
    [row] = sheets.read("file", exported(client, site, "work-orders")).rows
    assert row.cells[0] == str(order.pk)
    assert '\'=HYPERLINK("http://x")' in row.cells
    assert "anna" in row.cells
    later = exported(client, site, "work-orders", since="2026-03-02").decode("utf-8-sig")
    assert len(later.splitlines()) == 1


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_control_characters_are_left_out_of_an_export(client: Client, site: Site, anna: User, form: str) -> None:
    client.force_login(anna)
    machine = factories.machine(site=site, tag="P\x1f-1", name="\x0b=1+1")
    order = WorkOrder.objects.create(
        site=site, machine=machine, title="\x0b=1+1", maintenance_type="INSPECTION", priority="LOW",
        opened_at=timezone.now(), findings="Seal\x0b worn\x01",
    )  # fmt: skip
    [row] = sheets.read("file", exported(client, site, "work-orders", form)).rows
    assert str(row.cells[0]) == str(order.pk)
    assert {"P-1", "'=1+1", "Seal worn"} <= set(row.cells)
    [row] = sheets.read("file", exported(client, site, "equipment", form)).rows
    assert {"P-1", "'=1+1"} <= set(row.cells)


def test_an_export_asks_as_often_whatever_is_stored(client: Client, site: Site, anna: User) -> None:
    client.force_login(anna)
    counted = []
    for more in (2, 10):
        for _ in range(more):
            machine = plant.rows(site).machine
            Part.objects.create(site=site, number=machine.tag, name="Seal")
            metered = meters.add(Meter(site=site, machine=machine, name="Hours"), actor=anna)
            plans.add(Plan(site=site, machine=machine, title="Oil", meter=metered, meter_every=5.0), actor=anna)
        with CaptureQueriesContext(connection) as queries:
            for kind in exchange_page.KINDS:
                exported(client, site, kind)
        counted.append(len(queries))
    assert counted[0] == counted[1]
