"""A PostgreSQL with pgvector, started once, and a schema of its own for each test.

FAMULUS_TEST_PGVECTOR names a server to use instead. Where there is none, these tests are skipped,
and say so; where the variable names one that does not answer, they fail.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

asyncpg = pytest.importorskip("asyncpg", reason="NOT TESTED: asyncpg is not installed")

WHY_NOT = (
    "NO PGVECTOR: install pgserver, or set FAMULUS_TEST_PGVECTOR to the dsn of a server for tests"
)


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    if named := os.environ.get("FAMULUS_TEST_PGVECTOR"):
        yield named
        return
    spec = find_spec("pgserver")
    if spec is None or spec.origin is None:
        pytest.skip(WHY_NOT)
    # Not pytest's folder: the server's user must be able to reach it, and a socket's path is short.
    with tempfile.TemporaryDirectory(prefix="pgv") as folder:
        yield from started(Path(spec.origin).parents[1], Path(folder))


def started(packages: Path, folder: Path) -> Iterator[str]:
    """The dsn of a server that listens in the folder; pgserver is one of the packages."""
    user: str | None = None
    if os.geteuid() == 0:
        # PostgreSQL refuses to be root, and nobody else may be able to reach where it is installed.
        for name in ("pgserver", "pgserver.libs"):
            shutil.copytree(packages / name, folder / name)
        packages = folder
        user = "nobody"
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        folder.chmod(0o755)
    data, log = folder / "data", folder / "log"
    programs = packages / "pgserver" / "pginstall" / "bin"
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust"]
    done = subprocess.run(
        [*initdb, "-E", "utf8", "--no-sync"], user=user, cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"{WHY_NOT}; pgserver's cannot run here: {done.stderr[-500:]}")
    options = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off"}
    command = [programs / "postgres", "-D", data]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, user=user, cwd=folder, stdout=out, stderr=out)
    try:
        while not (folder / ".s.PGSQL.5432").exists() or "ready to accept" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
async def schema(dsn: str) -> AsyncIterator[str]:
    """The name of a schema that does not exist yet, and is gone after the test."""
    name = f"test_{secrets.token_hex(6)}"
    yield name
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"drop schema if exists {name} cascade")
    await connection.close()


@pytest.fixture
async def run(dsn: str, schema: str) -> AsyncIterator[Any]:
    """Runs a statement in the test's schema, beside the plugin; the rows."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": f"{schema}, public"})
    yield connection.fetch
    await connection.close()
