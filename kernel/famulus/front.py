"""What stands before every request, as the server's own settings have it."""

from __future__ import annotations

from starlette.types import ASGIApp

from famulus.hosts import Hosts, hosts_of
from famulus.listening import is_loopback
from famulus.safe_headers import Header, hsts_of
from famulus.server_settings import ServerSettings
from famulus.stream_places import StreamPlaces


class Front:
    """Made once a server: worlds come and go behind it. Raises ConfigError."""

    def __init__(self, settings: ServerSettings) -> None:
        on_loopback = is_loopback(settings.host)
        self.is_public = not on_loopback
        """Whether others than this machine reach it."""
        self.hosts: Hosts | None = hosts_of(
            settings.hosts, host=settings.host, on_loopback=on_loopback
        )
        self.hsts: Header | None = hsts_of(settings, on_loopback=on_loopback)
        self.places = StreamPlaces(settings)


def with_cors(app: ASGIApp, settings: ServerSettings) -> ASGIApp:
    """The app, with what pages of the listed origins need. Raises ConfigError."""
    if not settings.cors_origins:
        return app
    # Only then: it is no part of a quick start.
    from famulus.cors import Cors, allowed

    return Cors(app, allowed(settings))
