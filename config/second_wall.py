"""Row security: the web server's role sees and writes the rows of the sites that a request may see, and no others.

One line says of each table how its site is reached; what has a column of its own for its site needs none. A table that
is missing here is closed to the web server, and a test names it. Readings have no policies: they are written by COPY,
which refuses such tables, and the web server may only read them.

``manage.py migrate`` ends with ``secure``. It changes what is not as declared and nothing else, so that it locks no
table of a service that runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Field, Model
from psycopg2 import errors

from sensors import store, walls

PATHS = {
    "sensors.SensorPresence": "sensor", "sensors.BatchPart": "batch", "sensors.ReadingConflict": "sensor",
    "sensors.ApiKey_sensors": "apikey", "mlops.DriftCheck": "machine", "mlops.LimitForecast": "machine",
    "mlops.LivePerformance": "machine", "mlops.MachineState": "machine", "mlops.Prediction": "machine",
    "maintenance.WorkOrderTransition": "order", "maintenance.TemplateItem": "template",
    "maintenance.Checklist": "order", "maintenance.ChecklistItem": "checklist", "maintenance.Labour": "order",
    "maintenance.OrderCost": "order", "maintenance.Shift": "rota", "maintenance.Override": "rota",
    "maintenance.ChainStep": "chain", "maintenance.Call": "escalation", "maintenance.Stock": "part",
    "maintenance.OrderPart": "order", "maintenance.ToolLoan": "tool", "maintenance.WorkerSkill": "worker",
    "maintenance.WorkingHours": "worker", "maintenance.Absence": "worker", "maintenance.OrderTiming": "order",
    "maintenance.PermitRule": "rules", "maintenance.MeterReading": "meter", "maintenance.PlanOccurrence": "plan",
    "maintenance.ScheduleVisit": "schedule", "maintenance.AlarmTransition": "alarm",
    "maintenance.Decision": "machine", "maintenance.Attempt": "notification", "maintenance.LinkUse": "alarm",
    "maintenance.WebhookDelivery": "webhook", "maintenance.WebhookTry": "delivery", "agents.StageAttempt": "run",
    "agents.CaseTransition": "case", "agents.ReportSchedule_channels": "reportschedule",
    "agents.ExportPiece": "export",
}  # fmt: skip
"""Of tables without a site of their own: the row that has it, or leads to it. Who sees that row sees this one."""

OF_NO_SITE = {
    "admin": "what the framework's pages log, by user",
    "auth": "accounts; what they may do is in memberships",
    "contenttypes": "names of tables",
    "sessions": "sessions, found by a secret key",
    "token_blacklist": "tokens, found by their numbers",
    "axes": "tries to log in, before anybody is known",
    "otp_totp": "second factors, by user",
    "otp_static": "likewise",
    "sensors.TokenFamily": "log-ins, found by their numbers",
    "sensors.BrowserSession": "sessions, found by a secret key",
    "sensors.IdempotentRequest": "one person's requests, found by user and key",
    "agents.Backup": "of the installation",
    "mlops.Training": "models are of several sites",
    "mlops.ModelVersion": "likewise",
    "mlops.Deployment": "likewise",
    "mlops.ModelHealth": "likewise",
    "mlops.Question": "one person's, whoever it is about",
    "agents.JobRun": "of the installation",
    "agents.Heartbeat": "likewise",
    "agents.Release": "likewise",
    "agents.Throttle": "of a client",
}
"""Apps and models whose rows belong to no site, and why: open to the web server as to the rest."""

ASKED = {"agents.Run": "agents_run_seen", "agents.Case": "agents_case_seen"}
"""Of sites as their parts are: what carries anything of a site that is not seen is not seen. To tell, a function in the
database looks at all parts."""
READ_BY_ALL = {"mlops.ModelPolicy"}
"""Rows of a site that say of a model whose it is: what is not a site's own is told by them, so they can be read."""
WRITTEN_WITHOUT_SITE = {"sensors.Event"}
"""A row that names no site may be written by everybody; only who sees everything reads it."""
VIEWS = ("maintenance_detectorrecord", "maintenance_logline")
"""They show what whoever asks may see."""
ADDED_TO = ("sensors_auditentry",)
"""The audit trail: whoever asks adds to it, whatever it is about, and reads what is of sites that are seen."""
READ_ONLY = (*store.TABLES, "sensors_reading", "sensors_version_seen", "django_migrations")
WRITTEN_TOO = ("sensors_version",)
"""No models; triggers raise its numbers, in the name of whoever writes."""

