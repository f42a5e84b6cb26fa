"""Blobs in a bucket of S3, or of a server that speaks its API."""

from famulus_s3.plugin import S3

__all__ = ["S3"]
