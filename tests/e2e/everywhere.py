"""Every table of a schema and every file of a folder, looked through for words."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import asyncpg

_PACKED = (b"\x78\x01", b"\x78\x9c", b"\x78\xda")
"""How what zlib has packed begins, by its level."""


async def found_in_tables(dsn: str, schema: str, words: Sequence[str]) -> list[str]:
    """The tables, columns and rows in which one of the words is, packed or not."""
    return [
        f"{place}: {word}"
        async for place, data in _values(dsn, schema)
        for word in words
        if any(word.encode() in part for part in _unpacked(data))
    ]


def found_in_rows(file: Path, words: Sequence[str]) -> list[str]:
    """Likewise of a file of SQLite: what is in its tables, and not what was in them before."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        tables = connection.execute("select name from sqlite_schema where type = 'table'")
        names = [name for (name,) in tables]
        assert names
        return [
            f"{table}.{column} of {_name(dict(row))}: {word}"
            for table in names
            for row in connection.execute(f'select * from "{table}"')
            for column, value in dict(row).items()
            for word in words
            if any(word.encode() in part for part in _unpacked(_bytes(value)))
        ]


def found_in_files(folder: Path, words: Sequence[str]) -> list[str]:
    """The files below a folder in which one of the words is, packed or not, or as their name."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        data = path.read_bytes() if path.is_file() else b""
        parts = [name.encode(), *_unpacked(data)]
        found += [f"{name}: {word}" for word in words if any(word.encode() in p for p in parts)]
    return found


async def _values(dsn: str, schema: str) -> AsyncIterator[tuple[str, bytes]]:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        tables = await connection.fetch(
            "select tablename from pg_tables where schemaname = $1 order by 1", schema
        )
        assert tables
        for (table,) in tables:
            rows = await connection.fetch(f'select * from "{schema}"."{table}"')
            for row in rows:
                for column, value in row.items():
                    yield f"{table}.{column} of {_name(row)}", _bytes(value)
    finally:
        await connection.close()


def _name(row: Any) -> str:
    return " ".join(str(row[name]) for name in ("kind", "id") if name in row)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _unpacked(data: bytes) -> Iterator[bytes]:
    yield data
    for head in _PACKED:
        at = data.find(head)
        while at >= 0:
            with suppress(zlib.error):
                yield zlib.decompressobj().decompress(data[at:])
            at = data.find(head, at + 1)
