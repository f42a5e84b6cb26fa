"""The plugin: three endpoints on INFERENCE."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from msgspec import Raw

from famulus import Bytes, Call, EventStream, Operation, Plugin, hookimpl, need, operation, want
from famulus import operations as marked
from famulus_chat.addresses import refuse_addresses
from famulus_chat.checks import checked, refuse_no_messages, with_prompt
from famulus_chat.limits import limits_of
from famulus_chat.passage import Passage
from famulus_chat.settings import ChatSettings
from famulus_chat.spent import Spending
from famulus_schemas.chat import ChatCompletion, ChatCompletionChunk, ChatFields
from famulus_schemas.completions import Completion, CompletionFields
from famulus_schemas.embeddings import CreateEmbedding, EmbeddingList
from famulus_schemas.inference import RelayRequest
from famulus_schemas.ports import INFERENCE, METER

MODEL_HEADER = "x-famulus-model"
"""Which model really answered."""


class Chat(Plugin[ChatSettings]):
    """A client's requests to models, field by field as they were sent."""

    name: ClassVar[str] = "chat"
    inference = need(INFERENCE)
    meter = want(METER)

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """The endpoints, with the configured limit of their bodies."""
        limit = self.settings.body_bytes_max
        return [msgspec.structs.replace(one, body_bytes_max=limit) for one in marked(self)]

    @operation(
        "POST",
        "/v1/chat/completions",
        action="chat.create",
        documented_body=ChatFields,
        documented_answer=ChatCompletion,
        ends_with_client=True,
        tags=("Chat",),
    )
    async def create_chat_completion(
        self, call: Call, body: dict[str, Raw]
    ) -> Bytes | EventStream[ChatCompletionChunk]:
        """Ask a model to continue a conversation."""
        refuse_no_messages(body)
        self._refuse(ChatFields, body)
        request = checked("chat/completions", body, needs=("messages",), request_id=call.request_id)
        return await self._answer(call, request)

    @operation(
        "POST",
        "/v1/completions",
        action="completions.create",
        documented_body=CompletionFields,
        documented_answer=Completion,
        ends_with_client=True,
        tags=("Completions",),
    )
    async def create_completion(
        self, call: Call, body: dict[str, Raw]
    ) -> Bytes | EventStream[Completion]:
        """Ask a model to continue a text."""
        self._refuse(CompletionFields, body)
        fields = with_prompt(body)
        request = checked(
            "completions", fields, needs=("prompt", "prompt_embeds"), request_id=call.request_id
        )
        return await self._answer(call, request)

    @operation(
        "POST",
        "/v1/embeddings",
        action="embeddings.create",
        documented_body=CreateEmbedding,
        documented_answer=EmbeddingList,
        ends_with_client=True,
        tags=("Embeddings",),
    )
    async def create_embedding(self, call: Call, body: dict[str, Raw]) -> Bytes:
        """Turn texts into vectors."""
        self._refuse(CreateEmbedding, body)
        request = checked("embeddings", body, needs=("input",), request_id=call.request_id)
        return await self._whole(call, request)

    def _refuse(self, fields: type[msgspec.Struct], body: dict[str, Raw]) -> None:
        if self.settings.media_addresses == "refuse":
            refuse_addresses(body)
        if self.settings.refuse_as_openai:
            limits_of(fields).refuse(body)

    async def _answer(self, call: Call, request: RelayRequest) -> Bytes | EventStream[Any]:
        if not request.stream:
            return await self._whole(call, request)
        spending = await self._spending(call, request)
        opened = self.inference.relay(request)
        relay = await opened.__aenter__()
        call.response_headers[MODEL_HEADER] = _header(relay.served_by)
        return EventStream(Passage(relay, opened, spending, log=self.log))

    async def _whole(self, call: Call, request: RelayRequest) -> Bytes:
        spending = await self._spending(call, request)
        async with self.inference.relay(request) as relay:
            call.response_headers[MODEL_HEADER] = _header(relay.served_by)
            content = b""
            try:
                content = b"".join([chunk async for chunk in relay.chunks()])
            finally:
                # Also where the client left: the model has read what it was asked.
                spending.end(relay, content)
            return Bytes(content, relay.content_type, status=relay.status)

    async def _spending(self, call: Call, request: RelayRequest) -> Spending:
        """What notes the use of an answer. Raises Problem (429) where no more may be used."""
        principal = call.principal
        if self.meter is not None:
            await self.meter.refuse(principal.project, principal.key_id or "")
        return Spending(self.meter, principal, request, self.now)


def _header(name: str) -> str:
    """The name in what a header may hold."""
    if name.isascii() and name.isprintable():
        return name
    shown = name.encode("ascii", "backslashreplace").decode()
    return "".join(char if char.isprintable() else "?" for char in shown)
