"""The servers under test: started, killed, frozen, and found again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from client import KEY
from stores import Store

HERE = Path(__file__).resolve().parent
READY_S = 60.0
END_S = 30.0
POLL_S = 0.01

LEASE_S = 2.5
SETTINGS = {
    "FAMULUS_JOBS__HEARTBEAT_S": "0.4",
    "FAMULUS_JOBS__LEASE_S": str(LEASE_S),
    "FAMULUS_JOBS__POLL_S": "0.5",
    "FAMULUS_JOBS__RETRY_S": "0.2",
    # Fewer than there are clients, so that runs wait for room and are taken from the store.
    "FAMULUS_RUNS__RUNS_AT_ONCE_MAX": "5",
    "FAMULUS_RUNS__CHECKPOINT_MS": "30",
    "FAMULUS_RUNS__CHECKPOINT_BYTES": "96",
    "FAMULUS_RUNS__EXPIRY_POLL_S": "0.2",
    "FAMULUS_RUNS__FINISH_S": "0.3",
    "FAMULUS_SERVER__DRAIN_S": "1",
    "FAMULUS_IDEMPOTENCY__WAIT_S": "2",
    "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
}


class NotReady(Exception):
    """A server ended, or was not ready in time; says what it logged."""


class Zygote:
    """Forks servers; see `zygote.py`."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Zygote:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "zygote.py"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def fork(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> Process:
        """A new server."""
        asked = {"argv": argv, "env": env, "cwd": str(cwd), "log": str(log)}
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        async with self._lock:
            process.stdin.write(msgspec.json.encode(asked) + b"\n")
            return Process(int(await process.stdout.readline()))


class Process:
    """A process that is another's child."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended = asyncio.Event()
        # A number may be given to another process later; a descriptor of it never is.
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._over)

    def _over(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.ended.set()

    def signal(self, number: int) -> None:
        """Send it a signal, if it is there."""
        if not self.ended.is_set():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)


class Server:
    """One server."""

    def __init__(
        self,
        number: int,
        *,
        zygote: Zygote,
        folder: Path,
        store: Store,
        model_url: str,
        mutant: str = "",
    ) -> None:
        self.folder = folder / f"server-{number}"
        self.folder.mkdir(parents=True)
        self.log = self.folder / "server.log"
        self.log.touch()
        self.url = ""
        self.process: Process | None = None
        self.is_frozen = False
        self._zygote = zygote
        self._seen = 0
        self._stood_still: set[int] = set()
        self._arm = self.folder / "arm"
        self._environment = {
            **{key: value for key, value in os.environ.items() if "FAMULUS" not in key},
            **SETTINGS,
            **store.environment(number),
            "FAMULUS_API_KEY": KEY,
            "FAMULUS_BACKEND": model_url,
            "CRASH_ARM": str(self._arm),
            "CRASH_EFFECTS": str(folder / "effects"),
            "CRASH_MUTANT": mutant,
        }

    async def start(self, *, point: str = "", settings: Mapping[str, str] | None = None) -> None:
        """Start, and wait until it is ready, or has died at the point."""
        self.stood_still()
        self._seen = self.log.stat().st_size
        environment = {**self._environment, **(settings or {}), "FAMULUS_FAILPOINT": point}
        self.process = await self._zygote.fork(
            ["famulus", *self._arguments("serve"), "--port=0"],
            env=environment,
            cwd=self.folder,
            log=self.log,
        )
        try:
            async with asyncio.timeout(READY_S):
                while not self._ready():
                    if not self.is_alive:
                        if point:
                            return
                        raise NotReady(f"it ended: {self.tail()}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise NotReady(f"not ready in {READY_S:g} s: {self.tail()}") from None

    def _arguments(self, *words: str) -> list[str]:
        """A command of `famulus` on this server's data."""
        return [
            *words,
            f"--data-dir={self.folder / 'data'}",
            f"--plugins-dir={HERE / 'plugins'}",
            "--log-format=json",
        ]

    async def run(self, *words: str, point: str = "") -> tuple[int, str]:
        """Run a command; its exit code and what it printed."""
        environment = {**self._environment, "FAMULUS_FAILPOINT": point}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "server.py"),
            *self._arguments(*words),
            cwd=self.folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode()

    def _ready(self) -> bool:
        for line in self._logged().splitlines(keepends=True):
            if b'"event":"ready"' in line.replace(b" ", b"") and line.endswith(b"\n"):
                self.url = str(msgspec.json.decode(line)["url"])
                return True
        return False

    def _logged(self) -> bytes:
        """What it has logged since it was started last."""
        return self.log.read_bytes()[self._seen :]

    @property
    def has_lost_lease(self) -> bool:
        """Whether it was taken for dead, and says that it must be restarted."""
        return self.is_alive and b'"lease_lost"' in self._logged()

    def stood_still(self) -> set[int]:
        """Its processes so far that say that they were taken for dead while they lived."""
        if self.process is not None and b'"lease_lost"' in self._logged():
            self._stood_still.add(self.process.pid)
        return self._stood_still

    @property
    def is_alive(self) -> bool:
        """Whether it runs, frozen or not."""
        return self.process is not None and not self.process.ended.is_set()

    async def arm(self, point: str) -> None:
        """Have it die at a point from now on."""
        self._arm.write_text(point)
        self._signal(signal.SIGUSR1)
        async with asyncio.timeout(END_S):
            while self._arm.exists() and self.is_alive:
                await asyncio.sleep(POLL_S)

    async def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)
        await self.ended()

    def freeze(self) -> None:
        """Stop it as a suspended machine is, without its knowing."""
        self.is_frozen = True
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        self._signal(signal.SIGCONT)
        self.is_frozen = False

    def ask_to_end(self) -> None:
        """As `systemctl stop` does."""
        self._signal(signal.SIGTERM)

    async def ended(self, within_s: float = END_S) -> bool:
        """Wait until it has ended; whether it has."""
        assert self.process is not None
        try:
            async with asyncio.timeout(within_s):
                await self.process.ended.wait()
        except TimeoutError:
            return False
        return True

    def died_at(self) -> str:
        """The point that it was killed at last, if it ended at one."""
        line = self.tail(1)
        return line.removeprefix("killed at failpoint ") if line.startswith("killed at") else ""

    def tail(self, lines: int = 15) -> str:
        """What it logged last."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: int) -> None:
        if self.process is not None:
            self.process.signal(number)


class Cluster:
    """All servers of one store."""

    def __init__(self, servers: list[Server], seed: object) -> None:
        self.servers = servers
        self._random = random.Random(str(seed))

    def url(self) -> str:
        """One that is up, as a load balancer would choose it; any where none is."""
        up = [each for each in self.servers if each.is_alive and not each.is_frozen and each.url]
        return self._random.choice(up or self.servers).url

    def stood_still(self) -> set[int]:
        """Processes that say that they were taken for dead while they lived."""
        return {pid for each in self.servers for pid in each.stood_still()}

    async def start(self, *, settings: Mapping[str, str] | None = None) -> None:
        """Start those that are not up, and again those that say that they must be."""
        for each in self.servers:
            if each.has_lost_lease:
                await each.kill()
        down = [each for each in self.servers if not each.is_alive]
        await asyncio.gather(*(each.start(settings=settings) for each in down))

    async def kill(self) -> None:
        """Kill all that are up."""
        await asyncio.gather(*(each.kill() for each in self.servers if each.is_alive))
