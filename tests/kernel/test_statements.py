"""No text of a client is part of a statement: what statements are made of is listed here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"

MADE_OF = {
    "famulus_sqlite/declare.py": {"COLUMNS"},
    "famulus_sqlite/erasing.py": {"but"},
    "famulus_sqlite/pages.py": {"COLUMNS", "columns", "keys", "others", "order"},
    "famulus_sqlite/reader.py": {"cache_bytes // 1024"},
    "famulus_sqlite/rows.py": {"named", "table"},
    "famulus_sqlite/transactions.py": {"statement"},
    "famulus_postgres/statements.py": {
        *("COLUMNS", "_INDEXED", "others", "order", "rows", "table"),
        "other[order] if backward else order",
        "_CURSOR.format(id='$4::text') if after else '$4::text::bigint'",
        "_CURSOR.format(id='$5::text') if before else '$5::text::bigint'",
    },
    "famulus_pgvector/building.py": {
        *("name", "row.id", "row.dimensions", "self._settings.links"),
        "max(self._settings.build_width, 2 * self._settings.links)",
    },
    "famulus_pgvector/database.py": {"id"},
    "famulus_pgvector/searching.py": {"passes", "near", "wanted", "row.id"},
}
"""Each expression that stands in the text of a statement, by its file: names of columns and tables,
numbers of ours, and placeholders for parameters. Of a client's words there is none."""

SQL = re.compile(
    r"\b(select\s.*\bfrom|insert\s+into|delete\s+from|update\s.*\bset|pragma\s|alter\s+table"
    r"|create\s+(unique\s+)?(table|index)|drop\s+(table|index)|with\s.*\bas\s*\(|where\s)",
    re.IGNORECASE | re.DOTALL,
)
DRIVER = re.compile(r"^\s*import (sqlite3|aiosqlite|asyncpg)\b", re.MULTILINE)
RUNS = {
    *("execute", "executemany", "executescript", "execute_fetchall", "execute_insert"),
    *("fetch", "fetchrow", "fetchval", "prepare"),
}


def put_in(source: str) -> Iterator[str]:
    """What is put into texts that look like statements, whichever way."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            constants = [each.value for each in node.values if isinstance(each, ast.Constant)]
            if SQL.search(" ".join(constants)):
                for value in node.values:
                    if isinstance(value, ast.FormattedValue):
                        yield ast.unparse(value.value)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            if isinstance(node.left, ast.Constant) and SQL.search(str(node.left.value)):
                yield ast.unparse(node.right)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "format":
            text = getattr(node.func, "value", None)
            if isinstance(text, ast.Constant) and SQL.search(str(text.value)):
                yield from (ast.unparse(each) for each in node.args)


def made_at_the_call(source: str) -> Iterator[str]:
    """Statements that are put together of a text and something else where they are run."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in RUNS and node.args:
            first = node.args[0]
            if isinstance(first, ast.BinOp) or (
                isinstance(first, ast.Call) and getattr(first.func, "attr", "") == "format"
            ):
                yield ast.unparse(first)


def sources() -> list[Path]:
    """Those of plugins that speak to a database."""
    found = [
        path
        for folder in sorted(PLUGINS.iterdir())
        if any(DRIVER.search(path.read_text()) for path in folder.rglob("*.py"))
        for path in sorted(folder.rglob("*.py"))
    ]
    assert len({path.parent.name for path in found}) >= 4
    return found


def test_statements_are_made_of_what_is_listed() -> None:
    found: dict[str, set[str]] = {}
    for path in sources():
        if parts := set(put_in(path.read_text())):
            found[str(path.relative_to(PLUGINS))] = parts
    assert found == MADE_OF


def test_no_statement_is_put_together_where_it_is_run() -> None:
    found = {
        str(path.relative_to(PLUGINS)): parts
        for path in sources()
        if (parts := list(made_at_the_call(path.read_text())))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        'f"select a from b where c = {key}"',
        'f"select a from {table}"',
        'f"pragma {name}"',
        '"select a from b where c = %s" % key',
        '"select a from b where c = {}".format(key)',
    ],
)
def test_a_value_in_a_statement_is_seen(source: str) -> None:
    assert len(list(put_in(source))) == 1


@pytest.mark.parametrize(
    "source", ['db.execute("select a where b = " + key)', 'await db.fetch("a {}".format(key))']
)
def test_a_statement_that_is_made_at_the_call_is_seen(source: str) -> None:
    assert list(made_at_the_call(source))
