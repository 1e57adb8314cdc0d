# SPDX-License-Identifier: BSD-3-Clause
"""Non-Cartesian SENSE by adjoin, BART, SigPy and mri-nufft, in turn in one run on one thread.

noncartesian_mri.py [FILE] prints a table, and writes it as JSON: milliseconds, medians over the rounds. sigpy, mrinufft and
finufft must be importable, bart on the path; what is missing is left out. 8 coils of 256 x 256, 201 radial spokes of 512
samples by the golden angle; "volume" is 8 coils of 96 x 96 x 96 and 2000 spokes of 192 in all directions.
An iteration is the difference between long and short solves, so that BART's start does not count.

noncartesian_mri.py --ranks N times an iteration of the slice's solve by adjoin on one rank and on N, in turn under mpirun.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec

os.environ["OMP_NUM_THREADS"] = "1"

import numpy
import torch

import adjoin.io
from adjoin.physics import NonCartesianMRI

torch.set_num_threads(1)


def radial(spokes, readout):
    angle = torch.arange(spokes) * (math.pi * (3 - math.sqrt(5)))
    radius = (torch.arange(readout) - readout / 2) / readout
    return torch.stack([radius * angle[:, None].sin(), radius * angle[:, None].cos()], -1).float()


def kooshball(spokes, readout):
    height = (torch.arange(spokes) + 0.5) * 2 / spokes - 1
    angle = torch.arange(spokes) * (math.pi * (3 - math.sqrt(5)))
    across = (1 - height**2).sqrt()
    direction = torch.stack([height, across * angle.sin(), across * angle.cos()], -1)
    radius = (torch.arange(readout) - readout / 2) / readout
    return (radius[:, None] * direction[:, None, :]).float()


def coils(sizes, count=8):
    grid = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in sizes], indexing="ij")
    maps = []
    for turn in (2 * math.pi * i / count for i in range(count)):
        distance = (grid[-2] - math.cos(turn)) ** 2 + (grid[-1] - math.sin(turn)) ** 2
        phase = grid[-2] * math.cos(turn) + grid[-1] * math.sin(turn)
        maps.append(torch.polar((-distance / 2).exp(), phase))
    inside = sum(g**2 for g in grid) < 0.6
    hole = sum((g - 0.2) ** 2 for g in grid) < 0.05
    return torch.stack(maps), (inside * 1.0 - hole * 0.7).to(torch.complex64)


def workload(trajectory, sizes, few, many):
    """Calls by name, among them solves of few and of many iterations."""
    maps, truth = coils(sizes)
    x = truth[None, None]
    mri = NonCartesianMRI(trajectory, maps[None])
    y = mri.A(x)
    calls = {}
    rows, columns = [-1], list(range(-len(sizes), -1))
    coil_images = (x * maps)[0]

    def transforms():
        """What the normal operator cannot do without: rows in two phases, columns in all, there and back."""
        for _ in range(2):
            turned = torch.fft.fftn(coil_images, dim=rows)
            for _ in range(2 ** len(columns)):
                back = torch.fft.ifftn(torch.fft.fftn(turned, dim=columns), dim=columns)
            torch.fft.ifftn(back, dim=rows)

    def solve(iterations):
        return mri.A_dagger(y, max_iter=iterations, tol=1e-30)

    def from_nothing(iterations):
        return NonCartesianMRI(trajectory, maps[None]).A_dagger(y, max_iter=iterations, tol=1e-30)

    calls["adjoin: A"] = lambda: mri.A(x)
    calls["adjoin: A_adjoint"] = lambda: mri.A_adjoint(y)
    calls["adjoin: normal operator"] = lambda: mri.A_adjoint_A(x)
    calls["adjoin: transforms alone, by torch"] = transforms
    calls["adjoin: few iterations"] = lambda: solve(few)
    calls["adjoin: many iterations"] = lambda: solve(many)
    calls["adjoin: 20 iterations, everything prepared"] = lambda: from_nothing(20)
    if find_spec("finufft"):
        import finufft

        points = [(2 * math.pi * trajectory[..., a].flatten()).contiguous().numpy() for a in range(len(sizes))]
        plan = finufft.Plan(2, sizes, n_trans=len(maps), eps=1e-6, isign=-1, dtype="complex64", nthreads=1)
        plan.setpts(*points)
        images = coil_images.numpy()
        calls["FINUFFT: forward"] = lambda: plan.execute(images)
    if find_spec("mrinufft"):
        import mrinufft

        samples = trajectory.reshape(-1, len(sizes)).numpy()
        operator = mrinufft.get_operator("finufft")(samples, sizes, n_coils=len(maps), smaps=maps.numpy(), squeeze_dims=True)
        image = truth.numpy()
        calls["mri-nufft: normal operator"] = lambda: operator.adj_op(operator.op(image))
    cycles = trajectory * torch.tensor(sizes)
    if find_spec("sigpy"):
        import sigpy.mri

        where, data, sensitivities = cycles.numpy(), y[0].numpy(), maps.numpy()

        def by_sigpy(iterations):
            options = {"coord": where, "max_iter": iterations, "show_pbar": False}
            sigpy.mri.app.SenseRecon(data, sensitivities, **options).run()

        calls["SigPy: few iterations"] = lambda: by_sigpy(few)
        calls["SigPy: many iterations"] = lambda: by_sigpy(many)
    if shutil.which("bart"):
        axes = list(range(len(sizes) - 1, -1, -1))  # BART has the axis of a row first
        order = cycles[..., axes].permute(2, 1, 0)
        adjoin.io.write_cfl("t", torch.cat([order, torch.zeros(3 - len(sizes), *order.shape[1:])]))
        adjoin.io.write_cfl("k", y[0].permute(2, 1, 0)[None])
        flat = maps if len(sizes) == 3 else maps[:, None]
        adjoin.io.write_cfl("s", flat.permute(3, 2, 1, 0))

        def bart(iterations):
            command = ["bart", "pics", "-S", "-l2", "-r0", f"-i{iterations}", "-t", "t", "k", "s", "o"]
            subprocess.run(command, check=True, capture_output=True)

        calls["BART: few iterations"] = lambda: bart(few)
        calls["BART: many iterations"] = lambda: bart(many)
        calls["BART: 20 iterations, start included"] = lambda: bart(20)
    return calls


def measured(calls, rounds):
    seconds = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * float(numpy.median(values)) for name, values in seconds.items()}


def timed_iteration(few=5, many=45):
    """Prints the milliseconds of an iteration on the ranks of this program, which share the coils."""
    trajectory = radial(201, 512)
    maps, truth = coils((256, 256))
    with adjoin.DistributedContext(device_mode="cpu") as ctx:
        stack = adjoin.distribute(NonCartesianMRI(trajectory, maps[None]).split(len(maps)), ctx)
        y = stack.A(truth[None, None])
        seconds = {}
        for iterations in (few, many) * 3:
            start = time.perf_counter()
            stack.A_dagger(y, max_iter=iterations, tol=1e-30, local_only=False)
            seconds[iterations] = min(seconds.get(iterations, math.inf), time.perf_counter() - start)
        if ctx.rank == 0:
            print(1e3 * (seconds[many] - seconds[few]) / (many - few))


def on_ranks(most, rounds=3):
    times = {1: [], most: []}
    for _ in range(rounds):
        for ranks, own in times.items():
            command = ["mpirun", "-n", str(ranks), sys.executable, __file__, "--iteration"]
            own.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    for ranks, own in times.items():
        print(f"on {ranks}: an iteration takes {numpy.median(own):.2f} ms")
    print(f"{most} ranks are {numpy.median(times[1]) / numpy.median(times[most]):.2f} times as quick as 1")


def main():
    if sys.argv[1:] == ["--iteration"]:
        return timed_iteration()
    if sys.argv[1:2] == ["--ranks"]:
        return on_ranks(int(sys.argv[2]))
    file = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else None
    os.chdir(tempfile.mkdtemp())
    results = {}
    for name, few, many, rounds, trajectory, sizes in (
        ("slice", 5, 20, 3, radial(201, 512), (256, 256)),
        ("volume", 1, 3, 1, kooshball(2000, 192), (96, 96, 96)),
    ):
        calls = workload(trajectory, sizes, few, many)
        measured({own: call for own, call in calls.items() if own.startswith("adjoin")}, 1)
        times = measured(calls, rounds)
        for system in ("adjoin", "BART", "SigPy"):
            if f"{system}: many iterations" in times:
                difference = times[f"{system}: many iterations"] - times[f"{system}: few iterations"]
                times[f"{system}: an iteration"] = difference / (many - few)
        results[name] = times
        print(name)
        for call, milliseconds in times.items():
            print(f"  {call:45}{milliseconds:10.2f} ms")
    if file:
        with open(file, "w", encoding="utf-8") as out:
            json.dump(results, out, indent=1)


if __name__ == "__main__":
    main()
