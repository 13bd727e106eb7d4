#!/usr/bin/env bash
# Run a command with a Docker engine at hand:  tools/engine.sh COMMAND [ARGUMENT ...]
#
# Where an engine answers, the command simply runs (with ENGINE=running). Where none does, on Debian, as root, an engine
# is unpacked from Debian's packages, started in namespaces of its own and taken away afterwards (ENGINE=private): nothing
# is installed, no daemon, bridge or firewall rule of this machine is touched. Its images come from no registry; what
# Debian has is put in images under the public names (see `stand_ins`), what it lacks is for the caller to build.
# Where neither can be, it says why and exits 77.
#
#   ENGINE_HOME   what is kept between runs: packages, images, build cache (some 2 GB) [~/.cache/openai-exporter/engine]
#   ENGINE        none: no engine is looked for
#   ENGINE_FRESH  when set, images and build cache are made anew
set -euo pipefail
home=${ENGINE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/openai-exporter/engine}
self=$(realpath "$0")
. "$(dirname "$self")/debian.sh"
group=openai-exporter-engine
began=${began:-$(date +%s)}
export began

say() { printf 'engine: [%3ds] %s\n' $(($(date +%s) - began)) "$*" >&2; }
skip() {
  printf 'engine: skipped: %s\n' "$*" >&2
  exit 77
}

# ---- Outside: packages, namespaces, and the end of both ---------------------------------------------------------------

packages() {
  local why
  why=$(debian_packages "$home/packages" "$@") || skip "$why"
}

