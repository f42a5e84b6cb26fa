"""Retrieval: how what files say is cut up, turned into vectors, kept, and found again.

A *document* is a file as a vector store has it. It is extracted into *sections*, cut into
*chunks*, and each chunk is embedded. Records hold the truth of all that; an index, which is what
VECTORS provides, is made from them and can be made anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

AttributeValue = str | float | bool
Attributes = Mapping[str, AttributeValue]

# -- extraction and chunking ------------------------------------------------------------------


class Section(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of a file's text, in reading order."""

    text: str
    page: int | None = None
    """From 1, where the file has pages."""
    heading: str | None = None
    """The nearest heading above it."""


class Extractor(msgspec.Struct, frozen=True, kw_only=True):
    """How files of some types are read; registered by `register_extractors`.

    The function is named, not given: it is imported and called in a process of its own, under
    limits of time, memory and output, with the path of the file; it returns or yields sections
    and raises ValueError, with a sentence for the user, for a file that it cannot read.
    """

    name: str
    function: str
    """`package.module:function`, which takes a `pathlib.Path` and gives `Iterable[Section]`."""
    media_types: tuple[str, ...]
    suffixes: tuple[str, ...]
    """With their dot, in lower case: `.md`."""
    signatures: tuple[bytes, ...] = ()
    """How such files begin; where any is given, others that are called so are refused."""
    missing: str | None = None
    """What to install where its library is not there; then it refuses, and says so."""


class Chunk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A passage that can be found, about a question long to a page long."""

    text: str
    tokens: int
    start: int
    """Offset in the document's text, in characters; `text` is what stands there."""
    end: int
    page: int | None = None
    heading: str | None = None


class Chunking(msgspec.Struct, frozen=True, kw_only=True):
    """How long chunks may be, and how much one shares with the one before, in tokens."""

    max_tokens: int = 800
    overlap_tokens: int = 400


class Chunker(msgspec.Struct, frozen=True, kw_only=True):
    """A way of cutting documents up; registered by `register_chunkers`.

    The function is named as an extractor's is, and called in the same process. The document's
    text is its sections' texts, joined as they are; chunks come in order, and may overlap.
    """

    name: str
    function: str
    """`package.module:function`; of `Sequence[Section]` and Chunking it makes `Iterable[Chunk]`."""


class ExtractionRefused(Exception):
    """A file cannot be made into chunks, now or later: the user is told why."""

    def __init__(self, code: Literal["unsupported_file", "invalid_file"], message: str) -> None:
        self.code: Literal["unsupported_file", "invalid_file"] = code
        """Whether files of that kind are not read at all, or this one is broken or too much."""
        self.message = message
        super().__init__(message)


class Extraction(Protocol):
    """Reads files and cuts them up; what `need(EXTRACTION)` gives.

    A file is read in a process of its own, under limits of time, memory and output, so that a
    hostile one costs nobody but itself.
    """

    def chunks(
        self,
        content: AsyncIterable[bytes],
        *,
        filename: str,
        media_type: str = "",
        chunking: Chunking,
    ) -> AsyncIterator[Sequence[Chunk]]:
        """The file's chunks in order, some at a time.

        Raises ExtractionRefused, before the first of them; what reading the content raises is
        raised on. Any other exception is the server's fault, and may not happen again.
        """
        ...


# -- embedding --------------------------------------------------------------------------------


class Embedder(Protocol):
    """Turns texts into vectors; what `need(EMBEDDER)` gives."""

    default_model: str
    """What new stores are embedded with. A store keeps the name of the model it began with."""

    async def dimensions(self, model: str) -> int:
        """Numbers in a vector of the model. Raises Problem where nobody serves it."""
        ...

    async def embed(
        self, texts: Sequence[str], *, model: str, role: Literal["query", "passage"]
    ) -> Sequence[bytes]:
        """One vector a text: float32, little-endian, of length 1. Raises Problem, BackendFault."""
        ...


# -- finding ----------------------------------------------------------------------------------


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A document's attribute beside a value; one that it lacks, or of another type, never holds.

    `ne` and `nin` are the opposites of `eq` and `in`, and hold where the attribute is lacking.
    """

    op: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str
    value: AttributeValue | tuple[AttributeValue, ...]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Several predicates, all or any of which must hold."""

    op: Literal["and", "or"]
    parts: tuple[Comparison | Group, ...]


