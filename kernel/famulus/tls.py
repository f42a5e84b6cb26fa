"""HTTPS: the certificate and key of a server, which may be renewed while it serves."""

from __future__ import annotations

import ssl
from pathlib import Path

from famulus.mistakes import ConfigError
from famulus.secret import refuse_readable
from famulus.server_settings import ServerSettings


class Tls:
    """The encryption of every connection. Raises ConfigError where the files cannot be used."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key
        self.context = self._made()

    def renew(self) -> None:
        """Use the files as they are now for connections from here on; as before if it raises."""
        # Tried apart: half of a new pair must not get into the one that is in use.
        self._made()
        self.context.load_cert_chain(self._cert, self._key, password="")

    def _made(self) -> ssl.SSLContext:
        refuse_readable(self._key, "the TLS key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A handshake is the dearest thing a client can ask for; one is enough.
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        try:
            # A key with a password would have OpenSSL ask for it on the terminal, and wait.
            context.load_cert_chain(self._cert, self._key, password="")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"[server] tls_cert {self._cert} and tls_key {self._key} cannot be used: {reason}"
            ) from error
        return context


def tls_of(settings: ServerSettings) -> Tls | None:
    """A server's encryption; None where it has none. Raises ConfigError."""
    cert, key = settings.tls_cert, settings.tls_key
    if not cert and not key:
        return None
    if not cert or not key:
        raise ConfigError("[server] tls_cert and tls_key are given together, or neither is")
    return Tls(Path(cert), Path(key))