unpack() {
  [ -e "$home/root/.complete" ] && return
  say "downloading the engine: Debian's packages, some 200 MB, once"
  # The engine of trixie runs on the C library of bookworm; what calls the kernel or links much is this machine's own release.
  packages trixie docker.io docker-cli docker-compose docker-buildx containerd
  packages "$codename" runc tini iptables libip4tc2 libip6tc2 libxtables12 libnetfilter-conntrack3 libnfnetlink0 \
    libnftnl11 slirp4netns libslirp0 libseccomp2 mmdebstrap busybox-static
  local each why
  why=$(debian_monitoring "$home") || skip "$why"
  for each in "$home"/packages/{trixie,"$codename"}/*.deb; do dpkg-deb -x "$each" "$home/root"; done
  programs
  touch "$home/root/.complete"
}

# One folder for PATH: the programs under the names by which they call each other.
programs() {
  local name root="$home/root"
  mkdir -p "$home/bin" "$home/cli"
  for name in "$root"/usr/{bin,sbin}/{docker,dockerd,docker-proxy,containerd,containerd-shim-runc-v2,runc,mmtarfilter}; do
    [ ! -e "$name" ] || ln -sf "$name" "$home/bin/"
  done
  ln -sf "$root/usr/bin/tini-static" "$home/bin/docker-init"
  for name in {iptables,ip6tables}{,-save,-restore}; do
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q XTABLES_LIBDIR=%q exec %q "$@"\n' "$libraries" "$libraries/xtables" \
      "$root/usr/sbin/${name/tables/tables-nft}" > "$home/bin/$name"
    chmod +x "$home/bin/$name"
  done
  printf '{"cliPluginsExtraDirs": ["%s/usr/libexec/docker/cli-plugins"]}\n' "$root" > "$home/cli/config.json"
}

# The base of exporter/Dockerfile.
python_image() { sed -n 's/^ARG PYTHON_IMAGE=//p' "$(dirname "$self")/../exporter/Dockerfile"; }

# What python:3.13.x-slim-trixie is made of, from trixie, which has a Python 3.13 too.
python_root() {
  [ -e "$home/python.tar" ] && return
  say "making a stand-in for $(python_image) from Debian trixie, once"
  TMPDIR=$home PATH=$home/bin:$PATH timeout 900 perl "$home/root/usr/bin/mmdebstrap" --quiet --mode=root --variant=minbase \
    --include=python3,python3-pip,python3-venv,ca-certificates --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='cd "$1" && rm -rf usr/lib/python3*/EXTERNALLY-MANAGED var/lib/apt/lists/* &&
      for name in python pip; do ln -s ../../bin/${name}3 usr/local/bin/$name; ln -s ../../bin/${name}3 usr/local/bin/${name}3; done &&
      cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/' \
    trixie "$home/new.python.tar" "$mirror" > "$home/python.log" 2>&1 || skip "no Python root: $(tail -1 "$home/python.log")"
  mv "$home/new.python.tar" "$home/python.tar"
}

outside() {
  [ "$(id -u)" = 0 ] || skip "no Docker engine answers, and starting a private one needs root"
  command -v dpkg-deb apt-get perl unshare > /dev/null || skip "no Docker engine answers, and this is no Debian to take one from"
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  case $codename in bookworm | trixie) ;; *) skip "no Docker engine answers; a private one can be made on Debian bookworm or trixie" ;; esac
  mirror=$(debian_mirror)
  libraries=$home/root/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2> /dev/null || echo "$(uname -m)-linux-gnu")
  # What is not possible is found before anything is downloaded.
  unshare -m -n -p -f --mount-proc mount -t tmpfs tmpfs /run 2> /dev/null ||
    skip "no Docker engine answers, and this kernel lets nobody make namespaces"
  [ -c /dev/net/tun ] || skip "no Docker engine answers, and a private one needs /dev/net/tun for its network"
  [ -w /sys/fs/cgroup ] || [ -w /sys/fs/cgroup/memory ] ||
    skip "no Docker engine answers, and a private one needs control groups that may be written"
  mkdir -p "$home"
  exec 9> "$home/lock"
  flock 9
  unpack
  python_root
  export home libraries
  # Standard input goes to the command; a process in the background would lose it.
  exec 8<&0
  INSIDE=1 unshare -m -n -p -f --mount-proc --kill-child --propagation private "$self" "$@" <&8 9>&- &
  local namespaces=$! inner tap
  for _ in $(seq 200); do
    inner=$(tr -d ' ' < "/proc/$namespaces/task/$namespaces/children" 2> /dev/null || true)
    [ -n "$inner" ] && [ "$(readlink "/proc/$inner/ns/net")" != "$(readlink /proc/self/ns/net)" ] && break
    sleep 0.05
  done
  say "namespaces of process $inner"
  LD_LIBRARY_PATH=$libraries "$home/root/usr/bin/slirp4netns" --configure --mtu=1400 --disable-host-loopback "$inner" tap0 \
    > "$home/slirp.log" 2>&1 9>&- &
  tap=$!
  trap 'kill -KILL $namespaces $tap 2> /dev/null || true; no_groups; exit 143' INT TERM
  local status=0
  wait $namespaces || status=$?
  kill $tap 2> /dev/null || true
  wait $tap 2> /dev/null || true
  no_groups
  exit $status
}

# The engine leaves its empty control groups; cgroup v1 has one tree per controller.
no_groups() {
  local each
  for each in /sys/fs/cgroup/"$group" /sys/fs/cgroup/*/"$group"; do
    [ ! -d "$each" ] || find "$each" -depth -type d -exec rmdir {} \; 2> /dev/null || true
  done
}

# ---- Inside: process 1 of the namespaces ------------------------------------------------------------------------------

inside() {
  export PATH=$home/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  export DOCKER_CONFIG=$home/cli ENGINE=private
  # Not under /run: callers outside of these namespaces reach the engine by this path, too.
  export DOCKER_HOST=unix://$home/engine.sock
  mount -t tmpfs tmpfs /run
  ip link set lo up
  [ -z "${ENGINE_FRESH:-}" ] || rm -rf "$home/data"
  rm -f "$home/engine.sock"
  dockerd --data-root "$home/data" --exec-root /run/engine --pidfile /run/engine.pid --host "$DOCKER_HOST" --mtu 1400 \
    --cgroup-parent "/$group" > "$home/engine.log" 2>&1 < /dev/null &
  local engine=$! status=0
  for _ in $(seq 240); do
    docker version > /dev/null 2>&1 && break
    kill -0 $engine 2> /dev/null || break
    sleep 0.25
  done
  docker version > /dev/null 2>&1 || skip "the private engine does not start: $(tail -1 "$home/engine.log")"
  tidy
  stand_ins
  say "Docker $(docker version -f '{{.Server.Version}}'), $(docker compose version), on no registry"
  "$@" || status=$?
  tidy
  kill $engine
  wait $engine || true
  exit $status
}

