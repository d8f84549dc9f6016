from django.db import migrations

# Postgres would compress what is above 2 kB, slowly and to little use: the states are floating-point numbers.
PLAIN = """
ALTER TABLE mlops_machinestate ALTER COLUMN memory SET STORAGE EXTERNAL, ALTER COLUMN learned SET STORAGE EXTERNAL
"""
AS_BEFORE = """
ALTER TABLE mlops_machinestate ALTER COLUMN memory SET STORAGE EXTENDED, ALTER COLUMN learned SET STORAGE EXTENDED
"""


class Migration(migrations.Migration):
    dependencies = [("mlops", "0001_initial")]
    operations = [migrations.RunSQL(PLAIN, AS_BEFORE)]
