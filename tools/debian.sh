# shellcheck shell=bash
# Packages of any Debian release without installing them; sourced by the other tools, which say what cannot be.
# The mirror, and all else that apt needs to reach it (proxy, keys), are this machine's own.

# debian_mirror: where this machine's apt takes Debian from.
debian_mirror() {
  local found
  found=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2> /dev/null | head -1 | tr -d ' ' || true)
  echo "${found:-http://deb.debian.org/debian}"
}

# debian_packages FOLDER SUITE NAME...: Debian's packages of that release, downloaded once into FOLDER/SUITE.
# Where that fails, prints why and returns 1.
debian_packages() {
  local folder="$1/$2" suite=$2 mirror apt
  shift 2
  [ ! -e "$folder/.complete" ] || return 0
  mirror=$(debian_mirror)
  mkdir -p "$folder/lists/partial"
  echo "deb $mirror $suite main" > "$folder/sources.list"
  apt=(apt-get -qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$folder/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any -o Acquire::Languages=none
    -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)
  # Nobody waits for ever for a mirror that answers a byte now and then.
  { timeout 300 "${apt[@]}" update && (cd "$folder" && timeout 600 "${apt[@]}" download "$@"); } > "$folder/log" 2>&1 || {
    echo "Debian's packages of $suite cannot be downloaded from $mirror: $(grep -m1 "^[EW]: " "$folder/log" || true)"
    return 1
  }
  touch "$folder/.complete"
}

# debian_monitoring HOME: the newest Prometheus and Alertmanager that Debian has, with their tools, in HOME/monitoring.
debian_monitoring() {
  local each
  [ ! -e "$1/monitoring/.complete" ] || return 0
  debian_packages "$1/packages" sid prometheus promtool prometheus-alertmanager || return 1
  for each in "$1"/packages/sid/*.deb; do dpkg-deb -x "$each" "$1/monitoring"; done
  touch "$1/monitoring/.complete"
}
