"""Times a PETSc shell matrix, with PETSc's CG and LSQR, on adjoin's workloads tiny and blur (benchmarks/workloads.cpp).

mpirun -n 2 python3 petsc_workloads.py FILE writes the medians, in seconds, as JSON. As PETSc has it, the image is divided
among the ranks: each product gathers it and each adjoint adds it up where it belongs. In the precision of the PETSc that
is installed, which for Debian's is double.
"""
import json
import statistics
import sys
import time
from functools import partial

import numpy as np
import petsc4py

petsc4py.init(sys.argv[:1])
from petsc4py import PETSc  # noqa: E402  (after its initialisation)


class Scaling:
    def __init__(self, factor):
        self.factor = factor

    def apply(self, x):
        return x * self.factor

    apply_adjoint = apply


class CircularBlur:
    """Convolution by the Gaussian of adjoin's gaussian_kernel(sigma, angle), given by its transfer function."""

    def __init__(self, sigma, angle, image_shape):
        self.image_shape = image_shape
        rows, columns = image_shape[-2:]
        v, u = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None]
        cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        along, across = cosine * u - sine * v, sine * u + cosine * v
        exponent = (sigma[1] * along) ** 2 + (sigma[0] * across) ** 2
        self.transfer = np.exp(-2 * np.pi**2 * exponent).astype(np.complex128)

    def _convolve(self, x, transfer):
        spectrum = np.fft.rfft2(x.reshape(self.image_shape)) * transfer
        return np.fft.irfft2(spectrum, s=self.image_shape[-2:]).ravel()

    def apply(self, x):
        return self._convolve(x, self.transfer)

    def apply_adjoint(self, y):
        return self._convolve(y, self.transfer.conj())


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


def median_seconds(comm, repetitions, call):
    for _ in range(2):
        call()
    times = []
    for _ in range(repetitions):
        comm.barrier()
        start = time.perf_counter()
        call()
        comm.barrier()  # so that it is the slowest rank's time
        times.append(time.perf_counter() - start)
    return statistics.median(times)


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
    figures[f"{name}.A(no gather)"] = median_seconds(comm, repetitions, lambda: stack.mult(image, data))
    figures[f"{name}.A_adjoint"] = median_seconds(comm, repetitions, lambda: stack.multTranspose(data, result))
    figures[f"{name}.A_adjoint_A"] = median_seconds(comm, repetitions, lambda: normal.mult(image, result))
    for kind, matrix, given in (("lsqr", stack, data), ("cg", normal, right_side)):
        ksp = solver(kind, matrix, iterations)
        seconds = median_seconds(comm, max(1, repetitions // 5), partial(ksp.solve, given, solution))
        if ksp.getIterationNumber() == iterations:  # it may have found the solution before
            figures[f"{name}.{kind}{iterations}"] = seconds


def main():
    comm = PETSc.COMM_WORLD
    mine = range(comm.getRank(), 8, comm.getSize())
    figures = {}
    measure(comm, figures, "tiny", [Scaling(1.0 + 0.1 * i) for i in mine], 256, 50, 20)
    shape = (3, 512, 512)
    blurs = [CircularBlur((0.5 + 0.3 * i, 0.7 + 0.2 * i), 20.0 * i, shape) for i in mine]
    measure(comm, figures, "blur", blurs, int(np.prod(shape)), 5, 10)
    if comm.getRank() == 0:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)


if __name__ == "__main__":
    main()
