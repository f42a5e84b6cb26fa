"""Our structs beside OpenAI's own document: they differ only as the overlay says, with reasons.

The document is not kept here: `FAMULUS_OPENAI_SPEC` names a copy of `openapi.json`. That no reason
outlives its difference is a test of `test_openapi.py`, which looks at whole operations.
"""

from __future__ import annotations

import importlib
import inspect
import os
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from famulus_conformance.overlay import overlaid, overlay
from famulus_conformance.shapes import Differences
from famulus_conformance.spec_oracle import spec_document
from famulus_schemas.assistants import Assistant, CreateAssistant, ModifyAssistant
from famulus_schemas.deltas import MessageDeltaEvent, RunStepDeltaEvent
from famulus_schemas.embeddings import CreateEmbedding, EmbeddingList
from famulus_schemas.events import AssistantStreamEvent
from famulus_schemas.files import CreateFile, File
from famulus_schemas.lists import (
    AssistantDeleted,
    FileDeleted,
    ListPage,
    MessageDeleted,
    ThreadDeleted,
)
from famulus_schemas.messages import CreateMessage, Message, ModifyMessage
from famulus_schemas.models import Model, ModelDeleted, ModelList
from famulus_schemas.runs import (
    CreateRun,
    CreateThreadAndRun,
    ModifyRun,
    Run,
    SubmitToolOutputs,
)
from famulus_schemas.steps import RunStep
from famulus_schemas.threads import CreateThread, ModifyThread, Thread
from famulus_schemas.uploads import (
    AddUploadPart,
    CompleteUpload,
    CreateUpload,
    Upload,
    UploadPart,
)
from famulus_schemas.vector_stores import (
    CreateFileBatch,
    CreateVectorStore,
    CreateVectorStoreFile,
    FileBatch,
    FileContentPage,
    ModifyVectorStore,
    ModifyVectorStoreFile,
    SearchResultsPage,
    SearchVectorStore,
    VectorStore,
    VectorStoreDeleted,
    VectorStoreFile,
    VectorStoreFileDeleted,
)
from famulus_schemas.wire import Answer, always_sent

NAMED = os.environ.get("FAMULUS_OPENAI_SPEC", "")
needs_document = pytest.mark.skipif(
    not NAMED,
    reason="THE STRUCTS WERE NOT COMPARED with OpenAI's document: FAMULUS_OPENAI_SPEC is not set",
)

PAIRS: dict[str, Any] = {
    "CreateAssistantRequest": CreateAssistant,
    "ModifyAssistantRequest": ModifyAssistant,
    "AssistantObject": Assistant,
    "DeleteAssistantResponse": AssistantDeleted,
    "ListAssistantsResponse": ListPage[Assistant],
    "CreateThreadRequest": CreateThread,
    "ModifyThreadRequest": ModifyThread,
    "ThreadObject": Thread,
    "DeleteThreadResponse": ThreadDeleted,
    "CreateMessageRequest": CreateMessage,
    "ModifyMessageRequest": ModifyMessage,
    "MessageObject": Message,
    "DeleteMessageResponse": MessageDeleted,
    "ListMessagesResponse": ListPage[Message],
    "CreateRunRequest": CreateRun,
    "CreateThreadAndRunRequest": CreateThreadAndRun,
    "ModifyRunRequest": ModifyRun,
    "SubmitToolOutputsRunRequest": SubmitToolOutputs,
    "RunObject": Run,
    "ListRunsResponse": ListPage[Run],
    "RunStepObject": RunStep,
    "ListRunStepsResponse": ListPage[RunStep],
    "MessageDeltaObject": MessageDeltaEvent,
    "RunStepDeltaObject": RunStepDeltaEvent,
    "AssistantStreamEvent": AssistantStreamEvent,
    "CreateFileRequest": CreateFile,
    "OpenAIFile": File,
    "ListFilesResponse": ListPage[File],
    "DeleteFileResponse": FileDeleted,
    "CreateUploadRequest": CreateUpload,
    "AddUploadPartRequest": AddUploadPart,
    "CompleteUploadRequest": CompleteUpload,
    "Upload": Upload,
    "UploadPart": UploadPart,
    "VectorStoreObject": VectorStore,
    "CreateVectorStoreRequest": CreateVectorStore,
    "UpdateVectorStoreRequest": ModifyVectorStore,
    "ListVectorStoresResponse": ListPage[VectorStore],
    "DeleteVectorStoreResponse": VectorStoreDeleted,
    "VectorStoreFileObject": VectorStoreFile,
    "CreateVectorStoreFileRequest": CreateVectorStoreFile,
    "UpdateVectorStoreFileAttributesRequest": ModifyVectorStoreFile,
    "ListVectorStoreFilesResponse": ListPage[VectorStoreFile],
    "DeleteVectorStoreFileResponse": VectorStoreFileDeleted,
    "VectorStoreFileContentResponse": FileContentPage,
    "VectorStoreFileBatchObject": FileBatch,
    "CreateVectorStoreFileBatchRequest": CreateFileBatch,
    "VectorStoreSearchRequest": SearchVectorStore,
    "VectorStoreSearchResultsPage": SearchResultsPage,
    "Model": Model,
    "ListModelsResponse": ModelList,
    "DeleteModelResponse": ModelDeleted,
    "CreateEmbeddingRequest": CreateEmbedding,
    "CreateEmbeddingResponse": EmbeddingList,
}


@cache
def document() -> dict[str, Any]:
    """Their schemas, with what we knowingly do otherwise put in."""
    whole = overlaid(spec_document(Path(NAMED)), "document")
    schemas: dict[str, Any] = whole["components"]["schemas"]
    return schemas


@cache
def answers() -> dict[str, type[Answer]]:
    modules = (
        "assistants threads messages runs steps deltas events lists models embeddings files "
        "uploads vector_stores"
    )
    return {
        thing.__name__: thing
        for name in modules.split()
        for thing in vars(importlib.import_module(f"famulus_schemas.{name}")).values()
        if inspect.isclass(thing) and issubclass(thing, Answer)
    }


def our_schema(kind: Any) -> tuple[Any, dict[str, Any]]:
    """Write our schema, with what an answer always sends among what it requires."""
    (schema,), named = msgspec.json.schema_components([kind], ref_template="#/{name}")
    for written in named.values():
        name = written.get("title", "").partition("[")[0]
        if name in answers():
            written["required"] = [*written["required"], *always_sent(answers()[name])]
    return schema, named


@cache
def differences_of(name: str) -> list[str]:
    schema, named = our_schema(PAIRS[name])
    return list(Differences(document(), named).between(name, document()[name], schema))


def is_told(difference: str) -> bool:
    told = (pattern for entry in overlay().told for pattern in entry.lines)
    return any(fnmatchcase(difference, pattern) for pattern in told)


@needs_document
@pytest.mark.parametrize("name", PAIRS)
def test_a_struct_differs_from_the_document_only_on_purpose(name: str) -> None:
    assert [each for each in differences_of(name) if not is_told(each)] == []
