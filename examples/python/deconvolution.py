# SPDX-License-Identifier: BSD-3-Clause
"""Distributed operators: three blurred and noisy views of a photograph, on the ranks as in one process, and the
photograph by total variation.

    mpirun -n 2 python examples/python/deconvolution.py
"""

import torch
from gallery import figure, options, photograph

import adjoin
from adjoin.io import psnr
from adjoin.optim import TotalVariation, fista
from adjoin.physics import Blur, gaussian_kernel, gaussian_noise

arguments = options(__doc__)


def make_views():
    """A sharp view with little noise, and two that are worse. A seed a view: the noise does not depend on the ranks."""
    views = []
    for kernel, noise in (
        (gaussian_kernel((1.0, 1.0)), 0.03),
        (gaussian_kernel((2.0, 2.0)), 0.05),
        (gaussian_kernel((1.5, 3.0), angle=30.0), 0.04),
    ):
        views.append(Blur(kernel, padding="circular"))
        views[-1].set_noise_model(gaussian_noise(noise, seed=len(views)))
    return views


with adjoin.DistributedContext() as ctx:
    x = photograph(arguments.small).to(ctx.device)
    stack = adjoin.distribute(make_views(), ctx)  # every rank names all views and uses its own
    y = stack.forward(x)

    # What the stack sends is summed over the ranks: the same as in one process.
    together = sum(view.A_adjoint(measured) for view, measured in zip(make_views(), y, strict=True))
    assert torch.allclose(stack.A_adjoint(y), together, atol=1e-5)
    lower, upper = stack.sqnorm_bounds(x)
    assert stack.adjointness_test(x) < 1e-5

    # 1/2 ‖A x − y‖² + λ TV(x), with 0 ≤ x ≤ 1. Every rank runs the same loop; the steps know no ranks.
    prior = TotalVariation(lower=0.0, upper=1.0)
    start = stack.A_adjoint(y) / 3
    result = fista(stack, y, prior, start, lambda_=0.02, max_iter=10 if arguments.small else 30, tol=0.0, truth=x)
    if ctx.rank == 0:
        print(ctx, f"‖A‖² is between {lower:.2f} and {upper:.2f}", sep="\n")
        print(f"the best view has {psnr(y[0], x):.2f} dB, total variation {psnr(result.x, x):.2f} dB")
        figure(
            arguments.out / "deconvolution.png",
            {"best view": y[0], "worst view": y[1], "total variation": result.x},
            {"FISTA": [record.psnr for record in result.history]},
            "PSNR in dB, by iteration",
        )
    assert psnr(result.x, x) > psnr(y[0], x) + 2.0
