"""The scripted backend over HTTP, faults of the wire included. Reached by `backend.serve()`."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from famulus.sse import DONE, encode_event
from famulus.testing import faults, scripted_wire
from famulus.testing.faults import Broken, ScriptedFault
from famulus.testing.script import BEFORE_HEADERS, Turn, words
from famulus.testing.scripted_wire import WireForm
from famulus_schemas.inference import BackendFault, ChatChunk, ChatRequest

if TYPE_CHECKING:
    from famulus.testing.scripted import Received, ScriptedBackend

Endpoint = Callable[[web.BaseRequest, dict[str, Any]], Awaitable[web.StreamResponse]]

BABBLE_S = 0.02

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ScriptedServer:
    """One listening port of a scripted backend."""

    def __init__(self, backend: ScriptedBackend) -> None:
        self._backend = backend
        self._port = 0
        self._asyncio_server: asyncio.Server | None = None
        self._placeholder: socket.socket | None = None
        self._http: web.Server | None = None
        self._handlers: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._endpoints: dict[tuple[str, str], Endpoint] = {
            ("GET", "/v1/models"): self._models,
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/completions"): self._completion,
            ("POST", "/v1/embeddings"): self._embeddings,
            ("POST", "/tokenize"): self._tokenize,
            ("GET", "/health"): self._health,
            ("GET", "/version"): self._version,
            ("GET", "/metrics"): self._metrics,
        }

    async def start(self) -> str:
        """Listen on a free port; gives the base URL."""
        await self.listen()
        return f"http://127.0.0.1:{self._port}/v1"

    async def listen(self) -> None:
        """Accept connections, on the same port as before if there was one."""
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None
        listening = _bound(self._port)
        self._port = listening.getsockname()[1]
        self._closing = False
        self._http = web.Server(self._handle, handler_cancellation=True, access_log=None)
        loop = asyncio.get_running_loop()
        self._asyncio_server = await loop.create_server(self._http, sock=listening)

    async def refuse(self) -> None:
        """Close everything, but keep the port: bound and not listening, it refuses."""
        await self._stop()
        self._placeholder = _bound(self._port)

    async def close(self) -> None:
        """Cut what is open and give the port back."""
        await self._stop()
        if self._placeholder is not None:
            self._placeholder.close()

    async def _stop(self) -> None:
        if self._asyncio_server is None or self._http is None:
            return
        self._closing = True
        self._asyncio_server.close()
        for handler in tuple(self._handlers):
            handler.cancel()
        await self._http.shutdown(timeout=1.0)
        self._asyncio_server = self._http = None

    # -- endpoints ------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        endpoint = self._endpoints.get((request.method, request.path))
        if endpoint is None:
            # This is vLLM's own answer, and it is not of OpenAI's shape.
            return _json(b'{"detail":"Not Found"}', 404)
        if not self._is_authorized(request):
            return _error(faults.status(401, "Unauthorized"))
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            return await endpoint(request, await self._body(request))
        except BackendFault as fault:
            return _error(_as_status(fault))
        except msgspec.DecodeError as error:
            return _error(faults.status(400, str(error)))
        finally:
            self._handlers.discard(task)

    def _is_authorized(self, request: web.BaseRequest) -> bool:
        key = self._backend.api_key
        open_to_all = request.path in ("/health", "/metrics", "/version")
        return key is None or open_to_all or request.headers.get("authorization") == f"Bearer {key}"

    async def _body(self, request: web.BaseRequest) -> dict[str, Any]:
        data = b""
        while chunk := await request.content.readany():
            data += chunk
            if len(data) > self._backend.body_bytes_max:
                limit = self._backend.body_bytes_max
                raise BackendFault("refused", f"the body is larger than {limit} bytes")
        return msgspec.json.decode(data, type=dict[str, Any]) if data else {}

    async def _models(self, request: web.BaseRequest, body: dict[str, Any]) -> web.StreamResponse:
        if fault := self._noted_fault("models", request, body):
            return await self._play_fault(request, fault)
        data = [
            {
                "id": id,
                "object": "model",
                "created": scripted_wire.CREATED,
                "owned_by": "scripted",
                "root": id,
                "parent": None,
                "max_model_len": self._backend.context_tokens,
            }
            for id in self._backend.model_ids
        ]
        return _json(msgspec.json.encode({"object": "list", "data": data}))

    async def _embeddings(
        self, request: web.BaseRequest, body: dict[str, Any]
    ) -> web.StreamResponse:
        if fault := self._noted_fault("embeddings", request, body):
            return await self._play_fault(request, fault)
        self._backend.check_model(str(body.get("model")))
        given = body.get("input")
        texts = [given] if isinstance(given, str) else list(given or ())
        vectors = [self._backend.vector(str(text), body.get("dimensions")) for text in texts]
        as_base64 = body.get("encoding_format") == "base64"
        return _json(scripted_wire.embeddings(body["model"], vectors, as_base64=as_base64))

    async def _tokenize(self, request: web.BaseRequest, body: dict[str, Any]) -> web.StreamResponse:
        if fault := self._noted_fault("tokenize", request, body):
            return await self._play_fault(request, fault)
        self._backend.check_model(str(body.get("model", self._backend.model_ids[0])))
        texts = [str(body.get("prompt") or "")]
        texts += [str(message.get("content") or "") for message in body.get("messages", ())]
        count = sum(len(words(text)) for text in texts)
        answer = {
            "count": count,
            "max_model_len": self._backend.context_tokens,
            "tokens": list(range(count)),
            "token_strs": None,
        }
        return _json(msgspec.json.encode(answer))

    async def _health(self, request: web.BaseRequest, body: dict[str, Any]) -> web.StreamResponse:
        if fault := self._noted_fault("health", request, body):
            return await self._play_fault(request, fault)
        return web.Response()

    async def _version(self, request: web.BaseRequest, body: dict[str, Any]) -> web.StreamResponse:
        return _json(b'{"version":"0.0.0+scripted"}')

    async def _metrics(self, request: web.BaseRequest, body: dict[str, Any]) -> web.StreamResponse:
        if fault := self._noted_fault("metrics", request, body):
            return await self._play_fault(request, fault)
        gauges = {
            "vllm:num_requests_running": float(self._backend.open_chats),
            "vllm:num_requests_waiting": 0.0,
            "vllm:kv_cache_usage_perc": 0.0,
            **self._backend.gauges,
        }
        model = self._backend.model_ids[0]
        lines = [
            f'# TYPE {name} gauge\n{name}{{model_name="{model}"}} {gauges[name]}' for name in gauges
        ]
        return web.Response(text="\n".join(lines) + "\n")

    async def _chat(self, request: web.BaseRequest, body: dict[str, Any]) -> web.StreamResponse:
        chat = msgspec.convert(body, ChatRequest)
        return await self._answer(request, "chat/completions", body, chat)

    async def _completion(
        self, request: web.BaseRequest, body: dict[str, Any]
    ) -> web.StreamResponse:
        prompt = body.get("prompt")
        text = prompt if isinstance(prompt, str) else msgspec.json.encode(prompt).decode()
        messages = [{"role": "user", "content": text}]
        chat = msgspec.convert({"model": body.get("model"), "messages": messages}, ChatRequest)
        return await self._answer(request, "completions", body, chat)

    # -- answers --------------------------------------------------------------------------------

    async def _answer(
        self, request: web.BaseRequest, endpoint: str, body: dict[str, Any], chat: ChatRequest
    ) -> web.StreamResponse:
        received = self._backend.receive(endpoint, _headers(request), body, chat)
        self._backend.open_chats += 1
        over = False
        try:
            turn = self._backend.turn_for(chat)
            options = body.get("stream_options") or {}
            form = WireForm(
                model=chat.model,
                number=received.number,
                legacy=endpoint == "completions",
                stream=bool(body.get("stream")),
                include_usage=bool(options.get("include_usage")),
                nulls=turn.nulls,
            )
            play = self._stream if form.stream else self._whole
            response = await play(request, turn, received, form)
            over = True
            return response
        except BackendFault:
            over = True
            raise
        finally:
            self._backend.open_chats -= 1
            over = over or received.answered or self._closing
            received.end(closed_early=not over)

    async def _whole(
        self, request: web.BaseRequest, turn: Turn, received: Received, form: WireForm
    ) -> web.StreamResponse:
        chunks: list[ChatChunk] = []
        try:
            async with aclosing(self._backend.beats(turn, received)) as beats:
                async for batch in beats:
                    chunks += batch
        except Broken as broken:
            return await self._play_fault(request, broken.fault)
        return _json(form.whole(chunks))

    async def _stream(
        self, request: web.BaseRequest, turn: Turn, received: Received, form: WireForm
    ) -> web.StreamResponse:
        events = _Events(request, turn)
        first = True
        try:
            async with aclosing(self._backend.beats(turn, received)) as beats:
                async for batch in beats:
                    await events.begin()
                    sent = b""
                    for chunk in batch:
                        sent += form.event(chunk, first=first)
                        first = False
                    await events.send(sent)
        except Broken as broken:
            return await self._break_stream(request, events, turn, broken.fault)
        if turn.sends_done:
            await events.send(encode_event(DONE))
        return events.response

    async def _break_stream(
        self, request: web.BaseRequest, events: _Events, turn: Turn, fault: ScriptedFault
    ) -> web.StreamResponse:
        headers_wanted = fault.manner in ("error_event", "raw_event", "babble")
        if turn.fault_after == BEFORE_HEADERS and not headers_wanted:
            return await self._play_fault(request, fault)
        await events.begin()
        while fault.manner == "babble":
            await events.send(fault.data)
            await asyncio.sleep(BABBLE_S)
        if fault.manner in ("hang_up", "reset", "stall"):
            return await self._cut(request, fault, events.response)
        if fault.manner in ("raw_event", "raw_body"):
            await events.send(fault.data)
        else:
            await events.send(encode_event(fault.error_json()) + encode_event(DONE))
        return events.response

    # -- faults ---------------------------------------------------------------------------------

    def _noted_fault(
        self, endpoint: str, request: web.BaseRequest, body: dict[str, Any]
    ) -> ScriptedFault | None:
        self._backend.receive(endpoint, _headers(request), body)
        return self._backend.faults.get(endpoint)

    async def _play_fault(
        self, request: web.BaseRequest, fault: ScriptedFault
    ) -> web.StreamResponse:
        """Fail where nothing was sent yet."""
        if fault.manner in ("hang_up", "reset", "stall", "babble"):
            return await self._cut(request, fault, web.Response())
        if fault.manner in ("raw_body", "raw_event"):
            headers = {"content-type": fault.content_type}
            return web.Response(body=fault.data, status=fault.status, headers=headers)
        return _error(fault, status=500 if fault.manner == "error_event" else None)

    async def _cut(
        self, request: web.BaseRequest, fault: ScriptedFault, response: web.StreamResponse
    ) -> web.StreamResponse:
        if fault.manner in ("stall", "babble"):
            await asyncio.Event().wait()
        transport = request.transport
        if transport is not None and fault.manner == "reset":
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        elif transport is not None:
            transport.close()
        return response


class _Events:
    """The event stream of one answer."""

    def __init__(self, request: web.BaseRequest, turn: Turn) -> None:
        self._request = request
        self._cut = turn.wire_bytes
        self._begun = False
        self.response = web.StreamResponse(headers={"content-type": "text/event-stream"})

    async def begin(self) -> None:
        """Send the headers, once."""
        if not self._begun:
            self._begun = True
            await self.response.prepare(self._request)

    async def send(self, data: bytes) -> None:
        step = self._cut or len(data)
        for at in range(0, len(data), step or 1):
            await self.response.write(data[at : at + step])
            if self._cut:
                # Lets the bytes leave one by one, so that the reader meets each cut.
                await asyncio.sleep(0)


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _headers(request: web.BaseRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers={"content-type": "application/json"})


def _error(fault: ScriptedFault, *, status: int | None = None) -> web.Response:
    response = _json(fault.error_json(), status or fault.status)
    if fault.retry_after_s is not None:
        response.headers["retry-after"] = f"{fault.retry_after_s:g}"
    return response


def _as_status(fault: BackendFault) -> ScriptedFault:
    if fault.status is not None:
        return faults.status(fault.status, fault.message)
    return faults.kind(fault.kind, fault.message)
