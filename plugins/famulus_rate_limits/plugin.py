"""The plugin: around every authenticated call, and around authentication itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from famulus import (
    Bytes,
    Call,
    EventStream,
    Operation,
    Plugin,
    Problem,
    hookimpl,
    need,
    operations,
    want,
)
from famulus.operations import Identify, Proceed
from famulus_rate_limits.estimate import Estimate, estimate, estimate_run
from famulus_rate_limits.failed_logins import FailedLogins
from famulus_rate_limits.leases import Leases
from famulus_rate_limits.operations import RateLimitOperations
from famulus_rate_limits.policy import Claim, Claims, Place, Policy, corrections
from famulus_rate_limits.run_gate import RunGate
from famulus_rate_limits.settings import RateLimitsSettings
from famulus_rate_limits.stored import KIND, ByModel, StoredLimits
from famulus_rate_limits.usage import Ending, Metered, used
from famulus_rate_limits.words import full_problem, limit_lines, problem
from famulus_schemas.gauges import Gauge
from famulus_schemas.identity import Principal
from famulus_schemas.jobs import Gate
from famulus_schemas.limits import Full, Limits, Refused, Standing, Taken, first_full
from famulus_schemas.notices import RunEnded
from famulus_schemas.ports import ASSISTANTS, INFERENCE, KEYS, LIMITS, RECORDS

if TYPE_CHECKING:
    import click
    from starlette.datastructures import Headers

RELAYED = frozenset({"chat.create", "completions.create", "embeddings.create"})
"""What is answered by a model at once; the answer says what it used."""
RUNS = frozenset({"create_run", "create_thread_and_run"})
"""What has models asked in the background."""

REPLAYED = "idempotent-replayed"
"""The header of an answer that was given before, and uses nothing more."""

LIMITED = ("requests", "tokens", "runs", "answers")
"""What a call may be refused for."""

OVER = frozenset({"completed", "incomplete", "failed", "cancelled", "expired"})


class RateLimits(Plugin[RateLimitsSettings]):
    """Limits requests and tokens of keys, projects and models, and wrong keys of addresses."""

    name = "rate_limits"
    limits = need(LIMITS)
    records = want(RECORDS.system)
    keys = want(KEYS)
    inference = want(INFERENCE)
    assistants = want(ASSISTANTS)
    policy: Policy
    stored: StoredLimits
    _limits: Limits
    _logins: FailedLogins | None
    _leases: Leases

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Count from now on."""
        self.policy = Policy(self.settings)
        self._limits = self.limits
        self.stored = StoredLimits(self.records, self.host.clock)
        if self.records is not None:
            await self.records.declare(KIND)
        self._logins = None
        if self.settings.failed_logins_per_minute:
            self._logins = FailedLogins(self.settings, self.host.clock)
        self._refused: Counter[str] = Counter()
        holder, lease_s = self.new_id("holder_"), self.settings.lease_s
        self._leases = Leases(self._limits, holder=holder, lease_s=lease_s)
        renewing = asyncio.create_task(self._leases.keep())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._leases.close()

    @staticmethod
    @hookimpl
    def register_commands(cli: click.Group) -> None:
        """`famulus limits`."""
        from famulus.later import later

        does = "Show the limits of keys, projects and models."
        cli.add_command(later("limits", "famulus_rate_limits.commands:limits", does=does))

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """Limits of models, as an administrator sets them."""
        return operations(RateLimitOperations(self))

    @hookimpl
    def register_run_gates(self) -> list[Gate]:
        """Only so many runs at once, where that is limited."""
        return [RunGate(self.policy, self._leases)] if self.policy.limits_runs else []

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """What was refused, and what is held."""
        return [
            Gauge(
                name="famulus_limits_refused_total",
                help="Calls that this process refused for a limit of requests, tokens, runs or "
                "answers.",
                labels=("limit",),
                read=lambda: {(what,): float(self._refused[what]) for what in LIMITED},
            ),
            Gauge(
                name="famulus_limits_held",
                help="Runs and answers of this process that hold a place of those that are limited "
                "at once.",
                labels=("limit",),
                read=lambda: self._leases.count(),
            ),
        ]

    # --- who asks -----------------------------------------------------------------------------

    @hookimpl(tryfirst=True)
    async def around_login(
        self, headers: Headers, client: str, proceed: Identify
    ) -> Principal | None:
        """Refuse an address that has sent too many wrong keys; count one that is wrong."""
        logins = self._logins
        if logins is None:
            return await proceed()
        credential = hash(headers.get("authorization"))
        is_known = credential in logins.right
        if not is_known:
            logins.refuse(client)
        try:
            principal = await proceed()
        except Problem as refusal:
            if refusal.status == 401:
                logins.failed(client, credential)
            raise
        if not is_known and principal is not None:
            logins.succeeded(credential)
        return principal

    # --- what is asked ------------------------------------------------------------------------

    @hookimpl(tryfirst=True)
    async def around_call(self, call: Call, operation: Operation, proceed: Proceed) -> Any:
        """Take requests, tokens and a place together, or refuse; settle and release at the end."""
        principal = call.principal
        # What is served to everybody has no project.
        if not principal.project:
            return await proceed()
        if operation.action in RELAYED or operation.name in RUNS:
            return await self._answered_by_model(call, operation, proceed)
        taken = self.policy.usual_claims(principal)
        if not taken.limits:
            return await proceed()
        outcome = self._limits.take_now(principal.project, taken.limits)
        if outcome is None:
            outcome = await self._limits.take(principal.project, taken.limits)
        if not isinstance(outcome, Taken):
            raise self._refusal(call, taken.claims, (), outcome)
        call.brought_lines += limit_lines(taken.claims, outcome.standings)
        return await proceed()

    async def _answered_by_model(self, call: Call, operation: Operation, proceed: Proceed) -> Any:
        """As `around_call`, of what a model is asked for: it has tokens and a place, too."""
        policy, stored = self.policy, await self.stored.of(call.project)
        if not stored and not policy.limits_anything:
            return await proceed()
        wanted = await self._wanted(call, operation, stored)
        model = None if wanted is None else wanted.model
        taken = policy.claims(
            call.principal,
            model=model,
            tokens=None if wanted is None else wanted.tokens,
            stored=stored,
        )
        places: list[Place] = []
        if operation.action in RELAYED:
            places = policy.places("answers", call.principal.id, call.project, model)
        elif self.settings.full == "refuse":
            await self._refuse_if_full(call, model)
        if not taken.limits and not places:
            return await proceed()
        name = self.new_id("answer_") if places else ""
        standings = await self._take(call, name, taken, places)
        if operation.name in RUNS:
            call.reserved = taken.reserved
        call.brought_lines += limit_lines(taken.claims, standings)
        answering = proceed
        if wanted is not None and taken.tokens:
            answering = partial(self._settled, call, operation, wanted, taken, proceed)
        return await self._released(call.project, name, answering)

    async def _take(
        self, call: Call, name: str, wanted: Claims, places: Sequence[Place]
    ) -> Sequence[Standing]:
        """Take all of it, and answer how it stands; or raise Problem."""
        outcome: Taken | Refused | Full
        if places:
            outcome = await self._leases.hold(call.project, name, places, wanted.limits)
        else:
            outcome = await self._limits.take(call.project, wanted.limits)
        if isinstance(outcome, Taken):
            return outcome.standings
        raise self._refusal(call, wanted.claims, places, outcome)

    def _refusal(
        self,
        call: Call,
        claims: Sequence[Claim],
        places: Sequence[Place],
        outcome: Refused | Full,
    ) -> Problem:
        """Count it, and word it."""
        call.brought_lines += limit_lines(claims, outcome.standings)
        if isinstance(outcome, Refused):
            self._refused[claims[outcome.which].what] += 1
            return problem(claims, outcome)
        self._refused[places[outcome.which].what] += 1
        return full_problem(places, outcome)

    async def _refuse_if_full(self, call: Call, model: str | None) -> None:
        """Raise Problem where a run that is created now would have to wait."""
        places = self.policy.places("runs", call.principal.id, call.project, model)
        held = await self._limits.held(call.project, [place.slot for place in places])
        which = first_full([place.slot for place in places], held)
        if which is not None:
            self._refused["runs"] += 1
            raise full_problem(places, Full(which=which, held=held))

    async def _released(self, project: str, name: str, answering: Proceed) -> Any:
        """The answer, its place given back once it is whole, or its client has left."""
        if not name:
            return await answering()
        try:
            answer = await answering()
        except BaseException:
            self._leases.release_soon(project, name)
            raise
        if isinstance(answer, EventStream):
            return EventStream(Ending(answer.frames, lambda: self._leases.release(project, name)))
        await self._leases.release(project, name)
        return answer

    async def _wanted(self, call: Call, operation: Operation, stored: ByModel) -> Estimate | None:
        """The tokens and the model of a call, where it has any that are limited."""
        policy = self.policy
        if not policy.limits_tokens and not policy.limits_models and not stored:
            return None
        if operation.name in RUNS:
            asked = estimate_run(call.body, run_tokens=self.settings.run_tokens)
            return await self._of_assistant(call.project, asked, stored)
        if operation.action in RELAYED:
            embeds = operation.action == "embeddings.create"
            answer_tokens = 0 if embeds else self.settings.answer_tokens
            return estimate(call.body, answer_tokens=answer_tokens)
        return None

    async def _of_assistant(self, project: str, asked: Estimate, stored: ByModel) -> Estimate:
        """The same, with the model of its assistant where it names none and models are limited."""
        policy, assistants = self.policy, self.assistants
        minds_model = bool(stored) or policy.limits_rates_of_models
        minds_model |= policy.limits_runs_of_models and self.settings.full == "refuse"
        if not minds_model or asked.model or not asked.assistant or assistants is None:
            return asked
        try:
            assistant = await assistants.get(project, asked.assistant)
        except Problem:
            # It is answered by the operation; or was there when this was asked the first time.
            return asked
        return replace(asked, model=assistant.model)

    async def _settled(
        self,
        call: Call,
        operation: Operation,
        wanted: Estimate,
        taken: Claims,
        proceed: Proceed,
    ) -> Any:
        """The answer, its tokens settled: now, at the end of its stream, or when its run ends."""

        async def settle(used: int) -> None:
            await self._limits.settle(call.project, taken.corrections(used))

        try:
            answer = await proceed()
        except Exception:
            # Refused or broken. Whose client only left keeps what was taken: the model was at it.
            await settle(0)
            raise
        begins = operation.name in RUNS
        if REPLAYED in call.response_headers or (begins and call.reserved is None):
            await settle(0)
            return answer
        if begins:
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
        """Settle what a run took that is over, as it was taken."""
        taken = event.reserved
        if event.status not in OVER or taken is None:
            return
        changes = corrections(taken.tokens, event.prompt_tokens + event.completion_tokens)
        # That it was created was a request, whether or not its model was asked.
        changes += corrections(taken.requests, max(1, event.model_requests))
        await self._limits.settle(event.project, [each for each in changes if each.cost])
