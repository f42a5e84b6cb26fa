"""Records and events on PostgreSQL: one database behind any number of server processes."""

from famulus_postgres.plugin import Postgres
from famulus_postgres.settings import PostgresSettings

__all__ = ["Postgres", "PostgresSettings"]
