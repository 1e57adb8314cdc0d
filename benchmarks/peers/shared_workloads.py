# SPDX-License-Identifier: BSD-3-Clause
"""What the peers' programs share: the blur of adjoin's workloads (benchmarks/workloads.cpp) in numpy, and their clock."""
import statistics
import time

import numpy as np


class GaussianBlur:
    """Circular convolution by the Gaussian of adjoin's gaussian_kernel(sigma, angle), given by its transfer function."""

    def __init__(self, sigma, angle, image_shape, dtype):
        self.image_shape = image_shape
        self.dtype = dtype
        rows, columns = image_shape[-2:]
        v, u = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None]
        cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        along, across = cosine * u - sine * v, sine * u + cosine * v
        exponent = (sigma[1] * along) ** 2 + (sigma[0] * across) ** 2
        self.transfer = np.exp(-2 * np.pi**2 * exponent).astype(np.result_type(dtype, np.complex64))

    def _convolve(self, x, transfer):
        spectrum = np.fft.rfft2(x.reshape(self.image_shape)) * transfer
        return np.fft.irfft2(spectrum, s=self.image_shape[-2:]).astype(self.dtype, copy=False).ravel()

    def apply(self, x):
        return self._convolve(x, self.transfer)

    def apply_adjoint(self, y):
        return self._convolve(y, self.transfer.conj())


def blurs(ranks, rank, dtype):
    """This rank's part of the eight blurs of "blur"."""
    return [
        GaussianBlur((0.5 + 0.3 * i, 0.7 + 0.2 * i), 20.0 * i, (3, 512, 512), dtype) for i in range(rank, 8, ranks)
    ]


def median_seconds(barrier, repetitions, call):
    """Median over the repetitions, each begun by all ranks together."""
    for _ in range(2):
        call()
    times = []
    for _ in range(repetitions):
        barrier()
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
