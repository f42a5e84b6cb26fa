"""What is too old goes, by whichever of both processes sweeps, and once."""

from __future__ import annotations

from tests.e2e.organization.organization import Organization, eventually

AGE_S = 6
THREADS = 12
SETTINGS = {
    "FAMULUS_RETENTION__THREADS_DAYS": str(AGE_S / 86_400),
    "FAMULUS_RETENTION__SWEEP_S": "0.5",
    "FAMULUS_RETENTION__BATCH_MAX": "5",
}


def test_old_threads_go_once_while_those_in_use_stay(organization: Organization) -> None:
    here, there = (organization.client(organization.writer, at) for at in organization.processes)
    used = here.beta.threads.create(messages=[{"role": "user", "content": "canary"}])
    old = {here.beta.threads.create().id for _ in range(THREADS)}

    def are_gone() -> bool:
        there.beta.threads.messages.create(used.id, role="user", content="canary")
        statuses = {
            organization.ask("GET", f"/v1/threads/{id}", organization.writer, at).status_code
            for at in organization.processes
            for id in old
        }
        return statuses == {404}

    eventually(are_gone)
    assert here.beta.threads.retrieve(used.id).id == used.id

    def deleted() -> float:
        figure = "famulus_retention_deleted_total"
        return sum(organization.figure(at, figure, kind="threads") for at in organization.processes)

    eventually(lambda: deleted() == THREADS)
    lines = [line for at in organization.processes for line in organization.lines(at, "sweep_done")]
    assert sum(line["deleted"].get("threads", 0) for line in lines) == THREADS
    assert organization.command("gc", "--dry-run", "--json").returncode == 0
