"""What may be fetched, from where, and how much."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal

import msgspec

from famulus import Settings, setting
from famulus_fetch.hosts import is_pattern

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
PortNumber = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class FetchSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.fetch]`."""

    hosts: Annotated[
        tuple[str, ...],
        setting(
            why="The only hosts that are asked, such as `a.example` or `*.a.example`, which is "
            "all below it; every public one if not given. Redirects are held to it too."
        ),
    ] = ()
    hosts_denied: Annotated[
        tuple[str, ...], setting(why="Hosts that are never asked, likewise.")
    ] = ()
    networks: Annotated[
        tuple[str, ...],
        setting(
            why="Networks that are asked although they are not public, such as `10.1.2.0/24` for "
            "a server of pictures. Whoever may create runs can have this server ask all of it."
        ),
    ] = ()
    networks_denied: Annotated[
        tuple[str, ...],
        setting(why="Networks that are never asked although they are public, such as your own."),
    ] = ()
    schemes: Annotated[
        tuple[Literal["https", "http"], ...], setting(why="How hosts are asked.")
    ] = ("https", "http")
    ports: Annotated[tuple[PortNumber, ...], setting(why="The ports that are asked.")] = (80, 443)
    bytes_max: Annotated[
        Count, setting(why="Size of what is fetched; whoever asks for it may want less.")
    ] = 20_971_520
    overhead_bytes_max: Annotated[
        Count,
        setting(
            why="What a host may send besides content, such as headers; and once more as much as "
            "its content."
        ),
    ] = 65_536
    total_s: Annotated[
        Seconds,
        setting(why="Seconds from being asked for to the last byte: all waits and redirects."),
    ] = 20.0
    connect_s: Annotated[
        Seconds, setting(why="Seconds that one address of a host may take to accept.")
    ] = 5.0
    redirects_max: Annotated[
        int,
        msgspec.Meta(ge=0),
        setting(why="Redirects that are followed; each leads to what is checked like the first."),
    ] = 3
    url_chars_max: Annotated[Count, setting(why="Length of a URL.")] = 8_192
    addresses_max: Annotated[
        Count, setting(why="Addresses that a host may have; with more it is not asked.")
    ] = 64
    at_once_max: Annotated[Count, setting(why="Fetched at the same time; others wait.")] = 32
    at_once_per_project_max: Annotated[
        Count, setting(why="The same, of one project: slow hosts of one hold up no other.")
    ] = 4
    waiting_max: Annotated[
        int,
        msgspec.Meta(ge=0),
        setting(why="How many may wait for their turn; what is one too many is not fetched."),
    ] = 256
    ca_file: Annotated[
        str | None, setting(why="Certificates to trust instead of the machine's, as a PEM file.")
    ] = None

    def __post_init__(self) -> None:
        for name in ("networks", "networks_denied"):
            for each in getattr(self, name):
                try:
                    ip_network(each)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
        for name in ("hosts", "hosts_denied"):
            for each in getattr(self, name):
                if not is_pattern(each):
                    raise ValueError(
                        f"{name}: {each!r} must look like a.example or *.a.example, in lower case"
                    )
