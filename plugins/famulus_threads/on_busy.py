"""What a request wants of a thread that a run has: by its header, else as it is configured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeGuard, get_args

from famulus_schemas.errors import INVALID, Problem
from famulus_schemas.ports import Tenant
from famulus_schemas.threads import OnBusy

HEADER = "X-Famulus-On-Busy"
_HEADER = HEADER.lower()
_CHOICES: tuple[str, ...] = get_args(OnBusy)


def on_busy(headers: Mapping[str, str], default: OnBusy) -> OnBusy:
    """What these headers ask for. Raises Problem (INVALID) where they ask for something else."""
    asked = headers.get(_HEADER)
    if asked is None:
        return default
    if not _is_choice(asked):
        reason = f"{asked!r} is none of its values, which are {', '.join(_CHOICES)}."
        raise Problem(INVALID, param=HEADER, name=HEADER, reason=reason)
    return asked


def _is_choice(asked: str) -> TypeGuard[OnBusy]:
    return asked in _CHOICES


class House:
    """Whose runs have the threads."""

    def __init__(self) -> None:
        self.tenant: Tenant | None = None

    def picture_refusal(self, url: str) -> str | None:
        """As Tenant.picture_refusal; nothing is known where nobody runs anything."""
        return None if self.tenant is None else self.tenant.picture_refusal(url)

    @contextmanager
    def let_to(self, tenant: Tenant) -> Iterator[None]:
        """As Threads.let_to."""
        self.tenant = tenant
        try:
            yield
        finally:
            # Another may have come before this one went.
            if self.tenant is tenant:
                self.tenant = None
