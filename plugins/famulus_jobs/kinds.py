"""The records of jobs and workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from famulus_schemas.jobs import Job, job_id
from famulus_schemas.records import Insert, Kind, Record, Replace

SYSTEM = "system"
"""The project that workers are kept under; it is nobody's."""

encode = msgspec.json.Encoder().encode


class JobBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a job's record holds."""

    kind: str
    key: str
    state: Literal["waiting", "leased", "parked"]
    worker: str = ""
    attempt: int = 1
    priority: int = 0

    def index(self) -> dict[str, str]:
        """The indexed names of a job in this state."""
        if self.state == "waiting":
            return {"waiting": self.kind}
        return {"worker": self.worker, "leased": "yes"} if self.state == "leased" else {}


class WorkerBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker's record holds."""

    beat: float
    """The store's clock at the last heartbeat."""


decode_job = msgspec.json.Decoder(JobBody).decode
decode_worker = msgspec.json.Decoder(WorkerBody).decode


def _job_index(record: Record) -> Mapping[str, str]:
    return decode_job(record.body).index()


JOB = Kind(name="job", indexes=("waiting", "worker", "leased"), index_of=_job_index)
WORKER = Kind(name="worker")


def job_of(record: Record) -> Job:
    """A job as its record has it."""
    body = decode_job(record.body)
    return Job(
        project=record.project,
        kind=body.kind,
        key=body.key,
        attempt=body.attempt,
        fence=record.fence,
        version=record.version,
    )


def new_job(body: JobBody, *, now: int) -> Insert:
    """The write that makes a job."""
    return Insert(
        kind="job",
        id=job_id(body.kind, body.key),
        created_at=now,
        body=encode(body),
        fence=1,
        index=body.index(),
    )


def moved(job: Job, body: JobBody, *, fence: int) -> Replace:
    """The write that brings a job to another state."""
    return Replace(
        kind="job",
        id=job_id(job.kind, job.key),
        version=job.version,
        body=encode(body),
        fence=fence,
        index=body.index(),
    )
