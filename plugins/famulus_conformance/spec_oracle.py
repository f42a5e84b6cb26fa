"""OpenAI's own OpenAPI document as an oracle. It is not kept here: somebody names a copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from famulus_conformance.described import DescribedOracle, in_scope
from famulus_conformance.overlay import overlaid


def spec_oracle(path: Path) -> DescribedOracle:
    """The oracle of a copy of `openapi.json`. Raises OSError, ValueError or LookupError."""
    document = spec_document(path)
    version = document["info"]["version"]
    return DescribedOracle(
        overlaid(document, "document"),
        name=f"OpenAI's OpenAPI document, version {version}",
        is_document=True,
    )


def spec_document(path: Path) -> dict[str, Any]:
    """The document as OpenAI wrote it, as far as it is in scope and means anything in 3.1."""
    return in_scope(_mended(json.loads(path.read_text())))


def _mended(part: Any) -> Any:
    """The same with OpenAPI 3.0's `nullable`, which says nothing in 3.1, said as it is meant."""
    if isinstance(part, list):
        return [_mended(each) for each in part]
    if not isinstance(part, dict):
        return part
    mended = {name: _mended(value) for name, value in part.items()}
    if mended.get("nullable") is not True:
        return mended
    del mended["nullable"]
    return {"anyOf": [mended, {"type": "null"}]}
