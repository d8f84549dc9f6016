#!/bin/sh
# Runs once, when the Postgres container makes its data: MLflow gets a database and a role of its own.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$MLFLOW_DB_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE mlflow LOGIN PASSWORD :'password';
CREATE DATABASE mlflow OWNER mlflow;
SQL
