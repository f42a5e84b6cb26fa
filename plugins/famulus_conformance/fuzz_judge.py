"""What a fuzzer's requests and answers show, told as findings, each only once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from famulus_conformance.findings import Finding
from famulus_conformance.fuzz_excuses import excuse
from famulus_conformance.oracle import OracleOperation
from famulus_schemas.errors import ErrorEnvelope

if TYPE_CHECKING:
    from schemathesis.core.failures import Failure
    from schemathesis.core.transport import Response
    from schemathesis.engine.recorder import Interaction, ScenarioRecorder

ENVELOPE = "every refusal in OpenAI's error envelope"
NO_FAULT = "no answer of 500 or above"
REACHED = "requests are made and answered"
DETAIL_CHARS = 2000
"""Of what is told of one failure; a generated body can be long."""
ANSWER_BYTES = 400
"""Of the answer that is told with it."""


class Judge:
    """Hears of every scenario."""

    def __init__(self, operations: Mapping[str, OracleOperation]) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        """How often each operation, by its id, answered with each status; 0 is no answer."""
        self.excused: Counter[str] = Counter()
        """How often each excuse was needed, by its reason."""
        self._operations = operations
        """By label: `GET /assistants`."""
        self._checked: dict[tuple[str, str], bool] = {}
        """Whether what was looked at, of an operation, has been right so far."""

    @property
    def requests(self) -> int:
        """All requests so far."""
        return self.answers.total()

    def hear(self, recorder: ScenarioRecorder) -> Iterator[Finding]:
        """What went wrong in a scenario, where it is news."""
        for id, interaction in recorder.interactions.items():
            label = recorder.cases[id].value.operation.label
            yield from self._judged(label, interaction)
        for id, nodes in recorder.checks.items():
            label = recorder.cases[id].value.operation.label
            for node in nodes:
                failed = node.failure_info
                if failed is None:
                    self._note(label, node.name)
                    continue
                response = recorder.find_response(case_id=id)
                excused = excuse(node.name, self._id(label), response.content if response else b"")
                if excused is not None:
                    self.excused[excused.why] += 1
                else:
                    told = _told(failed.failure, failed.code_sample, response)
                    yield from self._wrong(label, node.name, told)

    def hear_of_error(self, label: str, error: Exception) -> Iterator[Finding]:
        """The fuzzer itself could not go on, with one operation or at all."""
        yield from self._wrong(label, REACHED, f"{type(error).__name__}: {error}")

    def verdict(self) -> Iterator[Finding]:
        """All that was right, and every operation that was not reached."""
        for label, operation in self._operations.items():
            if not any(id == operation.id for id, _ in self.answers):
                yield from self._wrong(label, REACHED, "No request of it was answered.")
        for (label, what), is_right in self._checked.items():
            if is_right:
                yield self._finding(label, what, kept=True)

    # --- one answer ----------------------------------------------------------------------------

    def _judged(self, label: str, interaction: Interaction) -> Iterator[Finding]:
        response = interaction.response
        self.answers[self._id(label), response.status_code if response else 0] += 1
        request = f"{interaction.request.method} {interaction.request.uri}"
        if response is None:
            yield from self._wrong(label, REACHED, f"{request} was not answered.")
            return
        self._note(label, REACHED)
        if response.status_code >= 500:
            answer = response.content.decode(errors="replace")
            yield from self._wrong(
                label, NO_FAULT, f"{request} was answered {response.status_code}: {answer}"
            )
        else:
            self._note(label, NO_FAULT)
        if response.status_code >= 400 and interaction.request.method != "HEAD":
            if amiss := not_an_envelope(response):
                yield from self._wrong(label, ENVELOPE, f"{request}: {amiss}")
            else:
                self._note(label, ENVELOPE)

    # --- what is told --------------------------------------------------------------------------

    def _note(self, label: str, what: str) -> None:
        self._checked.setdefault((label, what), True)

    def _wrong(self, label: str, what: str, detail: str) -> Iterator[Finding]:
        if self._checked.get((label, what), True):
            self._checked[label, what] = False
            yield self._finding(label, what, kept=False, detail=detail[:DETAIL_CHARS])

    def _finding(self, label: str, what: str, *, kept: bool, detail: str = "") -> Finding:
        return Finding(
            operation=self._id(label), aspect="fuzz", what=what, kept=kept, detail=detail
        )

    def _id(self, label: str) -> str:
        operation = self._operations.get(label)
        return operation.id if operation else label


def not_an_envelope(response: Response) -> str:
    """What is wrong with the body of a refusal; empty where it is as OpenAI's."""
    (content_type,) = response.headers.get("content-type", [""])[:1]
    if content_type.partition(";")[0].strip() != "application/json":
        return f"the content type is {content_type!r}"
    try:
        error: dict[str, Any] = msgspec.json.decode(response.content)["error"]
        msgspec.convert({"error": error}, ErrorEnvelope)
    except (msgspec.DecodeError, TypeError, KeyError) as reason:
        return f"the body is no error envelope ({reason!r}): {response.content[:200]!r}"
    missing = {"message", "type", "param", "code"} - error.keys()
    return f"the envelope lacks {', '.join(sorted(missing))}" if missing else ""


def _told(failure: Failure, code_sample: str, response: Response | None) -> str:
    told = f"{failure.title}: {failure.message}\n{code_sample}"
    if response is None:
        return told
    answer = response.content[:ANSWER_BYTES].decode(errors="replace")
    return f"{response.status_code} {answer}\n{told}"
