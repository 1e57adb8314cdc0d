#!/usr/bin/env bash
# Makes the wheel from what the build folder has compiled, installs it into a new virtual environment, and runs the first
# program of docs/python.md there: alone, under mpirun and under torchrun. check_wheel.sh [BUILD FOLDER]
#
# `pip install .` does the same, and compiles all by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:-build/release}
env=$build/wheel_env
set -a
. scripts/mpi.env
set +a

rm -rf "$build/wheels" "$env"
# The options that the build folder has already, as pyproject.toml has others.
.venv/bin/python -m pip wheel . --quiet --no-build-isolation --no-deps --wheel-dir "$build/wheels" \
  --config-settings=build-dir="$build" --config-settings=cmake.define.ADJOIN_TESTS=ON \
  --config-settings=cmake.define.ADJOIN_APPS=ON --config-settings=cmake.define.ADJOIN_WARNINGS_AS_ERRORS=ON
.venv/bin/python -m venv "$env"
"$env/bin/python" -m pip install --quiet --disable-pip-version-check "$build"/wheels/adjoin-*.whl

program=$build/first_program.py
awk '/^# program.py/ { inside = 1 } /^```/ { if (inside) exit } inside' docs/python.md >"$program"
test -s "$program"
export PATH="$PWD/$env/bin:$PATH"
echo "python:" && timeout 120 python "$program"
echo "mpirun -n 2:" && timeout 120 mpirun -n 2 python "$program"
echo "torchrun:" && timeout 120 torchrun --standalone --nproc-per-node 2 "$program"
