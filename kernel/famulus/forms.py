"""Forms with files: `multipart/form-data`, read as it arrives, with nothing of a file in memory.

    @operation("POST", "/things", action="things.write")
    async def create_thing(self, call: Call, form: Form[CreateThing]) -> Thing:
        fields, files = await form.read(self.save)

A file is a field of the type `FileField`; in the decoded struct it is the file's name. `save` is
given each file as a `FilePart` and takes it chunk by chunk, before it is known what comes behind
it: fields may stand in any order.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

from msgspec import inspect as mi
from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)
from starlette.datastructures import Headers

from famulus.incoming import Incoming
from famulus.mismatch import shown
from famulus.server_settings import ServerSettings
from famulus.validation import QueryDecoder
from famulus_schemas.errors import (
    BODY_TOO_LARGE,
    DUPLICATE_PARAMETER,
    FILE_TOO_LARGE,
    INVALID,
    INVALID_TYPE,
    NOT_A_FORM,
    UNKNOWN_PARAMETER,
    WRONG_CONTENT_TYPE,
    Problem,
)
from famulus_schemas.wire import FILE_MARK

T = TypeVar("T")
R = TypeVar("R")

MEDIA_TYPE = "multipart/form-data"
PREAMBLE_BYTES_MAX = 1024
"""What may stand before the first part; no client of today sends anything there."""
PART_HEADERS_MAX = 8


class FilePart:
    """One file of a form: what is said of it, and its chunks, to be read once."""

    def __init__(
        self, name: str, filename: str, content_type: str, chunks: AsyncIterator[bytes]
    ) -> None:
        self.name = name
        self.filename = filename
        """As the client gave it, be it empty: data, and never part of a path."""
        self.content_type = content_type
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks


Save = Callable[[FilePart], Awaitable[R]]


class FormDecoder(Generic[T]):
    """Reads forms of one struct; make it once and keep it."""

    def __init__(self, kind: type[T], settings: ServerSettings, *, bytes_max: int) -> None:
        self._settings = settings
        self._bytes_max = bytes_max
        self._fields: QueryDecoder[T] = QueryDecoder(
            kind, refuse_unknown=True, fields_max=settings.form_parts_max
        )
        self._files = frozenset(file_fields(kind))

    def open(self, headers: Headers, incoming: Incoming, *, ended: Callable[[], None]) -> Form[T]:
        """The form of one request; nothing of it is read yet. Raises Problem where it is none.

        `ended` is called once all of it was read.
        """
        content_type = headers.get("content-type", "")
        media, options = parse_options_header(content_type)
        if media != MEDIA_TYPE:
            raise Problem(WRONG_CONTENT_TYPE, expected=MEDIA_TYPE, got=content_type)
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._bytes_max:
            raise Problem(BODY_TOO_LARGE, limit=self._bytes_max)
        parser = self._parser(options.get("boundary", ""))
        return Form(parser, incoming, self._fields, self._files, self._settings, ended)

    def _parser(self, boundary: str) -> PushMultipartParser:
        if not boundary or not boundary.isascii() or len(boundary) > 200:
            raise Problem(NOT_A_FORM, reason="its Content-Type names no usable boundary")
        try:
            return PushMultipartParser(
                boundary,
                max_header_size=self._settings.form_header_bytes_max,
                max_header_count=PART_HEADERS_MAX,
                max_segment_count=self._settings.form_parts_max,
                # Latin-1 reads all bytes: what is no UTF-8 is refused by the name of its field.
                header_charset="latin-1",
            )
        except MultipartError as error:
            raise _not_a_form(error) from error


def is_form(headers: Headers) -> bool:
    """Whether a request says that its body is a form."""
    media, _ = parse_options_header(headers.get("content-type", ""))
    return bool(media == MEDIA_TYPE)


class Form(Generic[T]):
    """A form on its way in. It is read once."""

    def __init__(
        self,
        parser: PushMultipartParser,
        incoming: Incoming,
        fields: QueryDecoder[T],
        files: frozenset[str],
        settings: ServerSettings,
        ended: Callable[[], None],
    ) -> None:
        self._parser = parser
        self._incoming = incoming
        self._fields = fields
        self._files = files
        self._settings = settings
        self._ended = ended
        self._events: Iterator[Any] = iter(())
        self._has_begun = False
        self._digest: Any = None

    async def read(
        self, save: Save[R], *, file_bytes_max: int | None = None
    ) -> tuple[T, dict[str, R]]:
        """The fields, and what `save` made of each file, by the name of its field.

        Raises Problem for whatever is wrong, at once where that can be; `save` may have been
        called by then.
        """
        pairs: list[tuple[str, str]] = []
        saved: dict[str, R] = {}
        seen: set[str] = set()
        async for segment in self._segments():
            name = _utf8(segment.name or "", "body")
            if name in seen and not name.endswith("[]"):
                raise Problem(DUPLICATE_PARAMETER, param=shown(name), name=shown(name))
            seen.add(name)
            if name in self._files:
                part = self._file(segment, name, file_bytes_max)
                saved[name] = await save(part)
                pairs.append((name, part.filename))
                # What was not wanted of it is passed over.
                async for _ in part:
                    pass
            else:
                pairs.append((name, await self._text(segment, name)))
        self._ended()
        return self._fields.decode_pairs(pairs), saved

    # --- the same form once more --------------------------------------------------------------

    def start_digest(self) -> None:
        """From now on take note of what is read, for `digest`."""
        if self._digest is None:
            self._digest = hashlib.sha256()

    def digest(self) -> str:
        """What two forms of the same names, texts and files agree in; of what was read so far."""
        return str(self._digest.hexdigest()) if self._digest is not None else ""

    async def skim(self) -> str:
        """Read all of it and keep nothing; its digest."""
        self.start_digest()
        async for segment in self._segments():
            name = _utf8(segment.name or "", "body")
            self._note(name, segment.filename or "")
            async for chunk in self._payload():
                self._digest.update(chunk)
        self._ended()
        return self.digest()

    def _note(self, name: str, filename: str) -> None:
        if self._digest is not None:
            self._digest.update(repr((name, filename, self._digest.hexdigest())).encode())

    # --- parts --------------------------------------------------------------------------------

    def _file(self, segment: MultipartSegment, name: str, bytes_max: int | None) -> FilePart:
        if segment.filename is None:
            raise Problem(
                INVALID_TYPE, param=name, name=name, expected="a file", got="a text field"
            )
        filename = _utf8(segment.filename, name)
        self._note(name, segment.filename)
        return FilePart(
            name, filename, segment.content_type or "", self._chunks_of(name, bytes_max)
        )

    async def _chunks_of(self, name: str, bytes_max: int | None) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._payload():
            size += len(chunk)
            if bytes_max is not None and size > bytes_max:
                raise Problem(FILE_TOO_LARGE, param=name, name=name, limit=bytes_max)
            if self._digest is not None:
                self._digest.update(chunk)
            yield chunk

    async def _text(self, segment: MultipartSegment, name: str) -> str:
        told = shown(name) or "body"
        if segment.filename is not None:
            if self._fields.knows(name):
                raise Problem(
                    INVALID_TYPE, param=told, name=told, expected="a text field", got="a file"
                )
            raise Problem(UNKNOWN_PARAMETER, param=told, name=told)
        self._note(name, "")
        limit = self._settings.form_field_bytes_max
        data = bytearray()
        async for chunk in self._payload():
            data += chunk
            if len(data) > limit:
                raise Problem(
                    INVALID, param=told, name=told, reason=f"it is longer than {limit} bytes."
                )
        if self._digest is not None:
            self._digest.update(data)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            reason = "the text is not valid UTF-8."
            raise Problem(INVALID, param=told, name=told, reason=reason) from error

    # --- what the parser says -----------------------------------------------------------------

    async def _segments(self) -> AsyncIterator[MultipartSegment]:
        while True:
            event = await self._event()
            if event is _END:
                return
            if isinstance(event, MultipartSegment):
                yield event

    async def _payload(self) -> AsyncIterator[bytes]:
        """The rest of the part that has begun."""
        while isinstance(event := await self._event(), bytes | bytearray):
            yield bytes(event)

    async def _event(self) -> Any:
        while True:
            try:
                for event in self._events:
                    self._has_begun = True
                    return event
                self._hold_preamble()
                chunk = await self._incoming.next()
                if not chunk:
                    self._parser.close()
                    return _END
                self._events = self._parser.parse(chunk)
            except MultipartError as error:
                raise _not_a_form(error) from error

    def _hold_preamble(self) -> None:
        # The parser would look for the first boundary for as long as anything comes.
        headers = PART_HEADERS_MAX * self._settings.form_header_bytes_max
        if not self._has_begun and self._incoming.bytes > PREAMBLE_BYTES_MAX + headers:
            raise Problem(NOT_A_FORM, reason="its boundary does not come")


_END = object()


def file_fields(kind: Any) -> list[str]:
    """The names of a struct's fields that are files."""
    root = mi.type_info(kind)
    assert isinstance(root, mi.StructType), "a form decodes to a struct"
    return [field.encode_name for field in root.fields if _is_file(field.type)]


def _is_file(kind: mi.Type) -> bool:
    if isinstance(kind, mi.UnionType):
        return any(_is_file(each) for each in kind.types)
    return isinstance(kind, mi.Metadata) and bool((kind.extra or {}).get(FILE_MARK))


def _utf8(text: str, name: str) -> str:
    """What was read as Latin-1, as the UTF-8 that it is."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError as error:
        reason = "its name is not valid UTF-8."
        raise Problem(INVALID, param=name, name=name, reason=reason) from error


def _not_a_form(error: MultipartError) -> Problem:
    reason = str(error.args[0]) if error.args else "it cannot be read"
    if isinstance(error, ParserLimitReached):
        reason = f"{reason} (see the settings that begin with form_)"
    return Problem(NOT_A_FORM, reason=f"{reason[:1].lower()}{reason[1:]}")
