"""Jobs: work that is done once it was promised, by this process or by the next."""

from famulus_jobs.plugin import JobsPlugin

__all__ = ["JobsPlugin"]
