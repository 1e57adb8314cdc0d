# SPDX-License-Identifier: BSD-3-Clause
"""Counts the collectives that deepinv's distributed operators call, on what `adjoin messages` counts ours on.

torchrun --standalone --nproc-per-node 2 deepinv_messages.py FILE writes {call: collectives} as JSON. Collectives of
objects count once, though each sends sizes and then contents.
"""
import collections
import functools
import json
import sys
import warnings

import torch

COLLECTIVES = (
    "all_reduce all_gather all_gather_into_tensor all_gather_object broadcast broadcast_object_list gather "
    "gather_object reduce reduce_scatter scatter_object_list barrier"
).split()
counts = collections.Counter()


def counted(name, function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        counts[name] += 1
        return function(*args, **kwargs)

    return wrapper


for collective in COLLECTIVES:
    setattr(torch.distributed, collective, counted(collective, getattr(torch.distributed, collective)))

from deepinv.distributed import DistributedContext, distribute  # noqa: E402  (after the wrappers)
from deepinv.physics import LinearPhysics  # noqa: E402


class Matrix(LinearPhysics):
    def __init__(self, index):
        super().__init__()
        self.matrix = torch.randn(16, 256, generator=torch.Generator().manual_seed(index))

    def A(self, x, **kwargs):
        return x @ self.matrix.T

    def A_adjoint(self, y, **kwargs):
        return y @ self.matrix


def steady(call):
    call()
    counts.clear()
    call()
    return sum(counts.values())


def measure(context):
    physics = distribute([Matrix(i) for i in range(8)], context, type_object="linear_physics")
    x = torch.ones(1, 256)
    y = physics.A(x)

    def solve(solver, iterations):
        options = {"solver": solver, "max_iter": iterations, "tol": 0.0, "local_only": False}
        return steady(functools.partial(physics.A_dagger, y, **options))

    result = {
        "A": steady(lambda: physics.A(x)),
        "A_adjoint": steady(lambda: physics.A_adjoint(y)),
        "A_vjp": steady(lambda: physics.A_vjp(x, y)),
        "A_adjoint_A": steady(lambda: physics.A_adjoint_A(x)),
        "A_A_adjoint": steady(lambda: physics.A_A_adjoint(y)),
    }
    for solver in ("CG", "lsqr", "minres", "BiCGStab"):
        result[f"an iteration of {solver}"] = (solve(solver, 20) - solve(solver, 10)) / 10
    return result


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    with DistributedContext(seed=0, device_mode="cpu") as context, torch.no_grad():
        result = measure(context)
        if context.rank == 0:
            with open(sys.argv[1], "w", encoding="utf-8") as file:
                json.dump(result, file, indent=2)


if __name__ == "__main__":
    main()
