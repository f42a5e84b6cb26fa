"""Assistants: a model, its instructions and its tools, kept under a name."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from famulus_schemas.formats import ResponseFormat
from famulus_schemas.tools import CreateToolResources, ToolResources, Tools
from famulus_schemas.wire import (
    Answer,
    Metadata,
    ModelName,
    ReasoningEffort,
    Request,
    Temperature,
    TopP,
    UnixSeconds,
)

AssistantName: TypeAlias = Annotated[str, Meta(max_length=256)]
AssistantDescription: TypeAlias = Annotated[str, Meta(max_length=512)]
AssistantInstructions: TypeAlias = Annotated[
    str, Meta(max_length=256_000, description="What the model is told before all else.")
]


class CreateAssistant(Request, frozen=True, kw_only=True):
    """A new assistant; only the model must be named."""

    model: ModelName
    name: AssistantName | None = None
    description: AssistantDescription | None = None
    instructions: AssistantInstructions | None = None
    reasoning_effort: ReasoningEffort | None = None
    tools: Tools = []
    tool_resources: CreateToolResources | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    response_format: ResponseFormat | None = None


class ModifyAssistant(Request, frozen=True, kw_only=True):
    """Changes to an assistant: what is absent stays, what is null is cleared."""

    model: ModelName | UnsetType = UNSET
    name: AssistantName | UnsetType | None = UNSET
    description: AssistantDescription | UnsetType | None = UNSET
    instructions: AssistantInstructions | UnsetType | None = UNSET
    reasoning_effort: ReasoningEffort | UnsetType | None = UNSET
    tools: Tools | UnsetType = UNSET
    tool_resources: ToolResources | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    temperature: Temperature | UnsetType | None = UNSET
    top_p: TopP | UnsetType | None = UNSET
    response_format: ResponseFormat | UnsetType | None = UNSET


class Assistant(Answer, frozen=True, kw_only=True):
    """An assistant as it now is."""

    id: str
    object: Literal["assistant"] = "assistant"
    created_at: UnixSeconds
    name: AssistantName | None = None
    description: AssistantDescription | None = None
    model: str
    instructions: AssistantInstructions | None = None
    tools: Tools = []
    tool_resources: ToolResources | None = None
    metadata: Metadata = {}
    temperature: Temperature | None = 1.0
    top_p: TopP | None = 1.0
    response_format: ResponseFormat | None = "auto"


class FullAssistant(Assistant, frozen=True, kw_only=True):
    """An assistant with what its answers leave out, for those who run it; it is never sent."""

    reasoning_effort: ReasoningEffort | None = None
