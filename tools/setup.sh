#!/usr/bin/env bash
# Make the virtual environment: setup.sh PYTHON VENV. Says what is missing and how to get it.
set -euo pipefail
python=$1
venv=$2

if ! command -v "$python" >/dev/null; then
  echo "setup: $python is not installed; install Python 3.11 or newer (Debian: apt-get install python3 python3-venv), or run make PYTHON=/path/to/python3" >&2
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "setup: $("$python" --version) is too old; Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  if ! "$python" -m venv --clear "$venv"; then
    echo "setup: the module venv is missing (Debian: apt-get install python3-venv)" >&2
    exit 1
  fi
fi
lock=tools/requirements-dev.lock
echo "setup: installing openai-exporter and its tools into $venv (a minute the first time, or some on a slow network)"
export PIP_DISABLE_PIP_VERSION_CHECK=1
"$venv/bin/python" -m pip install --progress-bar off --require-hashes -r "$lock" 2>&1 |
  awk -v all="$(grep -c '^[a-z].*==' "$lock")" '
    /^Collecting / && ++count % 10 == 0 { print "setup: " count " of at most " all " packages downloaded" }
    /^Installing collected/ { print "setup: installing them" }
    /^ERROR/
    { fflush() }'
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
