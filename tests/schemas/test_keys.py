"""What scopes allow, and which texts are scopes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_schemas.keys import (
    OPERATOR,
    ORGANIZATION,
    ROLE_SCOPES,
    Role,
    missing_scope,
    normal_scopes,
    within_role,
)

RESOURCES = st.sampled_from(["threads", "runs", "files", "vector_stores", "chat"])
VERBS = st.sampled_from(["read", "write", "create", "delete"])
SCOPES = st.lists(st.sampled_from(["threads.read", "runs.write", "*.read", "*.write", "*"]))


@pytest.mark.parametrize(
    "scopes, action, missing",
    [
        (["*"], "threads.write", None),
        (["*"], "organization.read", "organization.*"),
        (["*.write"], "organization.write", "organization.*"),
        (["*.read"], "threads.read", None),
        (["*.read"], "threads.write", "threads.write"),
        (["*.write"], "threads.read", None),
        (["threads.write"], "threads.read", None),
        (["threads.read"], "runs.read", "runs.read"),
        (["chat.write"], "chat.create", None),
        ([], "threads.read", "threads.read"),
        ([ORGANIZATION], "organization.write", None),
        ([ORGANIZATION], "plugins.read", None),
        ([ORGANIZATION], "metrics.read", None),
        # What is of the whole server is in no key that does not say so.
        (["*"], "metrics.read", "metrics.read"),
        (["*.read", "*.write"], "plugins.read", "plugins.read"),
        (["metrics.read"], "metrics.read", None),
        (["metrics.read"], "plugins.read", "plugins.read"),
        (["metrics.read"], "threads.read", "threads.read"),
        (OPERATOR, "metrics.read", None),
        (OPERATOR, "plugins.read", None),
        (OPERATOR, "threads.write", None),
        (OPERATOR, "organization.read", "organization.*"),
        ([ORGANIZATION], "threads.read", "threads.read"),
    ],
)
def test_what_scopes_allow(scopes: Sequence[str], action: str, missing: str | None) -> None:
    assert missing_scope(scopes, action) == missing


@given(SCOPES, RESOURCES, VERBS)
def test_the_scope_that_is_named_is_enough(scopes: list[str], resource: str, verb: str) -> None:
    action = f"{resource}.{verb}"
    missing = missing_scope(scopes, action)
    if missing is not None:
        assert missing_scope([*scopes, *normal_scopes([f"api.{missing}"])], action) is None


ROLES: st.SearchStrategy[Role] = st.sampled_from(["owner", "member", "reader", "none"])


@given(SCOPES, ROLES, RESOURCES, VERBS)
def test_a_key_may_what_both_its_scopes_and_its_owners_role_allow(
    scopes: list[str], role: Role, resource: str, verb: str
) -> None:
    action = f"{resource}.{verb}"
    allowed = missing_scope(scopes, action) is None
    allowed = allowed and missing_scope(ROLE_SCOPES[role], action) is None
    assert (missing_scope(within_role(scopes, role), action) is None) is allowed


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([], ("*",)),
        (["api.all"], ("*",)),
        (["api.threads.read", "*", "runs.write"], ("*",)),
        (["api.metrics.read"], ("metrics.read",)),
        (["*", "threads.read", "metrics.read", "metrics.read"], ("*", "metrics.read")),
    ],
)
def test_scopes_are_kept_in_one_form(given: list[str], kept: tuple[str, ...]) -> None:
    assert normal_scopes(given) == kept
    assert normal_scopes(kept) == kept


@pytest.mark.parametrize("given", ["metrics.write", "plugins.write", "organization.read", "x", "."])
def test_what_is_no_scope_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=re.escape(given)):
        normal_scopes([given])


@pytest.mark.parametrize("role", ["owner", "member", "reader"])
def test_a_key_that_reads_metrics_does_so_whatever_the_role_of_its_account(role: Role) -> None:
    scopes = within_role(["*", "metrics.read"], role)
    assert missing_scope(scopes, "metrics.read") is None
    assert missing_scope(scopes, "plugins.read") == "plugins.read"


def test_an_account_without_a_role_reads_no_metrics() -> None:
    assert missing_scope(within_role(OPERATOR, "none"), "metrics.read") == "metrics.read"


@given(st.text(max_size=40))
def test_no_text_of_a_client_is_a_scope_of_the_administration(text: str) -> None:
    try:
        scopes = normal_scopes([text])
    except ValueError:
        return
    assert missing_scope(scopes, "organization.read") == "organization.*"
    assert normal_scopes(scopes) == scopes
