"""Chooses whom to believe."""

from __future__ import annotations

import os
from pathlib import Path

from famulus_conformance.described import DescribedOracle
from famulus_conformance.spec_oracle import spec_oracle
from famulus_conformance.wheel_oracle import wheel_oracle

VARIABLE = "FAMULUS_OPENAI_SPEC"


def find_oracle(spec: Path | None = None, *, cache: Path | None = None) -> DescribedOracle:
    """OpenAI's document where it is given or `FAMULUS_OPENAI_SPEC` names it, else its client.

    Raises OSError, ValueError or LookupError where the document is none, and ImportError
    where there is no client either.
    """
    named = os.environ.get(VARIABLE, "")
    path = spec or (Path(named) if named else None)
    return spec_oracle(path) if path else wheel_oracle(cache)
