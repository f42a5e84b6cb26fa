"""The report says what was looked at, what was not, and of how much."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from famulus_conformance.findings import Finding
from famulus_conformance.probe_implemented import NOT_SERVED
from famulus_conformance.report import Report
from famulus_conformance.scope import scope
from famulus_conformance.verdict import Verdict, judged

PROBED: Any = ("implemented", "properties", "limits", "errors")


def finding(operation: str, aspect: Any, what: str = "it", detail: str = "") -> Finding:
    return Finding(operation=operation, aspect=aspect, what=what, kept=not detail, detail=detail)


def served(*ids: str) -> list[Finding]:
    return [
        finding(each.id, "implemented", "200", "" if each.id in ids else NOT_SERVED)
        for each in scope()
    ]


def report(oracle: Any, findings: list[Finding], ran: Any = PROBED) -> Report:
    return Report(oracle, Verdict(oracle.operations(), findings, ran), server="ours")


def told(oracle: Any, findings: list[Finding], ran: Any = PROBED) -> Any:
    return json.loads(report(oracle, findings, ran).as_json())


def test_percentages_are_of_all_operations_in_scope(document_oracle):
    found = told(document_oracle, served("getThread", "createThread"))
    assert found["groups"]["threads"]["implemented"] == {"whole": 2, "percent": 50.0}
    assert found["total"]["operations"] == 99
    assert found["total"]["implemented"] == {"whole": 2, "percent": 2.0}


def test_an_operation_with_one_fault_is_not_whole(document_oracle):
    findings = [
        *served("getThread", "createThread"),
        *(finding("getThread", "properties", name) for name in "ab"),
        finding("getThread", "properties", "response.metadata", "it is missing"),
    ]
    found = told(document_oracle, findings)
    assert found["groups"]["threads"]["properties"]["whole"] == 1
    assert found["broken"] == ["getThread: response.metadata"]
    [row] = [each for each in found["operations"] if each["id"] == "getThread"]
    assert row["properties"] == {"kept": 2, "known": 0, "of": 3}


def test_what_the_overlay_knows_is_told_with_its_reason_and_breaks_nothing(document_oracle):
    refusal = 'refused: 400 {"error": {"code": "unsupported"}}'
    findings = [*served("createEmbedding"), finding("createEmbedding", "limits", "it", refusal)]
    found = told(document_oracle, findings)
    assert found["broken"] == []
    assert found["groups"]["embeddings"]["limits"]["percent"] == 100
    [known] = found["known"]
    assert known["findings"] == ["createEmbedding: it"]
    assert "built in" in known["why"]


def test_the_same_refusal_for_another_reason_is_not_known():
    refusal = 'refused: 400 {"error": {"code": "invalid_value"}}'
    [each] = judged([finding("createEmbedding", "limits", "it", refusal)])
    assert each.standing == "broken"


def test_a_layer_that_did_not_run_is_shown_as_not_run(document_oracle):
    page = report(document_oracle, served("getThread")).markdown()
    assert "Not run: streams." in page
    [row] = [line for line in page.splitlines() if line.startswith("| threads |")]
    assert row == "| threads | 4 | 25 % | 25 % | 25 % | 25 % | not run | not run | not run |"


def test_only_the_document_gives_properties_and_limits_in_percent(client_oracle):
    findings = served("getThread")
    page = report(client_oracle, findings).markdown()
    [row] = [line for line in page.splitlines() if line.startswith("| threads |")]
    assert row.split(" | ")[2:6] == ["25 %", "by document only", "by document only", "25 %"]
    assert "only OpenAI's document has all" in page
    assert "properties" not in told(client_oracle, findings)["total"]


def test_almost_all_is_not_rounded_to_all(document_oracle):
    ids = [each.id for each in scope()][:-1]
    assert told(document_oracle, served(*ids))["total"]["implemented"]["percent"] == 98.9


def test_the_same_findings_in_any_order_make_the_same_report(document_oracle):
    findings = [*served("getThread"), finding("getThread", "errors", "a", "b")]
    one, two = report(document_oracle, findings), report(document_oracle, findings[::-1])
    assert one.markdown() == two.markdown()
    assert one.as_json() == two.as_json()


def test_a_finding_can_be_sent():
    each = finding("getThread", "errors")
    assert msgspec.json.decode(msgspec.json.encode(each), type=Finding) == each
