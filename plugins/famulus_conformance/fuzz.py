"""Fuzzes a server by an oracle's document: every operation that it serves, from every side.

Schemathesis makes the requests: the document's examples, the edges of every schema, values at
random, right and wrong ones, and walks along the links from one operation to the next. It holds
each answer to the document; what holds for all answers (no fault, the error envelope) is held
here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from famulus_conformance.findings import Finding
from famulus_conformance.fuzz_document import fuzzed_document
from famulus_conformance.fuzz_excuses import NEGATIVE, POSITIVE
from famulus_conformance.fuzz_judge import Judge
from famulus_conformance.fuzz_prepared import prepared
from famulus_conformance.fuzz_profiles import QUICK, Profile
from famulus_conformance.fuzz_served import listed_models, served
from famulus_conformance.oracle import Oracle, OracleOperation

if TYPE_CHECKING:
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine.core import EventStream


def fuzz(
    oracle: Oracle, base_url: str, api_key: str, *, profile: Profile = QUICK, seed: int = 1
) -> Iterator[Finding]:
    """What fuzzing shows of the server at `base_url`, which ends in `/v1`.

    What is wrong comes as it is found, each thing once; all that was right comes at the end.
    """
    yield from Fuzzing(oracle, base_url, api_key, profile=profile, seed=seed).findings()


class Fuzzing:
    """One run of the fuzzer, to be asked how much it did."""

    def __init__(
        self,
        oracle: Oracle,
        base_url: str,
        api_key: str,
        *,
        profile: Profile = QUICK,
        seed: int = 1,
    ) -> None:
        self._oracle = oracle
        self.base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._profile = profile
        self._seed = seed
        self.operations: Sequence[OracleOperation] = tuple(
            served(oracle.operations(), self.base_url, api_key)
        )
        """What the server serves of the oracle's operations: all of it is fuzzed."""
        self.judge = Judge({str(operation): operation for operation in self.operations})

    def findings(self) -> Iterator[Finding]:
        """As `fuzz`."""
        from schemathesis.engine import events

        if not self.operations:
            return
        for event in self._events():
            if isinstance(event, events.ScenarioFinished):
                yield from self.judge.hear(event.recorder)
            elif isinstance(event, events.NonFatalError):
                yield from self.judge.hear_of_error(event.label, event.value)
            elif isinstance(event, events.FatalError):
                raise event.exception
        yield from self.judge.verdict()

    def _events(self) -> EventStream:
        from schemathesis import openapi
        from schemathesis.engine import from_schema

        wanted = {operation.id for operation in self.operations}
        models = listed_models(self.base_url, self._api_key)
        model = models[0] if models else ""
        examples = prepared(self.operations, self.base_url, self._api_key, model)
        document = fuzzed_document(
            self._oracle.document(), wanted, models=models, examples=examples
        )
        return from_schema(openapi.from_dict(document, config=self._config())).execute()

    def _config(self) -> SchemathesisConfig:
        from schemathesis.config import SchemathesisConfig

        drawing: dict[str, Any] = {
            "deterministic": self._profile.is_derandomized,
            "database": "none",
            "no-shrink": True,
        }
        settings: dict[str, Any] = {
            "seed": self._seed,
            "base-url": self.base_url,
            "headers": {"Authorization": f"Bearer {self._api_key}"},
            "request-timeout": self._profile.request_s,
            "continue-on-failure": True,
            # With more, CPython 3.11 fails inside of Hypothesis: "AST constructor recursion".
            "workers": 1,
            # How fast a busy machine draws is nothing of the server's.
            "suppress-health-check": ["all"],
            # The client's types know no limits, so what they allow may be refused, and is.
            "checks": {
                name: {"enabled": self._oracle.is_document} for name in (POSITIVE, NEGATIVE)
            },
            "generation": drawing | {"max-examples": self._profile.examples},
            "phases": {
                "stateful": {
                    # Links that are guessed would outnumber those that lead somewhere.
                    "inference": {"algorithms": []},
                    "link-calibration": False,
                    "max-steps": self._profile.steps,
                    # The client's types know no limits, so what they allow may be refused, and is.
                    "checks": {
                        name: {"enabled": self._oracle.is_document} for name in (POSITIVE, NEGATIVE)
                    },
                    "generation": drawing
                    | {"max-examples": self._profile.walks, "mode": "positive"},
                }
            },
        }
        return SchemathesisConfig.from_dict(settings)
