"""What one store's index keeps in the data folder: a SQLite file with vectors and words.

It is a cache: whatever is wrong with it, it is thrown away and made anew from the source.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import Final, Literal, NamedTuple
from zlib import crc32

import msgspec
import numpy as np

from famulus.log import Log
from famulus_indexes.matrix import Numbers, Vectors, rows_of
from famulus_indexes.words import Term, looked_for, spaced
from famulus_schemas.retrieval import Entry

FORM: Final = 2
"""Another one whenever files of before cannot be used any more, or their words are others."""
RANKED_MAX: Final = 20_000
"""Chunks that are ranked for one query, unless its rarest word alone has more: some 40 ms."""
COUNTS_MAX: Final = 10_000
"""Words of queries of which it is remembered how many chunks have them."""
SHIFT: Final = 32
"""A chunk's row among the words is its document's number, and below that many bits its place."""

NO_DAMAGE: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
"""What keeps a file from being used would keep a new one from it, too."""


_TABLES: Final = """
create table document (
    id integer primary key autoincrement,
    name text not null unique,
    is_whole integer not null
);
create table piece (
    id integer primary key,
    document integer not null,
    numbers blob not null,
    vectors blob not null,
    sum integer not null
);
create index piece_document on piece (document);
create virtual table words using fts5 (
    text, tokenize = "porter unicode61 remove_diacritics 2"
);
create table about (form integer not null, dimensions integer not null, mark text not null);
create table store (project text not null, name text not null);
"""
_MATCHING: Final = """
select id, score from (
    select rowid as id, -bm25(words) as score from words
    where words match :terms limit :ranked
) order by score desc
"""
_MATCHING_SOME: Final = """
select id, score from (
    select rowid as id, -bm25(words) as score from words
    where words match :terms and rowid >> :shift in (select value from json_each(:documents))
    limit :ranked
) order by score desc
"""
_COUNT: Final = """
select count(*) from (select 1 from words where words match ? limit ?)
"""


class Damaged(Exception):
    """The file is not what we wrote."""


class Kept(NamedTuple):
    """Of which store a file is, by its project and its name, and what it has of that."""

    key: tuple[str, str]
    documents: frozenset[str]
    mark: str
    """Which no other file has."""


class Closed(Exception):
    """The file was closed meanwhile: there is another one, or none."""


class Part(NamedTuple):
    """Some chunks of a document, the last of them or not."""

    name: str
    entries: Sequence[Entry]
    is_last: bool


class Piece(NamedTuple):
    """Vectors of a document."""

    document: int
    numbers: Numbers
    vectors: Vectors


class StoreFile:
    """An open file. Its methods block; words may be looked for while others are added."""

    def __init__(self, path: Path, *, store: tuple[str, str], dimensions: int, log: Log) -> None:
        self.path = path
        self._store = store
        self.dimensions = dimensions
        self._log = log
        self._reading = threading.Lock()
        self._counts: dict[Term, int] = {}
        """How many chunks have a term; another one once any are added or removed."""
        self.is_open = True
        self.mark = ""
        """Another one for each file that is made: the numbers of its documents are its own."""
        self._writer, self._reader = self._opened()

    # -- opening ----------------------------------------------------------------------------------

    def _opened(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        try:
            return self._open()
        except (sqlite3.DatabaseError, Damaged) as error:
            if not is_damage(error):
                raise
            self._log.warning("index_made_anew", file=self.path.name, reason=str(error))
            remove(self.path)
            return self._open()

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        writer = self._connect()
        try:
            self._prepare(writer)
            return writer, self._connect()
        except BaseException:
            writer.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        try:
            connection.execute("pragma journal_mode = wal")
            # A file that a power cut leaves behind is whole, if not of the last second.
            connection.execute("pragma synchronous = normal")
            connection.execute("pragma cell_size_check = on")
            connection.execute("pragma trusted_schema = off")
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, writer: sqlite3.Connection) -> None:
        with _transaction(writer):
            if not writer.execute("select 1 from sqlite_schema limit 1").fetchone():
                for statement in _TABLES.split(";\n"):
                    writer.execute(statement)
                about = FORM, self.dimensions, secrets.token_hex(16)
                writer.execute("insert into about values (?, ?, ?)", about)
                writer.execute("insert into store values (?, ?)", self._store)
        form, dimensions, self.mark = about_of(writer)
        if (form, dimensions) != (FORM, self.dimensions):
            raise Damaged(
                f"it has form {form} and dimensions {dimensions}, not {FORM} and {self.dimensions}"
            )

    def close(self) -> None:
        """Let go of the file, once nobody looks for words in it."""
        with self._reading, suppress(sqlite3.DatabaseError):
            self.is_open = False
            self._reader.close()
        with suppress(sqlite3.DatabaseError):
            self._writer.close()

    # -- vectors ----------------------------------------------------------------------------------

    def documents(self) -> Mapping[str, int]:
        """The numbers of the documents that are whole."""
        rows = self._writer.execute("select name, id from document where is_whole").fetchall()
        return dict(rows)

    def pieces(self) -> Iterator[Piece]:
        """All vectors of whole documents. Raises Damaged for one that is not what we wrote."""
        return pieces_of(self._writer, self.dimensions)

    def write(self, parts: Sequence[Part]) -> tuple[Mapping[str, int], list[Piece]]:
        """Add parts of documents; the documents that are whole now, and what was added."""
        whole: dict[str, int] = {}
        pieces: list[Piece] = []
        with _transaction(self._writer):
            for part in parts:
                id = self._id(part.name)
                if part.entries:
                    pieces.append(self._add(id, part))
                if part.is_last:
                    self._writer.execute("update document set is_whole = 1 where id = ?", (id,))
                    whole[part.name] = id
        self._counts = {}
        return whole, pieces

    def _id(self, name: str) -> int:
        self._writer.execute(
            "insert into document (name, is_whole) values (?, 0) on conflict do nothing", (name,)
        )
        row = self._writer.execute("select id from document where name = ?", (name,)).fetchone()
        id: int = row[0]
        return id

    def _add(self, id: int, part: Part) -> Piece:
        self._writer.executemany(
            "insert into words (rowid, text) values (?, ?)",
            [(id << SHIFT | entry.number, spaced(entry.text)) for entry in part.entries],
        )
        vectors, fits = rows_of([entry.vector for entry in part.entries], self.dimensions)
        if wrong := sum(not fit for fit in fits) - sum(not each.vector for each in part.entries):
            self._log.warning("vectors_left_out", chunks=wrong, dimensions=self.dimensions)
        numbers = np.array([entry.number for entry in part.entries], "<i8")[fits]
        kept = numbers.tobytes(), vectors.astype("<f4").tobytes()
        self._writer.execute(
            "insert into piece (document, numbers, vectors, sum) values (?, ?, ?, ?)",
            (id, *kept, _sum(id, *kept)),
        )
        return Piece(id, numbers, vectors)

    def forget(self, ids: Sequence[int]) -> None:
        """Remove documents."""
        with _transaction(self._writer):
            _forget(self._writer, ids)
        self._counts = {}

    def unfinished(self) -> Sequence[int]:
        """Documents of which only a part came."""
        rows = self._writer.execute("select id from document where not is_whole").fetchall()
        return [id for (id,) in rows]

    # -- words ------------------------------------------------------------------------------------

    def matching(
        self,
        text: str,
        *,
        words_max: int,
        among: Sequence[int] | None,
        keep: Callable[[int], bool],
        limit: int,
    ) -> list[tuple[int, int, float]]:
        """Documents and places of the chunks that fit a query best, and how well.

        `among` are the documents that are searched at all; of what is found there only those
        count of which `keep` says so. Raises Closed, and sqlite3.DatabaseError for a damaged file.
        """
        terms, phrases = looked_for(text, words_max=words_max)
        if not terms:
            return []
        values: dict[str, object] = {}
        if among is not None:
            values |= {"shift": SHIFT, "documents": msgspec.json.encode(among).decode()}
        statement = _MATCHING if among is None else _MATCHING_SOME
        with self._reading:
            if not self.is_open:
                raise Closed
            for expression, ranked in self._affordable(terms, phrases):
                cursor = self._reader.execute(
                    statement, values | {"terms": expression, "ranked": ranked}
                )
                if found := _first(cursor, keep, limit):
                    return found
        return []

    def _affordable(
        self, terms: Sequence[Term], phrases: Sequence[Term]
    ) -> Iterator[tuple[str, int]]:
        """What to look for, and how many chunks to rank; the next where nothing is found.

        It is the rarest terms, as many as can be ranked in good time, and the phrases of these:
        what most chunks have says little, and costs what all of them cost.
        """
        counts = self._counts
        if len(counts) > COUNTS_MAX:
            counts.clear()
        for term in terms:
            if term not in counts:
                counts[term] = self._count(term)
        there = sorted((term for term in terms if counts[term]), key=counts.__getitem__)
        if there and counts[there[0]] < RANKED_MAX:
            totals = accumulate(counts[term] for term in there)
            few = [term for term, total in zip(there, totals, strict=True) if total <= RANKED_MAX]
            words = {word for term in few for word in term}
            whole = [phrase for phrase in phrases if words.issuperset(phrase)]
            yield expression([*few, *whole], "OR"), -1
        elif there:
            # All are common: it is those that have all of them, or else some of those that do.
            yield expression(there, "AND"), RANKED_MAX
            yield expression(there, "OR"), RANKED_MAX

    def _count(self, term: Term) -> int:
        """How many chunks have a term; of many, only that they are many."""
        row = self._reader.execute(_COUNT, (expression([term], "OR"), RANKED_MAX)).fetchone()
        count: int = row[0]
        return count


def about_of(connection: sqlite3.Connection) -> tuple[int, int, str]:
    """A file's form, its dimensions, and a mark that no other file has. Raises Damaged."""
    rows: list[tuple[int, int, str]] = connection.execute("select * from about").fetchall()
    if len(rows) != 1:
        raise Damaged(f"it says {len(rows)} times what it is")
    return rows[0]


