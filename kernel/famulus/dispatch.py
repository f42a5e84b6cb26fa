"""One request through the server, always in the same order.

Headers, authentication (by headers only), the body under its limits, decoding, authorization,
the operation, encoding. A body is not read for a caller who is not known.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from famulus import tracing
from famulus.answers import Bytes, EventStream, Wire
from famulus.call import Call
from famulus.config import ServerSettings
from famulus.errors import as_problem, envelope
from famulus.forms import FormDecoder, is_form
from famulus.incoming import ClientLeft, Incoming
from famulus.log import request_log
from famulus.operations import answer_parts
from famulus.request_headers import RequestHeaders
from famulus.safe_headers import ALWAYS, NO_PAGE, NOT_KEPT, VERSION, Header, as_text
from famulus.sse import OpenStreams, close_frames, serve_frames, until_left
from famulus.stream_places import wants_stream
from famulus.validation import BodyDecoder, QueryDecoder
from famulus.written_heads import WrittenHead, headers_in
from famulus_schemas.errors import (
    BODY_TOO_LARGE,
    BODY_TOO_SLOW,
    METHOD_NOT_ALLOWED,
    MOVED,
    NO_API_KEY,
    PLUGIN_DOWN,
    UNKNOWN_URL,
    WRONG_CONTENT_TYPE,
    Problem,
)
from famulus_schemas.identity import Principal
from famulus_schemas.notices import RequestRefused, RequestServed

if TYPE_CHECKING:
    from famulus.clock import MakeId
    from famulus.front import Front
    from famulus.hooks import Hooks
    from famulus.lifecycle import Slot
    from famulus.log import Log
    from famulus.notices import Notices
    from famulus.operations import Operation
    from famulus.router import Router

PUBLIC_PATHS = frozenset({"/health/live", "/health/ready", "/openapi.json", "/docs"})
"""All that is served to a caller without a key. A plugin cannot add to it."""

NOBODY = Principal(id="nobody", project="", scopes=())

CLIENT_LEFT = 499
"""The status told to `on_event` for a request whose client went away; it is never sent."""

REFUSALS = frozenset({401, 403, 429})
"""What is told of as a refusal, with who asked from where."""

_REQUEST_ID = re.compile(r"^[A-Za-z0-9_.:-]{1,128}$")
_JSON = b"application/json"
_USUAL_LINES = (
    as_text(((b"content-type", _JSON), VERSION, *ALWAYS, NOT_KEPT)).encode()
    + b"x-request-id: %s\r\nopenai-processing-ms: %d\r\ncontent-length: %d\r\n"
)
_encode = msgspec.json.encode


def id_of_request(given: str | None, make_id: MakeId) -> str:
    """What a request is answered and logged under: the client's own id where it is fit for that."""
    if given is not None and _REQUEST_ID.match(given):
        return given
    return make_id("req_")


class Endpoint:
    """An operation made ready for one world: its decoders, and the plugin that it belongs to."""

    __slots__ = (
        "body",
        "body_bytes_max",
        "form",
        "form_bytes_max",
        "function",
        "is_public",
        "may_stream",
        "names",
        "operation",
        "query",
        "resource_at",
        "slot",
        "streams_always",
    )

    def __init__(self, operation: Operation, slot: Slot | None, settings: ServerSettings) -> None:
        self.operation = operation
        self.slot = slot
        self.function = operation.function
        self.names = operation.path_names
        self.resource_at = len(self.names) - 1
        self.is_public = slot is None and operation.path in PUBLIC_PATHS
        self.body_bytes_max = self.form_bytes_max = (
            operation.body_bytes_max or settings.body_bytes_max
        )
        json_type, event_type, raw = answer_parts(operation.answer_type)
        self.may_stream = event_type is not None
        self.streams_always = self.may_stream and json_type is None and not raw
        self.body: BodyDecoder[Any] | None = None
        self.form: FormDecoder[Any] | None = None
        self.query: QueryDecoder[Any] | None = None
        if operation.form_type is not None:
            self.form = FormDecoder(operation.form_type, settings, bytes_max=self.form_bytes_max)
            # What is read into memory is held to the limit of what is.
            self.body_bytes_max = settings.body_bytes_max
        if operation.body_type is not None:
            self.body = BodyDecoder(operation.body_type, depth_max=settings.json_depth_max)
        if operation.query_type is not None:
            self.query = QueryDecoder(operation.query_type)

    def will_stream(self, body: Any) -> bool:
        """Whether this body is answered by a stream, unless it is refused."""
        return self.may_stream and (self.streams_always or wants_stream(body))

    def is_sent_form(self, headers: Headers) -> bool:
        """Whether a request brings the form of an operation that takes either."""
        return self.form is not None and is_form(headers)


