# SPDX-License-Identifier: BSD-3-Clause
"""Tomography of a real specimen: an electron microscope's tilt series, its 77 angles as 77 operators.

    mpirun -n 2 python examples/python/tomography.py
"""

import torch
from gallery import fetched, figure, options

import adjoin
from adjoin.io import read_hdf5
from adjoin.optim import L2, TotalVariation, monotone_fista
from adjoin.physics import Tomography

arguments = options(__doc__)

with adjoin.DistributedContext() as ctx:
    # (angle, detector, slice), as sinograms (1, 1, slice, angle, detector) of the part where there is a specimen.
    series = read_hdf5(fetched("data/HAADF_Aligned.hspy", "tilt-series"), "/Experiments/__unnamed__/data").float()
    slices = slice(110, 114) if arguments.small else slice(96, 128)
    sinograms = (series[:, 64:192, slices] * (60.0 / series.max())).permute(2, 0, 1).contiguous()[None, None]
    sinograms = sinograms.to(ctx.device)
    angles = torch.arange(-76.0, 77.0, 2.0)

    whole = Tomography(angles, (128, 128), detectors=128)
    stack = adjoin.distribute(whole.split(len(angles)), ctx)
    y = [sinograms[..., i : i + 1, :].contiguous() for i in range(len(angles))]

    backprojection = whole.fbp(sinograms)
    # Stopped early: later iterations fit the noise.
    least_squares = stack.A_dagger(y, "CG", max_iter=15, tol=0.0, local_only=False)
    prior = TotalVariation(lower=0.0)  # and positivity
    steps = 10 if arguments.small else 40
    result = monotone_fista(stack, y, prior, torch.zeros_like(backprojection), lambda_=2.0, max_iter=steps, tol=0.0)
    objective = [record.objective for record in result.history]

    fidelity = adjoin.DistributedDataFidelity(ctx, L2())
    volumes = {"filtered backprojection": backprojection, "least squares": least_squares, "total variation": result.x}
    residuals = {name: fidelity.fn(volume, y, stack).item() for name, volume in volumes.items()}
    if ctx.rank == 0:
        print(ctx, *(f"{name}: 1/2 ‖A x − y‖² = {value:.0f}" for name, value in residuals.items()), sep="\n")
        top = result.x.flatten().quantile(0.999)
        middle = {name: volume[:, :, volume.shape[2] // 2] / top for name, volume in volumes.items()}
        curves = {"monotone FISTA": objective}
        figure(arguments.out / "tomography.png", middle, curves, "objective, by iteration", scale="log")
    assert all(b <= a for a, b in zip(objective, objective[1:], strict=False))  # it never rises
    assert residuals["total variation"] < residuals["filtered backprojection"]
