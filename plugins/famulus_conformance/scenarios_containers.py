"""Containers and their files, by the Python client."""

from __future__ import annotations

from collections.abc import Mapping

import openai

from famulus_conformance.scenarios_stage import Play, Stage, holds, refused, same


def _container(stage: Stage) -> None:
    containers = stage.client.containers
    made = containers.create(
        name="größe", expires_after={"anchor": "last_active_at", "minutes": 5}, memory_limit="4g"
    )
    told = (made.object, made.name, made.status, made.memory_limit)
    same(told, ("container", "größe", "running", "4g"), "the container")
    same(made.expires_after.minutes, 5, "when it expires")
    same(containers.retrieve(made.id).id, made.id, "retrieved")
    others = [containers.create(name="größe").id for _ in range(2)]
    pages = list(containers.list(name="größe", limit=2).iter_pages())
    holds(all(len(page.data) == 2 for page in pages[:-1]), "a page is not full")
    ids = [each.id for page in pages for each in page.data]
    same(ids[:3], [*others[::-1], made.id], "the newest")
    containers.delete(made.id)
    refused(openai.NotFoundError, lambda: containers.retrieve(made.id))


def _files(stage: Stage) -> None:
    client = stage.client
    kept = client.files.create(file=("kept.txt", b"kept"), purpose="assistants")
    container = client.containers.create(name="c", file_ids=[kept.id])
    files = client.containers.files
    sent = files.create(container.id, file=("größe.txt", b"sent"))
    copied = files.create(container.id, file_id=kept.id)
    told = (sent.object, sent.container_id, sent.bytes, sent.path, sent.source)
    same(told, ("container.file", container.id, 4, "/mnt/data/größe.txt", "user"), "the file")
    client.files.delete(kept.id)
    paths = [file.path for file in files.list(container.id, order="asc", limit=2)]
    due = ["/mnt/data/kept.txt", "/mnt/data/größe.txt", "/mnt/data/kept_2.txt"]
    same(paths, due, "their paths")
    found = files.retrieve(sent.id, container_id=container.id)
    same(found.to_dict(), sent.to_dict(), "retrieved")
    for file, content in ((sent, b"sent"), (copied, b"kept")):
        answer = files.content.retrieve(file.id, container_id=container.id)
        same(answer.content, content, "its content")
    files.delete(sent.id, container_id=container.id)
    refused(
        openai.NotFoundError,
        lambda: files.content.retrieve(sent.id, container_id=container.id),
    )


PLAYS: Mapping[str, Play] = {
    "a container is created, retrieved, listed and deleted": _container,
    "files come into a container, are downloaded and deleted": _files,
}
"""How the Python client plays them."""
