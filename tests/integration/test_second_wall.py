"""The second wall: what the web server's role sees and writes, whatever statement it sends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Model
from django.http import HttpRequest, StreamingHttpResponse
from psycopg2 import errors
from psycopg2.extensions import connection as Link

from config import middleware, second_wall
from maintenance.models import Alarm, PastOrder
from maintenance.people_models import Travel
from mlops import owners
from sensors import walls
from sensors.models import Membership, Site
from tests import factories, plant, walled

pytestmark = pytest.mark.django_db(transaction=True)

WALLED = [model for model in second_wall.models() if second_wall.policies(model)]
FORBIDDEN = [
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "ALTER ROLE bellwether_web BYPASSRLS",
    "ALTER TABLE maintenance_alarm DISABLE ROW LEVEL SECURITY",
    "DROP POLICY sites ON maintenance_alarm",
    "DROP TABLE maintenance_alarm",
    "TRUNCATE maintenance_alarm CASCADE",
    "CREATE TABLE mine (id int)",
    "CREATE OR REPLACE FUNCTION sensors_sites_of(asked bigint) RETURNS text LANGUAGE sql AS $$ SELECT '*' $$",
    "INSERT INTO sensors_latest VALUES (1, now(), 1, 0)",
    "DELETE FROM sensors_chunk",
    "DELETE FROM django_migrations",
    "COPY maintenance_alarm TO '/tmp/alarms'",
    "SELECT pg_read_file('PG_VERSION')",
]


@pytest.fixture
def web() -> Iterator[Link]:
    """A connection of its own, as the web server's role."""
    of = connection.settings_dict
    if of["PASSWORD"]:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {settings.DATABASE_WEB_ROLE} PASSWORD %s", [of["PASSWORD"]])
    given = {"host": of["HOST"], "port": of["PORT"] or None, "password": of["PASSWORD"] or None}
    with closing(psycopg2.connect(dbname=of["NAME"], user=settings.DATABASE_WEB_ROLE, **given)) as link:
        yield link


def path(model: type[Model]) -> str | None:
    """From a row to the number of its site; None where it has several."""
    if model._meta.label in second_wall.ASKED:
        return None
    if model is Site:
        return "pk"
    if (step := second_wall.PATHS.get(model._meta.label)) is None:
        return "site"
    parent: Any = model._meta.get_field(step).related_model
    return None if path(parent) is None else f"{step}__{path(parent)}"


def keys(model: type[Model], **where: Any) -> set[Any]:
    return set(model._default_manager.filter(**where).values_list("pk", flat=True))


def seen(web: Link, model: type[Model], *, sites: str | None = None) -> set[Any]:
    """In a transaction of its own."""
    with web, web.cursor() as cursor:
        if sites is not None:
            cursor.execute("SELECT set_config('bellwether.sites', %s, true)", [sites])
        cursor.execute(f"SELECT {model._meta.pk.column} FROM {model._meta.db_table}")
        return {key for (key,) in cursor.fetchall()}


def refused(web: Link, statement: str, arguments: Any = (), *, sites: str = "") -> str:
    """What is said where a statement is refused; else what it changed."""
    try:
        with web, web.cursor() as cursor:
            cursor.execute("SELECT set_config('bellwether.sites', %s, true)", [sites])
            cursor.execute(statement, arguments)
            return f"changed {cursor.rowcount}"
    except errors.InsufficientPrivilege as error:
        return str(error)
    except errors.IntegrityConstraintViolation:  # rows that nobody alters
        return "kept"


def copied(model: type[Model], key: Any) -> tuple[str, list[str]]:
    """A statement that adds a row like one that is there."""
    table, names = model._meta.db_table, [field.column for field in model._meta.concrete_fields if not field.generated]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT to_jsonb(row) FROM {table} AS row WHERE {model._meta.pk.column} = %s", [str(key)])
        row = json.loads(cursor.fetchone()[0])
    listed = ", ".join(f'"{name}"' for name in names)
    return (
        f"INSERT INTO {table} ({listed}) OVERRIDING SYSTEM VALUE"
        f" SELECT {listed} FROM jsonb_populate_record(NULL::{table}, %s)",
        [json.dumps(row)],
    )


