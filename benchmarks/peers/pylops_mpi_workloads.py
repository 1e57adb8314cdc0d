"""Times PyLops-MPI's MPIVStack on adjoin's workloads tiny and blur (benchmarks/workloads.cpp).

mpirun -n 2 python pylops_mpi_workloads.py FILE writes the medians, in seconds, as JSON.
"""
import json
import statistics
import sys
import time

import numpy as np
import pylops
import pylops_mpi
from mpi4py import MPI


class Scaling(pylops.LinearOperator):
    def __init__(self, factor, size):
        super().__init__(dtype=np.float32, shape=(size, size))
        self.factor = np.float32(factor)

    def _matvec(self, x):
        return x * self.factor

    def _rmatvec(self, y):
        return y * self.factor


class CircularBlur(pylops.LinearOperator):
    """Convolution by the Gaussian of adjoin's gaussian_kernel(sigma, angle), given by its transfer function."""

    def __init__(self, sigma, angle, image_shape):
        size = int(np.prod(image_shape))
        super().__init__(dtype=np.float32, shape=(size, size))
        self.image_shape = image_shape
        rows, columns = image_shape[-2:]
        v, u = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None]
        cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        along, across = cosine * u - sine * v, sine * u + cosine * v
        exponent = (sigma[1] * along) ** 2 + (sigma[0] * across) ** 2
        self.transfer = np.exp(-2 * np.pi**2 * exponent).astype(np.complex64)

    def _convolve(self, x, transfer):
        spectrum = np.fft.rfft2(x.reshape(self.image_shape)) * transfer
        return np.fft.irfft2(spectrum, s=self.image_shape[-2:]).astype(np.float32).ravel()

    def _matvec(self, x):
        return self._convolve(x, self.transfer)

    def _rmatvec(self, y):
        return self._convolve(y, self.transfer.conj())


def median_seconds(comm, repetitions, call):
    for _ in range(2):
        call()
    times = []
    for _ in range(repetitions):
        comm.Barrier()
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


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
    figures[f"{name}.A(no gather)"] = median_seconds(comm, repetitions, lambda: stack @ x)
    figures[f"{name}.A_adjoint"] = median_seconds(comm, repetitions, lambda: stack.H @ y)
    figures[f"{name}.cgls{iterations}"] = median_seconds(
        comm,
        max(1, repetitions // 5),
        lambda: pylops_mpi.optimization.basic.cgls(stack, y, x0=start, niter=iterations, tol=0.0),
    )


def main():
    comm = MPI.COMM_WORLD
    mine = range(comm.Get_rank(), 8, comm.Get_size())
    figures = {}
    measure(comm, figures, "tiny", [Scaling(1.0 + 0.1 * i, 256) for i in mine], 256, 50, 20)
    shape = (3, 512, 512)
    blurs = [CircularBlur((0.5 + 0.3 * i, 0.7 + 0.2 * i), 20.0 * i, shape) for i in mine]
    measure(comm, figures, "blur", blurs, int(np.prod(shape)), 5, 10)
    if comm.Get_rank() == 0:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)


if __name__ == "__main__":
    main()
