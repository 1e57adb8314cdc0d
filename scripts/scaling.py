#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A model of what an iteration of conjugate gradients costs on many ranks, fitted to measurements: scaling.py [measure [one] [two]].

Without arguments, writes the figures of docs/scaling.md, docs/pictures/scaling_*.svg, from docs/scaling.json, and prints how
far the model is from each measurement. `measure` makes docs/scaling.json anew: conjugate gradients on one node and on two
nodes of network namespaces (scripts/two_nodes.py, root), with the built package on PYTHONPATH; `measure one` and `measure two`
one of both.
"""

import dataclasses
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEASUREMENTS = ROOT / "docs" / "scaling.json"
PICTURES = ROOT / "docs" / "pictures"
SIDE = 1024  # pixels of a row and of a column of the images that are measured
OPERATORS = {"blurs": 8, "coils": 8, "tomography": 32}
ROUNDS = 5
LAYOUTS = ("replicated", "sharded")


# ---- The model -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Machine:
    """What the costs are made of, in seconds and bytes a second."""

    copy: float  # bytes a second that one core reads and writes, where it has the memory to itself
    memory: float  # the same of all cores of a machine together
    cores: int  # of a machine
    nodes_a_machine: int  # more than one where nodes are namespaces
    link: float  # bytes a second between two nodes, in each direction
    latency: float  # seconds of a message between two nodes, from rank to rank
    message: float  # seconds that a rank is busy with a message
    flat: float  # how many times as long as its bytes a sum takes that is one ring through all ranks


@dataclasses.dataclass(frozen=True)
class Problem:
    """A stack of operators on an image of so many bytes; an application of A_iᵀ A_i takes `work` seconds of a core."""

    image: float
    operators: int
    work: float


PASSES = 9  # over the image, of the vectors of an iteration of conjugate gradients (docs/performance.md)
PIECE, LEAST_PIECE = 1 << 20, 32 << 10  # bytes that go between the nodes at a time (src/comm/shared_memory/across_nodes.cpp)


def rate(machine, ranks_a_node):
    """Bytes a second that a rank reads and writes while all do."""
    ranks = ranks_a_node * machine.nodes_a_machine
    return min(machine.copy * min(1.0, machine.cores / ranks), machine.memory / ranks)


def on_wire(machine, bytes_, nodes):
    """Seconds of a scatter or a gather of an array of so many bytes between nodes."""
    if nodes == 1:
        return 0.0
    piece = max(PIECE / nodes, LEAST_PIECE)
    pieces = math.ceil(bytes_ / nodes / piece)
    start = machine.latency + piece * nodes / machine.copy
    return bytes_ * (nodes - 1) / nodes / machine.link + start + pieces * (nodes - 1) * machine.message


def small_sum(machine, nodes):
    """Seconds of a sum of a few numbers, and of an announcement."""
    return 2 * math.ceil(math.log2(nodes)) * machine.latency if nodes > 1 else 0.0


def work(machine, problem, ranks, ranks_a_node):
    """Seconds of the operators of the rank that has most."""
    busy = max(1.0, ranks_a_node * machine.nodes_a_machine / machine.cores)
    return math.ceil(problem.operators / ranks) * problem.work * busy


def adjoin(machine, problem, ranks, ranks_a_node, layout="sharded"):
    """An iteration of adjoin's conjugate gradients, with replicated or sharded images."""
    nodes = ranks // ranks_a_node
    speed = rate(machine, ranks_a_node)
    several = ranks > 1
    add_up = problem.image * (1 + 1 / ranks_a_node) / speed if several else 0.0
    share = problem.image / ranks_a_node / speed if several else 0.0
    # While pieces are between the nodes, the ranks of a node add up the next.
    wire = on_wire(machine, problem.image, nodes)
    seconds = work(machine, problem, ranks, ranks_a_node) + small_sum(machine, nodes)
    if layout == "replicated":
        return seconds + max(2 * wire, add_up + share) + PASSES * problem.image / speed
    gather = max(wire, share)
    return seconds + max(wire, add_up) + gather + small_sum(machine, nodes) + PASSES * problem.image / ranks / speed