# Containers of a run that was cut off start again with the engine, and one that is left would be given a minute to end.
tidy() {
  {
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes
    docker volume prune --all --force
    docker network prune --force
    docker image prune --force
    docker builder prune --force --keep-storage 2GB
  } > "$home/tidy.log" 2>&1 || say "could not tidy up: $(tail -1 "$home/tidy.log")"
}

# Images under the names that docker-compose.yml and the Dockerfiles use. Prometheus and Alertmanager are the real
# programs in the layout of their images, with busybox beside them as there, in the version that Debian has.
stand_ins() {
  local tag
  image "$(python_image)" "$home/python.tar" 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' 'CMD ["python3"]'
  known busybox:1.37 || { busybox_root && image busybox:1.37 "$home/new.tar" 'CMD ["sh"]'; }
  for tag in $(images prom/prometheus); do
    known "$tag" || { busybox_root prometheus promtool && image "$tag" "$home/new.tar" 'USER nobody' 'EXPOSE 9090' \
      'VOLUME ["/prometheus"]' 'WORKDIR /prometheus' 'ENTRYPOINT ["/bin/prometheus"]' \
      'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]'; }
  done
  for tag in $(images prom/alertmanager); do
    known "$tag" || { busybox_root prometheus-alertmanager amtool && image "$tag" "$home/new.tar" 'USER nobody' \
      'EXPOSE 9093' 'VOLUME ["/alertmanager"]' 'WORKDIR /alertmanager' 'ENTRYPOINT ["/bin/alertmanager"]' \
      'CMD ["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"]'; }
  done
  rm -f "$home/new.tar"
}

# image TAG TAR INSTRUCTION...: an image of that root, unless it is there.
image() {
  local tag=$1 tar=$2 each changes=(-c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
  shift 2
  for each in "$@"; do changes+=(-c "$each"); done
  known "$tag" || docker import "${changes[@]}" "$tar" "$tag" > /dev/null
}

known() { docker image inspect "$1" > /dev/null 2>&1; }
images() { grep -hoE "$1:[A-Za-z0-9._-]+" "$(dirname "$self")/../docker-compose.yml" 2> /dev/null | sort -u; }

# busybox_root [PROGRAM...]: $home/new.tar, a root with busybox, the C library, and programs of $home/monitoring.
busybox_root() {
  local root name
  root=$(mktemp -d "$home/root.XXXXXX")
  mkdir -p "$root"/{bin,etc/ssl/certs,proc,sys,dev,root,home,tmp,lib64,prometheus,alertmanager,etc/prometheus,etc/alertmanager}
  chmod 755 "$root" && chmod 1777 "$root/tmp"
  mkdir -p "$root/lib/$(basename "$libraries")"
  cp "$home"/root/{,usr/}bin/busybox "$root/bin/" 2> /dev/null || [ -e "$root/bin/busybox" ]
  chroot "$root" /bin/busybox --install -s /bin
  cp -L "/lib/$(basename "$libraries")"/{libc,libresolv,libnss_dns,libnss_files,libpthread}.so.* "$root/lib/$(basename "$libraries")/"
  cp -L /lib64/ld-linux-*.so.* "$root/lib64/" 2> /dev/null || cp -L /lib/ld-linux-*.so.* "$root/lib/"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2> /dev/null || true
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' > "$root/etc/passwd"
  printf 'root:x:0:\nnobody:x:65534:\n' > "$root/etc/group"
  echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
  for name in "$@"; do cp "$home/monitoring/usr/bin/$name" "$root/bin/${name#prometheus-}"; done
  if [ -d "$home/monitoring/usr/share/prometheus/alertmanager" ]; then
    # Debian's Alertmanager reads its default templates from here; upstream's has them built in.
    mkdir -p "$root/usr/share/prometheus"
    cp -a "$home/monitoring/usr/share/prometheus/alertmanager" "$root/usr/share/prometheus/"
  fi
  chown 65534:65534 "$root"/{prometheus,alertmanager,etc/prometheus,etc/alertmanager}
  tar -C "$root" -cf "$home/new.tar" .
  rm -rf "$root"
}

[ $# -gt 0 ] || {
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$self"
  exit 2
}
[ "${ENGINE:-}" != none ] || skip "ENGINE=none"
if [ -n "${INSIDE:-}" ]; then
  unset INSIDE
  inside "$@"
elif docker compose version > /dev/null 2>&1 && docker version > /dev/null 2>&1; then
  ENGINE=running exec "$@"
else
  outside "$@"
fi
