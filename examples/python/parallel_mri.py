# SPDX-License-Identifier: BSD-3-Clause
"""Parallel MRI: eight coils of a scanner as eight operators, spread over the ranks; every fourth line of k-space, and the
middle ones, are measured.

    mpirun -n 2 python examples/python/parallel_mri.py
"""

import math

import torch
from gallery import figure, options, phantom

import adjoin
from adjoin.io import psnr
from adjoin.optim import TotalVariation, fista
from adjoin.physics import MultiCoilMRI, gaussian_noise

arguments = options(__doc__)
COILS = 8


def coil_maps(size):
    """Coils around the head, complex (1, COILS, size, size): each sees most what is near it, and turns the phase."""
    points = torch.linspace(-1.0, 1.0, size)
    maps = []
    for k in range(COILS):
        angle = 2 * math.pi * k / COILS
        dx, dy = points.view(1, -1) - 1.2 * math.cos(angle), points.view(-1, 1) - 1.2 * math.sin(angle)
        maps.append(torch.polar(torch.exp(-0.7 * (dx**2 + dy**2)), torch.atan2(dy, dx)))
    return torch.stack(maps).unsqueeze(0)


def magnitude(x):
    return x.square().sum(1, keepdim=True).sqrt()


with adjoin.DistributedContext() as ctx:
    size = 96 if arguments.small else 256
    image = phantom(size)
    x = torch.cat([image, torch.zeros_like(image)], dim=1).to(ctx.device)  # real and imaginary part
    mask = torch.zeros(size, 1)
    mask[::4] = 1.0
    mask[size // 2 - size // 16 : size // 2 + size // 16] = 1.0
    maps = coil_maps(size)

    # One operator, split into one a coil.
    coils = MultiCoilMRI(mask.expand(size, size).contiguous(), maps).split(COILS)
    for seed, coil in enumerate(coils):
        coil.set_noise_model(gaussian_noise(0.004, seed))
    stack = adjoin.distribute(coils, ctx)
    y = stack.forward(x)

    zero_filled = stack.A_adjoint(y) / maps.abs().square().sum(1).to(ctx.device)
    sense = stack.prox_l2(torch.zeros_like(x), y, gamma=1e3, max_iter=50)  # ‖A x − y‖² + 10⁻³ ‖x‖²
    prior = TotalVariation()
    result = fista(stack, y, prior, sense, lambda_=0.002, max_iter=30 if arguments.small else 100, tol=0.0, truth=x)
    if ctx.rank == 0:
        quality = {"zero filling": zero_filled, "SENSE": sense, "total variation": result.x}
        print(ctx, *(f"{name}: {psnr(estimate, x):.2f} dB" for name, estimate in quality.items()), sep="\n")
        figure(
            arguments.out / "parallel_mri.png",
            {**{name: magnitude(estimate) for name, estimate in quality.items()}, "all of k-space": magnitude(x)},
        )
    assert psnr(sense, x) > psnr(zero_filled, x) + 2.0
    assert psnr(result.x, x) > psnr(sense, x) + 2.0
