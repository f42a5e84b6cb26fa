"""An issuer of tokens on a port of this machine, with keys that it can change, and its misdeeds."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "famulus"
FAR = 4_000_000_000
"""A year after 2090."""


class SigningKey:
    """A key pair with a name, as an issuer has them."""

    def __init__(self, id: str | None, algorithm: str = "RS256", *, bits: int = 2048) -> None:
        self.id = id
        self.algorithm = algorithm
        self.private: Any
        if algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        elif algorithm.startswith("ES"):
            curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
            self.private = ec.generate_private_key(curves[algorithm])
        else:
            self.private = rsa.generate_private_key(public_exponent=65_537, key_size=bits)

    def jwk(self, **more: Any) -> dict[str, Any]:
        """The public part, as it is published."""
        public = self.private.public_key()
        kind: Any = {"E": ECAlgorithm, "R": RSAAlgorithm, "P": RSAAlgorithm}[self.algorithm[0]]
        kind = OKPAlgorithm if self.algorithm == "EdDSA" else kind
        found = kind.to_jwk(public, as_dict=True)
        named = {} if self.id is None else {"kid": self.id}
        return {**found, **named, "use": "sig", **more}

    def token(self, claims: dict[str, Any], **header: Any) -> str:
        """A token that it signed."""
        algorithm = header.pop("alg", self.algorithm)
        named = {} if self.id is None else {"kid": self.id}
        return jwt.encode(claims, self.private, algorithm=algorithm, headers={**named, **header})


def raw_token(header: bytes | dict[str, Any], payload: bytes | dict[str, Any], sig: str) -> str:
    """Any three parts as a token."""
    parts = (
        each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, payload)
    )
    return ".".join(
        [*(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts), sig]
    )


@cache
def _first_key() -> SigningKey:
    """Making one takes time."""
    return SigningKey("first")


class LocalIssuer:
    """What the issuer says, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = _first_key()
        self.published: list[dict[str, Any]] = [self.key.jwk()]
        self.discovery: dict[str, Any] = {"issuer": url, "jwks_uri": f"{url}/jwks"}
        self.status = 200
        self.headers: dict[str, str] = {}
        self.padding = b""
        self.asked: list[str] = []

    def rotate(self, key: SigningKey) -> None:
        """Sign with another key from now on, and publish it alone."""
        self.key, self.published = key, [key.jwk()]

    def claims(self, **claims: Any) -> dict[str, Any]:
        """The claims of an ordinary token."""
        given = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "exp": FAR, **claims}
        return {name: value for name, value in given.items() if value is not None}

    def token(self, **claims: Any) -> str:
        """An ordinary token."""
        return self.key.token(self.claims(**claims))

    def answer(self, path: str) -> tuple[int, bytes]:
        """What is answered to whoever asks for a path."""
        self.asked.append(path)
        documents = {
            "/.well-known/openid-configuration": self.discovery,
            "/jwks": {"keys": self.published},
        }
        if path not in documents:
            return 404, b"{}"
        return self.status, json.dumps(documents[path]).encode() + self.padding


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    """An issuer that answers on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = issuer.answer(self.path)
            self.send_response(status)
            for name, value in issuer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    issuer = LocalIssuer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
