#!/usr/bin/env bash
# Install Debian's packages of programs that are missing, where that is possible: programs.sh [PROGRAM ...]
# Says what it is about to do; where it may not, says what to install and succeeds. Starts no daemon.
set -euo pipefail
declare -A package=(
  [prometheus]=prometheus
  [promtool]=prometheus
  [prometheus-alertmanager]=prometheus-alertmanager
  [amtool]=prometheus-alertmanager
  [prometheus-blackbox-exporter]=prometheus-blackbox-exporter
  [jsonnetfmt]=jsonnet
  [openssl]=openssl
)
wanted=()
for program in "${@:-${!package[@]}}"; do
  # The upstream releases call it alertmanager, Debian prometheus-alertmanager.
  if [ "$program" = prometheus-alertmanager ] && command -v alertmanager >/dev/null; then continue; fi
  command -v "$program" >/dev/null || wanted+=("${package[$program]}")
done
[ ${#wanted[@]} -eq 0 ] && exit 0
mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "programs: not found and not installed (that needs root on Debian): ${wanted[*]}; to have them: sudo apt-get install ${wanted[*]}"
  exit 0
fi
echo "programs: installing Debian's packages ${wanted[*]} (no daemon is started)"
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  # Debian's way to keep a freshly installed service from starting.
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
install() { apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null 2>&1; }
install || { apt-get update -qq >/dev/null 2>&1 && install; } ||
  echo "programs: apt-get could not install ${wanted[*]}; going on without"
