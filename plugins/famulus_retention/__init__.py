"""Retention: old things are deleted by their age, and all of a project or a person for good."""

from famulus_retention.plugin import Retention

__all__ = ["Retention"]
