"""The plugin: around every authenticated call, and around authentication itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from famulus import Bytes, Call, EventStream, Operation, Plugin, Problem, hookimpl, need
from famulus.operations import Identify, Proceed
from famulus_rate_limits.estimate import Estimate, estimate
from famulus_rate_limits.failed_logins import FailedLogins
from famulus_rate_limits.policy import Policy
from famulus_rate_limits.settings import RateLimitsSettings
from famulus_rate_limits.usage import Metered, used
from famulus_rate_limits.words import limit_headers, problem
from famulus_schemas.identity import Principal
from famulus_schemas.limits import Refused
from famulus_schemas.notices import RunEnded
from famulus_schemas.ports import LIMITS

if TYPE_CHECKING:
    from starlette.datastructures import Headers

RELAYED = frozenset({"chat.create", "completions.create", "embeddings.create"})
"""What is answered by a model at once; the answer says what it used."""
RUNS = frozenset({"create_run", "create_thread_and_run"})
"""What has models asked in the background."""

REPLAYED = "idempotent-replayed"
"""The header of an answer that was given before, and uses nothing more."""

OVER = frozenset({"completed", "incomplete", "failed", "cancelled", "expired"})


class RateLimits(Plugin[RateLimitsSettings]):
    """Limits requests and tokens of keys, projects and models, and wrong keys of addresses."""

    name = "rate_limits"
    limits = need(LIMITS)
    _policy: Policy
    _logins: FailedLogins | None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Count from now on."""
        self._policy = Policy(self.settings)
        self._logins = None
        if self.settings.failed_logins_per_minute:
            self._logins = FailedLogins(self.settings, self.host.clock)
        yield

    # --- who asks -----------------------------------------------------------------------------

    @hookimpl(tryfirst=True)
    async def around_authenticate(
        self, headers: Headers, client: str, proceed: Identify
    ) -> Principal | None:
        """Refuse an address that has sent too many wrong keys; count one that is wrong."""
        logins = self._logins
        if logins is None:
            return await proceed()
        credential = headers.get("authorization", "")
        logins.refuse(client, credential)
        try:
            principal = await proceed()
        except Problem as refusal:
            if refusal.status == 401:
                logins.failed(client, credential)
            raise
        if principal is not None:
            logins.succeeded(credential)
        return principal

    # --- what is asked ------------------------------------------------------------------------

    @hookimpl(tryfirst=True)
    async def around_call(self, call: Call, operation: Operation, proceed: Proceed) -> Any:
        """Take requests and tokens together, or refuse; settle the tokens by the usage."""
        policy = self._policy
        # What is served to everybody has no project.
        if not policy.limits_anything or not call.project:
            return await proceed()
        wanted = self._wanted(call, operation)
        claims = policy.claims(
            call.principal,
            model=None if wanted is None else wanted.model,
            tokens=None if wanted is None else wanted.tokens,
        )
        if not claims:
            return await proceed()
        outcome = await self.limits.take(call.project, [claim.limit for claim in claims])
        headers = limit_headers(claims, outcome.standings)
        if isinstance(outcome, Refused):
            call.response_headers.update(headers)
            raise problem(claims, outcome)
        try:
            if wanted is None or not policy.limits_tokens:
                return await proceed()
            return await self._settled(call, operation, wanted, proceed)
        finally:
            # Last: an answer that is given again brings the headers of its first time.
            call.response_headers.update(headers)

    def _wanted(self, call: Call, operation: Operation) -> Estimate | None:
        """The tokens and the model of a call, where it has any that are limited."""
        policy = self._policy
        if not policy.limits_tokens and not policy.limits_models:
            return None
        if operation.name in RUNS:
            return Estimate(None, 0, self.settings.run_tokens)
        if operation.action in RELAYED:
            embeds = operation.action == "embeddings.create"
            answer_tokens = 0 if embeds else self.settings.answer_tokens
            return estimate(call.body, answer_tokens=answer_tokens)
        return None

    async def _settled(
        self, call: Call, operation: Operation, wanted: Estimate, proceed: Proceed
    ) -> Any:
        """The answer, its tokens settled: now, at the end of its stream, or when its run ends."""
        settle = partial(self._settle, call.principal.id, call.project, wanted.model, wanted.tokens)
        try:
            answer = await proceed()
        except Exception:
            # Refused or broken. Whose client only left keeps what was taken: the model was at it.
            await settle(0)
            raise
        if REPLAYED in call.response_headers:
            await settle(0)
            return answer
        if operation.name in RUNS:
            return answer
        if isinstance(answer, EventStream):

            async def ended(total: int | None, events: int) -> None:
                await settle(total if total is not None else wanted.prompt + events)

            return EventStream(Metered(answer.frames, ended))
        if isinstance(answer, Bytes) and isinstance(answer.content, bytes):
            total = 0 if answer.status >= 400 else used(answer.content)
            # What says nothing has used what was expected.
            await settle(wanted.tokens if total is None else total)
        return answer

    @hookimpl
    async def on_event(self, event: RunEnded) -> None:
        """Settle the tokens of a run that is over."""
        if event.status in OVER and self._policy.limits_tokens:
            total = event.prompt_tokens + event.completion_tokens
            reserved = self.settings.run_tokens
            await self._settle(event.principal, event.project, None, reserved, total)

    async def _settle(
        self, principal: str, project: str, model: str | None, reserved: int, total: int
    ) -> None:
        corrections = self._policy.corrections(
            principal, project, model=model, reserved=reserved, used=total
        )
        if corrections:
            await self.limits.settle(project, corrections)
