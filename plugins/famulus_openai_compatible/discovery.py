"""Looking for model servers on this machine, at the ports where they usually are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from famulus_http_models.settings import Server

HOST = "127.0.0.1"
"""Never anything but this machine: nobody else asked to be looked at."""

USUAL_PORTS: Mapping[str, int] = {
    "vllm": 8000,
    "ollama": 11434,
    "llama.cpp": 8080,
    "lm-studio": 1234,
}


async def listening(ports: Mapping[str, int], timeout_s: float) -> Sequence[Server]:
    """Those of the ports that accept a connection, as servers yet to be asked."""
    accepts = await asyncio.gather(*(_accepts(port, timeout_s) for port in ports.values()))
    return [
        Server(url=f"http://{HOST}:{port}/v1", name=name)
        for (name, port), accepted in zip(ports.items(), accepts, strict=True)
        if accepted
    ]


async def _accepts(port: int, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True
