# SPDX-License-Identifier: BSD-3-Clause
"""Runs the fault matrix: run.py [--sample N] [--ranks 2 3] [--launchers mpirun torchrun] [--memory shared off]; 1 where a cell is wrong.

Every collective call x every fault on one rank, on 2 and 3 ranks, under both launchers, with shared memory and by messages. With ``--sample N`` every N-th
group of cells alone, another part of the matrix for another ``--seed``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pathlib
import subprocess
import sys

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here))

from calls import CALLS  # noqa: E402
from faults import FAULTS, LOSSES  # noqa: E402

CALLS_AT_ONCE = 6


def groups() -> list[tuple[str, str]]:
    """Calls and faults, joined by commas, that one program goes through."""
    names = list(CALLS)
    parts = [names[k : k + CALLS_AT_ONCE] for k in range(0, len(names), CALLS_AT_ONCE)]
    alive = [(",".join(part), fault) for part in parts for fault in FAULTS]
    lost = [(name, fault) for name in names for fault in LOSSES]
    return alive + lost


def command(launcher: str, ranks: int) -> list[str]:
    binaries = pathlib.Path(sys.executable).parent
    if launcher == "mpirun":
        return [str(binaries / "mpirun"), "-n", str(ranks), sys.executable]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]


def run(launcher: str, ranks: int, memory: str, calls: str, faults: str) -> str | None:
    """None, or what is wrong."""
    program = [*command(launcher, ranks), str(here / "program.py"), calls, faults]
    limit = 60 if faults in LOSSES else 300
    try:
        environment = os.environ | ({"ADJOIN_SHARED_MEMORY": "off"} if memory == "off" else {})
        done = subprocess.run(program, capture_output=True, text=True, timeout=limit, check=False, env=environment)
    except subprocess.TimeoutExpired:
        return f"no end within {limit} s"
    if faults in LOSSES:
        # The job fails, as a rank was lost, and the launcher may end the ranks that are left before they can say so.
        wrong = done.returncode == 0 or " x " in done.stderr
    else:
        wrong = done.returncode != 0 or "right" not in done.stdout
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:]) if wrong else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--launchers", nargs="+", default=["mpirun", "torchrun"])
    parser.add_argument("--memory", nargs="+", default=["shared", "off"])
    arguments = parser.parse_args()
    everything = list(itertools.product(arguments.launchers, arguments.ranks, arguments.memory, groups()))
    # A stride that has no factor in common with the sides of the matrix goes through all of them.
    chosen = everything[arguments.seed % arguments.sample :: arguments.sample]
    wrong = 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for launcher, ranks, memory, (calls, faults) in chosen:
        problem = run(launcher, ranks, memory, calls, faults)
        if problem is not None:
            wrong += 1
            print(f"wrong: {launcher} {ranks}, memory {memory}: {calls} x {faults}\n{problem}", flush=True)
    print(f"{len(chosen) - wrong} groups of cells right, {wrong} wrong, of {len(everything)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
