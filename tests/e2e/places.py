"""A place where the road is walked, and a model server that stands in one."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any

from tests.e2e.serving import Served

from famulus_conformance.scenarios_model import Model


@dataclass(frozen=True)
class Place:
    """A running server, and what is behind it."""

    served: Served
    store: str
    model: Model


@dataclass(frozen=True)
class Vllm:
    """A vLLM that was started here."""

    url: str
    process: subprocess.Popen[Any]

    def kill(self) -> None:
        """End all of it at once; `serve.py` leaves none of its processes behind."""
        self.process.kill()
        self.process.wait()
