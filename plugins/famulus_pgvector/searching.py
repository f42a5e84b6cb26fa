"""The statements that search one store; all of them see one moment of the database."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from famulus_indexes.words import Term, looked_for
from famulus_pgvector.database import StoreRow
from famulus_pgvector.predicates import condition
from famulus_pgvector.settings import PgvectorSettings
from famulus_schemas.retrieval import Hit, Predicate

INDEXED_DIMENSIONS_MAX: Final = 2000
"""What pgvector's index can hold."""
WIDTH_MAX: Final = 1000
"""Candidates that pgvector looks at at most."""
SPARE: Final = 1.5
"""More is fetched from an index than should pass on average: what passes may lie elsewhere."""
ROWS_MAX: Final = 2**31 - 1

_IS_INDEXED: Final = """
select exists (select from pg_index where indexrelid = to_regclass($1) and indisvalid)
"""
# The one plan that is meant is the walk along the index, whatever the planner thinks of its cost.
_BY_INDEX: Final = """
select set_config('hnsw.ef_search', $1, true), set_config('enable_sort', 'off', true)
"""
_BY_ANYTHING: Final = "select set_config('enable_sort', 'on', true)"


def index_name(store: int) -> str:
    """The name of a store's index."""
    return f"chunk_near_{store:d}"


async def is_indexed(connection: Any, store: int) -> bool:
    """Whether a store has an index that can be used."""
    found: bool = await connection.fetchval(_IS_INDEXED, index_name(store))
    return found


async def nearest(
    connection: Any,
    row: StoreRow,
    vector: bytes,
    where: Predicate | None,
    limit: int,
    *,
    settings: PgvectorSettings,
) -> Sequence[Hit]:
    """As Vectors.nearest."""
    limit = min(limit, ROWS_MAX)
    parameters: list[Any] = [row.id, vector, limit]
    passes = "true" if where is None else condition(where, parameters)
    there = row.chunks if where is None else await _passing(connection, row, where)
    if there > settings.exact_chunks_max:
        found = await _by_index(connection, row, passes, parameters, there, settings)
        if found is not None and len(found) >= min(limit, there):
            return found
    # Not in the form of the index: all that pass are compared.
    rows = await connection.fetch(
        f"""
        select d.name, c.number, 1 - (c.embedding <=> $2) as score
        from document d join chunk c on c.document = d.id
        where d.store = $1 and d.is_listed and c.embedding is not null and {passes}
        order by c.embedding <=> $2, d.id, c.number limit $3
        """,  # noqa: S608  # Of a predicate, only parameters are from outside.
        *parameters,
    )
    return _hits(rows)


async def _passing(connection: Any, row: StoreRow, where: Predicate) -> int:
    parameters: list[Any] = [row.id]
    passes = condition(where, parameters)
    count: int = await connection.fetchval(
        f"select coalesce(sum(chunks), 0)::bigint from document where store = $1 and {passes}"  # noqa: S608
        " and is_listed",
        *parameters,
    )
    return count


async def _by_index(
    connection: Any,
    row: StoreRow,
    passes: str,
    parameters: list[Any],
    there: int,
    settings: PgvectorSettings,
) -> Sequence[Hit] | None:
    limit = parameters[2]
    wanted = limit if there == row.chunks else math.ceil(limit * row.chunks / there * SPARE)
    if wanted > WIDTH_MAX or not await is_indexed(connection, row.id):
        return None
    width = max(wanted, settings.search_width)
    await connection.execute(_BY_INDEX, str(width))
    near = f"c.embedding::vector({row.dimensions:d}) <=> $2::vector({row.dimensions:d})"
    rows = await connection.fetch(
        f"""
        with near as materialized (
            select c.document, c.number, {near} as distance from chunk c
            where c.store = {row.id:d} and c.embedding is not null
            order by {near} limit {wanted:d}
        )
        select d.name, n.number, 1 - n.distance from near n join document d on d.id = n.document
        where d.store = $1 and d.is_listed and {passes}
        order by n.distance, d.id, n.number limit $3
        """,  # noqa: S608  # Numbers of ours; of a predicate, only parameters are from outside.
        *parameters,
    )
    await connection.execute(_BY_ANYTHING)
    return _hits(rows)


async def matching(
    connection: Any,
    row: StoreRow,
    text: str,
    where: Predicate | None,
    limit: int,
    *,
    settings: PgvectorSettings,
) -> Sequence[Hit]:
    """As Vectors.matching."""
    wanted = expression(*looked_for(text, words_max=settings.query_words_max))
    if not wanted:
        return []
    parameters: list[Any] = [row.id, wanted, min(limit, ROWS_MAX)]
    passes = "true" if where is None else condition(where, parameters)
    rows = await connection.fetch(
        f"""
        with asked as materialized (
            select to_tsquery('words', $2) as words,
                quote_literal('#' || $1::bigint)::tsquery as store
        )
        select d.name, c.number, ts_rank_cd(c.words, asked.words, 1)::float8 as score
        from asked, chunk c join document d on d.id = c.document
        where c.words @@ (asked.store && asked.words)
            and d.store = $1 and d.is_listed and {passes}
        order by score desc, d.id, c.number limit $3
        """,  # noqa: S608  # Of a predicate, only parameters are from outside.
        *parameters,
    )
    return _hits(rows)


def expression(terms: Sequence[Term], phrases: Sequence[Term]) -> str:
    """A query of PostgreSQL. Its terms hold letters and digits only, and stand in quotes."""
    return " | ".join(
        "(" + " <-> ".join(f"'{word}'" for word in term) + ")" for term in (*terms, *phrases)
    )


def _hits(rows: Sequence[Any]) -> list[Hit]:
    return [
        Hit(
            document=bytes(name).decode("utf-8", "surrogatepass"),
            number=number,
            score=score,
        )
        for name, number, score in rows
    ]
