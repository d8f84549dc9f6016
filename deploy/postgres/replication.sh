#!/bin/sh
# Runs once, when the database is made: lets the backups' stream in from the network of the services, by password.
set -eu
echo "host replication $POSTGRES_USER samenet scram-sha-256" >> "$PGDATA/pg_hba.conf"
