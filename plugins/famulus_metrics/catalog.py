"""Every metric that this plugin counts by what it hears.

What others can be read of comes by `register_gauges`, and is named where it is known.
"""

from __future__ import annotations

from famulus_metrics.tally import Histogram, Total

REQUEST_S = (0.01, 0.05, 0.25, 1.0, 5.0, 30.0)
RUN_S = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
FIRST_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
LAG_S = (0.005, 0.02, 0.1, 0.5, 2.0)


class Catalog:
    """What is counted in one process, from 0 at its start."""

    def __init__(self) -> None:
        self.requests = Total(
            "famulus_requests_total",
            "Requests, by their status (2xx to 5xx); `left` where the client went away.",
            ["operation", "status"],
        )
        self.request_seconds = Histogram(
            "famulus_request_seconds",
            "Seconds until an answer had been sent, a stream to its end.",
            ["operation"],
            bounds=REQUEST_S,
        )
        self.runs = Total(
            "famulus_runs_total",
            "Runs that came to rest: at their end, or where they wait for their client.",
            ["status"],
        )
        self.run_seconds = Histogram(
            "famulus_run_seconds",
            "Seconds from when a run was created until its end.",
            bounds=RUN_S,
        )
        self.run_queue_seconds = Histogram(
            "famulus_run_queue_seconds",
            "Seconds from when a run was created until it was begun; whole ones.",
            bounds=RUN_S,
        )
        self.tokens = Total(
            "famulus_tokens_total",
            "Tokens as model servers counted them: `prompt`, of which `cached`, and `completion`.",
            ["model", "kind"],
        )
        self.model_seconds = Histogram(
            "famulus_model_seconds",
            "Seconds from a question to a model server until its answer had ended.",
            ["model"],
            bounds=RUN_S,
        )
        self.first_token_seconds = Histogram(
            "famulus_model_first_token_seconds",
            "Seconds from a question to a model server until its answer began.",
            ["model"],
            bounds=FIRST_S,
        )
        self.backend_faults = Total(
            "famulus_backend_faults_total",
            "Answers that a model server did not give, by why; another try may have succeeded.",
            ["backend", "kind"],
        )
        self.tool_calls = Total(
            "famulus_tool_calls_total",
            "Calls that the server ran for models.",
            ["kind", "result"],
        )
        self.tool_seconds = Histogram(
            "famulus_tool_seconds",
            "Seconds that such a call took.",
            ["kind"],
            bounds=REQUEST_S,
        )
        self.files = Total(
            "famulus_files_ingested_total",
            "Files whose way into a vector store ended.",
            ["status"],
        )
        self.chunks = Total(
            "famulus_chunks_ingested_total",
            "Chunks of files that came into vector stores.",
        )
        self.ingestion_seconds = Histogram(
            "famulus_ingestion_seconds",
            "Seconds that the attempt took by which a file came into a store, or did not.",
            bounds=RUN_S,
        )
        self.lag_seconds = Histogram(
            "famulus_event_loop_lag_seconds",
            "Seconds by which the event loop woke somebody too late, a few times a second.",
            bounds=LAG_S,
        )
        self.gauge_faults = Total(
            "famulus_gauge_faults_total",
            "Figures that could not be read when metrics were; the log says which.",
        )

    def all(self) -> list[Total | Histogram]:
        """All of them, in a stable order."""
        return list(vars(self).values())