def kept_in(path: Path) -> Kept | None:
    """What a file is of; None where it does not say that, or is gone."""
    # Not made where it is gone, as a plain path would have it.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(uri, uri=True)) as connection:
        owner = connection.execute("select project, name from store").fetchone()
        names = connection.execute("select name from document").fetchall()
        about = connection.execute("select * from about").fetchone()
        if owner is not None and about is not None:
            return Kept(owner, frozenset(name for (name,) in names), about[2])
    return None


def pieces_of(connection: sqlite3.Connection, dimensions: int) -> Iterator[Piece]:
    """All vectors of whole documents. Raises Damaged for one that is not what we wrote."""
    rows = connection.execute(
        "select p.document, p.numbers, p.vectors, p.sum from piece p "
        "join document d on d.id = p.document where d.is_whole order by p.id"
    )
    for document, numbers, vectors, total in rows:
        if _sum(document, numbers, vectors) != total:
            raise Damaged("a sum of its vectors is another one")
        yield Piece(
            document,
            np.frombuffer(numbers, "<i8"),
            np.frombuffer(vectors, "<f4").reshape(-1, dimensions),
        )


def _sum(document: int, numbers: bytes, vectors: bytes) -> int:
    return crc32(vectors, crc32(numbers, document & 0xFFFFFFFF))


