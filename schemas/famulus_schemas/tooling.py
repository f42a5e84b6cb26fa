"""Tools: what a plugin that lets models do things must provide.

To a model every tool is one or more functions. A tool kind says which functions one tool
definition of an assistant stands for, and runs the calls that the model makes of them; a call
that the client must run is the one thing that a kind does not run itself.

What more a kind can do are Protocols of their own: `FormedKind` has its calls shown in run steps
in another form than functions have, `EquippedKind` looks at what a run has before it offers,
`CitingKind` says which of the passages that it gave a sentence of the answer rests on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from famulus_schemas.identity import Principal
from famulus_schemas.inference import OfferedFunction
from famulus_schemas.messages import Attachment, ImageFileContentBlock
from famulus_schemas.steps import (
    CodeInterpreterOutput,
    CodeInterpreterToolCall,
    FileSearchCall,
    FileSearchToolCall,
)
from famulus_schemas.tools import ToolResources

if TYPE_CHECKING:
    from famulus_schemas.runs import Run


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that a model made, complete."""

    id: str
    name: str
    arguments: str
    """JSON text, as the model wrote it."""


class RunResources(msgspec.Struct, frozen=True, kw_only=True):
    """What the tools of a run may use, as it was when they first asked."""

    assistant: ToolResources = ToolResources()
    thread: ToolResources = ToolResources()
    attachments: tuple[Attachment, ...] = ()
    """Files of the thread's messages, the oldest first."""


async def no_resources() -> RunResources:
    """For a run that has nothing."""
    return RunResources()


class ToolScope(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf a call is run."""

    project: str
    run: Run
    """Names its thread and its assistant."""
    by: Principal | None = None
    """Who created it, with which key, for what the call uses; it lets nobody do anything."""
    definition: Mapping[str, Any]
    """The tool definition that offered the function."""
    number: int = 0
    """How many calls the run made before this one, of whatever tool."""
    resources: Callable[[], Awaitable[RunResources]] = no_resources
    """Reads what the run's assistant and thread have; once a run, however often it is asked."""


# -- what a call gives ---------------------------------------------------------------------


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of text by which the model can refer to a file, as the tool told it.

    Where it stands in a message that the run writes from then on, the message gets an annotation.
    What only looks like a mark stays as it is: a model cannot invent one.
    """

    text: str
    """Such as `【4:0†name.md】`, or `sandbox:/mnt/data/plot.png`."""
    file_id: str
    type: Literal["file_citation", "file_path"] = "file_citation"
    """Whether it quotes the file, or is a link to one that was made."""
    shown: str = ""
    """What the message says in its place; empty leaves the mark itself."""
    short: str = ""
    """What of it alone says which it is, such as `4:0`: then `【4:0】`, `【4:0†source】` and
    `[4:0†source]` are taken for it too, and written as it is; not with another file's name."""


class SourceSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Where in what the model is told a passage stands that sentences may rest on."""

    start: int
    end: int
    mark: Mark
    """By which such a sentence is cited."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that a call gave."""

    text: str
    mark: Mark


ShownResult: TypeAlias = FileSearchCall | tuple[CodeInterpreterOutput, ...]
"""What a step shows of what a call gave; for code its outputs, in order."""


class ToolOutput(msgspec.Struct, frozen=True, kw_only=True):
    """What a call gave, so far or at its end; each takes the place of the one before it."""

    text: str = ""
    """What the model is told; only the last one counts."""
    is_error: bool = False
    shown: ShownResult | None = None
    """All that is to be shown so far; None leaves it as it was. Outputs of code only grow: the
    last one's logs may get longer, and further ones may follow."""
    marks: tuple[Mark, ...] = ()
    """By which the model can refer to it; only the last ones count."""
    sources: tuple[SourceSpan, ...] = ()
    """Passages in `text`, for kinds that cite; only the last ones count."""
    content: tuple[ImageFileContentBlock, ...] = ()
    """With what the run's next message begins; only the last counts."""


class ToolUnusable(Exception):
    """The tool cannot work at all: its step and the run fail with this message.

    Any other exception is told to the model, and the run goes on.
    """


# -- kinds ---------------------------------------------------------------------------------


class ToolKind(Protocol):
    """One way of doing things for a model, registered by `register_tools`."""

    type: str
    """The `type` of the tool definitions that it looks at, such as `function`."""
    place: Literal["server", "client"]
    """Who runs the calls. `client` calls end the turn with `requires_action`."""

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        """The functions that this definition stands for; empty where it is another kind's."""
        ...

    def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        """Run one call; the last item is its result, and those before it tell how far it is.

        Never asked of a `client` kind. An exception becomes an error that the model is told, and
        the run goes on; ToolUnusable fails the run.
        """
        ...


class CallForm(msgspec.Struct, frozen=True, kw_only=True):
    """How run steps show a kind's calls."""

    call: type[FileSearchToolCall] | type[CodeInterpreterToolCall]
    """Of which form they are."""
    input_argument: str = ""
    """For code: the argument, a string, that is its `input`, shown while the model writes it.

    Arguments that are not even begun as a JSON object are taken for this one alone.
    """


@runtime_checkable
class FormedKind(ToolKind, Protocol):
    """A server kind whose calls are not shown as calls of functions."""

    form: CallForm
    may_repeat: bool
    """Whether a call that was running when its process was lost is run again. If not, the model
    is told that it is not known what became of it."""


class Equipment(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind brings to one run for one tool definition."""

    functions: Sequence[OfferedFunction] = ()
    """Instead of what `offers` said; empty where there is nothing to use the tool on."""
    instructions: str = ""
    """What the model is told of it, after the run's own instructions."""


@runtime_checkable
class EquippedKind(ToolKind, Protocol):
    """A kind that looks at what a run has before it offers anything."""

    async def equip(self, scope: ToolScope) -> Equipment:
        """What to offer, asked whenever a run begins or goes on; its `number` means nothing.

        An exception fails the run, and the words of ToolUnusable are told as they are; with
        StoreUnavailable the run is taken up again later.
        """
        ...


class Citer(Protocol):
    """Cites for the model what it did not cite."""

    def cite(self, sentence: str) -> Sequence[Mark]:
        """The marks of the passages that say what the sentence says; empty where none does.

        Never raises, and depends on nothing but the sentence and the passages: a message that is
        written again gets the same marks.
        """
        ...


@runtime_checkable
class CitingKind(ToolKind, Protocol):
    """A kind whose passages are cited also where the model forgets to.

    Each sentence of a message that carries no mark of a passage gets those that its `Citer` finds
    put behind it, as if the model had written them. Code, tables, headings and answers in JSON are
    left as they are.
    """

    async def citer(self, sources: Sequence[Source]) -> Citer | None:
        """Who cites these passages, the oldest first; asked whenever there are more of them.

        None where nothing is to be cited but what the model cites itself.
        """
        ...
