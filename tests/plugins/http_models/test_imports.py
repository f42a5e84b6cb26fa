"""A server without model servers does not pay for the client that would reach them."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import famulus_openai_compatible, famulus_vllm, famulus_models, famulus_chat
print(*[name for name in ("aiohttp", "tokenizers", "httpx") if name in sys.modules])
"""


def test_importing_the_plugins_imports_no_http_client() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
