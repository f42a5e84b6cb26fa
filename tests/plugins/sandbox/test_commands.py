"""`famulus sandbox` as its users meet it: packages for boxes, and how well these are shut."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.plugins.bubblewrap.test_bubblewrap import needs_bubblewrap, opened

from famulus.testing.sandbox_conformance import cell, of
from famulus_schemas.sandbox import ResultOutput

pytestmark = pytest.mark.anyio


def famulus(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "famulus", "sandbox", *words, "--data-dir", str(tmp_path / "data")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def wheel(folder: Path, name: str, version: str) -> None:
    """A package of one module that says its version."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    contents = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        for path, text in contents.items():
            file.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            record += f"{path},sha256={digest.decode().rstrip('=')},{len(text)}\n"
        file.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")


@needs_bubblewrap
async def test_what_is_installed_can_be_imported_in_boxes(tmp_path: Path) -> None:
    wheels, wanted = tmp_path / "wheels", tmp_path / "wanted.txt"
    wheel(wheels, "abacus", "1.0")
    wheel(wheels, "sliderule", "2.0")
    wanted.write_text("abacus==1.0\n")
    options = ["--requirements", str(wanted), "--wheels", str(wheels)]
    done = famulus(tmp_path, "install", *options, "--add", "sliderule")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Boxes can import: abacus 1.0, sliderule 2.0\n"
    async with opened(tmp_path / "data", preload=("abacus", "not_there")) as sandbox:
        assert (await sandbox.probe()).packages == ("abacus 1.0", "sliderule 2.0")
        box = await sandbox.open("s", project="p")
        code = "import sys\n'abacus' in sys.modules, __import__('sliderule').version"
        assert of(ResultOutput, await cell(box, code))[0].text == "(True, '2.0')"
        code = (
            "import subprocess, sys\nscript = 'import abacus; print(abacus.version)'\n"
            "subprocess.run([sys.executable, '-c', script], capture_output=True, text=True).stdout"
        )
        assert of(ResultOutput, await cell(box, code))[0].text == r"'1.0\n'"

    done = famulus(tmp_path, "install", *options, "--add", "nowhere-to-be-found")
    assert done.returncode == 1
    assert "nowhere-to-be-found" in done.stderr

    # What was there is there still.
    done = famulus(tmp_path, "status")
    assert done.returncode == 0, done.stderr
    assert "provider: bubblewrap\nlevel: isolated\n" in done.stdout
    assert "packages: abacus 1.0, sliderule 2.0\n" in done.stdout


def test_where_there_can_be_no_boxes_the_status_says_why(tmp_path: Path) -> None:
    (tmp_path / "famulus.toml").write_text('[plugins.bubblewrap]\ncommand = "no-such-bwrap"\n')
    done = famulus(tmp_path, "status")
    assert done.returncode == 1
    assert "level: none\n" in done.stdout
    assert "apt-get install bubblewrap" in done.stdout
