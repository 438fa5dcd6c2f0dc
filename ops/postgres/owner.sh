#!/usr/bin/env bash
# Run once by the image of PostgreSQL, as its superuser, when the data's volume is empty: makes the role that owns the
# database of Milepost and is no superuser. Migrations and processes use it; whoever takes it over has this database, and
# neither the server's files and programs nor other databases.
# DATABASE_OWNER is its name, DATABASE_PASSWORD_FILE has its password. Exit status: psql's.
set -euo pipefail

# The password goes through a pipe: arguments are seen by others.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set owner="$DATABASE_OWNER" --set database="$POSTGRES_DB" <<SQL
\set password \`cat "$DATABASE_PASSWORD_FILE"\`
CREATE ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';
ALTER DATABASE :"database" OWNER TO :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
