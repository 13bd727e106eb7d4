#!/usr/bin/env bash
# Write the lock files of the container image and of development from pyproject.toml; options go to uv, such as --upgrade or
# --upgrade-package NAME.
# The files name no index, so that they install from whichever one pip is set up for.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
command -v uv > /dev/null || { "$python" -m uv --version > /dev/null 2>&1 && uv() { "$python" -m uv "$@"; }; } ||
  { echo "lock: uv is not installed; pip install uv" >&2; exit 1; }

# lock HEAD OUTPUT PYTHON INPUT|OPTION ...; versions that stand in OUTPUT stay unless --upgrade is given.
lock() {
  local head=$1 output=$2 least=$3
  shift 3
  uv pip compile --universal --python-version "$least" --generate-hashes --no-emit-index-url --no-header --quiet \
    --output-file "$output" "$@" > /dev/null
  sed -i "1i # $head Written by \`tools/lock.sh\`; do not edit." "$output"
}

lock 'Every package of the image, by version and hash.' exporter/requirements.lock 3.13 pyproject.toml "$@"
"$python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' |
  lock 'What builds the wheel, by version and hash.' exporter/requirements-build.lock 3.13 - "$@"
# Tests run with the versions of the image.
lock 'What development installs, by version and hash.' tools/requirements-dev.lock 3.11 pyproject.toml --group dev \
  --constraint exporter/requirements.lock "$@"
lock 'What checks the manifests, by version and hash.' tools/requirements-deploy.lock 3.11 --group deploy \
  --constraint tools/requirements-dev.lock "$@"
lock 'What checks and describes a release, by version and hash.' tools/requirements-release.lock 3.11 --group release \
  --constraint tools/requirements-dev.lock "$@"
