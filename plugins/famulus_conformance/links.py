"""How one operation's answer leads to the next: what makes a fuzzer's requests meet real objects.

OpenAI's document links nothing, and an id made up at random only ever tests `404`. An OpenAPI
link says where in an answer the next request's ids and body come from.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

HERE = "$response.body#/"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """From the answers of some operations to a request of each of others."""

    sources: Sequence[str]
    targets: Sequence[str]
    ids: Mapping[str, Any] = {}
    """A parameter of the target, and where in the answer it is found."""
    body: Mapping[str, Any] = {}
    """Fields put into the target's body."""
    is_whole: bool = False
    """Whether they are all of it, so that nothing drawn at random is in their way."""
    runs: bool = False
    """Whether it begins a run, which then is one by a model that is there."""

    def between(self) -> Iterator[tuple[str, str]]:
        """Each source with each target."""
        return ((source, target) for source in self.sources for target in self.targets)

    def written(self, target: str, models: Sequence[str]) -> dict[str, Any]:
        """As OpenAPI writes it."""
        link: dict[str, Any] = {"operationId": target, "parameters": dict(self.ids)}
        if self.body:
            body = {**self.body, "model": models[0]} if self.runs and models else self.body
            link |= {"requestBody": body, "x-schemathesis": {"merge_body": not self.is_whole}}
        return link


ID = f"{HERE}id"
THREAD = f"{HERE}thread_id"
FIRST = f"{HERE}data/0/"
FIRST_CALL = f"{HERE}required_action/submit_tool_outputs/tool_calls/0/id"

OF_ASSISTANT = ("getAssistant", "modifyAssistant")
OF_THREAD = ("createMessage", "getThread", "listMessages", "listRuns", "modifyThread")
OF_MESSAGE = ("getMessage", "modifyMessage", "deleteMessage")
OF_RUN = ("getRun", "modifyRun", "cancelRun", "listRunSteps")
QUESTION = {"messages": [{"role": "user", "content": "Look up the weather in Oslo."}]}
FUNCTION = {
    "name": "look_up",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
}
MUST_CALL = {
    "assistant_id": ID,
    "thread": QUESTION,
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": "required",
}
"""Of a run that then waits for its outputs: it can be cancelled, and its step is there to get."""