class Exchange:
    """What is known of a request while it is served, for its answer, its log line and its end."""

    __slots__ = (
        "call",
        "code",
        "endpoint",
        "has_own_id",
        "has_unread_body",
        "hsts",
        "is_head",
        "request_id",
        "started",
        "status",
        "streams_for",
    )

    def __init__(
        self,
        request_id: str,
        *,
        has_own_id: bool,
        is_head: bool,
        hsts: tuple[bytes, bytes] | None = None,
    ) -> None:
        self.request_id = request_id
        self.has_own_id = has_own_id
        """Whether its id was made here, and is not the client's."""
        self.hsts = hsts
        self.is_head = is_head
        self.started = time.perf_counter()
        self.status = 0
        self.endpoint: Endpoint | None = None
        self.call: Call | None = None
        self.code = ""
        """The error's, where the answer is one."""
        self.has_unread_body = False
        self.streams_for: str | None = None
        """Whose place among streams it has."""

    def body_is_read(self) -> None:
        """Note that the connection has nothing of this request left."""
        self.has_unread_body = False

    def headers(self, content_type: bytes, length: int | None) -> list[tuple[bytes, bytes]]:
        """The headers of every answer."""
        spent_ms = int((time.perf_counter() - self.started) * 1000)
        headers = [
            (b"content-type", content_type),
            (b"x-request-id", self.request_id.encode()),
            (b"openai-processing-ms", b"%d" % spent_ms),
            VERSION,
            *ALWAYS,
        ]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        if self.has_unread_body:
            headers.append((b"connection", b"close"))
        if self.hsts is not None:
            headers.append(self.hsts)
        if (call := self.call) is None:
            headers.append(NOT_KEPT)
            return headers
        headers += headers_in(call.brought_lines)
        more = call.response_headers
        if not more or "cache-control" not in more:
            headers.append(NOT_KEPT)
        if more:
            headers += [(k.encode("latin-1"), v.encode("latin-1")) for k, v in more.items()]
        return headers

    def written_head(self, length: int) -> WrittenHead | None:
        """The headers of an answer in JSON that says nothing of its own, as nearly all do not."""
        call = self.call
        if call is None or call.response_headers or self.has_unread_body:
            return None
        spent_ms = int((time.perf_counter() - self.started) * 1000)
        said = (self.request_id.encode(), spent_ms, length)
        lines = _USUAL_LINES % said + call.brought_lines
        if self.hsts is not None:
            lines += b"%s: %s\r\n" % self.hsts
        return WrittenHead(lines, length)

    def headers_of_bytes(
        self, content_type: bytes, length: int | None
    ) -> list[tuple[bytes, bytes]]:
        """The headers of an answer that is whatever it is; a browser must not act on it."""
        headers = self.headers(content_type, length)
        if self.call is None or "content-security-policy" not in self.call.response_headers:
            headers.append(NO_PAGE)
        return headers