def ring_through_all(machine, image, ranks, ranks_a_node):
    """Seconds of a sum that is one ring through all ranks; each passes on the image twice, and within a node copies it from
    rank to rank."""
    nodes = ranks // ranks_a_node
    bytes_ = 2 * image * (ranks - 1) / ranks
    wire = machine.flat * bytes_ / machine.link if nodes > 1 else 0.0
    start = 2 * (ranks - 1) * (machine.message + machine.latency * nodes / ranks) if nodes > 1 else 0.0
    return max(wire, 2 * bytes_ / rate(machine, ranks_a_node)) + start


def flat(machine, problem, ranks, ranks_a_node, small):
    """An iteration with such a sum, `small` collectives of a few bytes besides, and replicated vectors."""
    return (
        work(machine, problem, ranks, ranks_a_node)
        + ring_through_all(machine, problem.image, ranks, ranks_a_node)
        + small * small_sum(machine, ranks // ranks_a_node)
        + PASSES * problem.image / rate(machine, ranks_a_node)
    )


def deepinv(machine, problem, ranks, ranks_a_node):
    """The messages of deepinv.distributed 0.5: two broadcasts of the shape and an all_reduce of the image, and of a flag
    where gradients are recorded (benchmarks/peers/deepinv_messages.py); with adjoin's operators."""
    return flat(machine, problem, ranks, ranks_a_node, 3)


def pylops_mpi(machine, problem, ranks, ranks_a_node):
    """The messages of PyLops-MPI 0.8's MPIVStack in cgls: an MPI_Allreduce of the image and two of numbers; with adjoin's
    operators."""
    return flat(machine, problem, ranks, ranks_a_node, 2)


# ---- Fitting -------------------------------------------------------------------------------------------------------


def fitted(measurements):
    """The machine that the measurements were made on, as two nodes of it."""
    two = measurements["two nodes"]
    sides = [two[launcher]["1"] for launcher in ("torchrun", "mpirun")]
    bytes_ = two["bytes"]
    return Machine(
        copy=measurements["copy"],
        memory=measurements["copy of all cores"],
        cores=measurements["cores"],
        nodes_a_machine=2,
        link=bytes_ / two["plain sockets"],
        latency=statistics.median(one["a number"] for one in sides) / 2,
        message=measurements["message"],
        flat=two["torchrun"]["1"]["a plain all_reduce"] / two["plain sockets"],
    )


def problem_of(measurements, name):
    """What is measured on one rank gives the work of an operator."""
    one = measurements["one node"]["1"][name]
    return Problem(one["image"], OPERATORS[name], one["local"] / OPERATORS[name])


def measured_points(measurements):
    """(what, measured seconds, seconds of the model) of all that both know."""
    machine = fitted(measurements)
    points = []
    one_node = dataclasses.replace(machine, nodes_a_machine=1)
    for ranks, workloads in measurements["one node"].items():
        for name, one in workloads.items():
            for layout in LAYOUTS:
                model = adjoin(one_node, problem_of(measurements, name), int(ranks), int(ranks), layout)
                points.append((f"{name}, {layout}, {ranks} ranks", one[layout], model))
    two = measurements["two nodes"]
    for launcher in ("torchrun", "mpirun"):
        for ranks_a_node, one in two[launcher].items():
            q = int(ranks_a_node)
            wire = on_wire(machine, two["bytes"], 2)
            add_up = two["bytes"] * (1 + 1 / q) / rate(machine, q)
            adjoint = 2 * two["bytes"] / rate(machine, q)  # of an operator that multiplies by a number
            what = f"{launcher}, 2 x {q}"
            points.append((f"{what}, sum", one["A_adjoint"], adjoint + max(2 * wire, 2 * add_up)))
            points.append((f"{what}, scatter", one["reduce-scatter"], adjoint + max(wire, add_up)))
            points.append((f"{what}, gather", one["all-gather"], max(wire, add_up)))
            if launcher == "torchrun":
                ring = ring_through_all(machine, two["bytes"], 2 * q, q)
                points.append((f"{what}, all_reduce", one["a plain all_reduce"], ring))
    for ranks_a_node, workloads in measurements["two nodes, solves"].items():
        for name, one in workloads.items():
            for layout in LAYOUTS:
                q = int(ranks_a_node)
                model = adjoin(machine, problem_of(measurements, name), 2 * q, q, layout)
                points.append((f"{name}, {layout}, 2 x {q}", one[layout], model))
    return points


def cluster(measurements):
    """A cluster of such cores with a network and with nodes that were not measured."""
    return dataclasses.replace(fitted(measurements), cores=32, nodes_a_machine=1, **measurements["assumed"])


# ---- Figures -------------------------------------------------------------------------------------------------------

RANKS = [2**k for k in range(13)]
RANKS_A_NODE = 32
LINES = {
    "adjoin, sharded images": lambda *where: adjoin(*where, "sharded"),
    "adjoin, replicated images": lambda *where: adjoin(*where, "replicated"),
    "messages of deepinv.distributed": deepinv,
    "messages of PyLops-MPI": pylops_mpi,
}


def large_problem(measurements, name, operators):
    """512³ floats, or half as many complex numbers, with the work a pixel that was measured."""
    measured = problem_of(measurements, name)
    image = 4.0 * 512**3
    return Problem(image, operators, measured.work * image / measured.image)


def figures():
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "adjoin", "svg.fonttype": "none", "font.size": 9})
    measurements = json.loads(MEASUREMENTS.read_text(encoding="utf-8"))

    def save(figure, name):
        figure.savefig(PICTURES / f"{name}.svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)

    for kind in ("strong", "weak"):
        figure, panels = plt.subplots(1, 3, figsize=(10, 3.6), sharey=True, layout="constrained")
        for panel, name in zip(panels, OPERATORS, strict=True):
            for (label, model), style in zip(LINES.items(), ("-", "--", "-.", ":"), strict=True):
                seconds = []
                for ranks in RANKS:
                    problem = large_problem(measurements, name, 4096 if kind == "strong" else ranks)
                    seconds.append(model(cluster(measurements), problem, ranks, min(ranks, RANKS_A_NODE)))
                panel.loglog(RANKS, seconds, style, base=2, label=label)
            panel.set_yscale("log", base=10)
            panel.set_title(f"{name}, {'4096 operators' if kind == 'strong' else 'an operator a rank'}")
            panel.set_xlabel("ranks")
        panels[0].set_ylabel("seconds an iteration")
        panels[0].legend(fontsize=7)
        save(figure, f"scaling_{kind}")

    figure, panel = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
    points = measured_points(measurements)
    groups = {"one node": lambda what: "ranks" in what, "two nodes, a collective": lambda what: "run," in what}
    groups["two nodes, an iteration"] = lambda what: " x " in what and "run," not in what
    for (label, belongs), marker in zip(groups.items(), "o^s", strict=True):
        chosen = [point for point in points if belongs(point[0])]
        panel.loglog([p[1] for p in chosen], [p[2] for p in chosen], marker, markersize=4, label=label)
    ends = [min(p[1] for p in points) / 2, max(p[1] for p in points) * 2]
    panel.loglog(ends, ends, "k-", linewidth=0.8)
    panel.set_xlabel("measured seconds")
    panel.set_ylabel("seconds of the model")
    panel.legend(fontsize=8)
    save(figure, "scaling_measured")
    for what, measured, model in points:
        print(f"{what:40} {1e3 * measured:9.2f} ms, model {1e3 * model:9.2f}, ratio {model / measured:.2f}")


# ---- Measuring -----------------------------------------------------------------------------------------------------


def stacks(context, adjoin_, torch):
    from adjoin.physics import Blur, MultiCoilMRI, Tomography, gaussian_kernel

    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 1, SIDE, SIDE, dtype=torch.complex64, generator=generator)
    mask = (torch.rand(SIDE, SIDE, generator=generator) < 0.3).float()
    image = torch.rand(1, 1, SIDE, SIDE, generator=generator)
    made = {
        # Not circular, so that the blurs of a rank do not become one.
        "blurs": (lambda i: Blur(gaussian_kernel((1.0 + 0.1 * i, 1.0)), padding="replicate"), image),
        "coils": (lambda i: MultiCoilMRI(mask, maps * (1.0 + 0.1 * i)), image.to(torch.complex64)),
        "tomography": (lambda i: Tomography(torch.tensor([5.0 * i]), (SIDE, SIDE), detectors=SIDE), image),
    }
    for name, (make, x) in made.items():
        operators = OPERATORS[name]
        yield (
            name,
            adjoin_.DistributedStackedLinearPhysics(context, operators, lambda i, device, shared, make=make: make(i)),
            x,
        )