def expression(terms: Sequence[Term], joined_by: Literal["AND", "OR"]) -> str:
    """A query of FTS5. Its terms hold letters and digits only, and stand in quotes."""
    return f" {joined_by} ".join('"' + " ".join(term) + '"' for term in terms)


def _first(
    cursor: sqlite3.Cursor, keep: Callable[[int], bool], limit: int
) -> list[tuple[int, int, float]]:
    """So many of the rows whose documents are kept, by document and place."""
    found: list[tuple[int, int, float]] = []
    try:
        for row, score in cursor:
            if keep(row >> SHIFT):
                found.append((row >> SHIFT, row & ((1 << SHIFT) - 1), score))
                if len(found) == limit:
                    break
    finally:
        cursor.close()
    return found


def is_damage(error: Exception) -> bool:
    """Whether an error says that the file is not what we wrote, and not that it cannot be used."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF not in NO_DAMAGE


def remove(path: Path) -> None:
    """Remove a file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("begin immediate")
    try:
        yield
    except BaseException:
        # An error may have ended it already.
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    connection.execute("commit")


def _forget(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    connection.executemany(
        "delete from words where rowid between ? and ?",
        [(id << SHIFT, (id << SHIFT) | ((1 << SHIFT) - 1)) for id in ids],
    )
    rows = [(id,) for id in ids]
    connection.executemany("delete from piece where document = ?", rows)
    connection.executemany("delete from document where id = ?", rows)
