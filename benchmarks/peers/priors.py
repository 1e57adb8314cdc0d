# SPDX-License-Identifier: BSD-3-Clause
"""Wavelets beside PyWavelets, and total variation of complex images beside that of real ones: priors.py prints two tables.

The transform of 230 x 180 pixels, which 2^4 does not divide, in every family, with its largest difference from PyWavelets'.
Nanoseconds a pixel and inner iteration of a prox of total variation on one thread. pywt must be importable.
"""

import os
import time

os.environ["OMP_NUM_THREADS"] = "1"

import pywt
import torch

from adjoin.optim import TotalVariation, wavelet_transform

torch.set_num_threads(1)
FAMILIES = {"db": range(1, 39), "sym": range(2, 21), "coif": range(1, 18)}
LEVELS, SIZES = 4, (230, 180)


def median_seconds(call, rounds=5):
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[rounds // 2]


def by_pywavelets(x, wavelet):
    coefficients = pywt.wavedecn(x, wavelet, "periodization", LEVELS)
    return pywt.coeffs_to_array(coefficients)[0]


def wavelets():
    x = torch.randn(SIZES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    single = x.float()
    print(f"{'family':>8} {'apart':>10} {'adjoin':>10} {'PyWavelets':>12}   (of the last one, single precision, ms)")
    for family, orders in FAMILIES.items():
        apart = 0.0
        for order in orders:
            name = f"{family}{order}"
            difference = wavelet_transform(x, name, LEVELS) - torch.from_numpy(by_pywavelets(x.numpy(), name))
            apart = max(apart, difference.abs().max().item())
        ours = 1e3 * median_seconds(lambda name=name: wavelet_transform(single, name, LEVELS))
        theirs = 1e3 * median_seconds(lambda name=name: by_pywavelets(single.numpy(), name))
        print(f"{family:>8} {apart:>10.1e} {ours:>10.2f} {theirs:>12.2f}")


def total_variation():
    print(f"{'dtype':>10} {'prox of total variation, ns a pixel and iteration':>52}")
    iterations = 50
    real = torch.randn(1, 1, 512, 512)
    images = {"real": real, "complex": torch.complex(real, real.flip(-1))}
    seconds = {name: [] for name in images}
    prior = TotalVariation(max_iter=iterations, tol=0.0, warm_start=False)
    for _ in range(7):
        for name, image in images.items():
            start = time.perf_counter()
            prior.prox(image, 0.5)
            seconds[name].append(time.perf_counter() - start)
    times = {name: 1e9 * sorted(all_of_them)[3] / (iterations * real.numel()) for name, all_of_them in seconds.items()}
    for name, nanoseconds in times.items():
        print(f"{name:>10} {nanoseconds:>52.2f}")
    print(f"complex takes {times['complex'] / times['real']:.2f} times as long as real")


if __name__ == "__main__":
    wavelets()
    total_variation()
