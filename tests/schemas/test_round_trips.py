"""What is written is read back the same, for every value that the contract allows."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

import famulus_schemas
from famulus_schemas.assistants import Assistant, CreateAssistant, FullAssistant, ModifyAssistant
from famulus_schemas.audit_logs import AuditLog
from famulus_schemas.chat import ChatCompletion, ChatCompletionChunk, ChatFields
from famulus_schemas.completions import Completion, CompletionFields
from famulus_schemas.containers import (
    Container,
    ContainerDeleted,
    ContainerFile,
    ContainerFileDeleted,
    CreateContainer,
    CreateContainerFile,
    SendContainerFile,
)
from famulus_schemas.deltas import MessageDeltaEvent, RunStepDeltaEvent
from famulus_schemas.embeddings import CreateEmbedding, EmbeddingList
from famulus_schemas.errors import ErrorEnvelope
from famulus_schemas.events import AssistantStreamEvent, ThreadStreamEvent
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
from famulus_schemas.organization import (
    AdminApiKey,
    AdminApiKeyDeleted,
    ApiKeyDeleted,
    CreateAdminApiKey,
    CreateProject,
    CreateServiceAccount,
    ModifyApiKey,
    ModifyProject,
    ModifyServiceAccount,
    NewServiceAccount,
    Project,
    ProjectApiKey,
    ServiceAccountDeleted,
)
from famulus_schemas.rate_limits import ProjectRateLimit, RateLimitBody
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
from famulus_schemas.usage_answers import (
    BucketPage,
    CodeInterpreterResult,
    CompletionsResult,
    CostsResult,
    EmbeddingsResult,
    FileSearchesResult,
    Grouped,
    OrganizationSpendLimit,
    OrganizationSpendLimitDeleted,
    ProjectSpendLimit,
    ProjectSpendLimitDeleted,
    VectorStoresResult,
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
from famulus_schemas.wire import Answer, Request

MAIN: list[Any] = [
    Assistant,
    CreateAssistant,
    ModifyAssistant,
    Thread,
    CreateThread,
    ModifyThread,
    Message,
    CreateMessage,
    ModifyMessage,
    Run,
    CreateRun,
    CreateThreadAndRun,
    ModifyRun,
    SubmitToolOutputs,
    RunStep,
    MessageDeltaEvent,
    RunStepDeltaEvent,
    AssistantStreamEvent,
    ListPage[Thread],
    AssistantDeleted,
    ThreadDeleted,
    MessageDeleted,
    Model,
    ModelDeleted,
    ModelList,
    ErrorEnvelope,
    VectorStore,
    CreateVectorStore,
    ModifyVectorStore,
    VectorStoreDeleted,
    VectorStoreFile,
    CreateVectorStoreFile,
    ModifyVectorStoreFile,
    VectorStoreFileDeleted,
    FileContentPage,
    FileBatch,
    CreateFileBatch,
    SearchVectorStore,
    SearchResultsPage,
    ChatFields,
    ChatCompletion,
    ChatCompletionChunk,
    CompletionFields,
    Completion,
    CreateEmbedding,
    EmbeddingList,
    File,
    FileDeleted,
    CreateUpload,
    CompleteUpload,
    Upload,
    UploadPart,
    CreateContainer,
    Container,
    ContainerDeleted,
    CreateContainerFile,
    ContainerFile,
    ContainerFileDeleted,
    AdminApiKey,
    AdminApiKeyDeleted,
    ApiKeyDeleted,
    CreateAdminApiKey,
    CreateProject,
    CreateServiceAccount,
    ModifyApiKey,
    ModifyProject,
    ModifyServiceAccount,
    NewServiceAccount,
    Project,
    ProjectApiKey,
    ServiceAccountDeleted,
    AuditLog,
    Grouped,
    BucketPage[CompletionsResult],
    BucketPage[EmbeddingsResult],
    BucketPage[VectorStoresResult],
    BucketPage[CodeInterpreterResult],
    BucketPage[FileSearchesResult],
    BucketPage[CostsResult],
    OrganizationSpendLimit,
    OrganizationSpendLimitDeleted,
    ProjectSpendLimit,
    ProjectRateLimit,
    RateLimitBody,
    ProjectSpendLimitDeleted,
]
FORMS = {CreateFile, AddUploadPart, SendContainerFile}
"""Never JSON: they come as forms, with a file in them."""

MANY = 3
INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | INTS | FLOATS | st.text(max_size=MANY),
    lambda inner: (
        st.lists(inner, max_size=MANY)
        | st.dictionaries(st.text(max_size=MANY), inner, max_size=MANY)
    ),
    max_leaves=4,
)


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Draw values of a type, inside its limits."""
    match kind:
        case inspect.Metadata():
            return values(kind.type)
        case inspect.AnyType():
            return JSON
        case inspect.RawType():
            return JSON.map(lambda value: msgspec.Raw(msgspec.json.encode(value)))
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=least, le=most):
            return st.integers(
                -(2**63) if least is None else least, 2**63 - 1 if most is None else most
            )
        case inspect.FloatType(ge=least, le=most):
            return st.floats(least, most, allow_nan=False, allow_infinity=False)
        case inspect.StrType(pattern=str() as pattern):
            return st.from_regex(pattern, alphabet=st.characters(codec="ascii")).filter(
                lambda text: len(text) <= (kind.max_length or len(text))
            )
        case inspect.StrType(min_length=least, max_length=most):
            return st.text(min_size=least or 0, max_size=min(most or 8, 8))
        case inspect.LiteralType(values=words):
            return st.sampled_from(words)
        case inspect.ListType(item_type=item, min_length=least, max_length=most):
            return st.lists(values(item), min_size=least or 0, max_size=min(most or MANY, MANY))
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key), values(value), max_size=MANY)
        case inspect.UnionType(types=types):
            return st.one_of([values(each) for each in types])
        case inspect.StructType(cls=cls):
            # Deferred, since a struct may have others of its own kind inside.
            if cls not in STRUCTS:
                STRUCTS[cls] = st.deferred(lambda: structs(kind))
            return STRUCTS[cls]
        case inspect.CustomType(cls=msgspec.UnsetType):
            return st.just(msgspec.UNSET)
    raise AssertionError(f"the contract has no values of {kind}")


