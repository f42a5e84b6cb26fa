"""Runs: an assistant at work on a thread, its steps, and the stream of both."""

from famulus_runs.plugin import Runs

__all__ = ["Runs"]
