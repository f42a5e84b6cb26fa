#!/usr/bin/env bash
# Makes base.txt and dev.txt anew: every version and hash that is installed. Needs pip-tools.
# The files name no registry, so that they work with any that has the same packages.
set -euo pipefail
cd "$(dirname "$0")/../.."
compile() {
  local file=ops/requirements/$1.txt
  shift
  pip-compile --quiet --generate-hashes --strip-extras --unsafe-package famulus --no-header \
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file "$file" \
    "$@" pyproject.toml 2>/dev/null
  # The package itself is not in its own lock, which pip-compile warns of at the end.
  sed -i -e '/^# WARNING/,$d' -e '1i # Made by ops/requirements/update.sh, with Python 3.11 on Linux.' "$file"
}
compile base
compile dev --extra dev --constraint ops/requirements/base.txt
