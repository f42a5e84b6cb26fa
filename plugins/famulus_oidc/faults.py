"""Why a token lets nobody in. No text repeats what a token holds, but for a project's id."""

from __future__ import annotations

from famulus_schemas.errors import Fault, Problem

BAD_TOKEN = Fault(
    401,
    "invalid_token",
    "Incorrect bearer token: {reason}. Sign in again for a new one, or ask the operator of this "
    "server which issuers and audiences it takes.",
)
KEYS_AWAY = Fault(
    503,
    "issuer_unavailable",
    "This server cannot check the token now: it has no usable keys of the issuer '{issuer}'. Try "
    "again later; its operator finds the reason in the server's log.",
    "server_error",
)
NO_ROLE = Fault(
    403,
    "no_role",
    "You have insufficient permissions for this operation. Your token has no role on this server; "
    "ask whoever administers your accounts for one.",
)
NO_PROJECT = Fault(
    403,
    "no_project",
    "Your token is not of a project of this server; ask whoever administers your accounts for one.",
)
NO_SUCH_PROJECT = Fault(
    403,
    "no_project",
    "Your token is of the project '{project}', which this server does not have. Its operator can "
    "make it, or set `create_projects`.",
)
WHICH_PROJECT = Fault(
    403,
    "no_project",
    "Your token is of several projects: {projects}. Name one of them in the header OpenAI-Project; "
    "the official clients have the argument `project` for it.",
)
MISMATCHED_PROJECT = Fault(
    403,
    "mismatched_project",
    "OpenAI-Project header should match a project of the token.",
)


class BadToken(Exception):
    """A token is not what it should be; says what is wrong, and nothing of what it holds."""


def refused(reason: str) -> Problem:
    """The answer to a token that lets nobody in, as RFC 6750 has it."""
    headers = {"www-authenticate": 'Bearer error="invalid_token"'}
    return Problem(BAD_TOKEN, headers=headers, reason=reason)
