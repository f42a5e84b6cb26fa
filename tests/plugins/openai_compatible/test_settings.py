"""Servers are named by URL or by table, and mistakes are told before anything starts."""

from __future__ import annotations

import pytest

from famulus import Secret
from famulus.config import load_config, plugin_settings
from famulus.mistakes import ConfigError
from famulus.setting_fields import settings_fields
from famulus_openai_compatible import OpenAICompatibleSettings


def settings(
    environment: dict[str, str] | None = None, **values: object
) -> OpenAICompatibleSettings:
    config = load_config(None, environment=environment or {}, flags={"openai_compatible": values})
    return plugin_settings(config, "openai_compatible", OpenAICompatibleSettings)


def test_a_url_is_enough():
    [server] = settings(backend=["http://127.0.0.1:8000"]).servers()
    assert (server.url, server.label, server.api_key) == (
        "http://127.0.0.1:8000",
        "127.0.0.1:8000",
        None,
    )


def test_the_backend_setting_has_a_flag_and_a_variable():
    found = {
        field.name: (env, flag) for field, _, env, flag in settings_fields(OpenAICompatibleSettings)
    }
    assert found["backend"] == ("FAMULUS_BACKEND", "--backend")


def test_urls_and_a_key_come_from_the_environment():
    one = settings({"FAMULUS_BACKEND": "http://a", "FAMULUS_BACKEND_API_KEY": "k-1"}).servers()
    two = settings({"FAMULUS_BACKEND": "http://a, http://b"}).servers()
    assert [(server.url, server.api_key) for server in one] == [("http://a", Secret("k-1"))]
    assert [server.url for server in two] == ["http://a", "http://b"]


def test_a_table_can_refer_to_its_key():
    values = {"backends": [{"name": "x", "url": "http://a", "api_key": "env:MY_KEY"}]}
    [server] = settings({"MY_KEY": "k-2"}, **values).servers()
    assert server.api_key == Secret("k-2")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"backend": ["localhost:8000"]}, "must look like http"),
        ({"backend": ["http://a", "http://a/v1"]}, "two servers are called 'a'"),
        ({"backends": [{"url": "http://u:secret@a"}]}, "must not hold a password"),
        ({"backends": [{"url": "http://a", "name": "x/y"}]}, "without a slash"),
        ({"backends": [{"url": "http://a", "name": ""}]}, "without a slash"),
        ({"backends": [{"url": "http://a", "nmae": "x"}]}, "nmae"),
        ({"backends": [{"url": "http://a", "context_tokens": 0}]}, "at least 1"),
        ({"backends": [{"url": "http://a", "timeouts": {"idle_timeout_s": 0}}]}, "> 0"),
        (
            {"backend": ["http://a", "http://b"], "backend_api_key": "k"},
            "exactly one URL",
        ),
    ],
)
def test_a_mistake_is_told_by_name(values, words):
    with pytest.raises(ConfigError, match=words) as caught:
        settings(**values)
    assert "openai_compatible" in str(caught.value)
    assert "secret" not in str(caught.value)