ALL = f"(SELECT current_setting('{walls.SETTING}', true) = '{walls.EVERYWHERE}')"
MINE = f"(SELECT nullif(nullif(current_setting('{walls.SETTING}', true), '{walls.EVERYWHERE}'), '')::bigint[])"
"""Worked out once for a statement, not for each row."""

GONE_TO = "EXISTS (SELECT FROM maintenance_travel AS travel WHERE travel.to_site_id = sensors_site.id)"
"""Of a site that somebody travels to from one that is seen, the name is seen."""

SITES_OF = f"""
CREATE OR REPLACE FUNCTION {walls.SITES_OF}(asked bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT CASE
        WHEN NOT is_active THEN ''
        WHEN is_superuser THEN '{walls.EVERYWHERE}'
        ELSE coalesce((SELECT array_agg(site_id)::text FROM sensors_membership WHERE user_id = asked), '')
    END FROM auth_user WHERE id = asked
$$
"""
RUN_SEEN = f"""
CREATE OR REPLACE FUNCTION agents_run_seen(asked bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT {MINE} IS NOT NULL AND NOT EXISTS (
        SELECT FROM sensors_batchpart AS part JOIN sensors_batch AS batch ON batch.id = part.batch_id
        WHERE part.run_id = asked AND batch.site_id <> ALL ({MINE}::bigint[])
    )
$$
"""
CASE_SEEN = f"""
CREATE OR REPLACE FUNCTION agents_case_seen(asked bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT {MINE} IS NOT NULL AND NOT EXISTS (
        SELECT FROM agents_run AS run WHERE run.case_id = asked AND NOT agents_run_seen(run.id)
    )
$$
"""
# What a statement writes cannot be seen by a condition of the same statement, and batches come with their parts in one:
# a function that is volatile sees it.
BATCH_SEEN = "sensors_batch_seen"
SEES_BATCH = f"""
CREATE OR REPLACE FUNCTION {BATCH_SEEN}(asked uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN RETURN EXISTS (SELECT FROM sensors_batch WHERE id = asked); END $$
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """``command``: the SQL command it is for."""

    name: str
    command: str
    using: str = ""
    check: str = ""

    def __str__(self) -> str:
        using = f" USING ({self.using})" if self.using else ""
        check = f" WITH CHECK ({self.check})" if self.check else ""
        return f"FOR {self.command}{using}{check}"


def policies(model: type[Model]) -> tuple[Policy, ...] | None:
    """What holds of a table; nothing of one that is of no site. None: it is not declared."""
    label, app = model._meta.label, model._meta.app_label
    if label in OF_NO_SITE or app in OF_NO_SITE:
        return ()
    if label in ASKED:
        return (Policy("sites", "ALL", f"{ALL} OR {ASKED[label]}(id)"),)
    if label == "sensors.Site":
        return Policy("read", "SELECT", f"{_of_sites('id')} OR {GONE_TO}"), *_writes(_of_sites("id"))
    site = next((field for field in model._meta.concrete_fields if field.name == "site"), None)
    if site is None:
        return None if label not in PATHS else _through(model, model._meta.get_field(PATHS[label]))  # type: ignore[arg-type]
    mine = _of_sites(f"{site.column}")
    if label in READ_BY_ALL:
        return Policy("read", "SELECT", "true"), *_writes(mine)
    if label in WRITTEN_WITHOUT_SITE:
        return (Policy("sites", "ALL", mine, f"{mine} OR {site.column} IS NULL"),)
    return (Policy("sites", "ALL", mine),)


def _of_sites(column: str) -> str:
    return f"{ALL} OR {column} = ANY ({MINE}::bigint[])"


def _through(model: type[Model], field: Field[object, object]) -> tuple[Policy, ...]:
    """Who sees the parent sees the row: the parent's own policies say who does."""
    parent, table = field.related_model, model._meta.db_table
    assert parent is not None and not isinstance(parent, str)
    key, of = parent._meta.pk.column, parent._meta.db_table
    seen = f"{ALL} OR EXISTS (SELECT FROM {of} AS parent WHERE parent.{key} = {table}.{field.column})"
    if of != "sensors_batch":
        return (Policy("sites", "ALL", seen),)
    stored = Policy("insert", "INSERT", check=f"{ALL} OR {BATCH_SEEN}({field.column})")
    return Policy("read", "SELECT", seen), stored, Policy("update", "UPDATE", seen), Policy("delete", "DELETE", seen)


def _writes(mine: str) -> tuple[Policy, ...]:
    return Policy("insert", "INSERT", check=mine), Policy("update", "UPDATE", mine), Policy("delete", "DELETE", mine)


def models() -> Iterator[type[Model]]:
    """Those that have a table of their own."""
    yield from (model for model in apps.get_models(include_auto_created=True) if model._meta.managed)


def undeclared() -> list[str]:
    return [model._meta.label for model in models() if policies(model) is None]


def secure() -> list[str]:
    """Make the database as declared; the tables that were changed. Each in a transaction of its own."""
    role = settings.DATABASE_WEB_ROLE
    with transaction.atomic(), connection.cursor() as cursor:
        for function in (SITES_OF, RUN_SEEN, CASE_SEEN, SEES_BATCH):
            cursor.execute(function)
        for view in VIEWS:
            cursor.execute(f"ALTER VIEW {view} SET (security_invoker = true)")
    has_role = _role(role)
    changed = [table for table, wanted in _tables() if _secure(table, wanted)]
    if has_role:
        _grant(role)
    return changed


def _tables() -> Iterator[tuple[str, tuple[Policy, ...]]]:
    for model in models():
        if (wanted := policies(model)) is not None:
            yield model._meta.db_table, wanted
    for table in ADDED_TO:
        yield table, (Policy("read", "SELECT", _of_sites("site_id")), Policy("insert", "INSERT", check="true"))


def _secure(table: str, wanted: tuple[Policy, ...]) -> bool:
    """Whether anything was to be done. What was done last is kept in the first policy's comment."""
    digest = hashlib.sha256("\n".join(map(str, wanted)).encode()).hexdigest()[:16]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT polname, obj_description(pg_policy.oid, 'pg_policy'), relrowsecurity"
            " FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid WHERE polrelid = %s::regclass",
            [table],
        )
        found = cursor.fetchall()
        if {name for name, *_ in found} == {policy.name for policy in wanted} and all(
            said == digest and on for _, said, on in found
        ):
            return False
        for name, *_ in found:
            cursor.execute(f'DROP POLICY "{name}" ON {table}')
        cursor.execute(f"ALTER TABLE {table} {'ENABLE' if wanted else 'DISABLE'} ROW LEVEL SECURITY")
        for policy in wanted:
            cursor.execute(f"CREATE POLICY {policy.name} ON {table} {policy}")
            cursor.execute(f"COMMENT ON POLICY {policy.name} ON {table} IS '{digest}'")
    return True


def _role(role: str) -> bool:
    """Whether there is one; it is made where whoever migrates may. It has no password: a server that asks for one has
    to be told it (``deploy/postgres/web.sh``)."""
    with connection.cursor() as cursor:
        if _exists(cursor, role):
            return True
        cursor.execute("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
        if not cursor.fetchone()[0]:
            return False
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f'CREATE ROLE "{role}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS')
    except Exception as error:
        if not isinstance(error.__cause__, (errors.DuplicateObject, errors.UniqueViolation)):
            raise
    return True


def _exists(cursor: CursorWrapper, role: str) -> bool:
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
    return cursor.fetchone() is not None


def _grant(role: str) -> None:
    """Rows of what is declared, and no more: no TRUNCATE, which knows no policies, and no new tables."""
    written = [table for table, _ in _tables() if table not in ADDED_TO]
    with transaction.atomic(), connection.cursor() as cursor:
        for rights, tables in (
            ("SELECT, INSERT, UPDATE, DELETE", [*written, *WRITTEN_TOO]),
            ("SELECT, INSERT", ADDED_TO),
            ("SELECT", [*READ_ONLY, *VIEWS]),
        ):
            if missing := _without(cursor, role, tables, rights):
                cursor.execute(f'GRANT {rights} ON {", ".join(missing)} TO "{role}"')
        cursor.execute(f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "{role}"')


def _without(cursor: CursorWrapper, role: str, tables: Iterable[str], rights: str) -> list[str]:
    cursor.execute(
        "SELECT name FROM unnest(%s::text[]) AS wanted(name) WHERE NOT (SELECT bool_and(has_table_privilege("
        "%s, name, one)) FROM unnest(string_to_array(%s, ', ')) AS one)",
        [list(tables), role, rights],
    )
    return [name for (name,) in cursor.fetchall()]
