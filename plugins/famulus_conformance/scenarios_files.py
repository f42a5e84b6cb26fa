"""Files and uploads, by the Python client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import openai

from famulus_conformance.scenarios_stage import Play, Stage, holds, refused, same

UPLOAD = {"filename": "a.txt", "purpose": "assistants", "mime_type": "text/plain", "bytes": 11}


def _file(stage: Stage) -> None:
    files = stage.client.files
    made = files.create(
        file=("größe.txt", b"hello"),
        purpose="assistants",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    told = (made.object, made.filename, made.bytes, made.purpose)
    same(told, ("file", "größe.txt", 5, "assistants"), "the file")
    same(made.expires_at, made.created_at + 3600, "when it expires")
    same(files.retrieve(made.id), made, "retrieved")
    same(files.wait_for_processing(made.id), made, "once it is processed")
    same(files.content(made.id).content, b"hello", "its content")
    gone = files.delete(made.id)
    same((gone.id, gone.object, gone.deleted), (made.id, "file", True), "what says it is gone")
    refused(openai.NotFoundError, lambda: files.retrieve(made.id))


def _from_disk(stage: Stage) -> None:
    here = Path(__file__)
    made = stage.client.files.create(file=here, purpose="user_data")
    same(made.filename, here.name, "its name")
    same(stage.client.files.content(made.id).content, here.read_bytes(), "its content")


def _listed(stage: Stage) -> None:
    files = stage.client.files
    made = [files.create(file=(name, b"x"), purpose="vision").id for name in ("a", "b", "c")]
    pages = list(files.list(purpose="vision", limit=2).iter_pages())
    holds(all(len(page.data) == 2 for page in pages[:-1]), "a page is not full")
    ids = [each.id for page in pages for each in page.data]
    same(ids[:3], made[::-1], "the newest")


def _upload(stage: Stage) -> None:
    uploads = stage.client.uploads
    upload = uploads.create(**UPLOAD)
    parts = [uploads.parts.create(upload.id, data=data).id for data in (b"hello ", b"world")]
    done = uploads.complete(upload.id, part_ids=parts)
    same(done.status, "completed", "the upload")
    same(stage.client.files.content(done.file.id).content, b"hello world", "its content")
    other = uploads.create(**UPLOAD)
    same(uploads.cancel(other.id).status, "cancelled", "the other upload")
    refused(openai.BadRequestError, lambda: uploads.complete(other.id, part_ids=parts))


PLAYS: Mapping[str, Play] = {
    "a file is created, retrieved, downloaded and deleted": _file,
    "a file is streamed from the disk": _from_disk,
    "files are listed over several pages": _listed,
    "an upload is completed from its parts, and another cancelled": _upload,
}
