#!/usr/bin/env bash
# Install foreign servers that speak OpenAI's API, one folder each, and run the exporter against them:
#   tools/compat.sh [--install-only] [litellm] [llama] [aimock]      (all of them when none is named)
# The first run takes long: llama.cpp is compiled (some 15 minutes on two cores). Folder: COMPAT_HOME, else .compat.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
home=${COMPAT_HOME:-$root/.compat}
python=${PYTHON:-python3}
litellm_version=1.106.2
llama_version=0.3.36
gguf_version=0.19.0
aimock_version=1.43.0
export PIP_DISABLE_PIP_VERSION_CHECK=1

fail() {
  echo "compat: $1" >&2
  exit 1
}

need() {
  command -v "$1" >/dev/null || fail "$1 is not installed; $2 needs it (Debian: apt-get install $3)"
}

# installed NAME VERSION: whether that is there already; `done_with` writes the mark.
installed() { [ "$(cat "$home/$1/.installed" 2>/dev/null)" = "$2" ]; }
done_with() { echo "$2" > "$home/$1/.installed"; }

environment() {
  rm -rf "${home:?}/$1"
  "$python" -m venv "$home/$1" || fail "the module venv is missing (Debian: apt-get install python3-venv)"
}

install_litellm() {
  installed litellm "$litellm_version" && return
  echo "compat: installing LiteLLM's proxy $litellm_version"
  environment litellm
  # Without prisma, the proxy answers 500 in place of 401.
  "$home/litellm/bin/python" -m pip install --quiet "litellm[proxy]==$litellm_version" prisma
  done_with litellm "$litellm_version"
}

install_llama() {
  installed llama "$llama_version" && return
  need cmake llama.cpp cmake
  need c++ llama.cpp g++
  echo "compat: compiling llama.cpp and llama-cpp-python $llama_version; this takes a while"
  environment llama
  local source="$home/llama/source"
  mkdir -p "$source"
  "$home/llama/bin/python" -m pip download --quiet --no-deps --no-binary llama-cpp-python \
    --dest "$source" "llama-cpp-python==$llama_version"
  local archive
  archive=$(echo "$source"/*.tar.gz)
  CMAKE_ARGS="-DGGML_NATIVE=OFF" "$home/llama/bin/python" -m pip install --quiet "$archive[server]" "gguf==$gguf_version"
  compile_llama_server "$source" "$archive"
  rm -rf "$source"
  done_with llama "$llama_version"
}

# The package carries llama.cpp's sources, its own server among them, but does not build that.
compile_llama_server() {
  tar -xzf "$2" -C "$1" --strip-components=1 --wildcards '*/vendor/llama.cpp'
  local log="$1/../llama-server.log"
  {
    cmake -S "$1/vendor/llama.cpp" -B "$1/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
      -DGGML_NATIVE=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF &&
      cmake --build "$1/build" --target llama-server --parallel "$(nproc)"
  } > "$log" 2>&1 || fail "llama.cpp's server does not compile, see $log"
  cp "$1/build/bin/llama-server" "$1/../bin/"
}

install_aimock() {
  installed aimock "$aimock_version" && return
  need npm aimock npm
  echo "compat: installing aimock $aimock_version"
  rm -rf "$home/aimock"
  mkdir -p "$home/aimock"
  (cd "$home/aimock" && echo '{"private": true}' > package.json &&
    npm install --silent --no-audit --no-fund "@copilotkit/aimock@$aimock_version")
  done_with aimock "$aimock_version"
}

run=yes
if [ "${1:-}" = --install-only ]; then
  run=no
  shift
fi
[ $# -gt 0 ] || set -- litellm llama aimock
chosen=
for server in "$@"; do
  case $server in
    litellm | llama | aimock) ;;
    *) fail "no server is called $server; there are litellm, llama and aimock" ;;
  esac
  chosen+="${chosen:+ or }$server"
done
mkdir -p "$home"
home=$(cd "$home" && pwd)
for server in "$@"; do "install_$server"; done
[ "$run" = yes ] || exit 0
cd "$root"
COMPAT=1 COMPAT_HOME=$home exec "$root/.venv/bin/python" -m pytest tests/compat -q -k "$chosen"
