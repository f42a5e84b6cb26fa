"""The settings of the bucket."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Secret, Settings, setting


class S3Settings(Settings, frozen=True):
    """Table `[plugins.s3]`."""

    bucket: Annotated[
        str | None, setting(why="The bucket that blobs are kept in; without one the plugin is off.")
    ] = None
    prefix: Annotated[str, setting(why="What all keys in the bucket begin with, as a folder.")] = ""
    endpoint: Annotated[
        str | None, setting(why="URL of another server than Amazon's, such as MinIO or Ceph.")
    ] = None
    region: Annotated[str, setting(why="Where the bucket is.")] = "us-east-1"
    access_key_id: Annotated[
        Secret | None,
        setting(why="Who writes; if not given, what Amazon's own variables or the machine say."),
    ] = None
    secret_access_key: Annotated[Secret | None, setting(why="The key's secret.")] = None
    part_bytes: Annotated[
        int,
        msgspec.Meta(ge=5_242_880),
        setting(why="Size of a part of a large blob; S3 takes 10,000 parts, of 5 MB at least."),
    ] = 8_388_608
    parts_at_once_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Parts of one blob sent at once; each is held in memory."),
    ] = 3
    connect_timeout_s: Annotated[float, setting(why="Seconds to connect.")] = 5.0
    request_timeout_s: Annotated[
        float, setting(why="Seconds one request may take, such as that of a part.")
    ] = 60.0
    retries_max: Annotated[
        int, msgspec.Meta(ge=0), setting(why="How often a request that failed is sent again.")
    ] = 5
