#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Times adjoin, prints tables and writes out/bench.json: bench.py [--build FOLDER] [--peers] [--rounds N].

adjoin is timed from C++ and, where the Python package was built, from Python. With --peers, deepinv and PyLops-MPI are
timed on the same workloads in turn with adjoin (A B C A B C …), in virtual environments of their own under .peers, and
so is PETSc where Debian's python3-petsc4py and openmpi-bin are installed; out/bench.png shows the ratios. A figure is
the median over the rounds. One thread a rank, two ranks.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
PEER_NAMES = ("deepinv", "pylops-mpi", "petsc")
LAUNCHERS = {"mpirun": "mpirun -n 2 python".split(), "torchrun": "torchrun --standalone --nproc-per-node 2".split()}
FROM_PYTHON = {"adjoin-python": "mpirun", "adjoin-python-torchrun": "torchrun"}
TIMEOUT = 300  # seconds a run
SWEEP = (1, 2, 4, 8, 16)  # ranks, more than there are cores: messages are counted, not timed


def environment(python_folder):
    """The environment of a run: that of scripts/mpi.env, with the programs of one virtual environment first."""
    result = dict(os.environ)
    for line in (ROOT / "scripts" / "mpi.env").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, value = line.split("=", 1)
            result[name] = value
    result["PATH"] = f"{python_folder / 'bin'}{os.pathsep}{result['PATH']}"
    return result


def run(command, python_folder, **variables):
    """Runs a command whose last argument, the file it writes, is supplied here; returns that file's JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "figures.json"
        command = [str(part) for part in command] + [str(path)]
        finished = subprocess.run(
            command,
            env={**environment(python_folder), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if finished.returncode != 0:
            sys.exit(f"bench: {' '.join(command)} failed:\n{finished.stdout}")
        return json.loads(path.read_text(encoding="utf-8"))


def count_messages(program, ranks, python_folder):
    """What `adjoin messages` counts: per call, or iteration of a solver, in the steady state."""
    finished = subprocess.run(
        [*f"mpirun -n {ranks}".split(), program, "messages", "--json"],
        env=environment(python_folder),
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    return json.loads(finished.stdout)["calls"]


def own_python():
    python_folder = ROOT / ".venv"
    return python_folder if python_folder.exists() else pathlib.Path(sys.prefix)


def peer_python(name):
    """The virtual environment of a peer, made when it is missing or its requirements changed."""
    folder = ROOT / ".peers" / name
    requirements = PEERS / f"{name}.txt"
    stamp = folder / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        print(f"bench: installing {name} into {folder.relative_to(ROOT)}", flush=True)
        if not (folder / "bin" / "python").exists():
            venv.create(folder, with_pip=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", requirements], check=True, timeout=1800)
        stamp.write_text(requirements.read_text())
    return folder


def petsc_of_the_system():
    """Where Debian's PETSc lies, if its Python package and an mpirun for it are installed."""
    packages = pathlib.Path("/usr/lib/petscdir").glob("petsc*/*-real/lib/python3/dist-packages/petsc4py")
    newest = max(packages, default=None)
    return newest.parents[3] if newest and pathlib.Path("/usr/bin/mpirun").exists() else None


def median_of(rounds):
    """Figure by figure over a list of dictionaries, which may hold others."""
    if not isinstance(rounds[0], dict):
        return statistics.median(rounds)
    return {name: median_of([figures[name] for figures in rounds]) for name in rounds[0]}


def spread_of(rounds):
    """Figure by figure, the largest over the smallest of the rounds."""
    return {name: max(f[name] for f in rounds) / min(f[name] for f in rounds) for name in rounds[0]}


def counterpart(name):
    """Our figure to compare a peer's figure with: CGLS is CG on the normal equations. CG on fused scalings ends with
    the first iteration, so the peers' solves compare with those on a class of the user's own, which does not fuse."""
    name = name.replace("cgls", "cg")
    return name.replace("tiny.", "own.") if name in ("tiny.cg20", "tiny.lsqr20") else name


