"""How to come by what an operation needs: ids that exist, and the smallest body that is valid."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import md5
from typing import Any

import msgspec

from famulus_conformance.oracle import OracleOperation
from famulus_conformance.target import Answer, Target

FUNCTION: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Look a city's weather up.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
FILE = "hello"
UPLOAD = {
    "filename": "hello.txt",
    "purpose": "assistants",
    "bytes": len(FILE),
    "mime_type": "text/plain",
}
NAMED_FUNCTION: dict[str, Any] = {"type": "function", "function": {"name": "lookup"}}
BATCH_FILES = 16
POLLS_MAX = 240
POLL_S = 0.25


class NotPrepared(Exception):
    """What an operation needs could not be made; says what the server answered."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request that must bring a 200."""

    ids: dict[str, str] = {}
    body: dict[str, Any] | None = None
    files: tuple[str, ...] = ()
    """The properties that are files, if it is a form; each is given as the text in it."""


class Kitchen:
    """Makes objects on a target; those that nothing changes are made once."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._kept: dict[str, str] = {}

    async def made(self, path: str, body: Mapping[str, Any]) -> Any:
        """What a POST answers. Raises NotPrepared."""
        return _answer(await self.target.call("POST", path, dict(body)))

    async def kept(self, name: str, make: Callable[[], Awaitable[str]]) -> str:
        """An id that is made once."""
        if name not in self._kept:
            self._kept[name] = await make()
        return self._kept[name]

    async def file(self) -> str:
        """A file."""
        files = {"file": ("hello.txt", FILE.encode())}
        answer = await self.target.call("POST", "/files", {"purpose": "assistants"}, files=files)
        return str(_answer(answer)["id"])

    async def with_files(self, body: Any) -> Any:
        """The body with what is there where a sample names files or stores, if those are served."""
        for names, kept, make in (
            (FILE_NAMES, "file", self.file),
            (STORE_NAMES, "store", self.store),
        ):
            if _naming(body, SAMPLED + SAMPLED, names) == body:
                continue
            try:
                body = _naming(body, await self.kept(kept, make), names)
            except NotPrepared:
                continue
        return body

    async def store(self, **fields: Any) -> str:
        """A vector store."""
        return str((await self.made("/vector_stores", fields))["id"])

    async def filled_store(self) -> dict[str, str]:
        """A vector store with a file that has been read."""
        file = await self.file()
        ids = {"vector_store_id": await self.store(file_ids=[file]), "file_id": file}
        await self._read(ids["vector_store_id"])
        return ids

    async def same_filled_store(self) -> dict[str, str]:
        """One such store for all that only read."""
        file = await self.kept("file of the store", self.file)

        async def make() -> str:
            store = await self.store(file_ids=[file])
            await self._read(store)
            return store

        return {"vector_store_id": await self.kept("filled store", make), "file_id": file}

    async def batch(self, *, files: int = 1) -> dict[str, str]:
        """A batch of files that was just added to a store of its own."""
        store = await self.store()
        body = {"file_ids": [await self.file() for _ in range(files)]}
        batch = await self.made(f"/vector_stores/{store}/file_batches", body)
        return {"vector_store_id": store, "batch_id": str(batch["id"])}

    async def _read(self, store: str) -> None:
        """Wait until the files of a store have been read. Raises NotPrepared."""
        import anyio

        for _ in range(POLLS_MAX):
            found = _answer(await self.target.call("GET", f"/vector_stores/{store}"))
            if found.get("status") != "in_progress":
                return
            await anyio.sleep(POLL_S if self.target.is_far else 0.02)
        raise NotPrepared(f"a vector store is still in progress after {POLLS_MAX * POLL_S:g} s")

    async def upload(self, *parts: bytes) -> dict[str, Any]:
        """An upload that waits for its parts, or has these; their ids are in `part_ids`."""
        upload = (await self.made("/uploads", UPLOAD))["id"]
        path = f"/uploads/{upload}/parts"
        added = [
            _answer(await self.target.call("POST", path, {}, files={"data": ("part", part)}))["id"]
            for part in parts
        ]
        return {"upload_id": upload, "part_ids": added}

    async def container(self) -> str:
        """A container."""
        return str((await self.made("/containers", {"name": "hello"}))["id"])

    async def container_file(self) -> dict[str, str]:
        """A file in a container of its own."""
        container = await self.container()
        files = {"file": ("hello.txt", FILE.encode())}
        path = f"/containers/{container}/files"
        made = _answer(await self.target.call("POST", path, {}, files=files))
        return {"container_id": container, "file_id": str(made["id"])}

    async def assistant(self) -> str:
        """An assistant of the model, with a function."""
        body = {"model": self.target.model, "tools": [FUNCTION]}
        return str((await self.made("/assistants", body))["id"])

    async def same_assistant(self) -> str:
        """One assistant for all that only need one."""
        return await self.kept("assistant", self.assistant)

    async def thread(self) -> str:
        """A thread with a message."""
        body = {"messages": [{"role": "user", "content": "Say hello."}]}
        return str((await self.made("/threads", body))["id"])

    async def message(self) -> dict[str, str]:
        """A message in a thread of its own."""
        thread = await self.thread()
        body = {"role": "user", "content": "Say hello."}
        message = await self.made(f"/threads/{thread}/messages", body)
        return {"thread_id": thread, "message_id": message["id"]}

    async def run(self, **options: Any) -> dict[str, str]:
        """A run that has ended, or that waits for tool outputs."""
        body = {"assistant_id": await self.same_assistant(), "tool_choice": "none", **options}
        thread = await self.thread()
        run = await self.made(f"/threads/{thread}/runs", body)
        ids = {"thread_id": thread, "run_id": str(run["id"])}
        await self.settled(ids)
        return ids

    async def waiting_run(self) -> dict[str, str]:
        """A run that waits for the output of a function."""
        return await self.run(tool_choice=NAMED_FUNCTION)

    async def same_run(self) -> dict[str, str]:
        """One run for all that only read."""
        thread = await self.kept("thread of the run", self.thread)

        async def make() -> str:
            body = {"assistant_id": await self.same_assistant(), "tool_choice": "none"}
            run = await self.made(f"/threads/{thread}/runs", body)
            await self.settled({"thread_id": thread, "run_id": run["id"]})
            return str(run["id"])

        return {"thread_id": thread, "run_id": await self.kept("run", make)}

    async def settled(self, ids: Mapping[str, str]) -> Any:
        """The run once it goes on no more by itself. Raises NotPrepared."""
        import anyio

        path = "/threads/{thread_id}/runs/{run_id}".format(**ids)
        for _ in range(POLLS_MAX):
            run = _answer(await self.target.call("GET", path))
            if run.get("status") not in ("queued", "in_progress", "cancelling"):
                return run
            await anyio.sleep(POLL_S if self.target.is_far else 0.005)
        raise NotPrepared(f"a run is still {run.get('status')} after {POLLS_MAX * POLL_S:g} s")

    async def waiting_call(self, ids: Mapping[str, str]) -> str:
        """The id of the call that a run waits for. Raises NotPrepared."""
        run = await self.settled(ids)
        try:
            return str(run["required_action"]["submit_tool_outputs"]["tool_calls"][0]["id"])
        except (KeyError, TypeError, IndexError) as error:
            raise NotPrepared(
                f"a run that must call a function ended as {run.get('status')}"
            ) from error


def _answer(answer: Answer) -> Any:
    if not answer.is_success:
        raise NotPrepared(str(answer))
    return answer.body


SAMPLED = "a"
"""What a sample has where any text will do."""


FILE_NAMES = ("file_id", "file_ids")
STORE_NAMES = ("vector_store_ids",)
"""The properties that name what must be there."""


def _naming(body: Any, id: str, names: tuple[str, ...], name: str = "") -> Any:
    """The same with an id in place of each sample of one."""
    if isinstance(body, dict):
        return {key: _naming(value, id, names, key) for key, value in body.items()}
    if isinstance(body, list):
        return [_naming(value, id, names, name) for value in body]
    return id if name in names and body == SAMPLED else body


# --- one for each operation ----------------------------------------------------------------------

Recipe = Callable[[Kitchen], Awaitable[Request]]


async def _nothing(kitchen: Kitchen) -> Request:
    return Request()


async def _create_assistant(kitchen: Kitchen) -> Request:
    return Request(body={"model": kitchen.target.model})


async def _same_assistant(kitchen: Kitchen) -> Request:
    return Request(ids={"assistant_id": await kitchen.same_assistant()})


async def _modify_assistant(kitchen: Kitchen) -> Request:
    return Request(ids={"assistant_id": await kitchen.assistant()}, body={})


async def _new_assistant(kitchen: Kitchen) -> Request:
    return Request(ids={"assistant_id": await kitchen.assistant()})


async def _create_thread(kitchen: Kitchen) -> Request:
    return Request(body={})


async def _thread(kitchen: Kitchen) -> Request:
    return Request(ids={"thread_id": await kitchen.thread()})


async def _modify_thread(kitchen: Kitchen) -> Request:
    return Request(ids={"thread_id": await kitchen.thread()}, body={})


async def _create_message(kitchen: Kitchen) -> Request:
    body = {"role": "user", "content": "Say hello."}
    return Request(ids={"thread_id": await kitchen.thread()}, body=body)


async def _message(kitchen: Kitchen) -> Request:
    return Request(ids=await kitchen.message())


async def _modify_message(kitchen: Kitchen) -> Request:
    return Request(ids=await kitchen.message(), body={})


async def _create_run(kitchen: Kitchen) -> Request:
    body = {"assistant_id": await kitchen.same_assistant()}
    return Request(ids={"thread_id": await kitchen.thread()}, body=body)


async def _create_thread_and_run(kitchen: Kitchen) -> Request:
    return Request(body={"assistant_id": await kitchen.same_assistant()})


async def _list_runs(kitchen: Kitchen) -> Request:
    return Request(ids={"thread_id": (await kitchen.same_run())["thread_id"]})


async def _run(kitchen: Kitchen) -> Request:
    return Request(ids=await kitchen.same_run())


async def _modify_run(kitchen: Kitchen) -> Request:
    return Request(ids=await kitchen.same_run(), body={})


async def _cancel_run(kitchen: Kitchen) -> Request:
    return Request(ids=await kitchen.waiting_run())


async def _submit(kitchen: Kitchen) -> Request:
    ids = await kitchen.waiting_run()
    output = {"tool_call_id": await kitchen.waiting_call(ids), "output": "It rains."}
    return Request(ids=ids, body={"tool_outputs": [output]})


async def _step(kitchen: Kitchen) -> Request:
    ids = await kitchen.same_run()
    path = "/threads/{thread_id}/runs/{run_id}/steps".format(**ids)
    steps = _answer(await kitchen.target.call("GET", path))["data"]
    if not steps:
        raise NotPrepared("a run that has ended has no steps")
    return Request(ids={**ids, "step_id": steps[0]["id"]})


async def _model(kitchen: Kitchen) -> Request:
    return Request(ids={"model": kitchen.target.model})


async def _chat(kitchen: Kitchen) -> Request:
    messages = [{"role": "user", "content": "Say hello."}]
    return Request(body={"model": kitchen.target.model, "messages": messages})


async def _completion(kitchen: Kitchen) -> Request:
    return Request(body={"model": kitchen.target.model, "prompt": "Say hello."})


async def _embedding(kitchen: Kitchen) -> Request:
    return Request(body={"model": kitchen.target.model, "input": "hello"})


async def _create_file(kitchen: Kitchen) -> Request:
    return Request(body={"purpose": "assistants", "file": FILE}, files=("file",))


async def _file(kitchen: Kitchen) -> Request:
    return Request(ids={"file_id": await kitchen.file()})


async def _create_upload(kitchen: Kitchen) -> Request:
    return Request(body=dict(UPLOAD))


async def _upload(kitchen: Kitchen) -> Request:
    return Request(ids={"upload_id": (await kitchen.upload())["upload_id"]})


async def _add_part(kitchen: Kitchen) -> Request:
    ids = {"upload_id": (await kitchen.upload())["upload_id"]}
    return Request(ids=ids, body={"data": FILE}, files=("data",))


async def _complete_upload(kitchen: Kitchen) -> Request:
    made = await kitchen.upload(FILE.encode())
    checksum = md5(FILE.encode(), usedforsecurity=False).hexdigest()
    body = {"part_ids": made["part_ids"], "md5": checksum}
    return Request(ids={"upload_id": made["upload_id"]}, body=body)


async def _create_container(kitchen: Kitchen) -> Request:
    return Request(body={"name": "hello"})


async def _container(kitchen: Kitchen) -> Request:
    return Request(ids={"container_id": await kitchen.container()})


async def _create_container_file(kitchen: Kitchen) -> Request:
    ids = {"container_id": await kitchen.container()}
    return Request(ids=ids, body={"file": FILE}, files=("file",))


async def _container_file(kitchen: Kitchen) -> Request:
    return Request(ids=await kitchen.container_file())


async def _create_store(kitchen: Kitchen) -> Request:
    return Request(body={})


async def _new_store(kitchen: Kitchen) -> Request:
    return Request(ids={"vector_store_id": await kitchen.store()})


async def _modify_store(kitchen: Kitchen) -> Request:
    return Request(ids={"vector_store_id": await kitchen.store()}, body={})


async def _search_store(kitchen: Kitchen) -> Request:
    ids = await kitchen.same_filled_store()
    return Request(ids={"vector_store_id": ids["vector_store_id"]}, body={"query": FILE})


async def _store_files(kitchen: Kitchen) -> Request:
    return Request(ids={"vector_store_id": (await kitchen.same_filled_store())["vector_store_id"]})


async def _create_store_file(kitchen: Kitchen) -> Request:
    file = await kitchen.kept("file", kitchen.file)
    return Request(ids={"vector_store_id": await kitchen.store()}, body={"file_id": file})


async def _store_file(kitchen: Kitchen) -> Request:
    return Request(ids=await kitchen.same_filled_store())


async def _modify_store_file(kitchen: Kitchen) -> Request:
    return Request(ids=await kitchen.same_filled_store(), body={"attributes": {}})


async def _delete_store_file(kitchen: Kitchen) -> Request:
    return Request(ids=await kitchen.filled_store())


async def _create_batch(kitchen: Kitchen) -> Request:
    file = await kitchen.kept("file", kitchen.file)
    return Request(ids={"vector_store_id": await kitchen.store()}, body={"file_ids": [file]})


async def _batch(kitchen: Kitchen) -> Request:
    return Request(ids=await kitchen.batch())


async def _cancel_batch(kitchen: Kitchen) -> Request:
    # So many that not all of them have been read by the time that it is cancelled.
    return Request(ids=await kitchen.batch(files=BATCH_FILES))


RECIPES: dict[str, Recipe] = {
    "listAssistants": _nothing,
    "createAssistant": _create_assistant,
    "getAssistant": _same_assistant,
    "modifyAssistant": _modify_assistant,
    "deleteAssistant": _new_assistant,
    "createThread": _create_thread,
    "getThread": _thread,
    "modifyThread": _modify_thread,
    "deleteThread": _thread,
    "listMessages": _thread,
    "createMessage": _create_message,
    "getMessage": _message,
    "modifyMessage": _modify_message,
    "deleteMessage": _message,
    "createThreadAndRun": _create_thread_and_run,
    "listRuns": _list_runs,
    "createRun": _create_run,
    "getRun": _run,
    "modifyRun": _modify_run,
    "cancelRun": _cancel_run,
    "submitToolOuputsToRun": _submit,
    "listRunSteps": _run,
    "getRunStep": _step,
    "listFiles": _nothing,
    "createFile": _create_file,
    "retrieveFile": _file,
    "deleteFile": _file,
    "downloadFile": _file,
    "createUpload": _create_upload,
    "cancelUpload": _upload,
    "completeUpload": _complete_upload,
    "addUploadPart": _add_part,
    "ListContainers": _nothing,
    "CreateContainer": _create_container,
    "RetrieveContainer": _container,
    "DeleteContainer": _container,
    "CreateContainerFile": _create_container_file,
    "ListContainerFiles": _container_file,
    "RetrieveContainerFile": _container_file,
    "RetrieveContainerFileContent": _container_file,
    "DeleteContainerFile": _container_file,
    "listVectorStores": _nothing,
    "createVectorStore": _create_store,
    "getVectorStore": _new_store,
    "modifyVectorStore": _modify_store,
    "deleteVectorStore": _new_store,
    "searchVectorStore": _search_store,
    "listVectorStoreFiles": _store_files,
    "createVectorStoreFile": _create_store_file,
    "getVectorStoreFile": _store_file,
    "updateVectorStoreFileAttributes": _modify_store_file,
    "deleteVectorStoreFile": _delete_store_file,
    "retrieveVectorStoreFileContent": _store_file,
    "createVectorStoreFileBatch": _create_batch,
    "getVectorStoreFileBatch": _batch,
    "cancelVectorStoreFileBatch": _cancel_batch,
    "listFilesInVectorStoreBatch": _batch,
    "listModels": _nothing,
    "retrieveModel": _model,
    "deleteModel": _model,
    "createChatCompletion": _chat,
    "createCompletion": _completion,
    "createEmbedding": _embedding,
}
"""Operations that are not here are told to be unjudged where a server serves them."""


def path_of(operation: OracleOperation, ids: Mapping[str, str]) -> str:
    """The path with ids put in; `unknown` where one is not known."""
    path = operation.path
    for name in names_in(path):
        path = path.replace(f"{{{name}}}", ids.get(name, "unknown"))
    return path


def names_in(path: str) -> list[str]:
    """The names of the ids in a path."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]
