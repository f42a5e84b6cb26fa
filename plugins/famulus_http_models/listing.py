"""A server's list of models, read as leniently as servers write it."""

from __future__ import annotations

from collections.abc import Sequence

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


class _Models(msgspec.Struct):
    data: list[_Model] | None


_decode = msgspec.json.Decoder(_Models).decode


def read_models(body: bytes, *, backend: str, context_tokens: int | None) -> Sequence[ModelCard]:
    """The cards. Raises BackendFault where it is no list of models."""
    try:
        models = _decode(body).data or []
    except (ValueError, RecursionError) as error:
        raise BackendFault(
            "broken", f"its /models is no list of models: {error}", backend=backend
        ) from error
    return [
        ModelCard(
            id=model.id,
            backend=backend,
            created=int(model.created or 0),
            owned_by=model.owned_by or backend,
            context_tokens=_context_tokens(model) or context_tokens,
        )
        for model in models
        if model.id
    ]


def _context_tokens(model: _Model) -> int | None:
    # vLLM, then hosted routers; llama.cpp says in `meta` what it was started with.
    return model.max_model_len or model.context_length or (model.meta and model.meta.n_ctx) or None
