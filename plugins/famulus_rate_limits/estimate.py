"""What a request is going to use, as far as its body tells."""

from __future__ import annotations

from typing import Any

import msgspec

CHARACTERS_PER_TOKEN = 4
TOKENS_MAX = 100_000_000
"""Of an estimate: more is not asked for in earnest, and no limit has more."""


class _Asked(msgspec.Struct):
    """What counts of a body. Raw: what is wrong in it, the operation says, and not we."""

    model: Any = None
    messages: msgspec.Raw = msgspec.Raw(b"")
    prompt: msgspec.Raw = msgspec.Raw(b"")
    input: msgspec.Raw = msgspec.Raw(b"")
    tools: msgspec.Raw = msgspec.Raw(b"")
    max_tokens: Any = None
    max_completion_tokens: Any = None
    n: Any = None


_decode = msgspec.json.Decoder(_Asked).decode


class Estimate(msgspec.Struct, frozen=True):
    """The model that is asked, where it is named, and the tokens."""

    model: str | None
    prompt: int
    answer: int
    assistant: str | None = None
    """Whose model is asked where none is named."""

    @property
    def tokens(self) -> int:
        """All of them, within reason."""
        return min(self.prompt + self.answer, TOKENS_MAX)


def estimate(body: bytes, *, answer_tokens: int) -> Estimate:
    """What a body asks for; `answer_tokens` is for the answer where it does not say."""
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Estimate(None, len(body) // CHARACTERS_PER_TOKEN, answer_tokens)
    text = sum(map(len, (asked.messages, asked.prompt, asked.input, asked.tools)))
    longest = _number(asked.max_completion_tokens) or _number(asked.max_tokens) or answer_tokens
    return Estimate(
        asked.model if isinstance(asked.model, str) else None,
        -(-text // CHARACTERS_PER_TOKEN),
        longest * (_number(asked.n) or 1),
    )


class _AskedOfRun(msgspec.Struct):
    """What counts of the body that creates a run, likewise."""

    assistant_id: Any = None
    model: Any = None
    instructions: msgspec.Raw = msgspec.Raw(b"")
    additional_instructions: msgspec.Raw = msgspec.Raw(b"")
    additional_messages: msgspec.Raw = msgspec.Raw(b"")
    tools: msgspec.Raw = msgspec.Raw(b"")
    thread: msgspec.Raw = msgspec.Raw(b"")
    max_prompt_tokens: Any = None
    max_completion_tokens: Any = None


_decode_run = msgspec.json.Decoder(_AskedOfRun).decode


def estimate_run(body: bytes, *, run_tokens: int) -> Estimate:
    """What a run may use: what its body brings, within the limits that it sets itself.

    `run_tokens` is for what it does not tell: its answers, and what is on its thread already.
    """
    try:
        asked = _decode_run(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Estimate(None, 0, run_tokens)
    parts = (
        *(asked.instructions, asked.additional_instructions, asked.additional_messages),
        *(asked.tools, asked.thread),
    )
    prompt = sum(map(len, parts)) // CHARACTERS_PER_TOKEN
    prompt_max = _number(asked.max_prompt_tokens)
    answer = _number(asked.max_completion_tokens) or run_tokens
    return Estimate(
        asked.model if isinstance(asked.model, str) and asked.model else None,
        prompt if prompt_max is None else min(prompt, prompt_max),
        answer,
        asked.assistant_id if isinstance(asked.assistant_id, str) else None,
    )


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