def print_table(results):
    columns = {"adjoin@1": results["adjoin@1"]}
    for peer in PEER_NAMES:
        if peer in results:
            columns[peer] = {counterpart(name): seconds for name, seconds in results[peer].items()}
    print(f"\n{'seconds':26}{'adjoin':>12}" + "".join(f"{name:>20}" for name in columns))
    for name, ours in results["adjoin"].items():
        line = f"{name:26}{ours:12.6f}"
        for column in columns.values():
            theirs = column.get(name)
            line += f"{theirs:12.6f} {theirs / ours:5.1f} x" if theirs else f"{'':20}"
        print(line)
    print("(2 ranks, 1 thread each; adjoin@1: 1 rank; 'x': how many times as long as adjoin at 2 ranks)")
    print("\nWhat distribution costs: adjoin against two processes that each apply their half and send nothing")
    for name, alone in results["independent"].items():
        ours = results["adjoin"][name]
        print(f"{name:26}{ours * 1e3:10.3f} ms against{alone * 1e3:10.3f} ms{ours / alone:8.2f} x")
    print("\nSharded images against replicated ones")
    for name, on_slabs in results["adjoin-slab"].items():
        ours = results["adjoin"][name]
        print(f"{name:26}{on_slabs * 1e3:10.3f} ms against{ours * 1e3:10.3f} ms{on_slabs / ours:8.2f} x")
    print("\nThe framework's own time: adjoin less the same arithmetic on bare tensors")
    for name, plain in results["plain"].items():
        ours = results["adjoin"][name]
        print(f"{name:26}{ours * 1e6:10.1f} us -{plain * 1e6:10.1f} us ={(ours - plain) * 1e6:10.1f} us")
    print("\nThe normal operators against the transforms that they cannot do without")
    for name, floor in results["floor"].items():
        ours = results["adjoin"][name]
        print(f"{name:26}{ours * 1e3:10.3f} ms against{floor * 1e3:10.3f} ms{ours / floor:8.2f} x")
    print("\nAll-reduce between 2 ranks of this machine, microseconds (medians)")
    for name, figures in results["collectives"].items():
        if isinstance(figures, dict):
            shared, mpi = figures["window"]["median"] * 1e6, figures["mpi"]["median"] * 1e6
            own = f"{figures['window_to_own']['median'] * 1e6:12.2f}" if "window_to_own" in figures else f"{'':12}"
            print(f"{name:30}{shared:12.2f} shared{own} own copies{mpi:12.2f} MPI{mpi / shared:8.1f} x")
    print("\nPeak memory above the inputs, in images a rank")
    for system in [name for name in ("adjoin", "deepinv") if name in results["memory"]]:
        print(f"{system:26}" + ", ".join(f"{name} {images:.1f}" for name, images in results["memory"][system].items()))
    for name, sharding in results["sharding"].items():
        print(f"\nSharding of {name}, seconds: A_adjoint_A, without its sum over the ranks, and as the costs predict that")
        for way, predicted in sharding["predicted"].items():
            measured = (sharding[part].get(way, float("nan")) for part in ("seconds", "local"))
            print(f"{way:26}" + "".join(f"{seconds:12.6f}" for seconds in (*measured, predicted)))


def print_messages(results):
    sweep = results["messages"]
    print("\nCollectives, and bytes that a rank hands over or receives, at so many ranks")
    print(f"{'':34}" + "".join(f"{ranks:>14}" for ranks in sweep))
    for name in next(iter(sweep.values())):
        cells = (f"{counts[name]['collectives']:g}, {counts[name]['bytes']:g} B" for counts in sweep.values())
        print(f"{name:34}" + "".join(f"{cell:>14}" for cell in cells))


def print_python_table(results):
    """The Python face: operators of C++ beside the same from C++, operators in Python beside deepinv."""
    for system in FROM_PYTHON:
        print(f"\n{'seconds':26}{system:>24}{'as long as C++':>18}{'quicker than deepinv':>24}")
        for name, ours in results[system].items():
            line = f"{name:26}{ours:24.6f}"
            line += f"{'':18}" if name.startswith("tiny.") else f"{ours / results['adjoin'][name]:16.2f} x"
            theirs = results.get("deepinv", {}).get(name)
            print(line + (f"{theirs / ours:22.1f} x" if theirs else ""))


