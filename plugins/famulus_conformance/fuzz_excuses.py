"""Answers that part from the document, and are right: each kind with its reason.

A schema says what a request looks like. It does not say which objects there are, in which state
they are, or what a model can do; OpenAI's API answered 400 to all of these.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from famulus_conformance.fuzz_document import RAW_OPERATIONS

POSITIVE = "positive_data_acceptance"
"""The check that a request which the document allows is not refused."""

NEGATIVE = "negative_data_rejection"
"""The check that a request which it does not allow is refused."""


class Excuse(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of answer; what is left out is not looked at. Patterns are of all of the text."""

    why: str
    check: str = POSITIVE
    operation: str = ""
    """A pattern of the operation's id."""
    code: str = ""
    param: str = ""
    message: str = ""

    def holds_for(self, check: str, operation: str, error: Any) -> bool:
        """Whether a failed check with an answer of this error, if any, is of this kind."""
        told = error if isinstance(error, dict) else {}
        return check == self.check and all(
            not pattern or re.fullmatch(pattern, str(value), re.DOTALL) is not None
            for pattern, value in (
                (self.operation, operation),
                (self.code, told.get("code")),
                (self.param, told.get("param")),
                (self.message, told.get("message")),
            )
        )


EXCUSES = (
    Excuse(
        param="after|before",
        why="A cursor is the id of an object that is there; which are, no schema can say.",
    ),
    Excuse(code="unsupported", why="What a model cannot do is the model's word, not the API's."),
    Excuse(
        code="invalid_type",
        message=".*expected an integer, but got a decimal number instead.*",
        why="JSON Schema takes 256.0 for an integer; OpenAI's API did not.",
    ),
    Excuse(
        message=r"Thread \S+ already has an active run.*|Can't add messages to .*",
        why="One run at a time works on a thread.",
    ),
    Excuse(
        message="Cannot cancel run with status .*|Runs in status .*",
        why="A run that has ended is not ended again, and takes no outputs.",
    ),
    Excuse(
        message="Cannot cancel file batch with status .*",
        why="A batch of which every file is over has nothing left to be cancelled.",
    ),
    Excuse(
        message="No such File object: .*",
        why="What names a file names one that is there; which are, no schema can say.",
    ),
    Excuse(
        operation="createVectorStoreFileBatch",
        param="files",
        message=".*may not be given together with file_ids.*",
        why="Their text says that the two exclude each other; the schema only wants one.",
    ),
    Excuse(
        param=".*chunk_overlap_tokens",
        message=".*at most half of max_chunk_size_tokens.*",
        why="Their text says so; no schema compares two numbers.",
    ),
    Excuse(
        operation="searchVectorStore",
        param=r"filters.*",
        message=".*takes one string, number or boolean.*|.*may be nested to.*|.*and may have.*",
        why="Only `in` and `nin` compare with a list, and a filter has limits of depth and length.",
    ),
    Excuse(
        message="Expected tool outputs for call_ids .*",
        why="Outputs are of the calls that were made; which were, no schema can say.",
    ),
    Excuse(
        message="Invalid 'tool_choice.*",
        why="A tool that must be called is one that the run has.",
    ),
    Excuse(
        param=r".*tools\[\d+\][.]function[.]name",
        message=".*there is another function named.*",
        why="Two functions of one name could not be told apart; no schema compares items so.",
    ),
    Excuse(
        param=".*truncation_strategy[.]last_messages",
        code="missing_required_parameter",
        why="Who wants the last messages says how many.",
    ),
    Excuse(
        message="The model server refused the request: .*",
        why="What a model's server refuses is its word, not the API's.",
    ),
    Excuse(
        message=".*holds a NUL character.*",
        why="PostgreSQL keeps no text with a NUL, so none is taken, whatever the store.",
    ),
    Excuse(
        param=r".*image_url[.]url",
        message="Invalid .*",
        why="A picture is given by an address on the web or as bytes; the document has any URI.",
    ),
    Excuse(
        check=NEGATIVE,
        operation="|".join(RAW_OPERATIONS),
        why="What is said to a model goes to its server as it came, which judges it.",
    ),
)


def excuse(check: str, operation: str, body: bytes) -> Excuse | None:
    """The excuse of a failed check of an operation, by the answer's body."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else None
    return next((each for each in EXCUSES if each.holds_for(check, operation, error)), None)