def test_every_table_is_declared() -> None:
    assert second_wall.undeclared() == [], (
        "Say in config/second_wall.py how its site is reached (PATHS), or why it is of none (OF_NO_SITE)."
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relrowsecurity AND relkind IN ('r', 'p')")
        assert {name for (name,) in cursor.fetchall()} == {
            *second_wall.ADDED_TO,
            *(model._meta.db_table for model in WALLED),
        }


def test_the_role_sees_and_writes_the_rows_of_the_sites_that_are_named_and_no_others(web: Link) -> None:
    planted = [plant.rows(factories.site(name=f"{name} works"), name=name) for name in ("mine", "theirs")]
    mine, theirs = (rows.machine.site for rows in planted)
    for rows in planted:
        owners.of_site(rows.machine.site, "pump")
        PastOrder.objects.create(order=rows.order, site=rows.machine.site, source="a file", key="1")
    only_mine, met, bare = f"{{{mine.pk}}}", [], set()
    for model in WALLED:
        table, key, of = model._meta.db_table, model._meta.pk.column, path(model)
        if of is None:
            continue
        own, other = keys(model, **{of: mine.pk}), keys(model, **{of: theirs.pk})
        if not own:
            bare.add(model._meta.label)
            continue
        assert other, table
        shared = model._meta.label in second_wall.READ_BY_ALL
        nothing, reached = (keys(model), keys(model)) if shared else (set(), own)
        assert seen(web, model) == nothing, table
        assert seen(web, model, sites="{}") == nothing, table
        assert seen(web, model, sites="*") == keys(model), table
        if model is Site:
            reached = reached | set(Travel.objects.filter(site=mine.pk).values_list("to_site_id", flat=True))
        assert seen(web, model, sites=only_mine) == reached, table
        victim = sorted(other, key=str)[0]
        again = copied(model, victim)
        changed = refused(web, f"UPDATE {table} SET {key} = {key}", sites=only_mine)
        assert changed in {f"changed {len(own)}", "kept"}, table
        assert "row-level security" in refused(web, *again, sites=only_mine), table
        assert refused(web, f"DELETE FROM {table} WHERE {key} = %s", [str(victim)], sites=only_mine) == "changed 0"
        if of == "site" and model._meta.get_field("site").concrete:
            moved = f"UPDATE {table} SET site_id = %s"
            said = refused(web, moved, [theirs.pk], sites=only_mine)
            assert "row-level security" in said or said == changed == "kept", table
        met.append(table)
    assert len(met) > 80
    assert bare == set()


def test_what_carries_readings_of_several_sites_is_seen_by_who_sees_all_of_them(web: Link) -> None:
    mine, theirs = (plant.rows(factories.site(name=name), name=name) for name in ("mine", "theirs"))
    one, both = f"{{{mine.machine.site_id}}}", f"{{{mine.machine.site_id},{theirs.machine.site_id}}}"
    for model in (model for model in WALLED if path(model) is None):
        assert seen(web, model) == set()
        assert len(seen(web, model, sites=one)) < len(keys(model)) == len(seen(web, model, sites=both))
    theirs.part.run_id = mine.run.pk
    theirs.part.save(update_fields=["run_id"])
    assert mine.run.pk not in seen(web, type(mine.run), sites=one)
    assert mine.run.pk in seen(web, type(mine.run), sites=both)


def test_the_role_is_nobody() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication FROM pg_roles"
            " WHERE rolname = %s",
            [settings.DATABASE_WEB_ROLE],
        )
        assert cursor.fetchone() == (False,) * 5
        cursor.execute("SELECT count(*) FROM pg_class WHERE relowner = %s::regrole", [settings.DATABASE_WEB_ROLE])
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_role_cannot_get_around_its_wall(web: Link, statement: str) -> None:
    said = refused(web, statement, sites="*")
    assert "permission denied" in said or "must be owner" in said, said


