"""Traces of requests, runs, answers of models and calls of tools, by OpenTelemetry's protocol."""

from famulus_otel.plugin import Otel

__all__ = ["Otel"]
