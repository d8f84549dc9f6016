from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("agents", "0011_backtest_attempts")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="gathered",
            field=models.JSONField(
                db_default=models.Value({}, models.JSONField()),
                default=dict,
                editable=False,
                help_text="The requests it is of: how many, the ids of the first, and traces. See agents.causes.",
            ),
        ),
    ]