def seconds_of(context, torch, call, rounds):
    """The least of the rounds, from when the last rank begins to when the last one ends: other programs run here, too."""
    seconds = []
    for round_ in range(rounds + 1):
        context.barrier()
        start = time.monotonic()
        call()
        span = torch.tensor([start, time.monotonic()], dtype=torch.float64)
        context.all_reduce(span, op="max")
        if round_ > 0:
            seconds.append((span[1] - span[0]).item())
    return min(seconds)


def solve_on_rank(path):
    import torch

    import adjoin as package

    torch.set_num_threads(1)
    result = {}
    with package.DistributedContext(device_mode="cpu") as context:
        for name, stack, x in stacks(context, package, torch):
            y = [t.clone() for t in stack.A(x, gather=False)]
            local = lambda: stack.A_adjoint_A(x, gather=False)  # noqa: B023, E731
            figures_ = {"image": x.nbytes, "local": seconds_of(context, torch, local, ROUNDS)}
            for layout in LAYOUTS:

                def solve(iterations):
                    return stack.A_dagger(y, "CG", iterations, 0.0, local_only=False, layout=layout)  # noqa: B023

                few = seconds_of(context, torch, lambda: solve(2), ROUNDS)
                many = seconds_of(context, torch, lambda: solve(7), ROUNDS)
                figures_[layout] = (many - few) / 5
            result[name] = figures_
        if context.rank == 0:
            pathlib.Path(path).write_text(json.dumps(result), encoding="utf-8")


