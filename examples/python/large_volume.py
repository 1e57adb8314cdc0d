# SPDX-License-Identifier: BSD-3-Clause
"""A volume that no rank holds: tomography whose volume, and every vector of the solver, is spread over the ranks in slices,
read from and written to .npy files by each rank alone.

    mpirun -n 4 python examples/python/large_volume.py --size 768
"""

import threading

import torch
from gallery import figure, options, phantom

import adjoin
from adjoin.physics import Tomography

arguments = options(__doc__, {"size": 256, "angles": 64, "iterations": 12})
n = 48 if arguments.small else arguments.size


class PeakOfMemory(threading.Thread):
    """The most memory that this process has taken, in bytes since the start; what ranks share counts in parts."""

    def __init__(self):
        super().__init__(daemon=True)
        self.start_bytes, self.peak, self.over = self.now(), 0, threading.Event()

    @staticmethod
    def now():
        with open("/proc/self/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024

    def run(self):
        while not self.over.wait(0.05):
            self.peak = max(self.peak, self.now() - self.start_bytes)


with adjoin.DistributedContext(device_mode="cpu") as ctx:
    angles = torch.arange(arguments.angles) * (180.0 / arguments.angles)
    # An operator for each rank, of every so-manieth angle; slices are its channels.
    stack = adjoin.DistributedStackedLinearPhysics(
        ctx,
        ctx.world_size,
        lambda i, device, shared: Tomography(angles[i :: ctx.world_size], (n, n), detectors=n),
    )
    memory = PeakOfMemory()
    memory.start()

    # Each rank makes its slices of the truth, and writes them.
    folder = arguments.out
    if ctx.rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
    ctx.barrier()
    empty = stack.shard_image(torch.zeros(1).expand(1, n, n, n), axis=1)  # takes the memory of this rank's slices
    heights = torch.linspace(-1.0, 1.0, n)[empty.offsets[ctx.rank] : empty.offsets[ctx.rank + 1]]
    truth = empty.with_local(phantom(n) * (1.0 - heights.square()).sqrt().view(1, -1, 1, 1))
    truth.to_npy(folder / "truth.npy")
    del empty, truth
    ctx.barrier()

    truth = adjoin.ShardedImage.from_npy(stack, folder / "truth.npy", axis=1)
    y = stack.A(truth, gather=False)
    size = truth.norm()
    del truth
    volume = stack.A_dagger_sharded(y, "CG", max_iter=arguments.iterations, tol=0.0, axis=1)
    volume.to_npy(folder / "volume.npy")

    memory.over.set()
    memory.join()
    peaks = torch.tensor([memory.peak], dtype=torch.float64)
    ctx.all_reduce(peaks)

    truth = adjoin.ShardedImage.from_npy(stack, folder / "truth.npy", axis=1)
    error = volume.with_local(volume.local - truth.local).norm() / size
    ctx.barrier()
    if ctx.rank == 0:
        image = 4 * n**3
        print(ctx, f"relative error after {arguments.iterations} iterations: {error:.3f}", sep="\n")
        print(f"peak of memory, all ranks: {peaks.item() / 1e9:.2f} GB, {peaks.item() / image:.1f} volumes")
    if volume.offsets[ctx.rank] <= n // 2 < volume.offsets[ctx.rank + 1]:
        own = n // 2 - volume.offsets[ctx.rank]
        pictures = {"truth": truth.local[:, own : own + 1], "least squares": volume.local[:, own : own + 1]}
        figure(folder / "large_volume.png", pictures)
    assert error < (0.35 if arguments.iterations >= 12 else 0.6)
