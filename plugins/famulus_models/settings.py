"""How models are named, and how patient to be with the servers behind them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from famulus import Settings


class ModelsSettings(Settings, frozen=True, kw_only=True):
    """Settings of the plugin `models`."""

    aliases: Annotated[
        dict[str, str],
        Meta(description='Further names of models, such as `gpt-4o = "qwen3"`.'),
    ] = {}
    vision: Annotated[
        dict[str, bool],
        Meta(
            description="Whether a model or alias can be shown pictures, such as `qwen3 = false`, "
            "where its server does not say or is wrong."
        ),
    ] = {}
    default_model: Annotated[
        str | None,
        Meta(description="The model for names that OpenAI has retired; the only one by itself."),
    ] = None
    retired_models_to_default: Annotated[
        bool, Meta(description="Whether `gpt-4o` and the like go to the default model.")
    ] = True
    fallbacks: Annotated[
        dict[str, list[str]],
        Meta(description="Models to ask, in order, where a model's server does not answer."),
    ] = {}
    last_resort: Annotated[
        str, Meta(description="The backend that is listed only where there is no other.")
    ] = "builtin"
    attempts_max: Annotated[
        int, Meta(ge=1, description="How often a model is asked before its first token.")
    ] = 3
    backoff_s: Annotated[
        float, Meta(ge=0, description="Seconds before the second attempt; doubled for each next.")
    ] = 0.25
    backoff_max_s: Annotated[
        float, Meta(ge=0, description="Seconds between two attempts at most.")
    ] = 4.0
    retry_after_max_s: Annotated[
        float,
        Meta(ge=0, description="A server that asks for a longer wait is not asked again."),
    ] = 10.0
    first_event_s: Annotated[
        float,
        Meta(ge=0, description="Seconds a stream is held for its first event, to ask elsewhere."),
    ] = 10.0
    circuit_failures_max: Annotated[
        int, Meta(ge=1, description="Failures in a row after which a server is left alone.")
    ] = 5
    circuit_cooldown_s: Annotated[
        float, Meta(gt=0, description="Seconds it is left alone for.")
    ] = 10.0
    models_ttl_s: Annotated[
        float, Meta(gt=0, description="Seconds a server's list of models is used for.")
    ] = 30.0
    models_timeout_s: Annotated[
        float, Meta(gt=0, description="Seconds a server has to list its models.")
    ] = 6.0
    refresh_min_s: Annotated[
        float, Meta(ge=0, description="Seconds between two lists fetched for unknown models.")
    ] = 1.0
    counts_kept_max: Annotated[
        int, Meta(ge=0, description="Texts whose token count is remembered.")
    ] = 20_000

    def __post_init__(self) -> None:
        for alias in self.aliases:
            seen = [alias]
            while (name := self.aliases.get(seen[-1])) is not None:
                if name in seen:
                    raise ValueError(f"aliases go in a circle: {' -> '.join([*seen, name])}")
                seen.append(name)
