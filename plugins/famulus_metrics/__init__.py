"""Metrics: what happens on a server, in the form that Prometheus reads."""

from famulus_metrics.plugin import Metrics
from famulus_metrics.settings import MetricsSettings

__all__ = ["Metrics", "MetricsSettings"]
