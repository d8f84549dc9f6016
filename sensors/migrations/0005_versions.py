"""What is kept in memory of sensors and of who may what is told when it has changed, by the database itself."""

from django.db import migrations

FLEET = {"sensors_sensor": "", "sensors_equipment": ""}
ACCESS = {
    "auth_user": " OF is_active, is_superuser, password",
    "sensors_membership": "",
    "sensors_site": "",
}

TABLE = """
CREATE TABLE sensors_version (name text PRIMARY KEY, number bigint NOT NULL, xact xid8);
INSERT INTO sensors_version VALUES ('access', 1), ('fleet', 1);

CREATE FUNCTION sensors_version_marked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('bellwether.' || TG_ARGV[0], 'changed', true);
    RETURN NULL;
END $$;

CREATE FUNCTION sensors_version_raised() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sensors_version SET number = number + 1, xact = pg_current_xact_id()
    WHERE name = TG_ARGV[0] AND xact IS DISTINCT FROM pg_current_xact_id();
    RETURN NULL;
END $$;

CREATE VIEW sensors_version_seen AS
SELECT name, CASE current_setting('bellwether.' || name, true) WHEN 'changed' THEN -1 ELSE number END AS number
FROM sensors_version;
"""
DROP = """
DROP VIEW sensors_version_seen;
DROP FUNCTION sensors_version_raised CASCADE;
DROP FUNCTION sensors_version_marked CASCADE;
DROP TABLE sensors_version;
"""


def triggers(name, table, columns):
    """Mark at once, for the transaction itself; raise the number at its end, for the others.

    The number is the last row that a transaction locks, so it cannot be part of a deadlock.
    """
    return f"""
    CREATE TRIGGER version_marked AFTER INSERT OR DELETE OR UPDATE{columns} ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION sensors_version_marked('{name}');
    CREATE CONSTRAINT TRIGGER version_raised AFTER INSERT OR DELETE OR UPDATE{columns} ON {table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sensors_version_raised('{name}');
    CREATE TRIGGER version_raised_by_truncate AFTER TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION sensors_version_raised('{name}');
    """


class Migration(migrations.Migration):
    dependencies = [
        ("sensors", "0004_chunks"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [
        migrations.RunSQL(TABLE, DROP),
        *(
            migrations.RunSQL(triggers(name, table, columns), migrations.RunSQL.noop)
            for name, tables in (("fleet", FLEET), ("access", ACCESS))
            for table, columns in tables.items()
        ),
        # Packed columns are small already: Postgres would only spend time on them.
        migrations.RunSQL(
            "ALTER TABLE sensors_batchpart ALTER COLUMN columns SET STORAGE EXTERNAL",
            "ALTER TABLE sensors_batchpart ALTER COLUMN columns SET STORAGE EXTENDED",
        ),
    ]
