# SPDX-License-Identifier: BSD-3-Clause
"""What a user gets who changes one import: deepinv's own operators under deepinv.distributed and under adjoin.deepinv, in turn
in one run, and adjoin's operators on the same work.

torchrun --standalone --nproc-per-node 2 one_import.py FILE [part of a workload's name] writes seconds a call, the best of some
repetitions, as JSON: {workload: {call: {"deepinv", "adjoin.deepinv", "adjoin"}}}. deepinv and adjoin must be importable.
"""
import json
import os
import sys
import time
import warnings

warnings.filterwarnings("ignore")

import deepinv.distributed
import deepinv.optim
import deepinv.physics as dp
import torch
import torch.distributed

import adjoin
import adjoin.deepinv
from adjoin import physics as own


class Scaling(dp.LinearPhysics):
    """A class of the user's own, which stays Python."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def A(self, x, **kwargs):
        return self.factor * x

    def A_adjoint(self, y, **kwargs):
        return self.factor * y


class Fourier(dp.LinearPhysics):
    """Another one, of more work."""

    def __init__(self, response):
        super().__init__()
        self.response = response

    def A(self, x, **kwargs):
        return torch.fft.irfft2(torch.fft.rfft2(x) * self.response, s=x.shape[-2:])

    def A_adjoint(self, y, **kwargs):
        return torch.fft.irfft2(torch.fft.rfft2(y) * self.response.conj(), s=y.shape[-2:])


def scalings():
    return [Scaling(1.0 + i) for i in range(8)], [own.Diagonal(1.0 + i) for i in range(8)]


def fouriers():
    return [Fourier(torch.fft.rfft2(torch.rand(256, 256) / 65536)) for _ in range(8)], None


def blurs(side):
    kernels = [torch.rand(1, 1, side, side) / side**2 for _ in range(8)]
    return [dp.Blur(filter=k, padding="circular") for k in kernels], [own.Blur(k, padding="circular") for k in kernels]


def coils():
    mask = (torch.rand(128, 128) > 0.6).float()
    maps = [torch.randn(1, 1, 128, 128, dtype=torch.complex64) for _ in range(12)]
    return [dp.MultiCoilMRI(mask=mask, coil_maps=m) for m in maps], [own.MultiCoilMRI(mask, m) for m in maps]


def angles():
    turns = [torch.tensor([180.0 * i / 20]) for i in range(20)]
    views = [dp.Tomography(angles=t, img_width=128, normalize=False) for t in turns]
    return views, [own.Tomography(t, [128, 128]) for t in turns]


WORKLOADS = {  # name: (operators of deepinv's classes and of adjoin, shape of the image, calls a repetition)
    "8 blurs 31x31 of 3x256x256": (lambda: blurs(31), (1, 3, 256, 256), 1),
    "8 blurs 9x9 of 3x64x64": (lambda: blurs(9), (1, 3, 64, 64), 5),
    "12 coils of 128x128": (coils, (1, 2, 128, 128), 5),
    "20 angles of 128x128": (angles, (1, 1, 128, 128), 2),
    "8 scalings in Python of 16x16": (scalings, (1, 1, 16, 16), 50),
    "8 FFT filters in Python of 3x256x256": (fouriers, (1, 3, 256, 256), 1),
}


def best(calls, repetitions, inner):
    """Seconds a call of each of `calls`, timed in turn between barriers."""
    seconds = dict.fromkeys(calls, float("inf"))
    for call in calls.values():
        call()
    for _ in range(repetitions):
        for name, call in calls.items():
            torch.distributed.barrier()
            start = time.perf_counter()
            for _ in range(inner):
                call()
            torch.distributed.barrier()
            seconds[name] = min(seconds[name], (time.perf_counter() - start) / inner)
    return seconds


def measure(contexts, wanted):
    faces = {"deepinv": deepinv.distributed, "adjoin.deepinv": adjoin.deepinv, "adjoin": adjoin}
    figures = {}
    for workload, (make, shape, inner) in WORKLOADS.items():
        if wanted not in workload:
            continue
        torch.manual_seed(0)
        theirs, ours = make()
        x = torch.rand(shape)
        operators = {"deepinv": theirs, "adjoin.deepinv": theirs, "adjoin": ours}
        names = [name for name in faces if operators[name]]
        stacks = {name: faces[name].distribute(operators[name], contexts[name]) for name in names}
        fidelities = {name: faces[name].distribute(deepinv.optim.L2(), contexts[name]) for name in names[:2]}
        measurements = {name: stacks[name].A(x) for name in names}
        for a, b in zip(measurements["deepinv"], measurements["adjoin.deepinv"], strict=True):
            assert (a - b).norm() <= 1e-4 * a.norm()
        measurements["adjoin.deepinv"] = measurements["deepinv"]
        dagger = {"solver": "CG", "max_iter": 10, "tol": 1e-12, "local_only": False}
        calls = {
            "A": lambda k: stacks[k].A(x),
            "A_adjoint": lambda k: stacks[k].A_adjoint(measurements[k]),
            "A_adjoint_A": lambda k: stacks[k].A_adjoint_A(x),
            "CG, 10 iterations": lambda k: stacks[k].A_dagger(measurements[k], **dagger),
            "gradient of L2": lambda k: fidelities[k].grad(x, measurements[k], stacks[k]),
        }
        figures[workload] = {}
        for call, run in calls.items():
            timed = {k: (lambda k=k, run=run: run(k)) for k in (fidelities if call.startswith("gradient") else stacks)}
            figures[workload][call] = best(timed, 5, 1 if call.startswith("CG") else inner)
    return figures


def print_table(figures):
    for workload, calls in figures.items():
        for call, seconds in calls.items():
            theirs = seconds["deepinv"]
            line = f"{workload:38}{call:20}deepinv {1e3 * theirs:9.3f} ms"
            for name in ("adjoin.deepinv", "adjoin"):
                if name in seconds:
                    line += f"   {name} {1e3 * seconds[name]:9.3f} ms {theirs / seconds[name]:7.1f} x"
            print(line)


def main():
    torch.set_num_threads(1)
    options = {"seed": 0, "seed_offset": False, "device_mode": "cpu"}
    with deepinv.distributed.DistributedContext(**options) as theirs, adjoin.deepinv.DistributedContext(**options) as ours:
        contexts = {"deepinv": theirs, "adjoin.deepinv": ours, "adjoin": ours}
        with torch.no_grad():
            figures = measure(contexts, sys.argv[2] if len(sys.argv) > 2 else "")
    if int(os.environ["RANK"]) == 0:
        print_table(figures)
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump({"deepinv": deepinv.__version__, "seconds": figures}, file, indent=2)


if __name__ == "__main__":
    main()
