"""For which request something is done, wherever that happens in this process.

A task inherits it from the one that made it: so what a request began goes by its id to the log and
to model servers, even where nobody passes the id on.
"""

from __future__ import annotations

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("famulus_request_id", default="")
"""Empty where no request is known, as in what the server does by itself."""
