"""A real kernel gateway, started once for all tests that need one."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

TOKEN = "token-of-the-gateway"
READY_S = 60.0


def gateway_command() -> list[str] | None:
    """How a gateway is started, if there is one."""
    if named := os.environ.get("FAMULUS_TEST_KERNEL_GATEWAY"):
        return [named]
    if find_spec("kernel_gateway") is not None and find_spec("ipykernel") is not None:
        return [sys.executable, "-m", "kernel_gateway"]
    return None


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real gateway, whose kernels are this machine's processes."""
    command = gateway_command()
    if command is None:
        pytest.skip("no kernel gateway: FAMULUS_TEST_KERNEL_GATEWAY does not name one")
    folder = tmp_path_factory.mktemp("gateway")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    private = {f"JUPYTER_{each}_DIR": str(folder / each) for each in ("CONFIG", "DATA", "RUNTIME")}
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [
            *command,
            "--KernelGatewayApp.ip=127.0.0.1",
            f"--KernelGatewayApp.port={port}",
            "--KernelGatewayApp.port_retries=0",
            f"--KernelGatewayApp.auth_token={TOKEN}",
            # Code that cannot be stopped is killed at once, and a dead kernel is soon seen.
            "--KernelManager.shutdown_wait_time=0.2",
            "--AsyncIOLoopKernelRestarter.time_to_dead=0.2",
            "--KernelRestarter.time_to_dead=0.2",
            "--ZMQChannelsWebsocketConnection.iopub_data_rate_limit=1e9",
            "--ZMQChannelsWebsocketConnection.iopub_msg_rate_limit=1e6",
        ],
        env={**os.environ, **private, "IPYTHONDIR": str(folder / "ipython")},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )
    log.close()
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_S
    request = urllib.request.Request(f"{url}/api", headers={"Authorization": f"token {TOKEN}"})
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"the gateway did not start: {log.read_text()[-2000:]}")
