"""A server's list of models, read as leniently as servers write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from famulus_schemas.inference import BackendFault, ModelCard


class _Meta(msgspec.Struct):
    n_ctx: int | None = None


class _Model(msgspec.Struct):
    id: str
    created: int | float | None = None
    owned_by: str | None = None
    max_model_len: int | None = None
    context_length: int | None = None
    meta: _Meta | None = None
    architecture: Any = None
    capabilities: Any = None


class _Models(msgspec.Struct):
    data: list[_Model] | None
    models: Any = None
    """llama.cpp's other list of the same models, which says what they can do."""


_decode = msgspec.json.Decoder(_Models).decode


def read_models(body: bytes, *, backend: str, context_tokens: int | None) -> Sequence[ModelCard]:
    """The cards. Raises BackendFault where it is no list of models."""
    try:
        listed = _decode(body)
    except (ValueError, RecursionError) as error:
        raise BackendFault(
            "broken", f"its /models is no list of models: {error}", backend=backend
        ) from error
    models = listed.data or []
    return [
        ModelCard(
            id=model.id,
            backend=backend,
            created=int(model.created or 0),
            owned_by=model.owned_by or backend,
            context_tokens=_context_tokens(model) or context_tokens,
            sees=_sees(model, listed.models),
        )
        for model in models
        if model.id
    ]


def _context_tokens(model: _Model) -> int | None:
    # vLLM, then hosted routers; llama.cpp says in `meta` what it was started with.
    return model.max_model_len or model.context_length or (model.meta and model.meta.n_ctx) or None


def _sees(model: _Model, others: Any) -> bool | None:
    """Whether the server says that the model can be shown pictures; None where it says nothing."""
    # Hosted routers list what goes in, others have a flag, and llama.cpp names its abilities.
    if isinstance(model.architecture, Mapping):
        inputs = model.architecture.get("input_modalities")
        if isinstance(inputs, list):
            return "image" in inputs
    if isinstance(model.capabilities, Mapping):
        vision = model.capabilities.get("vision")
        if isinstance(vision, bool):
            return vision
    for abilities in _abilities(model.id, others):
        return "multimodal" in abilities
    return None


def _abilities(id: str, others: Any) -> Iterator[list[Any]]:
    for other in others if isinstance(others, list) else ():
        if isinstance(other, Mapping) and id in (other.get("model"), other.get("name")):
            abilities = other.get("capabilities")
            if isinstance(abilities, list) and abilities:
                yield abilities
