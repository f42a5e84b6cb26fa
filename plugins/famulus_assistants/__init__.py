"""Assistants: models with instructions and tools, kept under a name for runs to use."""

from famulus_assistants.plugin import AssistantsPlugin

__all__ = ["AssistantsPlugin"]
