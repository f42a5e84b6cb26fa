"""A line to the server that a test can cut, at the moment that matters."""

from __future__ import annotations

import asyncio
from enum import Enum, auto

from famulus import Secret

COMMIT = b"Q\x00\x00\x00\x0bcommit\x00"


class Break(Enum):
    """What becomes of the next commit; its line is cut in each case."""

    BEFORE = auto()
    """It does not reach the server, which sees the line cut."""
    AFTER = auto()
    """It is done, and its answer is lost."""
    SILENT = auto()
    """It does not reach the server, which goes on waiting for it."""


class Line:
    """The relay. It is whole until `next_break` is set, and again after that one break."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self.next_break: Break | None = None
        self.is_down = False
        """Refuses new connections while true."""
        self.goes_down_at_break = False
        self.breaks = 0
        self.dsn = Secret("")
        """Leads through the relay."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._may_flow = asyncio.Event()
        self._may_flow.set()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_down:
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, server_writer}
        back = asyncio.create_task(_pass_on(server_reader, writer))
        is_kept = False
        try:
            while data := await reader.read(65536):
                await self._may_flow.wait()
                if data == COMMIT and self.next_break is not None:
                    is_kept = self.next_break is Break.SILENT
                    await self._cut(server_reader, server_writer, back)
                    return
                server_writer.write(data)
        except ConnectionError:
            pass
        finally:
            back.cancel()
            writer.close()
            if not is_kept:
                server_writer.close()

    async def _cut(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.Task[None],
    ) -> None:
        how, self.next_break = self.next_break, None
        self.breaks += 1
        self.is_down = self.goes_down_at_break
        if how is Break.AFTER:
            back.cancel()
            await asyncio.wait([back])
            # Terminate: the server hangs up once it has done the commit before it.
            writer.write(COMMIT + b"X\x00\x00\x00\x04")
            while await reader.read(65536):
                pass

    def hold(self) -> None:
        """Let nothing through to the server, and look whole."""
        self._may_flow.clear()

    def go_on(self) -> None:
        """Let everything through again."""
        self._may_flow.set()

    def cut_all(self) -> None:
        """Cut every line, and let no new one through."""
        self.is_down = True
        for writer in self._writers:
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    writer.close()
