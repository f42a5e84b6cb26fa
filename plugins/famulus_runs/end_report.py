"""What others are told of a run that is over, or that rests: a notice, and a line of the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from famulus import tracing
from famulus_schemas.notices import Notice, RunEnded
from famulus_schemas.runs import Run

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_schemas.limits import Reserved
    from famulus_schemas.spans import Span


class EndReport:
    """Tells how runs end, whoever ends them."""

    def __init__(
        self, *, clock: Callable[[], float], tell: Callable[[Notice], None], log: Log
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._log = log

    def of(
        self,
        project: str,
        run: Run,
        *,
        principal: str,
        reserved: Reserved | None,
        model_requests: int,
        span: Span | None,
    ) -> None:
        """Tell of this run, as it is now."""
        usage = run.usage
        ended = RunEnded(
            project=project,
            run=run.id,
            status=run.status,
            seconds=self._clock() - run.created_at,
            principal=principal,
            reserved=reserved,
            model_requests=model_requests,
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
            model=run.model,
            queued_s=None if run.started_at is None else run.started_at - run.created_at,
            ended_at=self._clock(),
            fault=run.last_error.code if run.last_error else "",
            span=span,
        )
        reason = run.last_error.message if run.last_error else None
        (self._log.info if reason is None else self._log.warning)(
            f"run_{run.status}",
            run=run.id,
            request_id=tracing.request_id.get(),
            project=project,
            model=run.model,
            seconds=round(ended.seconds, 3),
            prompt_tokens=ended.prompt_tokens,
            completion_tokens=ended.completion_tokens,
            **({} if reason is None else {"reason": reason}),
        )
        self._tell(ended)
