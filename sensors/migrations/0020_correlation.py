from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sensors", "0019_audit_trail")]

    operations = [
        migrations.AddField(
            model_name="batch",
            name="traceparent",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=55),
        ),
        migrations.AddField(
            model_name="event",
            name="correlation_id",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="Of the request or run.",
                max_length=64,
            ),
        ),
        migrations.AddField(
            model_name="event",
            name="traceparent",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=55),
        ),
    ]
