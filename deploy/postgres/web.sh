#!/bin/sh
# Runs once, when the Postgres container makes its data, and by hand for data that is older: the web server gets a role
# of its own, which owns nothing. What it may do with which rows, `manage.py migrate` says.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$POSTGRES_WEB_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
SELECT 'CREATE ROLE bellwether_web' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bellwether_web') \gexec
ALTER ROLE bellwether_web LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';
SQL
