"""The database: tables, engine, migrations, and the only SQL there is. SQLite and PostgreSQL, one set of statements."""
