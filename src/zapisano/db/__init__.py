"""PostgreSQL: connections, transactions, migrations; the only importer of asyncpg."""
