"""A server whose boxes are its own does not pay for the client that would reach a gateway."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import famulus_remote_sandbox
print(*[name for name in ("aiohttp", "numpy", "httpx") if name in sys.modules])
"""


def test_importing_the_plugin_imports_no_http_client() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
