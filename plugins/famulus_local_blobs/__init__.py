"""Blobs in a folder of this machine: the embedded default of BLOBS."""

from famulus_local_blobs.plugin import LocalBlobs

__all__ = ["LocalBlobs"]