def test_what_was_opened_by_hand_is_closed_again_and_nothing_else_touched(web: Link) -> None:
    plant.rows(factories.site())
    assert second_wall.secure() == []
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE maintenance_alarm DISABLE ROW LEVEL SECURITY")
        cursor.execute("DROP POLICY sites ON maintenance_part")
    assert seen(web, Alarm)
    assert sorted(second_wall.secure()) == ["maintenance_alarm", "maintenance_part"]
    assert not seen(web, Alarm)


@pytest.mark.skipif(not settings.DATABASE_WEB_URL, reason="DATABASE_WEB_URL is not given")
def test_a_process_that_is_the_web_server_is_that_role() -> None:
    asks = "import django; django.setup(); from django.db import connection as it; c = it.cursor();"
    asks += (
        " c.execute('SELECT current_user, count(*) FROM pg_class'); print(c.fetchone()[0], it.settings_dict['WALLED'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", asks],
        env=dict(os.environ) | {"BELLWETHER_ROLE": "web", "DJANGO_SETTINGS_MODULE": "config.settings"},
        cwd=settings.BASE_DIR, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [settings.DATABASE_WEB_ROLE, "True"]


def asked_by(user: User) -> HttpRequest:
    request = HttpRequest()
    request.user = user
    return request


def count() -> int:
    return Alarm.objects.count()


@pytest.fixture
def two() -> tuple[plant.Rows, plant.Rows]:
    first, second = (plant.rows(factories.site(name=name), name=name) for name in ("first", "second"))
    return first, second


def test_a_request_sees_what_its_user_may_and_leaves_nothing_on_the_connection(
    two: tuple[plant.Rows, plant.Rows],
) -> None:
    member = factories.user(site=two[0].machine.site, role=Membership.Role.VIEWER)
    root, gone = factories.user(is_superuser=True), factories.user(site=two[0].machine.site, is_active=False)
    with walled.as_web():
        assert count() == 0
        for user, sees in ((member, 1), (root, 2), (gone, 0), (factories.user(), 0), (member, 1)):
            with walls.within(asked_by(user)):
                assert count() == sees
            assert count() == 0
        with walls.within(HttpRequest()):
            assert count() == 0
        with pytest.raises(RuntimeError, match="mid"), walls.within(asked_by(root)), transaction.atomic():
            assert count() == 2
            raise RuntimeError("mid")
        assert count() == 0


def test_within_a_transaction_what_was_seen_before_is_not_seen_any_more(two: tuple[plant.Rows, plant.Rows]) -> None:
    member = factories.user(site=two[0].machine.site, role=Membership.Role.VIEWER)
    with walled.as_web(), transaction.atomic():
        with walls.everywhere():
            assert count() == 2
        with walls.within(asked_by(member)):
            assert count() == 1
        with walls.only([two[1].machine.site_id]):
            assert Alarm.objects.get() == two[1].alarm
        assert count() == 0


def test_a_cursor_that_the_server_keeps_is_held_too(two: tuple[plant.Rows, plant.Rows]) -> None:
    with walled.as_web(), walls.only([two[0].machine.site_id]):
        assert list(Alarm.objects.iterator()) == [two[0].alarm]
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    with walled.as_web():
        assert count() == 0
        with walls.only([two[1].machine.site_id]), transaction.atomic():
            assert list(Alarm.objects.iterator()) == [two[1].alarm]


def test_an_answer_that_is_made_while_it_is_sent_sees_the_same(two: tuple[plant.Rows, plant.Rows]) -> None:
    member = factories.user(site=two[0].machine.site, role=Membership.Role.VIEWER)
    request = asked_by(member)
    sent = middleware.Walls(lambda _: StreamingHttpResponse(str(count()) for _ in range(2)))(request)
    with walled.as_web():
        pieces = iter(sent.streaming_content)
        assert [next(pieces), count(), next(pieces)] == [b"1", 0, b"1"]
