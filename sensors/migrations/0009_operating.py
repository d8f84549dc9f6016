"""Rules by which it is known whether machines run: remembered with the sensors, so the fleet changes with each row (see
0005)."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


TRIGGERS = """
CREATE TRIGGER version_marked AFTER INSERT OR DELETE OR UPDATE ON sensors_operatingrule
FOR EACH STATEMENT EXECUTE FUNCTION sensors_version_marked('fleet');
CREATE CONSTRAINT TRIGGER version_raised AFTER INSERT OR DELETE OR UPDATE ON sensors_operatingrule
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sensors_version_raised('fleet');
CREATE TRIGGER version_raised_by_truncate AFTER TRUNCATE ON sensors_operatingrule
FOR EACH STATEMENT EXECUTE FUNCTION sensors_version_raised('fleet');
"""


class Migration(migrations.Migration):

    dependencies = [
        ('sensors', '0008_gateways'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='OperatingRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('equipment_class', models.CharField(blank=True, help_text='For all machines of this class.', max_length=50)),
                ('sensor_kind', models.CharField(blank=True, help_text='Or: the only sensor of this kind that a machine has.', max_length=16)),
                ('off_below', models.FloatField(blank=True, help_text='Below this it is off.', null=True)),
                ('running_above', models.FloatField(blank=True, help_text='From this on it runs; in between it is what it was.', null=True)),
                ('startup_seconds', models.PositiveIntegerField(default=0, help_text='How long a start-up takes, from when it begins to run after it was off.', validators=[django.core.validators.MaxValueValidator(86400)])),
                ('off_hides', models.JSONField(blank=True, default=list, help_text='Failure modes that are hidden while it is off; ALL: every one.')),
                ('startup_hides', models.JSONField(blank=True, default=list, help_text='Failure modes that are hidden while it starts up; ALL: every one.')),
                ('holds_minutes', models.PositiveIntegerField(default=60, help_text='That it is off holds for so long after it was last said or read; then nothing is hidden.', validators=[django.core.validators.MinValueValidator(1)])),
                ('most_hours', models.PositiveIntegerField(default=168, help_text='Nothing is hidden for longer at a time, however long it is off.', validators=[django.core.validators.MinValueValidator(1)])),
                ('revision', models.PositiveIntegerField(default=1, editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('machine', models.ForeignKey(blank=True, help_text='For this machine alone: outranks that for its class.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='operating_rules', to='sensors.equipment')),
                ('sensor', models.ForeignKey(blank=True, help_text='The sensor of the machine that shows whether it runs, such as its speed.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='operating_rules', to='sensors.sensor')),
                ('site', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='operating_rules', to='sensors.site')),
                ('updated_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.UniqueConstraint(fields=('site', 'machine', 'equipment_class'), name='operating_rule_one_of_scope', nulls_distinct=False, violation_error_message='There is a rule for this machine or class already.'), models.CheckConstraint(condition=models.Q(models.Q(('equipment_class', ''), ('machine__isnull', False)), models.Q(('machine__isnull', True), models.Q(('equipment_class', ''), _negated=True)), _connector='OR'), name='operating_rule_machine_or_class', violation_error_message='Give a machine or a class of equipment, one of the two.'), models.CheckConstraint(condition=models.Q(('sensor__isnull', True), ('machine__isnull', False), _connector='OR'), name='operating_rule_sensor_of_machine', violation_error_message='A class of equipment has no one sensor: give the kind.'), models.CheckConstraint(condition=models.Q(models.Q(('off_below__isnull', True), ('running_above__isnull', True), ('sensor__isnull', True), ('sensor_kind', '')), models.Q(models.Q(models.Q(('sensor__isnull', False), ('sensor_kind', '')), models.Q(('sensor__isnull', True), models.Q(('sensor_kind', ''), _negated=True)), _connector='OR'), ('off_below__isnull', False), ('off_below__lte', models.F('running_above')), ('running_above__isnull', False)), _connector='OR'), name='operating_rule_read_or_told', violation_error_message='Give a sensor or a kind of sensor and both bounds, the lower one first; or none of them, where people or a control system tell.'), models.CheckConstraint(condition=models.Q(('holds_minutes__gte', 1), ('most_hours__gte', 1), ('startup_seconds__lte', 86400)), name='operating_rule_ends'), models.CheckConstraint(condition=models.Q(('off_hides', []), ('startup_hides', []), _negated=True), name='operating_rule_hides', violation_error_message='Say what is hidden while it is off, while it starts up, or both.'), models.CheckConstraint(condition=models.Q(('startup_hides', []), ('startup_seconds__gte', 1), _connector='OR'), name='operating_rule_startup_lasts', violation_error_message='Say how long a start-up takes.')],
            },
        ),
        migrations.RunSQL(TRIGGERS, migrations.RunSQL.noop),
    ]
