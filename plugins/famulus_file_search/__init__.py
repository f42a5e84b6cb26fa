"""The tool `file_search`: looks for passages in vector stores, and cites what it found."""

from famulus_file_search.plugin import FileSearchPlugin

__all__ = ["FileSearchPlugin"]
