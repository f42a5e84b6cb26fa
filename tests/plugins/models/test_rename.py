"""The answer names the model as the client did, and says nothing else differently."""

from __future__ import annotations

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from famulus_models.rename import Renamer
from famulus_models.usage import with_usage, without_usage


def test_the_name_is_replaced_in_every_event():
    rename = Renamer("gpt-4o")
    assert (
        rename(b'data: {"id":"x","model":"real"}\n\n') == b'data: {"id":"x","model":"gpt-4o"}\n\n'
    )
    assert rename(b'data: {"model":"real"}\n\ndata: {"model":"real"}\n\n').count(b"gpt-4o") == 2


def test_a_server_s_own_word_for_the_model_is_learnt():
    rename = Renamer("gpt-4o")
    assert rename(b'{"model": "gpt-4o-2024-08-06"}') == b'{"model": "gpt-4o"}'


def test_an_answer_that_names_it_rightly_is_not_touched():
    data = b'{"model":"gpt-4o","choices":[]}'
    assert Renamer("gpt-4o")(data) is data


def test_an_answer_without_a_name_is_not_touched():
    assert Renamer("gpt-4o")(b'data: {"choices":[]}\n\n') == b'data: {"choices":[]}\n\n'


@given(st.text(), st.text(min_size=1), st.text(min_size=1))
@example(text="", real="model", wanted="other")
def test_a_text_is_never_changed_whatever_it_says(text, real, wanted):
    quoted = f'{text} "model":"{real}" {{"model": "{real}"}}'
    body = {"model": real, "choices": [{"message": {"content": quoted}}]}
    renamed = msgspec.json.decode(Renamer(wanted)(msgspec.json.encode(body)))
    assert renamed == {**body, "model": wanted}


USAGE = b'data: {"id":"x","choices":[],"usage":{"total_tokens":3}}\n\n'
TEXT = b'data: {"id":"x","choices":[{"delta":{"content":"\\"choices\\":[]"}}],"usage":null}\n\n'


def test_only_the_event_of_usage_is_taken_out():
    assert without_usage(TEXT + USAGE + b"data: [DONE]\n\n") == TEXT + b"data: [DONE]\n\n"


def test_an_event_without_choices_that_is_not_about_usage_stays():
    filtered = b'data: {"choices":[],"prompt_filter_results":[]}\n\n'
    assert without_usage(filtered) == filtered
    assert without_usage(b": choices\n\n" + USAGE) == b": choices\n\n"


def raw(**fields: bytes) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(value) for name, value in fields.items()}


def options(fields: dict[str, msgspec.Raw]) -> object:
    return msgspec.json.decode(fields["stream_options"])


def test_usage_is_asked_for_and_the_client_s_wish_remembered():
    fields, asked = with_usage(raw(model=b'"m"'))
    assert (options(fields), asked) == ({"include_usage": True}, False)
    fields, asked = with_usage(raw(stream_options=b'{"include_usage": true}'))
    assert (options(fields), asked) == ({"include_usage": True}, True)
    fields, asked = with_usage(raw(stream_options=b'{"include_usage":false,"vendor":[1]}'))
    assert (options(fields), asked) == ({"include_usage": True, "vendor": [1]}, False)
    fields, asked = with_usage(raw(stream_options=b"null"))
    assert (options(fields), asked) == ({"include_usage": True}, False)


def test_options_that_are_none_are_left_for_the_server_to_refuse():
    fields, _ = with_usage(raw(stream_options=b'"yes"'))
    assert options(fields) == "yes"
