"""Names of models that are gone, by the official client."""

from __future__ import annotations

from openai import OpenAI

from famulus_conformance.scenarios_model import ECHO, Model


def test_a_stand_in_says_what_it_is_to_a_client_that_knows_no_such_field(
    client: OpenAI, model: Model
) -> None:
    note = (client.models.retrieve(model.id).model_extra or {}).get("note", "")
    assert note.startswith("A stand-in, not a language model") == (model.id == "famulus-builtin")


def test_a_retired_name_leads_to_the_only_model(client: OpenAI, model: Model) -> None:
    answer = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": ECHO}], temperature=0
    )
    assert answer.model == "gpt-4o"
    assert model.is_right(ECHO, answer.choices[0].message.content)
