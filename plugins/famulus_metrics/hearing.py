"""What is counted of each notice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from famulus_metrics.catalog import Catalog
from famulus_metrics.names import Names
from famulus_schemas.notices import (
    BackendFailed,
    FileIngested,
    ModelAnswered,
    RequestServed,
    RunEnded,
    ToolCalled,
)

Counted = RunEnded | ModelAnswered | BackendFailed | ToolCalled | FileIngested

LEFT = 499
"""The status of a request whose client went away, which is never sent."""

_CLASSES = {200: "2xx", LEFT: "left"}
"""What most requests are counted as, and what is no class of its own."""


class Hearing:
    """Counts what it hears of."""

    def __init__(self, catalog: Catalog, *, models_max: int) -> None:
        self._catalog = catalog
        self._models = Names(models_max)

    def hear_requests(self, served: Sequence[RequestServed]) -> None:
        """Count requests."""
        seconds: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        for each in served:
            seconds[each.operation, each.status].append(each.seconds)
        for (operation, status), spent in seconds.items():
            kind = _CLASSES.get(status) or f"{status // 100}xx"
            self._catalog.requests.add(operation, kind, by=len(spent))
            self._catalog.request_seconds.observe_all((operation,), spent)

    def hear(self, event: Counted) -> None:
        """Count one notice."""
        match event:
            case RunEnded():
                self._run(event)
            case ModelAnswered():
                self._answer(event)
            case BackendFailed():
                self._catalog.backend_faults.add(event.backend, event.kind)
            case ToolCalled():
                self._catalog.tool_calls.add(event.kind, event.result)
                self._catalog.tool_seconds.observe(event.kind, value=event.seconds)
            case FileIngested():
                self._file(event)

    def _run(self, event: RunEnded) -> None:
        catalog = self._catalog
        catalog.runs.add(event.status)
        if event.status == "requires_action":
            # Its end is still to come, and that it was queued is told then.
            return
        catalog.run_seconds.observe(value=event.seconds)
        if event.queued_s is not None:
            catalog.run_queue_seconds.observe(value=event.queued_s)

    def _answer(self, event: ModelAnswered) -> None:
        catalog, model = self._catalog, self._models.of(event.model)
        catalog.model_seconds.observe(model, value=event.seconds)
        catalog.first_token_seconds.observe(model, value=event.first_s)
        catalog.tokens.add(model, "prompt", by=event.prompt_tokens)
        catalog.tokens.add(model, "cached", by=event.cached_tokens)
        catalog.tokens.add(model, "completion", by=event.completion_tokens)

    def _file(self, event: FileIngested) -> None:
        self._catalog.files.add(event.status)
        self._catalog.chunks.add(by=event.chunks)
        self._catalog.ingestion_seconds.observe(value=event.seconds)
