#!/usr/bin/env bash
# A second, newer version of Prometheus' and Alertmanager's programs beside the installed one, for tests of both:
#
#   tools/versions.sh fetch            unpack Debian's newest into a cache folder, once (some 50 MB); installs nothing
#   tools/versions.sh run COMMAND ...  run a command with PROMTOOL_BINARY and AMTOOL_BINARY listing every version at hand
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
  fetch) fetch ;;
  run)
    shift
    # An empty list is no list: tests look on PATH themselves then.
    PROMTOOL_BINARY=${PROMTOOL_BINARY:-$(every promtool)}
    AMTOOL_BINARY=${AMTOOL_BINARY:-$(every amtool)}
    export PROMTOOL_BINARY AMTOOL_BINARY
    exec "$@"
    ;;
  *)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac
