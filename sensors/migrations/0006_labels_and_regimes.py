"""What people found true: labels and regimes. That they fit their machine and site is held by the database."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

TOLD = ("sensors_label", "sensors_regime")

KEYS = """
ALTER TABLE sensors_sensor ADD CONSTRAINT sensor_of_machine UNIQUE (id, machine_id);
ALTER TABLE sensors_equipment ADD CONSTRAINT equipment_of_site UNIQUE (id, site_id);
"""
NO_KEYS = """
ALTER TABLE sensors_sensor DROP CONSTRAINT sensor_of_machine;
ALTER TABLE sensors_equipment DROP CONSTRAINT equipment_of_site;
"""


def held(table):
    """The sensor is the machine's, the machine the site's; and the fleet has changed with each row (see 0005)."""
    return f"""
    ALTER TABLE {table}
    ADD CONSTRAINT {table}_sensor_of_machine FOREIGN KEY (sensor_id, machine_id)
    REFERENCES sensors_sensor (id, machine_id) ON UPDATE CASCADE,
    ADD CONSTRAINT {table}_machine_of_site FOREIGN KEY (machine_id, site_id)
    REFERENCES sensors_equipment (id, site_id) ON UPDATE CASCADE;
    CREATE TRIGGER version_marked AFTER INSERT OR DELETE OR UPDATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION sensors_version_marked('fleet');
    CREATE CONSTRAINT TRIGGER version_raised AFTER INSERT OR DELETE OR UPDATE ON {table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sensors_version_raised('fleet');
    CREATE TRIGGER version_raised_by_truncate AFTER TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION sensors_version_raised('fleet');
    """


class Migration(migrations.Migration):
    dependencies = [
        ("sensors", "0005_versions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(KEYS, NO_KEYS),
        migrations.CreateModel(
            name="Label",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("retracted_at", models.DateTimeField(help_text="Empty while it holds.", null=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("FAULT", "Fault: something was wrong with the machine"),
                            ("EXPECTED", "Expected: abnormal, and meant to be, such as a test or cleaning"),
                            ("FALSE_ALARM", "False alarm: nothing was abnormal"),
                        ],
                        max_length=16,
                    ),
                ),
                ("from_at", models.DateTimeField()),
                ("to_at", models.DateTimeField()),
                (
                    "failure_mode",
                    models.CharField(
                        blank=True,
                        help_text="Of a fault, where it is known, in the sense of ISO 14224.",
                        max_length=3,
                        validators=[
                            django.core.validators.RegexValidator("^[A-Z]{3}$", "Three capital letters, such as VIB.")
                        ],
                    ),
                ),
                ("note", models.TextField(blank=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "machine",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="%(class)ss", to="sensors.equipment"
                    ),
                ),
                (
                    "retracted_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "sensor",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: every sensor of the machine.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="%(class)ss",
                        to="sensors.sensor",
                    ),
                ),
                (
                    "site",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="%(class)ss", to="sensors.site"
                    ),
                ),
            ],
            options={
                "ordering": ["-from_at", "-id"],
                "indexes": [
                    models.Index(fields=["site", "-from_at", "-id"], name="label_of_site"),
                    models.Index(fields=["machine", "-from_at"], name="label_of_machine"),
                    models.Index(
                        condition=models.Q(("kind", "FAULT"), ("retracted_at", None)),
                        fields=["machine", "-to_at"],
                        name="label_fault",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("retracted_at", None)),
                        fields=("machine", "sensor", "from_at", "to_at"),
                        name="label_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("to_at__gte", models.F("from_at"))), name="label_window_not_empty"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["FAULT", "EXPECTED", "FALSE_ALARM"])), name="label_kind"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind", "FAULT"), ("failure_mode", ""), _connector="OR"),
                        name="label_mode_of_fault",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Regime",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("retracted_at", models.DateTimeField(help_text="Empty while it holds.", null=True)),
                ("since", models.DateTimeField(help_text="The first instant of the new normal.")),
                ("reason", models.TextField()),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "machine",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="%(class)ss", to="sensors.equipment"
                    ),
                ),
                (
                    "retracted_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "sensor",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: every sensor of the machine.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="%(class)ss",
                        to="sensors.sensor",
                    ),
                ),
                (
                    "site",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="%(class)ss", to="sensors.site"
                    ),
                ),
            ],
            options={
                "ordering": ["-since", "-id"],
                "indexes": [
                    models.Index(fields=["site", "-since", "-id"], name="regime_of_site"),
                    models.Index(fields=["machine", "-since"], name="regime_of_machine"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("retracted_at", None)),
                        fields=("machine", "sensor", "since"),
                        name="regime_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(condition=models.Q(("reason", ""), _negated=True), name="regime_has_reason"),
                ],
            },
        ),
        *(migrations.RunSQL(held(table), migrations.RunSQL.noop) for table in TOLD),
    ]
