"""What the plugins share that search vector stores in this process: exact search and words.

A library, not a plugin: it registers nothing. numpy is imported when something is first searched.
"""

from famulus_indexes.gauges import index_gauges
from famulus_indexes.indexes import Indexes, open_indexes
from famulus_indexes.settings import IndexSettings

__all__ = ["IndexSettings", "Indexes", "index_gauges", "open_indexes"]
