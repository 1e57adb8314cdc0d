#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs all that adjoin needs: system libraries by apt where that is possible, and the rest into .venv.
# Idempotent; when everything is there it only checks, in a fraction of a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONHOME PYTHONPATH

# The first Python on the path that can make virtual environments and that torch has wheels for, else the system's own.
find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 /usr/bin/python3; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' \
      2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

system_packages=(ca-certificates g++ make libpng-dev libhdf5-dev googletest nlohmann-json3-dev libcli11-dev \
  libfftw3-single3 libfftw3-double3)
if [ ! -x .venv/bin/python ] && ! find_python >/dev/null; then
  system_packages+=(python3-venv)
fi

# Whether a Python has what extension modules are compiled with.
has_headers() {
  "$1" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
}
python=.venv/bin/python
[ -x "$python" ] || python=$(find_python || true)
if ! has_headers "${python:-false}" 2>/dev/null; then
  system_packages+=(python3-dev)
fi

# Prints those of the arguments that dpkg does not know as installed.
missing_packages() {
  local package
  for package in "$@"; do
    case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" in
      installed) ;;
      *) echo "$package" ;;
    esac
  done
}

install_system_packages() {
  if ! command -v dpkg-query >/dev/null; then
    echo "setup: not a Debian system, so I trust that these are installed: C++20 compiler, libpng, HDF5, googletest sources," \
      "nlohmann-json, CLI11" >&2
    return
  fi
  local missing
  missing=$(missing_packages "${system_packages[@]}" | tr '\n' ' ')
  if [ -z "$missing" ]; then
    return
  fi
  if [ "$(id -u)" -ne 0 ]; then
    echo "setup: please run: sudo apt-get update && sudo apt-get install -y ${missing% }" >&2
    exit 1
  fi
  echo "setup: installing ${missing% }"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # shellcheck disable=SC2086  # a list of names
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

install_python_packages() {
  # Scripts in a virtual environment name its folder, so a moved checkout needs a new one.
  local stamp wanted python
  stamp=.venv/adjoin-setup
  wanted="$PWD $(cat scripts/requirements.txt scripts/setup.sh scripts/sitecustomize.py | sha256sum)"
  if [ -x .venv/bin/mpicxx ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    return
  fi
  if ! { .venv/bin/python -m pip --version && head -1 .venv/bin/pip | grep -qF "$PWD/.venv/"; } >/dev/null 2>&1; then
    python=$(find_python) || {
      echo "setup: found no Python from 3.10 to 3.14 with the venv module; name one: PYTHON=/path/to/python3 $0" >&2
      exit 1
    }
    rm -rf .venv
    "$python" -m venv .venv
  fi
  echo "setup: installing torch, Open MPI and the build tools into .venv (some minutes the first time)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
  # deepinv imports torchvision, which from PyPI fits the CUDA build of torch alone.
  local site
  site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  rm -f "$site/sitecustomize.py"
  .venv/bin/python -c 'import torchvision' 2>/dev/null || cp scripts/sitecustomize.py "$site/"
  echo "$wanted" >"$stamp"
}

install_system_packages
install_python_packages
