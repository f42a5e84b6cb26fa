"""By https the certificate is that of the name, though the address is connected to."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.plugins.fetch.conftest import Names
from tests.plugins.fetch.test_fetching import refusal_of
from tests.plugins.strange_host import ADDRESS, StrangeHost, moved, ok

from famulus.testing.kit import quiet_log
from famulus_fetch.plugin import Fetching
from famulus_fetch.settings import FetchSettings

pytestmark = pytest.mark.anyio


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate of a name that vouches for itself, as a file and for a server."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "public.pem", folder / "private.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context


def client_of(host: StrangeHost, names: Names, ca_file: Path | None) -> Fetching:
    settings = FetchSettings(
        networks=(f"{ADDRESS}/32",),
        ports=(host.port,),
        ca_file=None if ca_file is None else str(ca_file),
    )
    return Fetching(settings, names, quiet_log())


@pytest.fixture
def names() -> Names:
    names = Names()
    names.known = {"pictures.example": [ADDRESS], "other.example": [ADDRESS]}
    return names


async def test_the_name_is_what_the_certificate_and_the_server_are_asked_for(
    names: Names, tmp_path: Path
) -> None:
    ca_file, tls = certificate(tmp_path, "pictures.example")
    said: list[Any] = []
    tls.sni_callback = lambda _, name, __: said.append(name)
    async with StrangeHost().standing(tls) as host:
        host.says["/a.png"] = ok(b"content")
        url = f"https://pictures.example:{host.port}/a.png"
        found = await client_of(host, names, ca_file).get("p", url, bytes_max=9)
        assert found.content == b"content"
        assert said == ["pictures.example"]
        assert f"Host: pictures.example:{host.port}\r\n" in host.heard[0]


async def test_a_certificate_of_another_name_or_of_nobody_known_is_refused(
    names: Names, tmp_path: Path
) -> None:
    ca_file, tls = certificate(tmp_path, "pictures.example")
    async with StrangeHost().standing(tls) as host:
        for name, trusted in (("other.example", ca_file), ("pictures.example", None)):
            client = client_of(host, names, trusted)
            reason = await refusal_of(client, f"https://{name}:{host.port}/")
            assert reason == "its certificate is not one to be trusted"
        assert host.heard == []


async def test_no_redirect_leads_from_https_to_http(names: Names, tmp_path: Path) -> None:
    ca_file, tls = certificate(tmp_path, "pictures.example")
    async with StrangeHost().standing(tls) as host:
        host.says["/1"] = moved(f"http://pictures.example:{host.port}/a.png")
        client = client_of(host, names, ca_file)
        reason = await refusal_of(client, f"https://pictures.example:{host.port}/1")
        assert reason == "it redirects from https to http"
