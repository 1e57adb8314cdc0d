# SPDX-License-Identifier: BSD-3-Clause
"""Times a PETSc shell matrix, with PETSc's CG and LSQR, on adjoin's workloads tiny and blur (benchmarks/workloads.cpp).

mpirun -n 2 python3 petsc_workloads.py FILE writes the medians, in seconds, as JSON. As PETSc has it, the image is divided
among the ranks: each product gathers it and each adjoint adds it up where it belongs. In the precision of the PETSc that
is installed, which for Debian's is double.
"""
import json
import sys
from functools import partial

import numpy as np
import petsc4py
from shared_workloads import blurs, median_seconds

petsc4py.init(sys.argv[:1])
from petsc4py import PETSc  # noqa: E402  (after its initialisation)


class Scaling:
    def __init__(self, factor):
        self.factor = factor

    def apply(self, x):
        return x * self.factor

    apply_adjoint = apply


class Stack:
    """The context of a shell matrix [A_1; …; A_n] whose rows are those of each rank's operators."""

    def __init__(self, operators, image):
        self.operators = operators
        self.scatter, self.whole = PETSc.Scatter.toAll(image)

    def mult(self, matrix, x, y):
        self.scatter.scatter(x, self.whole)
        image = self.whole.getArray(readonly=True)
        rows = y.getArray().reshape(len(self.operators), -1)
        for row, operator in zip(rows, self.operators):
            row[:] = operator.apply(image)

    def multTranspose(self, matrix, y, x):
        rows = y.getArray(readonly=True).reshape(len(self.operators), -1)
        self.whole.setArray(sum(operator.apply_adjoint(row) for row, operator in zip(rows, self.operators)))
        x.set(0.0)
        self.scatter.scatter(self.whole, x, PETSc.InsertMode.ADD_VALUES, PETSc.ScatterMode.REVERSE)


def slowest_seconds(comm, repetitions, call):
    """Of the slowest rank: all wait for it."""
    return median_seconds(comm.barrier, repetitions, lambda: (call(), comm.barrier()))


def solver(kind, matrix, iterations):
    """Exactly so many iterations, without preconditioner."""
    ksp = PETSc.KSP().create(matrix.comm)
    ksp.setType(kind)
    ksp.setOperators(matrix)
    ksp.getPC().setType(PETSc.PC.Type.NONE)
    ksp.setTolerances(rtol=0.0, atol=0.0, divtol=1e30, max_it=iterations)
    return ksp


def measure(comm, figures, name, operators, size, repetitions, iterations):
    image = PETSc.Vec().createMPI(size, comm=comm)
    image.setArray(np.random.default_rng(comm.getRank()).random(image.getLocalSize()))
    data = PETSc.Vec().createMPI((len(operators) * size, PETSc.DETERMINE), comm=comm)
    result, solution = image.duplicate(), image.duplicate()
    stack = PETSc.Mat().createPython((data.getSizes(), image.getSizes()), Stack(operators, image), comm=comm)
    stack.setUp()
    stack.mult(image, data)
    right_side = image.duplicate()
    stack.multTranspose(data, right_side)
    normal = PETSc.Mat().createNormal(stack)
    figures[f"{name}.A(no gather)"] = slowest_seconds(comm, repetitions, lambda: stack.mult(image, data))
    figures[f"{name}.A_adjoint"] = slowest_seconds(comm, repetitions, lambda: stack.multTranspose(data, result))
    figures[f"{name}.A_adjoint_A"] = slowest_seconds(comm, repetitions, lambda: normal.mult(image, result))
    for kind, matrix, given in (("lsqr", stack, data), ("cg", normal, right_side)):
        ksp = solver(kind, matrix, iterations)
        seconds = slowest_seconds(comm, max(1, repetitions // 5), partial(ksp.solve, given, solution))
        if ksp.getIterationNumber() == iterations:  # it may have found the solution before
            figures[f"{name}.{kind}{iterations}"] = seconds


def main():
    comm = PETSc.COMM_WORLD
    rank, ranks = comm.getRank(), comm.getSize()
    figures = {}
    measure(comm, figures, "tiny", [Scaling(1.0 + 0.1 * i) for i in range(rank, 8, ranks)], 256, 50, 20)
    own_blurs = blurs(ranks, rank, np.float64)
    measure(comm, figures, "blur", own_blurs, int(np.prod(own_blurs[0].image_shape)), 5, 10)
    if comm.getRank() == 0:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)


if __name__ == "__main__":
    main()
