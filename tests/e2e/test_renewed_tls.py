"""A certificate is renewed while the server serves, as an operator's cron job does it."""

from __future__ import annotations

import signal
import ssl
import time
from pathlib import Path

import httpx
from tests.e2e.serving import Served, serve
from tests.kernel.certificates import write_certificate


def shown(served: Served) -> str:
    """The certificate that whoever connects now is shown."""
    host, port = served.url.removeprefix("https://").split(":")
    return ssl.get_server_certificate((host, int(port))).strip()


def hang_up(served: Served, event: str) -> None:
    """Send SIGHUP, and wait for what the server says of it."""
    before = sum(each["event"] == event for each in served.events())
    served.process.send_signal(signal.SIGHUP)
    while sum(each["event"] == event for each in served.events()) == before:
        assert served.process.poll() is None
        time.sleep(0.02)


def test_sighup_uses_renewed_files_and_keeps_the_old_where_they_are_of_no_use(
    tmp_path: Path,
) -> None:
    cert, key = write_certificate(tmp_path)
    first = cert.read_text().strip()
    environment = {
        "FAMULUS_SERVER__TLS_CERT": str(cert),
        "FAMULUS_SERVER__TLS_KEY": str(key),
        "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
    }
    with serve(tmp_path / "server", environment=environment) as served:
        kept = httpx.Client(verify=ssl.create_default_context(cafile=str(cert)))
        assert kept.get(f"{served.url}/health/live").status_code == 200
        assert shown(served) == first
        second = write_certificate(tmp_path)[0].read_text().strip()
        hang_up(served, "reloaded")
        assert shown(served) == second
        # Who was connected before stays so.
        assert kept.get(f"{served.url}/health/live").status_code == 200
        key.chmod(0o644)
        hang_up(served, "reload_refused")
        assert shown(served) == second
        kept.close()
