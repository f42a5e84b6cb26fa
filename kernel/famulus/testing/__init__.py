"""The testing kit: what a plugin's author needs to test it, shipped with the server.

async def test_a_note_is_kept():
    async with kernel_with(Notes) as server:
        assert (await server.post("/v1/notes", {"text": "hi"})).status_code == 200
"""

from famulus.testing.kit import (
    FixedClock,
    NumberedIds,
    TestServer,
    conformance_for,
    kernel_with,
    live_server,
    make_kernel,
)
from famulus.testing.scripted import Script, ScriptedBackend, faults, tool

__all__ = [
    "FixedClock",
    "NumberedIds",
    "Script",
    "ScriptedBackend",
    "TestServer",
    "conformance_for",
    "faults",
    "kernel_with",
    "live_server",
    "make_kernel",
    "tool",
]
