"""Files and uploads: kept as they were given, deleted when they expire, reached by FILES."""

from famulus_files.plugin import FilesPlugin

__all__ = ["FilesPlugin"]