class Dispatcher:
    """The ASGI app of one world."""

    def __init__(
        self,
        *,
        router: Router[Endpoint],
        hooks: Hooks,
        settings: ServerSettings,
        make_id: MakeId,
        log: Log,
        notices: Notices,
        streams: OpenStreams,
        front: Front,
        writes_heads: bool = False,
    ) -> None:
        self._streams = streams
        self._writes_heads = writes_heads
        """Whether nothing is around it that would want its headers one by one."""
        self._hosts = front.hosts
        self._places = front.places
        self._hsts = front.hsts
        self._router = router
        self._hooks = hooks
        self._settings = settings
        self._make_id = make_id
        self._log = log
        self._log_request = request_log(log) if settings.log_requests else None
        self._notices = notices

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = RequestHeaders(scope)
        given_id = headers.get("x-request-id")
        request_id = id_of_request(given_id, self._make_id)
        tracing.request_id.set(request_id)
        tracing.span.set(None)
        exchange = Exchange(
            request_id,
            has_own_id=request_id != given_id,
            is_head=scope["method"] == "HEAD",
            hsts=self._hsts if scope.get("scheme") == "https" else None,
        )
        try:
            answer = _sendable(await self._answer(exchange, scope, headers, receive))
        except ClientLeft:
            exchange.status = CLIENT_LEFT
        except Exception as error:  # The one place where a request's failure becomes an answer.
            await self._send_problem(exchange, error, send)
        else:
            await self._send(exchange, answer, receive, send)
        finally:
            if exchange.streams_for is not None:
                self._places.give_back(exchange.streams_for)
            self._report(exchange, scope["method"])
            if exchange.status in REFUSALS and self._hooks.listeners(RequestRefused):
                self._notices.tell(self._hooks, _refusal(exchange, scope, headers))

    async def _answer(
        self, exchange: Exchange, scope: Scope, headers: Headers, receive: Receive
    ) -> Any:
        path = scope["path"]
        exchange.has_unread_body = "content-length" in headers or "transfer-encoding" in headers
        if headers.get("content-length") == "0":
            exchange.has_unread_body = False
        if self._hosts is not None:
            self._hosts.hold(scope["headers"])
        found = self._router.find(path)
        client = scope.get("client")
        address = client[0] if client else ""
        if path in PUBLIC_PATHS:
            principal = NOBODY
        else:
            known = self._hooks.recognize(headers)
            principal = known or await self._principal(headers, address)
        endpoint, values = self._endpoint(found, scope["method"], path, scope["query_string"])
        exchange.endpoint = endpoint
        slot = endpoint.slot
        if slot is not None and slot.state != "running":
            raise Problem(PLUGIN_DOWN, plugin=slot.name, state=slot.state, reason=slot.reason)
        call = exchange.call = Call(
            method=scope["method"],
            path=path,
            query_string=scope["query_string"],
            headers=headers,
            client=address,
            request_id=exchange.request_id,
            principal=principal,
        )
        arguments: dict[str, Any] = dict(zip(endpoint.names, values, strict=True))
        if endpoint.body is not None and not endpoint.is_sent_form(headers):
            call.body = await self._read(exchange, endpoint, headers, receive)
            exchange.body_is_read()
            optional = endpoint.operation.body_optional and not call.body
            arguments["body"] = None if optional else endpoint.body.decode(call.body)
            if endpoint.form is not None:
                arguments["form"] = None
        elif endpoint.form is not None:
            # Only opened: the operation reads it, once it is known that the caller may.
            incoming = Incoming(receive, bytes_max=endpoint.form_bytes_max, settings=self._settings)
            form = endpoint.form.open(headers, incoming, ended=exchange.body_is_read)
            arguments["form"] = call.form = form
            if endpoint.body is not None:
                arguments["body"] = None
        if endpoint.query is not None:
            arguments["query"] = endpoint.query.decode(call.query_string)
        resource = values[endpoint.resource_at] if values else None
        if not endpoint.is_public:
            await self._hooks.authorize(
                principal=principal, action=endpoint.operation.action, resource=resource
            )
        if endpoint.will_stream(arguments.get("body")):
            self._places.take(principal.id)
            exchange.streams_for = principal.id
        # Rate limits are taken around the call: the caller may act, and nothing heavy is done yet.
        proceed = partial(endpoint.function, call, **arguments)
        serving = self._hooks.around_call(call, endpoint.operation, proceed)
        if endpoint.operation.ends_with_client:
            return await _while_client_waits(serving, receive)
        return await serving

    async def _principal(self, headers: Headers, client: str) -> Principal:
        principal = await self._hooks.authenticate(headers, client)
        if principal is None:
            raise Problem(NO_API_KEY)
        return principal

    def _endpoint(
        self,
        found: tuple[dict[str, Endpoint], Sequence[str]] | None,
        method: str,
        path: str,
        query: bytes,
    ) -> tuple[Endpoint, Sequence[str]]:
        if found is None:
            raise self._elsewhere(path, query) or Problem(UNKNOWN_URL, method=method, path=path)
        methods, values = found
        endpoint = methods.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            allowed = sorted(methods) + (["HEAD"] if "GET" in methods else [])
            text = ", ".join(allowed)
            raise Problem(
                METHOD_NOT_ALLOWED,
                headers={"allow": text},
                method=method,
                path=path,
                allowed=text,
            )
        return endpoint, values

    def _elsewhere(self, path: str, query: bytes) -> Problem | None:
        """Where a path that differs by its last slash is served, as Starlette redirects."""
        other = path[:-1] if path.endswith("/") else f"{path}/"
        if self._router.find(other) is None:
            return None
        location = quote(other) + (f"?{query.decode('latin-1')}" if query else "")
        return Problem(MOVED, headers={"location": location}, path=other)

    async def _read(
        self, exchange: Exchange, endpoint: Endpoint, headers: Headers, receive: Receive
    ) -> bytes:
        limit = endpoint.body_bytes_max
        length = headers.get("content-length")
        if length is not None and length.isdigit() and int(length) > limit:
            raise Problem(BODY_TOO_LARGE, limit=limit)
        content_type = headers.get("content-type")
        if content_type is not None and exchange.has_unread_body and not _is_json(content_type):
            raise Problem(WRONG_CONTENT_TYPE, expected="application/json", got=content_type)
        try:
            async with asyncio.timeout(self._settings.body_s):
                return await _gather_body(receive, limit)
        except TimeoutError as error:
            raise Problem(BODY_TOO_SLOW, limit=f"{self._settings.body_s:g}") from error

    # --- answering --------------------------------------------------------------------------

    async def _send(
        self,
        exchange: Exchange,
        answer: Wire[Any] | EventStream[Any] | Bytes,
        receive: Receive,
        send: Send,
    ) -> None:
        if isinstance(answer, Wire):
            data = answer.data
            head = exchange.written_head(len(data)) if self._writes_heads else None
            headers = exchange.headers(_JSON, len(data)) if head is None else head
            await send(_start(exchange, 200, headers))
            await _send_body(exchange, data, send)
        elif isinstance(answer, EventStream):
            await self._stream(exchange, answer.frames, receive, send)
        else:
            await self._send_bytes(exchange, answer, receive, send)

    async def _send_bytes(
        self, exchange: Exchange, answer: Bytes, receive: Receive, send: Send
    ) -> None:
        content_type = answer.content_type.encode("latin-1")
        if isinstance(answer.content, bytes):
            headers = exchange.headers_of_bytes(content_type, len(answer.content))
            await send(_start(exchange, answer.status, headers))
            await _send_body(exchange, answer.content, send)
            return
        headers = exchange.headers_of_bytes(content_type, answer.length)
        start = _start(exchange, answer.status, headers)
        await self._send_frames(exchange, start, answer.content, receive, send, heartbeat_s=None)

    async def _stream(
        self, exchange: Exchange, frames: AsyncIterator[bytes], receive: Receive, send: Send
    ) -> None:
        headers = exchange.headers(b"text/event-stream; charset=utf-8", None)
        # Proxies hold streams back unless told not to.
        headers.append((b"x-accel-buffering", b"no"))
        start = _start(exchange, 200, headers)
        heartbeat_s = self._settings.heartbeat_s
        await self._send_frames(exchange, start, frames, receive, send, heartbeat_s=heartbeat_s)

    async def _send_frames(
        self,
        exchange: Exchange,
        start: Message,
        frames: AsyncIterator[bytes],
        receive: Receive,
        send: Send,
        *,
        heartbeat_s: float | None,
    ) -> None:
        try:
            await send(start)
        except BaseException:
            await close_frames(frames)
            raise
        if exchange.is_head:
            await close_frames(frames)
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            await serve_frames(
                frames,
                receive,
                send,
                heartbeat_s=heartbeat_s,
                send_s=self._settings.send_s,
                # Of other answers the end would be taken for their whole.
                among=self._streams if heartbeat_s is not None else None,
            )
        except Exception as error:
            # The answer has begun: raised on, it breaks the connection, and that is the message.
            self._log_failure("stream_failed", exchange, error)
            raise

    async def _send_problem(self, exchange: Exchange, error: Exception, send: Send) -> None:
        problem = await self._worded(exchange, error)
        exchange.code = problem.body.code or ""
        extra = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in problem.headers.items()]
        data = envelope(problem)
        headers = exchange.headers(_JSON, len(data)) + extra
        await send(_start(exchange, problem.status, headers))
        await _send_body(exchange, data, send)

    async def _worded(self, exchange: Exchange, error: Exception) -> Problem:
        problem = as_problem(error)
        if problem is not None:
            return problem
        try:
            problem = await self._hooks.handle_exception(exchange.call, error)
        except Exception as another:  # Isolation: a bug in the wording must not hide the first.
            self._log_failure("handle_exception_failed", exchange, another)
        if problem is not None:
            return problem
        self._log_failure("request_failed", exchange, error)
        return as_problem(error, request_id=exchange.request_id)

    def _log_failure(self, event: str, exchange: Exchange, error: Exception) -> None:
        endpoint = exchange.endpoint
        self._log.error(
            event,
            request_id=exchange.request_id,
            operation=endpoint.operation.name if endpoint else None,
            plugin=endpoint.slot.name if endpoint and endpoint.slot else None,
            exc_info=error,
        )

    def _report(self, exchange: Exchange, method: str) -> None:
        """Tell the log and other plugins of a request; neither its path nor anything it held."""
        endpoint, call = exchange.endpoint, exchange.call
        log_request = None if endpoint and endpoint.is_public else self._log_request
        is_heard = self._hooks.hears_requests
        if log_request is None and not is_heard:
            return
        name, route = "unknown", ""
        if endpoint is not None:
            name, route = endpoint.operation.name, endpoint.operation.path
        project = principal = None
        if call is not None:
            project, principal = call.principal.project, call.principal.id
        served = RequestServed(
            operation=name,
            status=exchange.status,
            seconds=time.perf_counter() - exchange.started,
            request_id=exchange.request_id,
            ended_at=time.time(),
            project=project,
            principal=principal,
            method=method,
            route=route,
            span=tracing.span.get(),
        )
        if is_heard:
            self._notices.tell_request(served)
        if log_request is not None:
            log_request(served, has_own_id=exchange.has_own_id)


