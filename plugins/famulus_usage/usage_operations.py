"""Usage and costs, as the official client asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from famulus import Call, operation
from famulus_schemas.usage import What
from famulus_schemas.usage_answers import (
    Amount,
    BucketPage,
    BucketQuery,
    CodeInterpreterResult,
    CompletionsResult,
    CompletionUsageQuery,
    CostsQuery,
    CostsResult,
    EmbeddingsResult,
    FileSearchesResult,
    FileSearchUsageQuery,
    Grouped,
    ImageUsageQuery,
    ModelUsageQuery,
    ProjectUsageQuery,
    VectorStoresResult,
    WebSearchUsageQuery,
)
from famulus_usage.buckets import Asked, Names, Window, grouped, paged, window_of
from famulus_usage.cells import Cell
from famulus_usage.prices import shown
from famulus_usage.times import SECONDS, Width

if TYPE_CHECKING:
    from famulus_usage.plugin import Usage

T = TypeVar("T")

READ = "organization.read"
_USAGE = "/v1/organization/usage"
_COST_LIMITS = (7, 180)


class UsageOperations:
    """What admin keys may ask."""

    def __init__(self, plugin: Usage) -> None:
        self._plugin = plugin

    @operation("GET", f"{_USAGE}/completions", action=READ)
    async def usage_completions(
        self, call: Call, query: CompletionUsageQuery
    ) -> BucketPage[CompletionsResult]:
        """Tokens of runs, chat completions and completions."""
        groups = query.group_by

        def result(names: Names, cell: Cell) -> CompletionsResult:
            project, user, key, model = names
            return CompletionsResult(
                input_tokens=cell.input,
                output_tokens=cell.output,
                input_cached_tokens=cell.cached,
                input_uncached_tokens=cell.input - cell.cached,
                num_model_requests=cell.requests,
                project_id=project,
                user_id=user,
                api_key_id=key,
                model=model,
                batch=False if "batch" in groups else None,
                service_tier="default" if "service_tier" in groups else None,
                api_source="unlabeled" if "api_source" in groups else None,
            )

        # Nothing is done in batches.
        what: tuple[What, ...] = () if query.batch else ("completions",)
        asked = Asked(
            what=what,
            projects=query.project_ids,
            users=query.user_ids,
            keys=query.api_key_ids,
            models=query.models,
        )
        return await self._page(query, asked, groups, result)

    @operation("GET", f"{_USAGE}/embeddings", action=READ)
    async def usage_embeddings(
        self, call: Call, query: ModelUsageQuery
    ) -> BucketPage[EmbeddingsResult]:
        """Tokens of requests for embeddings."""

        def result(names: Names, cell: Cell) -> EmbeddingsResult:
            project, user, key, model = names
            return EmbeddingsResult(
                input_tokens=cell.input,
                num_model_requests=cell.requests,
                project_id=project,
                user_id=user,
                api_key_id=key,
                model=model,
            )

        asked = Asked(
            what=("embeddings",),
            projects=query.project_ids,
            users=query.user_ids,
            keys=query.api_key_ids,
            models=query.models,
        )
        return await self._page(query, asked, query.group_by, result)

    @operation("GET", f"{_USAGE}/file_search_calls", action=READ)
    async def usage_file_search_calls(
        self, call: Call, query: FileSearchUsageQuery
    ) -> BucketPage[FileSearchesResult]:
        """Searches by models in runs and by clients; of which store is not known."""

        def result(names: Names, cell: Cell) -> FileSearchesResult:
            project, user, key, _ = names
            return FileSearchesResult(
                num_requests=cell.requests, project_id=project, user_id=user, api_key_id=key
            )

        asked = Asked(
            what=() if query.vector_store_ids else ("file_searches",),
            projects=query.project_ids,
            users=query.user_ids,
            keys=query.api_key_ids,
        )
        return await self._page(query, asked, query.group_by, result)

    @operation("GET", f"{_USAGE}/code_interpreter_sessions", action=READ)
    async def usage_code_interpreter_sessions(
        self, call: Call, query: ProjectUsageQuery
    ) -> BucketPage[CodeInterpreterResult]:
        """Runs that had code run."""

        def result(names: Names, cell: Cell) -> CodeInterpreterResult:
            return CodeInterpreterResult(num_sessions=cell.requests, project_id=names[0])

        asked = Asked(what=("code_interpreter_sessions",), projects=query.project_ids)
        return await self._page(query, asked, query.group_by, result)

    @operation("GET", f"{_USAGE}/vector_stores", action=READ)
    async def usage_vector_stores(
        self, call: Call, query: ProjectUsageQuery
    ) -> BucketPage[VectorStoresResult]:
        """How large vector stores were at the end of each time, or are now."""
        window, by_project = self._window(query), "project_id" in query.group_by
        wanted = query.project_ids

        def name(project: str) -> str | None:
            return project if by_project else None

        def result(names: Names, held: int) -> VectorStoresResult:
            return VectorStoresResult(usage_bytes=held, project_id=names[0])

        levels = self._plugin.levels
        # What came and went until now is part of the answer.
        await levels.measure()
        sums = await levels.sums("vector_stores", window, name, wanted)
        return paged(window, sums, result)

    @operation("GET", f"{_USAGE}/moderations", action=READ)
    async def usage_moderations(self, call: Call, query: ModelUsageQuery) -> BucketPage[Grouped]:
        """Moderations: none are served, and so always empty."""
        return self._empty(query)

    @operation("GET", f"{_USAGE}/images", action=READ)
    async def usage_images(self, call: Call, query: ImageUsageQuery) -> BucketPage[Grouped]:
        """Pictures: none are made here, and so always empty."""
        return self._empty(query)

    @operation("GET", f"{_USAGE}/audio_speeches", action=READ)
    async def usage_audio_speeches(self, call: Call, query: ModelUsageQuery) -> BucketPage[Grouped]:
        """Speech: none is made here, and so always empty."""
        return self._empty(query)

    @operation("GET", f"{_USAGE}/audio_transcriptions", action=READ)
    async def usage_audio_transcriptions(
        self, call: Call, query: ModelUsageQuery
    ) -> BucketPage[Grouped]:
        """Transcriptions: none are made here, and so always empty."""
        return self._empty(query)

    @operation("GET", f"{_USAGE}/web_search_calls", action=READ)
    async def usage_web_search_calls(
        self, call: Call, query: WebSearchUsageQuery
    ) -> BucketPage[Grouped]:
        """Searches of the web: none are made here, and so always empty."""
        return self._empty(query)

    @operation("GET", f"{_USAGE}/decisions", action=READ)
    async def usage_decisions(self, call: Call, query: CompletionUsageQuery) -> BucketPage[Grouped]:
        """Decisions: none are made here, and so always empty."""
        return self._empty(query)

    @operation("GET", "/v1/organization/costs", action=READ)
    async def costs(self, call: Call, query: CostsQuery) -> BucketPage[CostsResult]:
        """What was spent, day by day, at the prices of the time when it was."""
        window = window_of(
            query.start_time,
            query.end_time,
            "1d",
            query.limit,
            query.page,
            now=self._plugin.host.clock(),
            limits=_COST_LIMITS,
        )
        groups = query.group_by
        currency = self._plugin.settings.currency

        def result(names: Names, cell: Cell) -> CostsResult:
            project, user, key, model = names
            by_item = "line_item" in groups
            return CostsResult(
                amount=Amount(value=shown(cell.cost), currency=currency),
                line_item=model,
                quantity=float(cell.input + cell.output) if by_item else None,
                quantity_unit="tokens" if by_item else None,
                project_id=project,
                user_id=user,
                api_key_id=key,
                api_source="unlabeled" if "api_source" in groups else None,
            )

        asked = Asked(
            what=("completions", "embeddings"),
            projects=query.project_ids,
            users=query.user_ids,
            keys=query.api_key_ids,
            models=query.line_items,
        )
        names = ["model" if name == "line_item" else name for name in groups]
        return await self._read(window, asked, names, result)

    def _window(self, query: BucketQuery) -> Window:
        plugin, width = self._plugin, query.bucket_width
        now = plugin.host.clock()
        kept: dict[Width, float] = {
            "1m": now - plugin.settings.minutes_kept_hours * SECONDS["1h"],
            "1h": now - plugin.settings.hours_kept_days * SECONDS["1d"],
        }
        return window_of(
            query.start_time,
            query.end_time,
            width,
            query.limit,
            query.page,
            now=now,
            kept_from=kept.get(width, 0),
        )

    async def _page(
        self,
        query: BucketQuery,
        asked: Asked,
        group_by: Sequence[str],
        result: Callable[[Names, Cell], T],
    ) -> BucketPage[T]:
        return await self._read(self._window(query), asked, group_by, result)

    async def _read(
        self,
        window: Window,
        asked: Asked,
        group_by: Sequence[str],
        result: Callable[[Names, Cell], T],
    ) -> BucketPage[T]:
        # What was used here until now is part of the answer.
        await self._plugin.settle()
        rows = await self._plugin.reading.rows(window.width, window.start, window.end)
        wanted = [row for row in rows if asked.has(*row)]
        return paged(window, grouped(wanted, group_by), result)

    def _empty(self, query: BucketQuery) -> BucketPage[Any]:
        return paged(self._window(query), {}, lambda names, cell: None)