Predicate = Comparison | Group


def holds(predicate: Predicate, attributes: Attributes) -> bool:
    """Whether a document with these attributes is to be searched."""
    if isinstance(predicate, Group):
        parts = (holds(part, attributes) for part in predicate.parts)
        return all(parts) if predicate.op == "and" else any(parts)
    return _compares(predicate, attributes.get(predicate.key))


def _compares(comparison: Comparison, value: AttributeValue | None) -> bool:
    op, against = comparison.op, comparison.value
    if op in ("in", "nin"):
        assert isinstance(against, tuple)
        return any(_equal(value, each) for each in against) == (op == "in")
    assert not isinstance(against, tuple)
    if op in ("eq", "ne"):
        return _equal(value, against) == (op == "eq")
    return _ordered(op, value, against)


def _equal(left: AttributeValue | None, right: AttributeValue) -> bool:
    # In Python, True is 1.
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _ordered(op: str, left: AttributeValue | None, right: AttributeValue) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return False
    if isinstance(left, str) and isinstance(right, str):
        return _is_so(op, (left > right) - (left < right))
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return _is_so(op, (left > right) - (left < right))
    return False


def _is_so(op: str, order: int) -> bool:
    return {"gt": order > 0, "gte": order >= 0, "lt": order < 0, "lte": order <= 0}[op]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk as an index needs it. A document has each number once."""

    number: int
    """Its place in its document, from 0."""
    text: str
    vector: bytes
    """One of no length, or of another one than the store's, is found by its words only."""


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """How what is found is put in order, and what is too bad to be told."""

    ranker: str = "auto"
    score_threshold: float = 0.0
    """From 0 to 1; what scores below it is left out."""


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that a search found, with where it comes from."""

    store: str
    file_id: str
    filename: str
    attributes: Attributes
    number: int
    """The chunk's place in its file, from 0."""
    text: str
    score: float
    """From 0 to 1."""
    start: int
    """Offset in the file's text, in characters."""
    end: int
    page: int | None = None
    heading: str | None = None


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that was found, and how well it fits: the more, the better."""

    document: str
    number: int
    score: float


class StoreState(msgspec.Struct, frozen=True, kw_only=True):
    """What of a vector store can be searched now."""

    generation: int
    """Another one whenever anything of the rest is another."""
    dimensions: int
    documents: Mapping[str, Attributes]
    """By names that stand for their chunks: a file that is cut up anew is another document."""


class VectorSource(Protocol):
    """Where an index reads what it is made from: the truth, as records have it."""

    async def generation(self, project: str, store: str) -> int:
        """The store's generation, by one quick read; -1 where there is no such store."""
        ...

    async def state(self, project: str, store: str) -> StoreState:
        """The store as it now is; no documents where there is no such store."""
        ...

    def entries(self, project: str, store: str, document: str) -> AsyncIterator[Sequence[Entry]]:
        """The document's chunks, some at a time; none where it is gone."""
        ...


class Vectors(Protocol):
    """Finds chunks by what they mean and by the words in them; what `need(VECTORS)` gives.

    An index may lag behind the records, but never answers with a document that `state` does not
    list, and brings in what it lists before it answers. Where it cannot be used, searching raises
    StoreUnavailable, as records do.
    """

    def use(self, source: VectorSource) -> None:
        """Be made from this; said once, before anything is searched."""
        ...

    async def changed(self, project: str, store: str) -> None:
        """Something of the store was committed: a good moment to bring it in. May be forgotten."""
        ...

    async def nearest(
        self, project: str, store: str, vector: bytes, *, where: Predicate | None, limit: int
    ) -> Sequence[Hit]:
        """The chunks nearest to a vector, best first; scores are cosines.

        Only documents for which `where` holds are looked at, before the limit is. Raises
        ValueError for what is no vector of the store's dimensions.
        """
        ...

    async def matching(
        self, project: str, store: str, text: str, *, where: Predicate | None, limit: int
    ) -> Sequence[Hit]:
        """The chunks with the words of a text, best first; scores compare within one answer."""
        ...
