"""What answers cost: reported by the model's server, or estimated where it is not."""

from __future__ import annotations

import math

from famulus_schemas.inference import TokenUsage
from famulus_schemas.runs import RunUsage

BYTES_PER_TOKEN = 4
"""Of English text and most tokenizers; other scripts have more bytes a character."""


class EstimatedUsage(RunUsage, frozen=True, kw_only=True):
    """Usage of which at least a part was not reported; on the wire it is like any other."""


def usage_of(tokens: TokenUsage | None) -> RunUsage | None:
    """Usage as steps and runs tell it."""
    if tokens is None:
        return None
    kind = EstimatedUsage if tokens.is_estimate else RunUsage
    return kind(
        prompt_tokens=tokens.prompt_tokens,
        completion_tokens=tokens.completion_tokens,
        total_tokens=tokens.total_tokens,
    )


def is_estimate(usage: RunUsage | None) -> bool:
    """Whether it is not all reported."""
    return isinstance(usage, EstimatedUsage)


def estimated(usage: RunUsage) -> RunUsage:
    """The same usage, marked."""
    return EstimatedUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
    )


def with_more(spent: RunUsage, more: RunUsage | None) -> RunUsage:
    """Both together; an estimate where either is one."""
    if more is None:
        return spent
    kind = EstimatedUsage if is_estimate(spent) or is_estimate(more) else RunUsage
    return kind(
        prompt_tokens=spent.prompt_tokens + more.prompt_tokens,
        completion_tokens=spent.completion_tokens + more.completion_tokens,
        total_tokens=spent.total_tokens + more.total_tokens,
    )


def estimate(prompt_tokens: int, received: str) -> TokenUsage:
    """What an answer cost that was broken off; nobody can be asked then, or waited for."""
    completion = math.ceil(len(received.encode(errors="replace")) / BYTES_PER_TOKEN)
    return TokenUsage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion,
        total_tokens=prompt_tokens + completion,
        is_estimate=True,
    )
