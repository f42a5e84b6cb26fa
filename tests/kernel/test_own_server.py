"""A command's own server serves while it is needed, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from famulus.own_server import ServerFailed, own_server


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Flags that keep model servers of this machine out."""
    config = tmp_path_factory.mktemp("config") / "alone.toml"
    config.write_text("[plugins.openai_compatible]\ndiscover = false\n")
    return ("--config", str(config))


def test_it_serves_while_inside_and_its_folder_goes_with_it(
    temporary: Path, alone: tuple[str, ...]
) -> None:
    with own_server(alone, start_s=60, name="test") as (base_url, api_key):
        [folder] = temporary.iterdir()
        headers = {"Authorization": f"Bearer {api_key}"}
        assert httpx.get(f"{base_url}/models", headers=headers).status_code == 200
        assert httpx.get(f"{base_url}/models").status_code == 401
    assert folder.name.startswith("famulus-test-")
    assert api_key.startswith("sk-test-")
    assert not [*temporary.iterdir()]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{base_url}/models")


def test_one_that_does_not_start_is_told_with_the_last_that_it_said(temporary: Path) -> None:
    failed = pytest.raises(ServerFailed, match="the server did not start:")
    with failed as refusal, own_server(("--no-such-flag",), start_s=60, name="test"):
        pass
    assert "--no-such-flag" in str(refusal.value)
    assert not [*temporary.iterdir()]
