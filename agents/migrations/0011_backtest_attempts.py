from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0010_backups'),
    ]

    operations = [
        migrations.AlterField(
            model_name='backtest',
            name='attempts',
            field=models.PositiveIntegerField(default=0),
        ),
    ]
