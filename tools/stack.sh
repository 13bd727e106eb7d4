#!/usr/bin/env bash
# Start or stop docker-compose.yml and say where things are: stack.sh up|down [PROFILE ...]
set -euo pipefail
cd "$(dirname "$0")/.."
verb=$1
shift
command -v docker > /dev/null && docker compose version > /dev/null 2>&1 || {
  echo "$verb: Docker with Compose is not installed (https://docs.docker.com/engine/install/); make demo runs everything without it" >&2
  exit 1
}
said=$(docker version 2>&1 > /dev/null) || {
  echo "$verb: the Docker engine does not answer: ${said##*$'\n'}" >&2
  echo "$verb: start it (systemctl start docker), or join the group docker if it is a matter of permission" >&2
  exit 1
}
profiles=()
for each in "$@"; do profiles+=(--profile "$each"); done

# prepared: what `prepare` said; each run adds to its log, the last one counts.
prepared() {
  local id
  id=$(docker compose ps --all --quiet prepare)
  [ -z "$id" ] || docker logs --since "$(docker inspect -f '{{.State.StartedAt}}' "$id")" "$id"
}

# why: what kept containers from starting, and what to do about a port that something else has.
why() {
  local id service said
  for id in $(docker compose --profile '*' ps --all --quiet); do
    said=$(docker inspect -f '{{.State.Error}}' "$id")
    [ -n "$said" ] || continue
    service=$(docker inspect -f '{{index .Config.Labels "com.docker.compose.service"}}' "$id")
    echo "up: $service: $said"
    case $said in *"already in use"* | *"already allocated"*)
      service=${service/thanos-query/thanos}
      echo "up: something else has that port; choose another in .env, such as ${service^^}_PORT=13000, and try again" ;;
    esac
  done
}

case $verb in
  up)
    docker compose build exporter
    # A mistake is told before anything that runs is replaced.
    docker compose run --rm --no-deps -T prepare --check "$@" || {
      echo "up: what runs goes on as it was" >&2
      exit 1
    }
    docker compose "${profiles[@]}" up --detach --wait || {
      docker compose "${profiles[@]}" ps --all
      prepared >&2
      why >&2
      echo "up: not everything is healthy; what went wrong: see above, or docker compose logs SERVICE" >&2
      exit 1
    }
    echo
    prepared 2>&1
    ;;
  down)
    docker compose --profile '*' down "$@"
    echo "down: data stays in volumes; docker compose --profile '*' down --volumes deletes it"
    ;;
  *)
    echo "stack: $verb is neither up nor down" >&2
    exit 2
    ;;
esac
