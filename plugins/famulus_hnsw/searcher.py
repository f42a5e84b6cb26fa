"""The server's end of the process that searches graphs."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Final

import msgspec

from famulus_hnsw.questions import Answer, Question

WAIT_S: Final = 0.02
"""Who does not get his turn in this time, as a graph is being read, does without."""
ANSWER_BYTES_MAX: Final = 1 << 30
STOP_S: Final = 5.0

_decoder: Final = msgspec.msgpack.Decoder(Answer)


class Busy(Exception):
    """Another question is being answered."""


class Gone(Exception):
    """The process ended, or did not answer in time and was ended: its graphs are gone."""


class Searcher:
    """Asks the process, which is started when it is first asked. For threads."""

    def __init__(self) -> None:
        self.lives = 0
        """Processes that were started; the graphs of each are gone with it."""
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def ask(self, question: Question, *, answer_s: float, wait_s: float = -1) -> Answer:
        """The answer. Raises Busy, and Gone."""
        with self._taken(wait_s):
            try:
                connection = self._connection or self._start()
                connection.send_bytes(msgspec.msgpack.encode(question))
                if not connection.poll(answer_s):
                    raise Gone(f"it did not answer within {answer_s:g} s")
                answer: Answer = _decoder.decode(connection.recv_bytes(ANSWER_BYTES_MAX))
                return answer
            except (OSError, EOFError, msgspec.DecodeError) as error:
                code = self._stop()
                raise Gone(f"it ended with {code}: {error!r}") from error
            except Gone:
                self._stop(kill=True)
                raise

    def close(self) -> None:
        """End the process."""
        with self._taken(-1):
            self._stop()

    @contextmanager
    def _taken(self, wait_s: float) -> Iterator[None]:
        if not self._turn.acquire(timeout=wait_s):
            raise Busy
        try:
            yield
        finally:
            self._turn.release()

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # Our own module, and a number.
                [sys.executable, "-P", "-m", "famulus_hnsw.search", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self.lives += 1
        self._connection = Connection(ours.detach())
        return self._connection

    def _stop(self, *, kill: bool = False) -> int | None:
        connection, self._connection = self._connection, None
        process, self._process = self._process, None
        if connection is not None:
            connection.close()
        if process is None:
            return None
        if not kill:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(STOP_S)
        process.kill()
        return process.wait()
