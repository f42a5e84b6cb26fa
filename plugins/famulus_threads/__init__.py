"""Threads and their messages: conversations, and who may write to them when."""

from famulus_threads.plugin import ThreadsPlugin

__all__ = ["ThreadsPlugin"]