# Prints the bytes a second that a process reads and writes in a copy beyond the caches.
COPY = """
import time, torch
torch.set_num_threads(1)
a = torch.ones(1 << 26)
b = torch.empty_like(a)
b.copy_(a)
best = float("inf")
for _ in range(8):
    start = time.monotonic()
    b.copy_(a)
    best = min(best, time.monotonic() - start)
print(2 * a.nbytes / best)
"""


def rates_of_copies(processes):
    running = [
        subprocess.Popen([sys.executable, "-c", COPY], stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    return sum(float(process.communicate()[0]) for process in running)


def one_node(two_nodes, program, path):
    cores = len(os.sched_getaffinity(0))
    subprocess.run([sys.executable, *program], check=True, env=two_nodes.environment(), timeout=two_nodes.TIMEOUT)
    solves = {"1": json.loads(path.read_text(encoding="utf-8"))}
    return {"cores": cores, "copy": rates_of_copies(1), "copy of all cores": rates_of_copies(cores), "one node": solves}


def several_nodes(two_nodes, program, path):
    solves = {}
    with two_nodes.Nodes("1gbit", "256kb", "50ms") as nodes:
        collectives = two_nodes.measure(nodes, path, two_nodes.parser().parse_args(["--rounds", "7"]))
        two_nodes.launch(nodes, "torchrun", 1, program, "mpirun")
        solves["1"] = json.loads(path.read_text(encoding="utf-8"))
    return {"two nodes": collectives, "two nodes, solves": solves}


def measure(parts):
    import two_nodes

    # Of a cluster, taken for granted: memory of a node of 32 cores, 100 Gbit/s, and times of a message.
    result = {"message": 2e-6, "assumed": {"memory": 200e9, "link": 12.5e9, "latency": 10e-6, "flat": 1.0}}
    if MEASUREMENTS.exists():
        result = json.loads(MEASUREMENTS.read_text(encoding="utf-8")) | result
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "seconds.json"
        program = [str(pathlib.Path(__file__).resolve()), "--on-rank", str(path)]
        for name, part in {"one": one_node, "two": several_nodes}.items():
            if name in (parts or [name]):
                result |= part(two_nodes, program, path)
    MEASUREMENTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--on-rank"]:
        solve_on_rank(sys.argv[2])
    elif sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2:])
    else:
        figures()
