"""Stored files as answers: streamed in constant memory, whole or the range that was asked for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote

from famulus.answers import Bytes
from famulus.call import Call
from famulus_schemas.errors import RANGE_OUTSIDE, Problem

Open = Callable[[int, int], Awaitable[AsyncIterator[bytes]]]
"""Opens the bytes from a first one up to one that is not read any more."""

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


async def download(call: Call, open: Open, *, size: int, filename: str, etag: str) -> Bytes:
    """The file as an attachment; of several ranges at once, all of it is the answer.

    Raises Problem (416) for a range that the file does not have.
    """
    headers = call.response_headers
    headers["accept-ranges"] = "bytes"
    headers["content-disposition"] = attachment(filename)
    headers["etag"] = f'"{etag}"'
    span = _span(call, size, etag)
    start, end = span or (0, size)
    if span is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    status = 200 if span is None else 206
    chunks = await open(start, end)
    return Bytes(chunks, "application/octet-stream", status=status, length=end - start)


def attachment(filename: str) -> str:
    """A Content-Disposition that names a file, whatever characters its name is of."""
    name = re.split(r"[/\\]", filename)[-1] or "file"
    plain = re.sub(r"[^A-Za-z0-9 ._()-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _span(call: Call, size: int, etag: str) -> tuple[int, int] | None:
    """First byte and the one behind the last that are asked for; None for all of them."""
    asked = call.headers.get("range", "")
    found = _RANGE.fullmatch(asked.replace(" ", ""))
    if found is None or call.headers.get("if-range", f'"{etag}"') != f'"{etag}"':
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= min(end, size):
        headers = {"content-range": f"bytes */{size}"}
        raise Problem(RANGE_OUTSIDE, headers=headers, range=asked[:100], size=size)
    return start, end
