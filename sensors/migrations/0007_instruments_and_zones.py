"""What vibration zones and redundant sensors need to be told of equipment and sensors."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sensors", "0006_labels_and_regimes"),
    ]

    operations = [
        migrations.AddField(
            model_name="equipment",
            name="machine_group",
            field=models.PositiveSmallIntegerField(
                blank=True,
                choices=[
                    (1, "1: above 300 kW, or shaft height from 315 mm"),
                    (2, "2: 15 to 300 kW, or shaft height 160 to 315 mm"),
                    (3, "3: pump with a driver of its own"),
                    (4, "4: pump with an integrated driver"),
                ],
                help_text="For vibration zones by ISO 20816-3; pumps go by how they are driven, not by power.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="equipment",
            name="support_class",
            field=models.CharField(
                blank=True,
                choices=[("RIGID", "Rigid"), ("FLEXIBLE", "Flexible")],
                db_default="",
                help_text="For vibration zones: rigid where the first natural frequency of machine and support is at least a quarter above the main excitation.",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="sensor",
            name="measuring_point",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="The same for sensors of one machine that measure one thing: if one leaves the others, it is sick.",
                max_length=100,
            ),
        ),
        migrations.AddConstraint(
            model_name="equipment",
            constraint=models.CheckConstraint(
                condition=models.Q(("machine_group__in", [1, 2, 3, 4])), name="equipment_machine_group"
            ),
        ),
        migrations.AddConstraint(
            model_name="equipment",
            constraint=models.CheckConstraint(
                condition=models.Q(("support_class__in", ["", "RIGID", "FLEXIBLE"])), name="equipment_support_class"
            ),
        ),
    ]