def draw_chart(results, path, python_folder):
    """How many times as long as adjoin the peers take, as bars; by the matplotlib that deepinv brings along."""
    ours = results["adjoin"]
    ratios = {
        peer: {name: time / ours[counterpart(name)] for name, time in results[peer].items() if counterpart(name) in ours}
        for peer in PEER_NAMES
        if peer in results
    }
    subprocess.run(
        [python_folder / "bin" / "python", PEERS / "chart.py", path],
        input=json.dumps(ratios),
        text=True,
        check=True,
        timeout=TIMEOUT,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "out")
    parser.add_argument("--peers", action="store_true", help="time deepinv and PyLops-MPI as well")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    own = own_python()
    benchmark = arguments.build / "benchmarks" / "adjoin_benchmark"
    collectives = arguments.build / "benchmarks" / "collectives_benchmark"
    # Command, virtual environment, and variables of the environment.
    runs = {
        "adjoin": ([*"mpirun -n 2".split(), benchmark, "--json"], own, {}),
        "adjoin@1": ([*"mpirun -n 1".split(), benchmark, "--json"], own, {}),
    }
    package = arguments.build / "python"
    from_python = FROM_PYTHON if any(package.glob("adjoin/_adjoin.*")) else {}
    for name, launcher in from_python.items():
        command = [*LAUNCHERS[launcher], ROOT / "benchmarks" / "python_workloads.py"]
        runs[name] = (command, own, {"PYTHONPATH": str(package.resolve())})
    if arguments.peers:
        deepinv, pylops_mpi = peer_python("deepinv"), peer_python("pylops-mpi")
        runs["deepinv"] = ([*LAUNCHERS["torchrun"], PEERS / "deepinv_workloads.py"], deepinv, {})
        runs["pylops-mpi"] = ([*LAUNCHERS["mpirun"], PEERS / "pylops_mpi_workloads.py"], pylops_mpi, {})
        if petsc := petsc_of_the_system():
            command = ["/usr/bin/mpirun", "-n", "2", "/usr/bin/python3", PEERS / "petsc_workloads.py"]
            runs["petsc"] = (command, pathlib.Path("/usr"), {"PETSC_DIR": str(petsc)})

    rounds = {name: [] for name in runs}
    for number in range(arguments.rounds):
        for name, (command, python_folder, variables) in runs.items():
            print(f"bench: round {number + 1} of {arguments.rounds}: {name}", flush=True)
            rounds[name].append(run(command, python_folder, **variables))

    def over_rounds(system, part):
        return [figures[part] for figures in rounds[system]]

    results = {
        "adjoin": median_of(over_rounds("adjoin", "adjoin")),
        "adjoin@1": median_of(over_rounds("adjoin@1", "adjoin")),
        "adjoin-slab": median_of(over_rounds("adjoin", "adjoin-slab")),
        "spread": spread_of(over_rounds("adjoin", "adjoin")),
        "independent": median_of(over_rounds("adjoin", "independent")),
        "plain": median_of(over_rounds("adjoin", "plain")),
        "floor": median_of(over_rounds("adjoin", "floor")),
        "memory": {"adjoin": median_of(over_rounds("adjoin", "memory"))},
        "sharding": median_of(over_rounds("adjoin", "sharding")),
    }
    for name in (*from_python, "pylops-mpi", "petsc"):
        if name in rounds:
            results[name] = median_of(rounds[name])
    if arguments.peers:
        results["deepinv"] = median_of(over_rounds("deepinv", "seconds"))
        results["memory"]["deepinv"] = median_of(over_rounds("deepinv", "memory"))
    results["collectives"] = run([*"mpirun -n 2".split(), collectives, "--json"], own)["collectives"]

    program = arguments.build / "apps" / "adjoin"
    results["messages"] = {str(ranks): count_messages(program, ranks, own) for ranks in SWEEP}

    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "bench.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print_table(results)
    print_messages(results)
    if from_python:
        print_python_table(results)
    print(f"\nwritten to {arguments.out / 'bench.json'}")
    if arguments.peers:
        draw_chart(results, arguments.out / "bench.png", deepinv)
        print(f"           {arguments.out / 'bench.png'}")


if __name__ == "__main__":
    main()
