from django.db import migrations

CREATE = """
CREATE TABLE sensors_reading (
    sensor_id bigint NOT NULL,
    measured_at timestamptz NOT NULL,
    value double precision NOT NULL,
    quality smallint NOT NULL,
    reason smallint NOT NULL,
    PRIMARY KEY (sensor_id, measured_at)
) PARTITION BY RANGE (measured_at)
"""


class Migration(migrations.Migration):
    dependencies = [("sensors", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, "DROP TABLE sensors_reading")]
