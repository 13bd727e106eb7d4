#!/usr/bin/env bash
# Make and check everything that a release has, and publish nothing:
#
#   tools/release.sh [DIRECTORY]   wheel, sdist, bundle (zip), Helm chart, SBOM (CycloneDX) and SHA256SUMS   [dist]
#   tools/release.sh image         the image for amd64 and arm64, with SBOM and provenance, by docker buildx; PUSH=1
#                                  pushes it and gives its digest to the workflow
#
# For a tag (GITHUB_REF_TYPE=tag), its name has to be the version, and CHANGELOG.md has to have a section for it.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist}
python=${PYTHON:-.venv/bin/python}
registry=ghcr.io/openai-exporter
say() { printf 'release: %s\n' "$*"; }
fail() {
  printf 'release: %s\n' "$*" >&2
  exit 1
}

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' exporter/openai_exporter/__init__.py)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2> /dev/null || echo 1767225600)
export SOURCE_DATE_EPOCH PIP_DISABLE_PIP_VERSION_CHECK=1

# Everything that names the version has to name this one.
for place in deploy/helm/Chart.yaml deploy/kubernetes/base/deployment.yaml docker-compose.yml; do
  grep -q -- "[: ]$version\b" "$place" || fail "$place does not name version $version of exporter/openai_exporter/__init__.py"
done
if [ "${GITHUB_REF_TYPE:-}" = tag ]; then
  [ "$GITHUB_REF_NAME" = "v$version" ] || fail "the tag is $GITHUB_REF_NAME, but the version is $version; tag v$version"
  grep -q "^## \[$version\]" CHANGELOG.md || fail "CHANGELOG.md has no section [$version]; rename [Unreleased]"
elif ! grep -q "^## \[$version\]" CHANGELOG.md; then
  say "CHANGELOG.md has no section [$version] yet; a tag needs it"
fi

if [ "$out" = image ]; then
  say "image of $version for amd64 and arm64, with SBOM and provenance${PUSH:+, pushed}"
  docker buildx build --file exporter/Dockerfile --platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max \
    --build-arg "VERSION=$version" --build-arg "REVISION=$(git rev-parse HEAD)" \
    --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" --tag "$registry/openai-exporter:$version" \
    --metadata-file image.json ${PUSH:+--push} .
  [ -z "${PUSH:-}" ] || sed -nE 's/.*"containerimage.digest": "(sha256:[0-9a-f]{64})".*/digest=\1/p' image.json >> "$GITHUB_OUTPUT"
  exit 0
fi

rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "wheel and sdist of $version"
"$python" -m build --no-isolation --outdir "$out" . > "$work/build.log" 2>&1 || { tail -20 "$work/build.log" >&2; exit 1; }
wheel=$(echo "$out"/*.whl)

say "what is installed: the packages of the image, in an environment of their own"
"$python" -m venv "$work/installed"
"$work/installed/bin/pip" install --quiet --require-hashes -r exporter/requirements.lock
"$work/installed/bin/pip" install --quiet --no-deps "$wheel"
(cd "$work" && installed/bin/openai-exporter --version && installed/bin/openai-exporter bundle bundle > /dev/null)
"$work/installed/bin/pip" check

say "bundle"
mv "$work/bundle" "$work/openai-exporter-bundle-$version"
(cd "$work" && "$OLDPWD/$python" -m zipfile -c "$out/openai-exporter-bundle-$version.zip" "openai-exporter-bundle-$version")

say "README and metadata as the package index reads them, SBOM"
"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet --require-hashes -r tools/requirements-release.lock
"$work/tools/bin/twine" check --strict "$out"/*.whl "$out"/*.tar.gz
"$work/installed/bin/pip" uninstall --quiet --yes pip setuptools
"$work/tools/bin/cyclonedx-py" environment --pyproject pyproject.toml --mc-type application --output-reproducible \
  --output-file "$out/openai-exporter-$version.cdx.json" "$work/installed/bin/python"

helm=${HELM_BINARY:-$(command -v helm || true)}
if [ -n "$helm" ]; then
  say "chart"
  cp -rL deploy/helm "$work/chart"
  sed -i "s|^  repository: openai-exporter$|  repository: $registry/openai-exporter|" "$work/chart/values.yaml"
  "$helm" lint --strict --quiet "$work/chart"
  "$helm" package "$work/chart" --destination "$out" > /dev/null
else
  say "helm is not installed: no chart (tools/versions.sh fetch)"
fi

(cd "$out" && sha256sum -- *.* > SHA256SUMS)
say "nothing was published; in $out:"
(cd "$out" && wc -c -- * | sed '$d')
