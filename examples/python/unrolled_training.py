# SPDX-License-Identifier: BSD-3-Clause
"""Unrolled training: proximal gradient steps whose prox is a network, trained through the operators of all ranks.

    torchrun --nproc-per-node 2 examples/python/unrolled_training.py

Every rank runs this loop and the same optimiser: gradients are those of one process, so the networks stay equal.
"""

import torch
from gallery import figure, options, photograph

import adjoin
from adjoin.io import psnr
from adjoin.optim import L2
from adjoin.physics import Blur, gaussian_noise, motion_kernel

arguments = options(__doc__)
torch.set_num_threads(1)


def shaken(index, device, shared):
    """A view by a shaking hand: blurred along one direction, with noise."""
    blur = Blur(motion_kernel(7.0, angle=45.0 * index), padding="circular")
    blur.set_noise_model(gaussian_noise(0.05, seed=index))
    return blur


class Refinement(torch.nn.Module):
    """x plus a correction that reaches 3 pixels."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 16, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 3, 3, padding=1),
        )

    def forward(self, x):
        return x + self.layers(x)


with adjoin.DistributedContext(seed=0, seed_offset=False) as ctx:  # the same random numbers on every rank
    stack = adjoin.DistributedStackedLinearPhysics(ctx, 4, shaken)
    fidelity = adjoin.DistributedDataFidelity(ctx, L2(), reduction="mean")
    networks = [Refinement().to(ctx.device) for _ in range(3)]
    tiled = [adjoin.distribute(network, ctx, patch_size=32, overlap=3, pad_mode="none") for network in networks]
    steps = torch.nn.Parameter(torch.ones(3, device=ctx.device))

    def reconstruct(y):
        x = stack.A_adjoint(y) / 4
        for step, refine in zip(steps, tiled, strict=True):
            x = refine(x - step * fidelity.grad(x, y, stack))
        return x

    picture = photograph(small=False).to(ctx.device)
    test = picture[..., 200:328, 150:278].contiguous()  # one parrot
    training = picture[..., 400:]  # the other
    parameters = [steps, *(p for network in networks for p in network.parameters())]
    optimiser = torch.optim.Adam(parameters, lr=2e-3)
    losses = []
    for _ in range(15 if arguments.small else 300):
        corners = torch.randint(training.shape[-1] - 64, (4, 2)).tolist()
        x = torch.cat([training[..., row : row + 64, column : column + 64] for row, column in corners])
        loss = torch.nn.functional.mse_loss(reconstruct(stack.forward(x)), x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    y = stack.forward(test)
    with torch.no_grad():
        start, estimate = stack.A_adjoint(y) / 4, reconstruct(y)
    # The ranks never sent each other their networks, and have the same.
    sums = torch.stack([p.detach().double().sum() for p in parameters])
    mean = ctx.all_reduce(sums.clone(), "mean")
    assert torch.allclose(sums, mean, rtol=1e-5, atol=1e-7)
    if ctx.rank == 0:
        print(ctx, f"backprojection {psnr(start, test):.2f} dB, unrolled {psnr(estimate, test):.2f} dB", sep="\n")
        figure(
            arguments.out / "unrolled_training.png",
            {"a view": y[0], "backprojection": start, "unrolled": estimate, "truth": test},
            {"training": (-10 * torch.tensor(losses).unfold(0, 10, 1).mean(1).log10()).tolist()},
            "PSNR in dB, mean of 10 steps",
        )
    assert psnr(estimate, test) > psnr(start, test) + 3.0
