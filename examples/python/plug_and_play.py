# SPDX-License-Identifier: BSD-3-Clause
"""Plug-and-play: three blurred and noisy views of a photograph, and a trained denoiser in tiles over the ranks.

    mpirun -n 2 python examples/python/plug_and_play.py
"""

from gallery import fetched, figure, options, photograph

import adjoin
from adjoin.io import psnr
from adjoin.models import FFDNet
from adjoin.optim import L2, PnP, proximal_gradient
from adjoin.physics import Blur, gaussian_kernel, gaussian_noise

arguments = options(__doc__)

with adjoin.DistributedContext() as ctx:
    x = photograph(arguments.small).to(ctx.device)
    kernels = gaussian_kernel((1.0, 1.0)), gaussian_kernel((2.0, 2.0)), gaussian_kernel((1.5, 3.0), angle=30.0)
    views = [Blur(kernel, padding="circular") for kernel in kernels]
    for seed, (view, noise) in enumerate(zip(views, (0.03, 0.05, 0.04), strict=True)):
        view.set_noise_model(gaussian_noise(noise, seed))
    stack = adjoin.distribute(views, ctx)
    y = stack.forward(x)

    # As the overlap is the reach of the network, cutting changes nothing.
    ffdnet = FFDNet(fetched("models/ffdnet_color.safetensors", "denoisers"), ctx.device)
    patch_size = 64 if arguments.small else 256
    tiled = adjoin.distribute(ffdnet, ctx, patch_size=patch_size, overlap=ffdnet.radius, pad_mode="none")

    # One fidelity a view: the noisier, the less it is to be believed.
    fidelities = [L2(1.0), L2(5 / 3), L2(4 / 3)]
    prior = PnP(tiled, sigma=0.02)
    start = stack.A_adjoint(y) / 3
    result = proximal_gradient(
        stack, y, prior, start, data_fidelity=fidelities, step=1.0, max_iter=20, tol=0.0, truth=x
    )
    if ctx.rank == 0:
        print(ctx, f"the best view has {psnr(y[0], x):.2f} dB, plug-and-play {psnr(result.x, x):.2f} dB", sep="\n")
        figure(
            arguments.out / "plug_and_play.png",
            {"best view": y[0], "plug-and-play": result.x},
            {"proximal gradient": [record.psnr for record in result.history]},
            "PSNR in dB, by iteration",
        )
    assert psnr(result.x, x) > psnr(y[0], x) + 4.0
