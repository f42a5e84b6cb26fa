"""The kernel's own settings: the server, its limits and its log."""

from __future__ import annotations

import typing
from typing import Annotated

import msgspec

from famulus.log import LogFormat
from famulus.plugin import Settings
from famulus.setting_fields import setting


class ServerSettings(Settings, frozen=True, kw_only=True):
    """The kernel's own settings, table `[server]`."""

    host: Annotated[
        str, setting(env="FAMULUS_HOST", flag="--host", why="Address to listen on.")
    ] = "127.0.0.1"
    port: Annotated[
        int,
        msgspec.Meta(ge=0, le=65_535),
        setting(env="FAMULUS_PORT", flag="--port", why="Port to listen on; 0 for any."),
    ] = 8400
    data_dir: Annotated[
        str,
        setting(env="FAMULUS_DATA_DIR", flag="--data-dir", why="Where plugins keep their files."),
    ] = "famulus-data"
    plugins_dir: Annotated[
        str | None,
        setting(
            env="FAMULUS_PLUGINS_DIR",
            flag="--plugins-dir",
            why="A folder whose `.py` files are loaded as plugins.",
        ),
    ] = None
    hosts: Annotated[
        list[str],
        setting(
            why="Names that clients call it by, as `api.example.com`, `*.example.com`, or `*` for "
            "any. If not given: any, but where it listens on this machine only, names of that."
        ),
    ] = []
    cors_origins: Annotated[
        list[str],
        setting(
            why="Origins whose pages may use the API from a browser, as `https://app.example.com`."
        ),
    ] = []
    trusted_proxies: Annotated[
        list[str],
        setting(
            why="Addresses and networks of proxies, as `10.0.0.0/8`, whose `X-Forwarded-For` and "
            "`X-Forwarded-Proto` count; nobody else's do."
        ),
    ] = []
    tls_cert: Annotated[
        str | None, setting(why="File of the certificate and its chain (PEM), to serve HTTPS.")
    ] = None
    tls_key: Annotated[
        str | None,
        setting(why="File of its key (PEM), which others must not be able to read."),
    ] = None
    tls_handshake_s: Annotated[
        float, msgspec.Meta(gt=0), setting(why="Seconds in which a connection must be encrypted.")
    ] = 5.0
    hsts_s: Annotated[
        int,
        setting(
            why="Seconds for which browsers keep to HTTPS once they came by it; 0 says nothing. "
            "Not said where it listens on this machine alone, unless behind trusted proxies."
        ),
    ] = 31_536_000
    log_level: Annotated[
        typing.Literal["debug", "info", "warning", "error"],
        setting(env="FAMULUS_LOG_LEVEL", flag="--log-level", why="The least level logged."),
    ] = "info"
    log_format: Annotated[
        LogFormat,
        setting(
            env="FAMULUS_LOG_FORMAT",
            flag="--log-format",
            why="`json`, `pretty`, or by whether stderr is a terminal.",
        ),
    ] = "auto"
    log_requests: Annotated[
        bool, setting(why="Whether each request is a line of the log, at level `info`.")
    ] = True
    header_s: Annotated[float, setting(why="Seconds in which the headers must arrive.")] = 10.0
    header_bytes_max: Annotated[int, setting(why="Size of all headers together.")] = 65_536
    body_s: Annotated[float, setting(why="Seconds in which a JSON body must arrive.")] = 60.0
    body_bytes_max: Annotated[
        int, setting(why="Size of a JSON body; operations that take files set their own.")
    ] = 10_485_760
    stream_idle_s: Annotated[
        float, setting(why="Seconds a body with files may be silent while it arrives.")
    ] = 30.0
    stream_bytes_per_s_min: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Pace that a body with files must keep, once `body_s` have passed."),
    ] = 1024
    linger_s: Annotated[
        float,
        setting(why="Seconds a body that is not read may still come, so that its answer is read."),
    ] = 10.0
    form_parts_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Fields and files of one form.")
    ] = 64
    form_field_bytes_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Size of one field of a form that is no file.")
    ] = 65_536
    form_header_bytes_max: Annotated[
        int,
        msgspec.Meta(ge=128),
        setting(why="Size of one header inside a form, which is where a file's name stands."),
    ] = 8192
    json_depth_max: Annotated[int, setting(why="Nesting of a JSON body.")] = 64
    connections_max: Annotated[
        int,
        setting(
            why="Open connections; further ones are answered 503, or closed where the server "
            "itself encrypts."
        ),
    ] = 12_000
    connections_per_address_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(
            why="Open connections of one address, trusted proxies apart; further ones are answered "
            "429, or closed likewise."
        ),
    ] = 4000
    backlog: Annotated[int, setting(why="Connections that may wait to be accepted.")] = 2048
    idle_s: Annotated[float, setting(why="Seconds a kept connection may idle.")] = 75.0
    heartbeat_s: Annotated[
        float, setting(why="Seconds of silence after which a stream sends a comment.")
    ] = 15.0
    send_s: Annotated[
        float, setting(why="Seconds a stream's reader may take for one send; then it is dropped.")
    ] = 30.0
    streams_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Open streams; further ones are answered 429.")
    ] = 10_000
    streams_per_key_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Open streams of one key, likewise.")
    ] = 5000
    start_s: Annotated[float, setting(why="Seconds a plugin may take to start.")] = 60.0
    stop_s: Annotated[float, setting(why="Seconds a plugin may take to stop.")] = 10.0
    drain_s: Annotated[
        float, setting(why="Seconds open requests and streams may go on at a stop.")
    ] = 25.0
    retry_failed_s: Annotated[
        float,
        setting(why="Seconds before a plugin that failed and that others need is tried again."),
    ] = 2.0
    retry_failed_max_s: Annotated[
        float, setting(why="What that pause grows to, doubled at each attempt.")
    ] = 60.0
    health_s: Annotated[float, setting(why="Seconds a health check may take.")] = 3.0
    notices_max: Annotated[
        int, setting(why="Notices that may wait for `on_event`; further ones are lost.")
    ] = 10_000