# A walk that deletes early is short, so that takes a step between. And a walk begins at whatever
# is posted and leads on; so that it begins at an assistant or a thread, and not at some run by an
# id of nothing, what is posted below a thread leads nowhere: one goes on by what a thread lists.
LINKS = (
    Link(sources=["createAssistant"], targets=OF_ASSISTANT, ids={"assistant_id": ID}),
    Link(sources=["getAssistant"], targets=["deleteAssistant"], ids={"assistant_id": ID}),
    Link(
        sources=["createAssistant", "getAssistant"],
        targets=["createThreadAndRun"],
        body={"assistant_id": ID},
    ),
    Link(
        sources=["createAssistant"],
        targets=["createThreadAndRun"],
        body=MUST_CALL,
        is_whole=True,
        runs=True,
    ),
    Link(sources=["createThread"], targets=OF_THREAD, ids={"thread_id": ID}),
    Link(sources=["getThread"], targets=["deleteThread"], ids={"thread_id": ID}),
    Link(sources=["createThreadAndRun"], targets=OF_THREAD, ids={"thread_id": THREAD}),
    Link(
        sources=["createThreadAndRun", "getRun"],
        targets=OF_RUN,
        ids={"thread_id": THREAD, "run_id": ID},
    ),
    Link(
        sources=["createThreadAndRun", "getRun"],
        targets=["createRun"],
        ids={"thread_id": THREAD},
        body={"assistant_id": f"{HERE}assistant_id"},
    ),
    Link(
        sources=["createThreadAndRun", "getRun"],
        targets=["createRun"],
        ids={"thread_id": THREAD},
        body={"assistant_id": f"{HERE}assistant_id"},
        is_whole=True,
        runs=True,
    ),
    Link(
        sources=["createThreadAndRun", "getRun"],
        targets=["listRunSteps"],
        ids={"thread_id": THREAD, "run_id": ID, "order": "asc", "limit": 20},
    ),
    Link(
        sources=["getRun"],
        targets=["submitToolOuputsToRun"],
        ids={"thread_id": THREAD, "run_id": ID},
        body={"tool_outputs": [{"tool_call_id": FIRST_CALL, "output": "4"}]},
        is_whole=True,
    ),
    Link(
        sources=["listRuns"],
        targets=OF_RUN,
        ids={"thread_id": f"{FIRST}thread_id", "run_id": f"{FIRST}id"},
    ),
    Link(
        sources=["listRunSteps"],
        targets=["getRunStep"],
        ids={
            "thread_id": f"{FIRST}thread_id",
            "run_id": f"{FIRST}run_id",
            "step_id": f"{FIRST}id",
        },
    ),
    Link(
        sources=["listMessages"],
        targets=OF_MESSAGE,
        ids={"thread_id": f"{FIRST}thread_id", "message_id": f"{FIRST}id"},
    ),
    # Files and vector stores.
    Link(
        sources=["createFile", "completeUpload"],
        targets=["retrieveFile", "downloadFile", "deleteFile"],
        ids={"file_id": ID},
    ),
    Link(sources=["createFile"], targets=["createVectorStore"], body={"file_ids": [ID]}),
    Link(
        sources=["createUpload"],
        targets=["addUploadPart", "completeUpload", "cancelUpload"],
        ids={"upload_id": ID},
    ),
    Link(
        sources=["addUploadPart"],
        targets=["completeUpload"],
        ids={"upload_id": f"{HERE}upload_id"},
        body={"part_ids": [ID]},
    ),
    Link(
        sources=["createVectorStore"],
        targets=[
            "getVectorStore",
            "modifyVectorStore",
            "deleteVectorStore",
            "searchVectorStore",
            "listVectorStoreFiles",
        ],
        ids={"vector_store_id": ID},
    ),
    Link(
        sources=["listVectorStoreFiles"],
        targets=["createVectorStoreFileBatch"],
        ids={"vector_store_id": f"{FIRST}vector_store_id"},
        body={"file_ids": [f"{FIRST}id"]},
    ),
    Link(
        sources=["listVectorStoreFiles"],
        targets=[
            "getVectorStoreFile",
            "updateVectorStoreFileAttributes",
            "retrieveVectorStoreFileContent",
            "deleteVectorStoreFile",
        ],
        ids={"vector_store_id": f"{FIRST}vector_store_id", "file_id": f"{FIRST}id"},
    ),
    Link(
        sources=["createVectorStoreFileBatch"],
        targets=[
            "getVectorStoreFileBatch",
            "listFilesInVectorStoreBatch",
            "cancelVectorStoreFileBatch",
        ],
        ids={"vector_store_id": f"{HERE}vector_store_id", "batch_id": ID},
    ),
    Link(
        sources=["getVectorStoreFileBatch"],
        targets=["searchVectorStore"],
        ids={"vector_store_id": f"{HERE}vector_store_id"},
    ),
    Link(
        sources=["CreateContainer"],
        targets=["RetrieveContainer", "CreateContainerFile", "ListContainerFiles"],
        ids={"container_id": ID},
    ),
    Link(sources=["RetrieveContainer"], targets=["DeleteContainer"], ids={"container_id": ID}),
    Link(
        sources=["CreateContainerFile"],
        targets=["RetrieveContainerFile", "RetrieveContainerFileContent"],
        ids={"container_id": f"{HERE}container_id", "file_id": ID},
    ),
    Link(
        sources=["RetrieveContainerFile"],
        targets=["DeleteContainerFile"],
        ids={"container_id": f"{HERE}container_id", "file_id": ID},
    ),
)
"""The roads: assistant, thread, message, run, step, cancel; file, store, batch, search; and
container, file.
"""


def linked(document: Mapping[str, Any], models: Sequence[str] = ()) -> dict[str, Any]:
    """A copy of the document with every link whose two ends are in it."""
    with_links: dict[str, Any] = copy.deepcopy(dict(document))
    entries = {
        entry["operationId"]: entry
        for methods in with_links["paths"].values()
        for entry in methods.values()
    }
    for link in LINKS:
        for source, target in link.between():
            if source in entries and target in entries:
                added = entries[source]["responses"]["200"].setdefault("links", {})
                added[f"{target}_{len(added)}"] = link.written(target, models)
    return with_links
