"""The records of jobs and workers."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Literal

import msgspec

from famulus_schemas.jobs import Job, job_id
from famulus_schemas.records import Insert, Kind, Record, Replace

SYSTEM = "system"
"""The project that workers are kept under; it is nobody's."""

encode = msgspec.json.Encoder().encode


LANES = 16
"""Among which the projects whose jobs wait are spread."""


def lane_of(kind: str, project: str, priority: int, principal: str = "") -> str:
    """Where a waiting job stands: those that are urgent in front, those that have time behind.

    The others stand by their project and whose they are, so that they are found behind any number
    of jobs of another.
    """
    if priority:
        return f"{kind} {'urgent' if priority < 0 else 'patient'}"
    return lane(kind, zlib.crc32(f"{project} {principal}".encode()))


def lane(kind: str, number: int) -> str:
    """One of the lanes of jobs that are neither urgent nor patient."""
    return f"{kind} {number % LANES}"


class JobBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a job's record holds."""

    kind: str
    key: str
    state: Literal["waiting", "leased", "parked"]
    worker: str = ""
    attempt: int = 1
    priority: int = 0
    principal: str = ""
    model: str = ""

    def index(self, project: str) -> dict[str, str]:
        """The indexed names of a project's job in this state."""
        if self.state == "waiting":
            lane = lane_of(self.kind, project, self.priority, self.principal)
            return {"waiting": self.kind, "lane": lane}
        return {"worker": self.worker, "leased": "yes"} if self.state == "leased" else {}


class WorkerBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker's record holds."""

    beat: float
    """The store's clock at the last heartbeat."""


decode_job = msgspec.json.Decoder(JobBody).decode
decode_worker = msgspec.json.Decoder(WorkerBody).decode


def _job_index(record: Record) -> Mapping[str, str]:
    return decode_job(record.body).index(record.project)


JOB = Kind(name="job", indexes=("waiting", "lane", "worker", "leased"), index_of=_job_index)
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
        priority=body.priority,
        principal=body.principal,
        model=body.model,
    )


def new_job(project: str, body: JobBody, *, now: int) -> Insert:
    """The write that makes a job."""
    return Insert(
        kind="job",
        id=job_id(body.kind, body.key),
        created_at=now,
        body=encode(body),
        fence=1,
        index=body.index(project),
    )


def moved(job: Job, body: JobBody, *, fence: int) -> Replace:
    """The write that brings a job to another state."""
    return Replace(
        kind="job",
        id=job_id(job.kind, job.key),
        version=job.version,
        body=encode(body),
        fence=fence,
        index=body.index(job.project),
    )
