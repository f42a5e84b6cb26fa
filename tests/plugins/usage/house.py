"""A server that counts what is used, a scripted model, and the official client."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from openai import AsyncOpenAI

from famulus.testing import (
    FixedClock,
    Script,
    ScriptedBackend,
    TestServer,
    live_server,
    make_kernel,
)

PLUGINS = (
    *("sqlite", "events", "jobs", "keys", "admin", "assistants", "threads", "models"),
    *("runs", "functions", "chat", "idempotency", "usage"),
)
ADMIN = "the admin key of the deployment"
FIXED = "the key of the deployment"
MIDNIGHT = 1_698_796_800
"""2023-11-01, when a month begins."""
NOW = MIDNIGHT + 10 * 86_400 + 12 * 3_600 + 30
PRICES = {"scripted": {"input": 2.0, "cached_input": 0.5, "output": 10.0}}


class House:
    """What a test needs of it."""

    def __init__(
        self, server: TestServer, client: AsyncOpenAI, clock: FixedClock, backend: ScriptedBackend
    ) -> None:
        self.server = server
        self.client = client
        self.clock = clock
        self.backend = backend
        self.usage = client.admin.organization.usage
        self.projects = client.admin.organization.projects

    def play(self, script: Script) -> None:
        """What the model says from now on."""
        self.backend.play(script)

    async def said(self, client: AsyncOpenAI | None = None, **more: Any) -> Any:
        """A chat completion."""
        messages = [{"role": "user", "content": "Say something."}]
        fields: dict[str, Any] = {"model": "scripted", "messages": messages, **more}
        return await (client or self.client).chat.completions.create(**fields)

    async def ran(self, client: AsyncOpenAI | None = None, **more: Any) -> Any:
        """A run that is over."""
        client = client or self.client
        assistant = await client.beta.assistants.create(model="scripted", **more)
        return await client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "hi"}]},
            poll_interval_ms=20,
        )

    async def completions(self, **more: Any) -> Any:
        """The one bucket of completions of today."""
        page = await self.usage.completions(start_time=NOW, **more)
        [bucket] = page.data
        return bucket.results

    async def spent(self, **more: Any) -> Any:
        """The one bucket of costs of today."""
        [bucket] = (await self.usage.costs(start_time=NOW, **more)).data
        return bucket.results

    async def key(self, name: str = "Billing") -> tuple[str, str, AsyncOpenAI]:
        """A project, the id of a key of it, and a client with that."""
        project = (await self.projects.create(name=name)).id
        made = await self.projects.service_accounts.create(project_id=project, name="ci")
        assert made.api_key is not None
        return project, made.api_key.id, self.client.with_options(api_key=made.api_key.value)

    def records(self, kind: str) -> Any:
        """All stored records of a kind, by the store's own view."""
        return self.server.plugin("usage").records.scan(kind, limit=1000)

    async def settle(self) -> None:
        """Have everything added up."""
        assert await self.server.plugin("usage").settle()


@asynccontextmanager
async def opened(
    script: Script | None = None,
    *more: Any,
    usage: Mapping[str, Any] | None = None,
    data_dir: Path | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    """A served house; `usage` are the plugin's settings, and `settings` those of others."""
    clock = FixedClock(NOW)
    backend = ScriptedBackend(script or Script(repeats_last=True).says("Yes.").uses(100, 10))
    wanted = {
        "keys": {"admin_api_key": ADMIN, "api_key": FIXED},
        "usage": {"prices": PRICES, **(usage or {})},
        **settings,
    }
    with tempfile.TemporaryDirectory() as folder:
        kernel = make_kernel(
            *PLUGINS,
            *more,
            data_dir=data_dir or Path(folder),
            settings=wanted,
            clock=clock,
            backend=backend,
        )
        async with (
            live_server(kernel) as url,
            AsyncOpenAI(
                base_url=f"{url}/v1", api_key=FIXED, admin_api_key=ADMIN, max_retries=0
            ) as client,
            httpx.AsyncClient(base_url=url, timeout=60) as bare,
        ):
            yield House(TestServer(kernel, bare), client, clock, backend)
