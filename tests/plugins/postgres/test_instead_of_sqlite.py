"""Naming a database is all that it takes to be on it."""

from __future__ import annotations

from pathlib import Path

from famulus.testing import make_kernel


def test_sqlite_stands_aside_once_a_database_is_named(tmp_path: Path) -> None:
    settings = {"postgres": {"dsn": "postgresql://nobody@127.0.0.1:1/none"}}
    slots = make_kernel("sqlite", "postgres", data_dir=tmp_path, settings=settings).plan()
    assert str(slots["postgres"].state) == "loaded"
    assert (str(slots["sqlite"].state), slots["sqlite"].reason) == ("off", "postgres does its job")


def test_without_a_database_sqlite_keeps_the_records(tmp_path: Path) -> None:
    slots = make_kernel("sqlite", "postgres", data_dir=tmp_path).plan()
    assert str(slots["sqlite"].state) == "loaded"
    assert (str(slots["postgres"].state), slots["postgres"].reason) == ("off", "no dsn is set")
