"""A project leaves: the operator erases all that it had, beside both processes, and no other's."""

from __future__ import annotations

from tests.e2e.organization.organization import Organization

SETTINGS = {"FAMULUS_RETENTION__SETTLE_S": "1.5"}


def test_an_erased_project_is_gone_at_both_processes_and_the_others_are_whole(
    organization: Organization,
) -> None:
    project = organization.project("Leaving")
    key = organization.key(project, "leaving")
    here, there = (organization.client(key, at) for at in organization.processes)
    file = here.files.create(file=("canary.txt", b"a canary that leaves"), purpose="assistants")
    assistant = there.beta.assistants.create(model="scripted", instructions="canary")
    run = here.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "Say canary"}]},
    )
    assert run.status == "completed"
    stays = organization.client(organization.biller).beta.threads.create(
        messages=[{"role": "user", "content": "canary"}]
    )
    assert there.files.content(file.id).content == b"a canary that leaves"

    counted = organization.command("erase", "project", project, "--dry-run")
    assert counted.returncode == 0, counted.stderr
    assert here.beta.threads.retrieve(run.thread_id).id == run.thread_id
    erased = organization.command("erase", "project", project, "--yes")
    assert erased.returncode == 0, erased.stderr
    for printed in (counted, erased):
        assert "canary" not in printed.stdout + printed.stderr

    for at in organization.processes:
        assert organization.ask("GET", "/v1/assistants", key, at).status_code == 401
        other = organization.client(organization.biller, at)
        assert other.beta.threads.retrieve(stays.id) == stays
    again = organization.command("erase", "project", project, "--dry-run", "--json")
    assert again.returncode == 0, again.stderr