async def _while_client_waits(serving: Awaitable[Any], receive: Receive) -> Any:
    """What is served, unless the client leaves first; then it is cancelled.

    It is served in this task and only the watching in another: a task and a wait for it would
    cost as much as all the rest of a request.
    """
    here = asyncio.current_task()
    assert here is not None
    has_left = False

    async def watch() -> None:
        nonlocal has_left
        await until_left(receive)
        has_left = True
        here.cancel()

    watcher = asyncio.ensure_future(watch())
    try:
        return await serving
    except asyncio.CancelledError:
        # By the watcher alone; or by somebody else, too, as where the server stops.
        if has_left and here.cancelling() == 1:
            raise ClientLeft from None
        raise
    finally:
        watcher.cancel()
        if has_left:
            here.uncancel()


def _refusal(exchange: Exchange, scope: Scope, headers: Headers) -> RequestRefused:
    endpoint, call, client = exchange.endpoint, exchange.call, scope.get("client")
    return RequestRefused(
        operation=endpoint.operation.name if endpoint else "unknown",
        action=endpoint.operation.action if endpoint else "",
        status=exchange.status,
        code=exchange.code,
        request_id=exchange.request_id,
        client=client[0] if client else "",
        user_agent=headers.get("user-agent", ""),
        project=call.project if call else None,
        principal=call.principal.id if call else None,
        key_id=call.principal.key_id if call else None,
        resource=_resource(endpoint, call),
    )


def _resource(endpoint: Endpoint | None, call: Call | None) -> str | None:
    if endpoint is None or call is None or not endpoint.operation.path.endswith("}"):
        return None
    return call.path.rpartition("/")[2]


def _start(exchange: Exchange, status: int, headers: Sequence[Header]) -> Message:
    exchange.status = status
    return {"type": "http.response.start", "status": status, "headers": headers}


async def _send_body(exchange: Exchange, data: bytes, send: Send) -> None:
    await send({"type": "http.response.body", "body": b"" if exchange.is_head else data})


def _sendable(answer: Any) -> Wire[Any] | EventStream[Any] | Bytes:
    """What an operation returned, encoded while a failure of that can still be answered."""
    if isinstance(answer, Wire | EventStream | Bytes):
        return answer
    return Wire(_encode(answer))


def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or media.endswith("+json")


async def _gather_body(receive: Receive, limit: int) -> bytes:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    body: bytes = message.get("body", b"")
    size = len(body)
    _hold(size, limit)
    if not message.get("more_body"):
        return body
    chunks = [body]
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        _hold(size, limit)
    return b"".join(chunks)


def _hold(size: int, limit: int) -> None:
    if size > limit:
        raise Problem(BODY_TOO_LARGE, limit=limit)
