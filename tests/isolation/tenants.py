"""A whole server with two projects in it, and one of everything that a project can have."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
from tests.plugins.code_interpreter.trusted_sandbox import TrustedSandbox

from famulus.config import load_config
from famulus.kernel import Kernel
from famulus.log import make_log
from famulus.openapi import openapi_document
from famulus.testing import (
    Script,
    ScriptedBackend,
    TestServer,
    kernel_with,
    make_kernel,
    tool,
)

PLUGINS = (
    *("sqlite", "events", "jobs", "keys", "admin", "audit", "idempotency", "local_blobs", "files"),
    *("assistants", "threads", "models", "builtin", "runs", "functions", "chat"),
    *("extraction", "embeddings", "exact_vectors", "vector_stores", "file_search"),
    *("containers", "code_interpreter", "usage", "rate_limits", "memory_limits"),
    TrustedSandbox,
)
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "keys": {"first_key": False},
    # Strangers guess by the hundred, and are to be refused for what they sent.
    "rate_limits": {"failed_logins_per_minute": 0},
    "runs": {"finish_s": 0.1},
    "jobs": {"poll_s": 0.05},
}
FUNCTION = {"type": "function", "function": {"name": "look"}}
SETTLE_S = 0.01
SETTLE_TIMES = 500


class Tenant:
    """One project and its key. `mark` is in every text that it has."""

    def __init__(
        self, server: TestServer, backend: ScriptedBackend, project: str, token: str
    ) -> None:
        self.server = server
        self.backend = backend
        self.mark = f"the words of {project}"
        self.headers = {"authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """What is answered."""
        return await self.server.client.request(method, path, headers=self.headers, **more)

    async def made(self, path: str, json: Any = None, **more: Any) -> Any:
        """What a POST makes, which must succeed."""
        response = await self.ask("POST", f"/v1{path}", json=json, **more)
        assert response.status_code == 200, response.text
        return response.json()

    async def settled(self, path: str, *statuses: str) -> Any:
        """What is there once it has one of these statuses."""
        for _ in range(SETTLE_TIMES):
            found = (await self.ask("GET", f"/v1{path}")).json()
            if found["status"] in statuses:
                return found
            await asyncio.sleep(SETTLE_S)
        raise AssertionError(f"{path} stays {found['status']}")

    # --- one of everything --------------------------------------------------------------------

    async def things(self, *, waits: bool) -> Things:
        """One of everything; with `waits` its run is one that still waits for its client."""
        text = self.mark.encode()
        mark = {"metadata": {"mark": self.mark}}
        ids: dict[str, str] = {}

        async def file(purpose: str, name: str) -> str:
            files = {"file": (f"{self.mark}{name}", text)}
            return str((await self.made("/files", data={"purpose": purpose}, files=files))["id"])

        ids["file"] = await file("assistants", ".txt")
        ids["picture"] = await file("vision", ".png")
        store = await self.made("/vector_stores", {"name": self.mark, **mark})
        ids["store"] = store["id"]
        batch = await self.made(
            f"/vector_stores/{ids['store']}/file_batches", {"file_ids": [ids["file"]]}
        )
        ids["batch"] = batch["id"]
        where = f"/vector_stores/{ids['store']}/file_batches/{ids['batch']}"
        assert (await self.settled(where, "completed"))["file_counts"]["failed"] == 0
        container = await self.made("/containers", {"name": self.mark})
        ids["container"] = container["id"]
        kept = {"file": (f"{self.mark}.txt", text)}
        in_container = await self.made(f"/containers/{ids['container']}/files", files=kept)
        ids["container_file"] = in_container["id"]
        upload = {
            "filename": f"{self.mark}.txt",
            "bytes": len(text),
            "mime_type": "text/plain",
            "purpose": "assistants",
        }
        ids["upload"] = (await self.made("/uploads", upload))["id"]
        part = {"data": ("part", text)}
        ids["part"] = (await self.made(f"/uploads/{ids['upload']}/parts", files=part))["id"]
        assistant = {"model": "scripted", "instructions": self.mark, "tools": [FUNCTION], **mark}
        ids["assistant"] = (await self.made("/assistants", assistant))["id"]
        await self._conversation(ids, waits=waits)
        return Things(self, ids)

    async def _conversation(self, ids: dict[str, str], *, waits: bool) -> None:
        words = [{"role": "user", "content": self.mark}]
        mark = {"mark": self.mark}
        ids["thread"] = (await self.made("/threads", {"messages": words, "metadata": mark}))["id"]
        # What earlier requests have begun may ask the model, too.
        script = Script(repeats_last=True)
        call = tool("look", {"at": self.mark}, id="call_1")
        self.backend.play(script.calls(call) if waits else script.says("."))
        wanted = {"assistant_id": ids["assistant"], "metadata": mark}
        run = await self.made(f"/threads/{ids['thread']}/runs", wanted)
        ids["run"] = run["id"]
        where = f"/threads/{ids['thread']}/runs/{ids['run']}"
        await self.settled(where, "requires_action" if waits else "completed")
        steps = (await self.ask("GET", f"/v1{where}/steps")).json()["data"]
        ids["step"] = steps[0]["id"]
        messages = await self.ask("GET", f"/v1/threads/{ids['thread']}/messages?order=asc")
        ids["message"] = messages.json()["data"][0]["id"]
        ids["call"] = "call_1"


class Things:
    """The ids of one of everything that a tenant has."""

    def __init__(self, owner: Tenant, ids: Mapping[str, str]) -> None:
        self.owner = owner
        self.ids = ids

    async def all(self) -> dict[str, str]:
        """All that can be read of them, by where it is read."""
        ids = self.ids
        thread, run = f"/threads/{ids['thread']}", f"/threads/{ids['thread']}/runs/{ids['run']}"
        store, container = f"/vector_stores/{ids['store']}", f"/containers/{ids['container']}"
        where = [
            *("/files", f"/files/{ids['file']}", f"/files/{ids['file']}/content"),
            *("/assistants", f"/assistants/{ids['assistant']}"),
            *("/threads", thread, f"{thread}/messages", f"{thread}/runs", run, f"{run}/steps"),
            *("/vector_stores", store, f"{store}/files", f"{store}/files/{ids['file']}/content"),
            *(f"{store}/file_batches/{ids['batch']}", f"{store}/files/{ids['file']}"),
            *("/containers", container, f"{container}/files"),
            f"{container}/files/{ids['container_file']}/content",
        ]
        read = {path: await self.owner.ask("GET", f"/v1{path}") for path in where}
        return {path: f"{each.status_code} {_settled(each.text)}" for path, each in read.items()}


def _settled(text: str) -> str:
    """Without when it was last used: reading it is a use."""
    return re.sub(r'"last_active_at":\d+', "", text)


@asynccontextmanager
async def two_tenants(
    data_dir: Path, *also: str, settings: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> AsyncIterator[tuple[Tenant, Tenant]]:
    """A server with everything, and two projects in it that each have a key."""
    backend = ScriptedBackend()
    async with kernel_with(
        *PLUGINS, *also, data_dir=data_dir, settings={**SETTINGS, **settings}, backend=backend
    ) as server:
        yield await _tenant(server, backend, "one"), await _tenant(server, backend, "other")


async def _tenant(server: TestServer, backend: ScriptedBackend, project: str) -> Tenant:
    _, token = await server.plugin("keys").create(project=project)
    return Tenant(server, backend, project, token)


def planned_document(data_dir: Path) -> dict[str, Any]:
    """The OpenAPI document of that server, which need not be started for it."""
    backend = ScriptedBackend()
    kernel = make_kernel(*PLUGINS, data_dir=data_dir, settings=SETTINGS, backend=backend)
    return _document(kernel)


def installed_document() -> dict[str, Any]:
    """The OpenAPI document of all that is installed."""
    return _document(Kernel(load_config(None, environment={}), log=make_log("critical")))


def _document(kernel: Kernel) -> dict[str, Any]:
    kernel.plan()
    kernel.lifecycle.construct()
    return openapi_document(kernel.planned_operations())
