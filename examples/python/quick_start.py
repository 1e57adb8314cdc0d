# SPDX-License-Identifier: BSD-3-Clause
"""Quick start: three blurred views of an image, spread over the ranks, and the image that explains them all.

    python examples/python/quick_start.py
    mpirun -n 2 python examples/python/quick_start.py
    torchrun --nproc-per-node 2 examples/python/quick_start.py
"""

from gallery import figure, options, phantom

import adjoin
from adjoin.io import psnr
from adjoin.physics import Blur, gaussian_kernel

arguments = options(__doc__)


def view(index, device, shared):
    """Called on the rank that owns operator `index`, and only there."""
    sigma = 1.0 + 0.5 * index
    return Blur(gaussian_kernel((sigma, sigma)), padding="circular")


with adjoin.DistributedContext() as ctx:
    stack = adjoin.DistributedStackedLinearPhysics(ctx, 3, view)
    x = phantom(64 if arguments.small else 128).to(ctx.device)
    y = stack.A(x)  # all three views, on every rank
    estimate = stack.A_dagger(y, "LSQR", max_iter=100, local_only=False)
    if ctx.rank == 0:
        print(ctx, f"the best view has {psnr(y[0], x):.1f} dB, the estimate {psnr(estimate, x):.1f} dB", sep="\n")
        pictures = {"image": x, "view 1": y[0], "view 2": y[1], "view 3": y[2], "least squares": estimate}
        figure(arguments.out / "quick_start.png", pictures)
    assert psnr(estimate, x) > psnr(y[0], x) + 5.0
