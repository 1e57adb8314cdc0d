# SPDX-License-Identifier: BSD-3-Clause
"""Radial MRI: spokes of k-space from eight coils, whose maps are found in the data themselves.

    mpirun -n 2 python examples/python/radial_mri.py
"""

import math

import torch
from gallery import figure, options, phantom

import adjoin
from adjoin.io import psnr
from adjoin.optim import TotalVariation, fista
from adjoin.physics import NonCartesianMRI, NonuniformFourier, density_compensation, espirit_maps

arguments = options(__doc__)
COILS = 8
size = 96 if arguments.small else 256


def coil_maps():
    """Coils around the head, complex (COILS, size, size), Σ |s|² = 1."""
    points = torch.linspace(-1.0, 1.0, size)
    maps = []
    for k in range(COILS):
        angle = 2 * math.pi * k / COILS
        dx, dy = points.view(1, -1) - 1.2 * math.cos(angle), points.view(-1, 1) - 1.2 * math.sin(angle)
        maps.append(torch.polar(torch.exp(-0.7 * (dx**2 + dy**2)), 2 * dx * math.sin(angle)))
    maps = torch.stack(maps)
    maps = maps / maps.abs().square().sum(0).sqrt()
    return maps * torch.polar(torch.ones_like(maps[0].real), -maps[0].angle())


with adjoin.DistributedContext(device_mode="cpu") as ctx:
    x = phantom(size).to(torch.complex64)
    truth = coil_maps()

    # A fifth of the spokes that would sample all of the disc, each turned by the golden angle.
    spokes = size * 3 // 10
    radius = (torch.arange(2 * size) - size) / (2 * size)  # cycles a pixel
    angle = torch.arange(spokes)[:, None] * (math.pi * (3 - math.sqrt(5)))
    trajectory = torch.stack([radius * angle.sin(), radius * angle.cos()], dim=-1)

    fourier = NonuniformFourier(trajectory, (size, size))
    noise = torch.randn(COILS, spokes, 2 * size, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    samples = fourier.A(x * truth)[0] + 0.01 * noise

    # Coil maps from what the spokes say of the centre of k-space, which they sample densely.
    density = density_compensation(trajectory, (size, size))
    coil_images = fourier.A_adjoint(density * samples[None])[0]
    kspace = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(coil_images, (1, 2)), norm="ortho"), (1, 2))
    maps = espirit_maps(kspace)

    # A stack of coils, and the solutions from simple to slow.
    stack = adjoin.distribute(NonCartesianMRI(trajectory, maps).split(COILS), ctx)
    y = list(samples[None].split(1, dim=1))
    gridded = stack.A_adjoint([density * part for part in y])
    sense = stack.prox_l2(torch.zeros_like(x), y, gamma=1e2, max_iter=30)  # ‖A x − y‖² + 10⁻² ‖x‖²
    result = fista(stack, y, TotalVariation(), sense, lambda_=0.03, max_iter=30 if arguments.small else 100, tol=0.0, truth=x)
    if ctx.rank == 0:
        quality = {"gridding": gridded, "SENSE": sense, "total variation": result.x}
        print(ctx, *(f"{name}: {psnr(estimate.abs(), x.abs()):.2f} dB" for name, estimate in quality.items()), sep="\n")
        pictures = {name: estimate.abs() for name, estimate in quality.items()}
        figure(arguments.out / "radial_mri.png", {**pictures, "the phantom": x.abs()})
    assert psnr(sense.abs(), x.abs()) > psnr(gridded.abs(), x.abs()) + 2.0
    assert psnr(result.x.abs(), x.abs()) > psnr(sense.abs(), x.abs()) + 2.0