STRUCTS: dict[type, st.SearchStrategy[Any]] = {}


def structs(kind: inspect.StructType) -> st.SearchStrategy[Any]:
    """Draw structs of a type."""
    cls = kind.cls
    return st.fixed_dictionaries(
        {f.name: values(f.type) for f in kind.fields if f.required},
        optional={f.name: values(f.type) for f in kind.fields if not f.required},
    ).map(lambda drawn: cls(**drawn))


def wire_structs() -> set[type[msgspec.Struct]]:
    """Every struct that is a request, an answer or an event, wherever in the contract it is."""
    modules = [
        importlib.import_module(f"famulus_schemas.{module.name}")
        for module in pkgutil.iter_modules(famulus_schemas.__path__)
    ]
    return {
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type)
        and issubclass(thing, (Request, Answer, ThreadStreamEvent))
        and thing.__struct_fields__
        and thing is not FullAssistant  # It is never sent.
    }


def structs_in(kind: Any) -> set[type[msgspec.Struct]]:
    """A kind's structs, at any depth."""
    found: set[type[msgspec.Struct]] = set()
    waiting = [inspect.type_info(kind)]
    while waiting:
        match waiting.pop():
            case inspect.StructType(cls=cls, fields=fields):
                if cls not in found:
                    found.add(getattr(cls, "__origin__", cls))
                    waiting += [field.type for field in fields]
            case inspect.UnionType(types=types):
                waiting += types
            case inspect.ListType(item_type=item):
                waiting.append(item)
            case inspect.DictType(value_type=value):
                waiting.append(value)
            case inspect.Metadata(type=kind):
                waiting.append(kind)
    return found


def test_no_struct_of_the_wire_is_left_out() -> None:
    held = {struct for kind in MAIN for struct in structs_in(kind)}
    assert wire_structs() - held == FORMS


@pytest.mark.parametrize("kind", MAIN, ids=lambda kind: getattr(kind, "__name__", "Event"))
def test_what_is_written_is_read_back_the_same(kind: Any) -> None:
    decoder = msgspec.json.Decoder(kind)

    @settings(
        max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(values(inspect.type_info(kind)))
    def holds(value: Any) -> None:
        wire = msgspec.json.encode(value)
        assert decoder.decode(wire) == value
        assert msgspec.json.encode(decoder.decode(wire)) == wire

    holds()
