# SPDX-License-Identifier: BSD-3-Clause
"""Times the Python face of adjoin on the workloads of workloads.cpp: operators in Python ("tiny"), and C++ operators
made and called from Python ("blur", "mri").

mpirun -n 2 python python_workloads.py [--only NAME] FILE, or the same under torchrun, writes the medians over the
repetitions of the time of the slowest rank, in seconds, as JSON.
"""
import argparse
import functools
import json
import time

import torch

import adjoin
from adjoin.physics import Blur, MultiCoilMRI, gaussian_kernel


class Scaling:
    """As the peers' scripts have it."""

    def __init__(self, factor):
        self.factor = factor

    def A(self, x, **kwargs):
        return x * self.factor

    def A_adjoint(self, y, **kwargs):
        return y * self.factor


class Stopwatch:
    """As stopwatch.hpp."""

    def __init__(self, context):
        self.context = context
        self.figures = {}

    def time(self, name, repetitions, call):
        for _ in range(2):
            call()
        times = torch.empty(repetitions, dtype=torch.float64)
        for i in range(repetitions):
            self.context.barrier()
            start = time.perf_counter()
            call()
            times[i] = time.perf_counter() - start
        self.context.all_reduce(times, "max")
        self.figures[name] = times.sort().values[repetitions // 2].item()


def measure(context, stopwatch, name, operators, x, solves, repetitions, solve_repetitions, norm_iterations=0):
    stack = adjoin.DistributedStackedLinearPhysics(context, len(operators), lambda i, device, shared: operators[i]())
    y = stack.A(x)
    stopwatch.time(f"{name}.A", repetitions, lambda: stack.A(x))
    stopwatch.time(f"{name}.A(no gather)", repetitions, lambda: stack.A(x, gather=False))
    stopwatch.time(f"{name}.A_adjoint", repetitions, lambda: stack.A_adjoint(y))
    stopwatch.time(f"{name}.A_adjoint_A", repetitions, lambda: stack.A_adjoint_A(x))
    stopwatch.time(f"{name}.A_A_adjoint", repetitions, lambda: stack.A_A_adjoint(y))
    for solver, iterations in solves:
        options = {"solver": solver, "max_iter": iterations, "tol": 0.0, "local_only": False}
        stopwatch.time(
            f"{name}.{solver}{iterations}", solve_repetitions, functools.partial(stack.A_dagger, y, **options)
        )
    if norm_iterations:
        options = {"max_iter": norm_iterations, "tol": 0.0, "local_only": False}
        call = functools.partial(stack.compute_sqnorm, x, **options)
        stopwatch.time(f"{name}.sqnorm{norm_iterations}", solve_repetitions, call)


def tiny():
    return {
        "operators": [functools.partial(Scaling, 1.0 + 0.1 * i) for i in range(8)],
        "x": torch.rand(1, 1, 16, 16),
        "solves": [("cg", 20), ("lsqr", 20)],
        "repetitions": 200,
        "solve_repetitions": 20,
    }


def blur():
    def make(i):
        return Blur(gaussian_kernel((0.5 + 0.3 * i, 0.7 + 0.2 * i), angle=20.0 * i), padding="circular")

    return {
        "operators": [functools.partial(make, i) for i in range(8)],
        "x": torch.rand(1, 3, 512, 512),
        "solves": [("cg", 10), ("lsqr", 10)],
        "norm_iterations": 20,
        "repetitions": 9,
        "solve_repetitions": 3,
    }


def mri():
    maps = torch.randn(1, 12, 256, 256, dtype=torch.cfloat)
    maps /= torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    mask = (torch.rand(1, 1, 256, 256) < 0.3).float()
    return {
        "operators": [functools.partial(MultiCoilMRI, mask, part) for part in maps.split(3, dim=1)],
        "x": torch.randn(1, 2, 256, 256),
        "solves": [("cg", 20)],
        "repetitions": 20,
        "solve_repetitions": 5,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["tiny", "blur", "mri"], help="one workload")
    parser.add_argument("file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with adjoin.DistributedContext(device_mode="cpu") as context, torch.no_grad():
        stopwatch = Stopwatch(context)
        for workload in (tiny, blur, mri):
            if arguments.only in (None, workload.__name__):
                measure(context, stopwatch, workload.__name__, **workload())
        if context.rank == 0:
            with open(arguments.file, "w", encoding="utf-8") as file:
                json.dump(stopwatch.figures, file, indent=2)


if __name__ == "__main__":
    main()
