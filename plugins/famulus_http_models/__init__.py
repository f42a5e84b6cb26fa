"""What the plugins that reach model servers over HTTP share: one client for OpenAI's dialect.

A library, not a plugin: it registers nothing, and has no settings of its own but the structs
that such plugins put into theirs.
"""

from famulus_http_models.address import Address
from famulus_http_models.backend import HttpBackend
from famulus_http_models.settings import Limits, Server, Timeouts, refuse_same_labels

__all__ = ["Address", "HttpBackend", "Limits", "Server", "Timeouts", "refuse_same_labels"]
