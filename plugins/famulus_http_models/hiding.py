"""Our own secrets kept out of what a server says of a failure, which logs and clients are told."""

from __future__ import annotations

from collections.abc import Iterable

from famulus import Secret
from famulus_schemas.inference import BackendFault

HIDDEN = "[redacted]"
CHARS_MIN = 6
"""A shorter secret would be found in ordinary words."""


class Hiding:
    """The secrets that one server is sent."""

    def __init__(self, secrets: Iterable[Secret | None]) -> None:
        texts = {secret.reveal() for secret in secrets if secret}
        # One that is part of another is looked for after it.
        self._texts = sorted((each for each in texts if len(each) >= CHARS_MIN), key=len)[::-1]

    def of(self, fault: BackendFault) -> BackendFault:
        """The fault, in words that hold none of them."""
        message = fault.message
        for text in self._texts:
            message = message.replace(text, HIDDEN)
        if message == fault.message:
            return fault
        return BackendFault(
            fault.kind,
            message,
            backend=fault.backend,
            status=fault.status,
            code=fault.code,
            param=fault.param,
            retry_after_s=fault.retry_after_s,
        )
