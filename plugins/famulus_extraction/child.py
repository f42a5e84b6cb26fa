"""The process that reads files, one after the other: `python -m famulus_extraction.child`.

It is told what to read on its standard input, and answers on what was its standard output. What
a file makes it do is not trusted by the server.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from famulus_extraction.archives import check_archive, is_archive
from famulus_extraction.document import document
from famulus_extraction.limits import allow_seconds, be_limited, die_with
from famulus_extraction.loading import load
from famulus_extraction.messages import (
    LENGTH_BYTES,
    Done,
    Failed,
    Job,
    Limits,
    Ready,
    Refused,
    Reply,
    frame,
)
from famulus_extraction.unreadable import Unreadable
from famulus_schemas.retrieval import Chunk, Section

T = TypeVar("T")

SENTENCE_CHARACTERS_MAX = 500
BATCH_CHUNKS_MAX = 64
BATCH_CHARACTERS_MAX = 131_072

TOO_MUCH_MEMORY = "The file needs more memory to be read than one file may take."
TOO_MANY_CHUNKS = "The file makes more chunks than one file may; split it."


def main() -> None:
    """Read files until there is nothing more to read."""
    die_with(int(sys.argv[1]))
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _be_silent()
    limits = _decoded(asked, Limits)
    if limits is None:
        return
    be_limited(limits)
    _answer(answers, Ready())
    while job := _decoded(asked, Job):
        allow_seconds(limits.wall_s)
        _answer(answers, _reply(job, limits))


def _be_silent() -> None:
    # A library that prints must not speak for us, and what it prints may be of the file.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _decoded(asked: BinaryIO, kind: type[T]) -> T | None:
    head = asked.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    return msgspec.msgpack.decode(asked.read(int.from_bytes(head, "big")), type=kind)


def _answer(answers: BinaryIO, reply: Reply) -> None:
    answers.write(frame(reply))
    answers.flush()


def _reply(job: Job, limits: Limits) -> Reply:
    try:
        return _read(job, limits)
    except MemoryError:
        return Refused(nonce=job.nonce, message=TOO_MUCH_MEMORY, limit="memory")


def _read(job: Job, limits: Limits) -> Reply:
    try:
        extract, cut = load(job.extractor), load(job.chunker)
    except Exception as error:  # Whatever a plugin's module raises, it is not the file's fault.
        return Failed(nonce=job.nonce, message=_described(error))
    try:
        source = Path(job.source)
        if is_archive(source):
            check_archive(source, limits)
        sections = document(extract(source), limits.text_bytes_max)
    except MemoryError:
        raise
    except ImportError as error:
        return Failed(nonce=job.nonce, message=_described(error))
    except Exception as error:  # A broken file can make any library raise anything.
        return Refused(nonce=job.nonce, message=_sentence(error, job.kind))
    try:
        written = _write(job.output, cut(sections, job.chunking), sections)
        if not written:
            return Failed(nonce=job.nonce, message="the chunker made no chunk of a text")
        return Done(nonce=job.nonce, chunks=written)
    except OSError as error:
        if error.errno == errno.EFBIG:
            return Refused(nonce=job.nonce, message=TOO_MANY_CHUNKS)
        return Failed(nonce=job.nonce, message=_described(error))
    except MemoryError:
        raise
    except Exception as error:  # A chunker must manage any text: it is not the file's fault.
        return Failed(nonce=job.nonce, message=_described(error))


def _sentence(error: Exception, kind: str) -> str:
    # A subclass is a library's own, whose words are for programmers and may quote the file.
    if type(error) in (ValueError, Unreadable) and str(error):
        return str(error)[:SENTENCE_CHARACTERS_MAX]
    return f"The file is damaged, or no {kind} at all ({type(error).__name__})."


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:SENTENCE_CHARACTERS_MAX]


def _write(output: str, chunks: Iterable[Chunk], sections: Sequence[Section]) -> int:
    text = "".join(section.text for section in sections)
    written, batch, characters = 0, list[Chunk](), 0
    with open(output, "wb") as file:
        for chunk in chunks:
            if text[chunk.start : chunk.end] != chunk.text:
                raise ValueError("the chunker gave a chunk that does not stand where it says")
            batch.append(chunk)
            characters += len(chunk.text)
            if len(batch) >= BATCH_CHUNKS_MAX or characters >= BATCH_CHARACTERS_MAX:
                file.write(frame(batch))
                written += len(batch)
                batch, characters = [], 0
        if batch:
            file.write(frame(batch))
    return written + len(batch)


if __name__ == "__main__":
    main()
