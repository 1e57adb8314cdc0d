# SPDX-License-Identifier: BSD-3-Clause
"""Times deepinv's distributed operators on adjoin's workloads (benchmarks/workloads.cpp).

torchrun --standalone --nproc-per-node 2 deepinv_workloads.py FILE writes the medians, in seconds, and
peak memory above the inputs, in images, as JSON. With --gpu after FILE it works on GPUs, and memory is not measured.
"""
import functools
import json
import sys
import warnings

import torch
from deepinv.distributed import DistributedContext, distribute
from deepinv.physics import Blur, LinearPhysics, MultiCoilMRI, Tomography, stack
from deepinv.physics.blur import gaussian_blur
from shared_workloads import median_seconds


class Scaling(LinearPhysics):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def A(self, x, **kwargs):
        return x * self.factor

    def A_adjoint(self, y, **kwargs):
        return y * self.factor


def memory_field(field):
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(field))


def measure(context):
    figures = {}
    memory = {}
    device = {"device": context.device}
    barrier = torch.distributed.barrier if context.use_dist else lambda: None
    on_gpu = context.device.type == "cuda"

    def finished(call):
        call()
        torch.cuda.synchronize()

    def record(name, repetitions, call):
        figures[name] = median_seconds(barrier, repetitions, functools.partial(finished, call) if on_gpu else call)

    def record_solve(name, repetitions, physics, y, solver, iterations):
        options = {"solver": solver, "max_iter": iterations, "tol": 0.0, "local_only": False}
        record(name, repetitions, functools.partial(physics.A_dagger, y, **options))

    physics = distribute([Scaling(1.0 + 0.1 * i) for i in range(8)], context, type_object="linear_physics")
    x = torch.rand(1, 1, 16, 16)
    y = physics.A(x)
    record("tiny.A", 50, lambda: physics.A(x))
    record("tiny.A_adjoint", 50, lambda: physics.A_adjoint(y))
    record("tiny.A_adjoint_A", 50, lambda: physics.A_adjoint_A(x))
    record("tiny.A_A_adjoint", 50, lambda: physics.A_A_adjoint(y))
    record_solve("tiny.cg20", 5, physics, y, "CG", 20)
    record_solve("tiny.lsqr20", 5, physics, y, "lsqr", 20)

    kernels = [gaussian_blur(sigma=(0.5 + 0.3 * i, 0.7 + 0.2 * i), angle=20.0 * i) for i in range(8)]
    blurs = distribute(stack(*[Blur(filter=kernel, padding="circular", **device) for kernel in kernels]), context)
    image = torch.rand(1, 3, 512, 512)
    views = blurs.A(image)
    record("blur.A", 5, lambda: blurs.A(image))
    record("blur.A_adjoint", 5, lambda: blurs.A_adjoint(views))
    record("blur.A_adjoint_A", 5, lambda: blurs.A_adjoint_A(image))
    record_solve("blur.cg10", 1, blurs, views, "CG", 10)
    record_solve("blur.lsqr10", 1, blurs, views, "lsqr", 10)
    record(
        "blur.sqnorm20",
        1,
        lambda: blurs.compute_sqnorm(image, max_iter=20, tol=0.0, verbose=False, local_only=False),
    )

    random = torch.Generator(context.device).manual_seed(0)
    maps = torch.randn(1, 12, 256, 256, dtype=torch.cfloat, generator=random)
    maps /= torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    mask = (torch.rand(1, 1, 256, 256, generator=random) < 0.3).float()
    groups = [
        MultiCoilMRI(mask=mask, coil_maps=part, img_size=(2, 256, 256), **device) for part in maps.split(3, dim=1)
    ]
    coils = distribute(groups, context, type_object="linear_physics")
    spins = torch.randn(1, 2, 256, 256, generator=random)
    echoes = coils.A(spins)
    record("mri.A", 10, lambda: coils.A(spins))
    record("mri.A_adjoint", 10, lambda: coils.A_adjoint(echoes))
    record("mri.A_adjoint_A", 10, lambda: coils.A_adjoint_A(spins))
    record_solve("mri.cg20", 2, coils, echoes, "CG", 20)

    tomography = [
        Tomography(angles=torch.tensor([-76.0 + 2.0 * i]), img_width=256, circle=False, normalize=False, **device)
        for i in range(77)
    ]
    views = distribute(tomography, context, type_object="linear_physics")
    slice_ = torch.rand(1, 1, 256, 256)
    sinogram = views.A(slice_)
    record("tomography.A", 3, lambda: views.A(slice_))
    record("tomography.A_adjoint", 3, lambda: views.A_adjoint(sinogram))
    record("tomography.A_adjoint_A", 2, lambda: views.A_adjoint_A(slice_))

    if on_gpu:
        return {"seconds": figures}
    fresh = distribute(stack(*[Blur(filter=kernel, padding="circular", **device) for kernel in kernels]), context)
    with open("/proc/self/clear_refs", "w", encoding="utf-8") as refs:
        refs.write("5")  # the peak is now what is resident
    before = memory_field("VmRSS")
    fresh.A_adjoint_A(image)
    memory["blur.A_adjoint_A"] = (memory_field("VmHWM") - before) / image.nbytes
    return {"seconds": figures, "memory": memory}


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    device_mode = "gpu" if "--gpu" in sys.argv else "cpu"
    with DistributedContext(seed=0, device_mode=device_mode) as context, torch.no_grad():
        torch.set_default_device(context.device)
        figures = measure(context)
        if context.rank == 0:
            with open(sys.argv[1], "w", encoding="utf-8") as file:
                json.dump(figures, file, indent=2)


if __name__ == "__main__":
    main()
