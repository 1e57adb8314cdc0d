# SPDX-License-Identifier: BSD-3-Clause
"""Times PyLops-MPI's MPIVStack on adjoin's workloads tiny and blur (benchmarks/workloads.cpp).

mpirun -n 2 python pylops_mpi_workloads.py FILE writes the medians, in seconds, as JSON.
"""
import json
import sys

import numpy as np
import pylops
import pylops_mpi
from mpi4py import MPI
from shared_workloads import blurs, median_seconds


class Scaling(pylops.LinearOperator):
    def __init__(self, factor, size):
        super().__init__(dtype=np.float32, shape=(size, size))
        self.factor = np.float32(factor)

    def _matvec(self, x):
        return x * self.factor

    def _rmatvec(self, y):
        return y * self.factor


class CircularBlur(pylops.LinearOperator):
    def __init__(self, blur):
        size = int(np.prod(blur.image_shape))
        super().__init__(dtype=np.float32, shape=(size, size))
        self.blur = blur

    def _matvec(self, x):
        return self.blur.apply(x)

    def _rmatvec(self, y):
        return self.blur.apply_adjoint(y)


def replicated(values):
    array = pylops_mpi.DistributedArray(
        global_shape=values.size, partition=pylops_mpi.Partition.BROADCAST, dtype=np.float32
    )
    array[:] = values
    return array


def measure(comm, figures, name, operators, size, repetitions, iterations):
    stack = pylops_mpi.MPIVStack(ops=operators)
    x = replicated(np.random.default_rng(0).random(size).astype(np.float32))
    y = stack @ x
    start = replicated(np.zeros(size, np.float32))
    figures[f"{name}.A(no gather)"] = median_seconds(comm.Barrier, repetitions, lambda: stack @ x)
    figures[f"{name}.A_adjoint"] = median_seconds(comm.Barrier, repetitions, lambda: stack.H @ y)
    figures[f"{name}.cgls{iterations}"] = median_seconds(
        comm.Barrier,
        max(1, repetitions // 5),
        lambda: pylops_mpi.optimization.basic.cgls(stack, y, x0=start, niter=iterations, tol=0.0),
    )


def main():
    comm = MPI.COMM_WORLD
    rank, ranks = comm.Get_rank(), comm.Get_size()
    figures = {}
    measure(comm, figures, "tiny", [Scaling(1.0 + 0.1 * i, 256) for i in range(rank, 8, ranks)], 256, 50, 20)
    own_blurs = [CircularBlur(blur) for blur in blurs(ranks, rank, np.float32)]
    measure(comm, figures, "blur", own_blurs, own_blurs[0].shape[1], 5, 10)
    if comm.Get_rank() == 0:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)


if __name__ == "__main__":
    main()
