"""Databases: engines of SQLAlchemy, steps that run SQL, and what PostgreSQL tells."""

from piped.catalog.houses import House

HOUSE = House(extra="database", sections=("database",), needs=("sqlalchemy",))
