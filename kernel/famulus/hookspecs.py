"""Every moment at which a plugin may speak, in the order of life.

A hook is for what several plugins may answer; where two answers would be a conflict, it is a
port. A hook that is not here does not exist. How answers are gathered is in `hooks.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from famulus.markers import hookspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click
    from starlette.datastructures import Headers

    from famulus.call import Call
    from famulus.middleware import Layer
    from famulus.migrations import Migrations
    from famulus.operations import Identify, Operation, Proceed
    from famulus_schemas.errors import Problem
    from famulus_schemas.gauges import Gauge
    from famulus_schemas.health import Health
    from famulus_schemas.identity import Principal
    from famulus_schemas.inference import Backend, PromptMessage
    from famulus_schemas.jobs import Gate
    from famulus_schemas.notices import Notice, RequestServed
    from famulus_schemas.records import Unit, Write
    from famulus_schemas.retention import Data
    from famulus_schemas.retrieval import Chunker, Extractor
    from famulus_schemas.runs import Run
    from famulus_schemas.tooling import ToolKind

# --- Boot: asked once a world is built; each answer is a list, and all lists are joined. ------


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to the `famulus` command line; a static method, since nothing is started."""


@hookspec
def register_migrations() -> list[Migrations]:
    """List the stores whose form must be brought up to date before they are used."""


@hookspec
def register_operations() -> list[Operation]:
    """List the typed functions to serve; two of one method and path are an error."""


@hookspec
def register_middleware() -> list[Layer]:
    """List pure ASGI layers to wrap around the server, outermost first by their `order`."""


@hookspec
def register_backends() -> list[Backend]:
    """List the model servers that this plugin reaches; asked when INFERENCE starts."""


@hookspec
def register_tools() -> list[ToolKind]:
    """List the kinds of tool that this plugin can run for a model."""


@hookspec
def register_extractors() -> list[Extractor]:
    """List the types of files that this plugin can read, and the functions that read them."""


@hookspec
def register_chunkers() -> list[Chunker]:
    """List ways of cutting up what files say; `[extraction] chunker` chooses one."""


@hookspec
def register_run_gates() -> list[Gate]:
    """List what runs must pass before a process works on them; until then they stay queued."""


@hookspec
def register_gauges() -> list[Gauge]:
    """List the figures that can be read of this plugin while it runs; asked at every reading."""


@hookspec
def register_data_kinds() -> list[Data]:
    """List what this plugin keeps of projects, and how it is found by age, deleted and erased."""


# --- Request: asked while a request or a run is served. ----------------------------------------


@hookspec
async def authenticate(headers: Headers) -> Principal | None:
    """Say who sent these headers, or None if the credential is not yours; wrong ones raise."""


@hookspec
def recognize(headers: Headers) -> Principal | None:
    """Say what `authenticate` would, where you know it by now; None has `authenticate` asked."""


@hookspec
async def around_authenticate(headers: Headers, client: str, proceed: Identify) -> Principal | None:
    """Say who asks, by `await proceed()`, or refuse before or after; `client` is the address."""


@hookspec
async def around_login(headers: Headers, client: str, proceed: Identify) -> Principal | None:
    """As `around_authenticate`, but only around whom nobody recognizes: who is new, or wrong."""


@hookspec
async def authorize(principal: Principal, action: str, resource: str | None) -> None:
    """Raise a Problem to refuse an action on a resource; every plugin must agree."""


@hookspec
async def around_call(call: Call, operation: Operation, proceed: Proceed) -> Any:
    """Answer an authorized call, by `await proceed()` or instead of it; each is around the next."""


@hookspec
async def prepare_messages(run: Run, messages: list[PromptMessage]) -> list[PromptMessage]:
    """Answer what the model shall be shown instead; each plugin gets the last one's answer."""


@hookspec
async def join_unit(principal: Principal, action: str, unit: Unit) -> list[Write]:
    """Answer writes that must be committed together with this unit (usage, audit, children)."""


@hookspec
async def handle_exception(call: Call, error: Exception) -> Problem | None:
    """Word an exception for the client, or None if it is not yours; the first answer counts."""


# --- Life: told, or asked how it is. -------------------------------------------------------------


@hookspec
async def on_started() -> None:
    """Do first what needs all plugins, before anybody is served; whoever raises has failed."""


@hookspec
async def on_event(event: Notice) -> None:
    """Hear what happened, of the kinds you annotate `event` with; later, or never under load."""


@hookspec
async def on_requests(served: Sequence[RequestServed]) -> None:
    """Hear of answered requests as `on_event` does, but of many at once: counting costs little."""


@hookspec
async def on_drain() -> None:
    """Hear that the server is about to stop: begin nothing more that others can do instead."""


@hookspec
async def check_health() -> Health:
    """Say whether the plugin can do its work now; it has a few seconds to answer."""
