from django.db import migrations

# Arrays are kept as they are: compressing them with pglz costs more than it saves, and they live for days only.
CHUNKS = """
CREATE TABLE sensors_chunk (
    sensor_id bigint NOT NULL,
    start_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL,
    at timestamptz[] NOT NULL,
    value double precision[] NOT NULL,
    quality smallint[],
    reason smallint[],
    PRIMARY KEY (sensor_id, start_at)
) PARTITION BY RANGE (start_at);
ALTER TABLE sensors_chunk ALTER at SET STORAGE EXTERNAL;
ALTER TABLE sensors_chunk ALTER value SET STORAGE EXTERNAL;
ALTER TABLE sensors_chunk ALTER quality SET STORAGE EXTERNAL;
ALTER TABLE sensors_chunk ALTER reason SET STORAGE EXTERNAL;

CREATE TABLE sensors_hour (
    sensor_id bigint NOT NULL,
    hour_at timestamptz NOT NULL,
    readings integer NOT NULL,
    counted integer NOT NULL,
    mean double precision NOT NULL,
    m2 double precision NOT NULL,
    low double precision NOT NULL,
    low_at timestamptz NOT NULL,
    high double precision NOT NULL,
    high_at timestamptz NOT NULL,
    first double precision NOT NULL,
    first_at timestamptz NOT NULL,
    last double precision NOT NULL,
    last_at timestamptz NOT NULL,
    qualities smallint NOT NULL,
    PRIMARY KEY (sensor_id, hour_at)
) PARTITION BY RANGE (hour_at);

CREATE TABLE sensors_latest (
    sensor_id bigint PRIMARY KEY,
    measured_at timestamptz NOT NULL,
    value double precision NOT NULL,
    quality smallint NOT NULL,
    previous_at timestamptz
) WITH (fillfactor = 50);

CREATE TABLE sensors_block (
    sensor_id bigint NOT NULL,
    day date NOT NULL,
    readings integer NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    first double precision NOT NULL,
    last double precision NOT NULL,
    low double precision NOT NULL,
    high double precision NOT NULL,
    hours bytea NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (sensor_id, day)
) PARTITION BY RANGE (day);
ALTER TABLE sensors_block ALTER hours SET STORAGE EXTERNAL;
ALTER TABLE sensors_block ALTER data SET STORAGE EXTERNAL;
CREATE INDEX sensors_block_day ON sensors_block USING brin (day) WITH (autosummarize = on);
"""

# As the store does it from now on, in sets: a chunk, and a rollup, for each sensor and hour.
MOVE = """
SET LOCAL statement_timeout = 0;

DO $$
DECLARE old record;
BEGIN
    FOR old IN
        SELECT c.relname AS name, to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS day
        FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'sensors_reading'::regclass
    LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF sensors_chunk FOR VALUES FROM (%L) TO (%L)',
            replace(old.name, 'sensors_reading', 'sensors_chunk'), old.day, old.day + interval '24 hours');
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF sensors_hour FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 50)',
            replace(old.name, 'sensors_reading', 'sensors_hour'), old.day, old.day + interval '24 hours');
    END LOOP;
END $$;

INSERT INTO sensors_chunk
SELECT sensor_id, min(measured_at), max(measured_at),
    array_agg(measured_at ORDER BY measured_at), array_agg(value ORDER BY measured_at),
    CASE WHEN bool_or(quality <> 0 OR reason <> 0) THEN array_agg(quality ORDER BY measured_at) END,
    CASE WHEN bool_or(quality <> 0 OR reason <> 0) THEN array_agg(reason ORDER BY measured_at) END
FROM sensors_reading
GROUP BY sensor_id, date_bin('1 hour', measured_at, timestamptz '2000-01-01 00:00+00');

INSERT INTO sensors_hour
SELECT sensor_id, date_bin('1 hour', measured_at, timestamptz '2000-01-01 00:00+00') AS hour_at,
    count(*), count(safe), coalesce(avg(safe), 0), coalesce(var_pop(safe) * count(safe), 0),
    (array_agg(value ORDER BY value, measured_at))[1], (array_agg(measured_at ORDER BY value, measured_at))[1],
    (array_agg(value ORDER BY value DESC, measured_at))[1], (array_agg(measured_at ORDER BY value DESC, measured_at))[1],
    (array_agg(value ORDER BY measured_at))[1], min(measured_at),
    (array_agg(value ORDER BY measured_at DESC))[1], max(measured_at),
    (array_agg(quality ORDER BY measured_at))[1]
    | ((array_agg(quality ORDER BY value, measured_at))[1] << 2)
    | ((array_agg(quality ORDER BY value DESC, measured_at))[1] << 4)
    | ((array_agg(quality ORDER BY measured_at DESC))[1] << 6)
FROM (
    SELECT *, CASE WHEN quality = 0 AND abs(value) <= 1e140 THEN CASE WHEN abs(value) < 1e-100 THEN 0 ELSE value END END AS safe
    FROM sensors_reading
) AS reading
GROUP BY sensor_id, hour_at;

INSERT INTO sensors_latest
SELECT DISTINCT ON (sensor_id) sensor_id, measured_at, value, quality FROM sensors_reading
ORDER BY sensor_id, measured_at DESC;

DROP TABLE sensors_reading;
"""

VIEW = """
CREATE VIEW sensors_reading AS
SELECT chunk.sensor_id, reading.measured_at, reading.value,
    coalesce(reading.quality, 0::smallint) AS quality, coalesce(reading.reason, 0::smallint) AS reason
FROM sensors_chunk AS chunk
CROSS JOIN LATERAL unnest(chunk.at, chunk.value, chunk.quality, chunk.reason)
    AS reading (measured_at, value, quality, reason);
"""


class Migration(migrations.Migration):
    """Not to be undone: the readings would have to be taken apart again."""

    dependencies = [("sensors", "0003_sensor_presence")]
    operations = [migrations.RunSQL(CHUNKS + MOVE + VIEW)]
