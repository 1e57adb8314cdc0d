# SPDX-License-Identifier: BSD-3-Clause
"""Operators of C++ follow their tensors and serve every mode and thread."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import adjoin
from adjoin.physics import Blur, Diagonal, Downsampling, Inpainting, Matrix, MultiCoilMRI, Tomography

DOUBLE = torch.float64


def tensors_of(kind, i):
    generator = torch.Generator().manual_seed(i)
    if kind == "mri":
        maps = torch.randn(2, 8, 6, dtype=torch.complex128, generator=generator)
        return [(torch.rand(8, 6, generator=generator) > 0.4).to(DOUBLE), maps]
    shape = {"matrix": (7, 4), "diagonal": (8, 6), "inpainting": (8, 6)}.get(kind, (1, 1, 3, 3))
    return [torch.randn(shape, dtype=DOUBLE, generator=generator)]


def make(kind, tensors):
    makers = {"matrix": Matrix, "diagonal": Diagonal, "inpainting": Inpainting, "mri": MultiCoilMRI}
    if kind in makers:
        return makers[kind](*tensors)
    return Downsampling(*tensors, 2) if kind == "downsampling" else Blur(*tensors, padding=kind, method="fft")


def image_for(kind, dtype=DOUBLE):
    shape = {"matrix": (2, 4), "mri": (1, 2, 8, 6), "downsampling": (1, 1, 7, 9)}.get(kind, (1, 1, 8, 6))
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(9))


KINDS = ["circular", "valid", "reflect", "downsampling", "diagonal", "inpainting", "matrix", "mri"]


def everything(stack, x):
    leaf = x.clone().requires_grad_()
    y = stack.A(leaf)
    (gradient,) = torch.autograd.grad(list(y), leaf, [v.detach() for v in y])
    return [*[v.detach() for v in stack.A(x)], stack.A_vjp(x, [v.detach() for v in y]), stack.A_adjoint_A(x), gradient]


def equal(a, b, tolerance=1e-9):
    return all(torch.allclose(p, q, rtol=tolerance, atol=tolerance) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_stacks_follow_a_change_in_place_on_one_rank(ctx, kind):
    x = image_for(kind)
    tensors = [tensors_of(kind, i) for i in range(3)]
    stack = adjoin.DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: make(kind, tensors[i]))
    for _ in range(2):
        fresh = adjoin.DistributedStackedLinearPhysics(
            ctx, 3, lambda i, device, shared: make(kind, [t.clone() for t in tensors[i]])
        )
        assert equal(everything(stack, x), everything(fresh, x))
        for t in tensors[1]:  # all ranks have it, one uses it
            t.mul_(2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_inference_mode_first_and_training_after(ctx, kind):
    x = image_for(kind)
    tensors = [tensors_of(kind, i) for i in range(2)]
    stack = adjoin.DistributedStackedLinearPhysics(ctx, 2, lambda i, device, shared: make(kind, tensors[i]))
    with torch.inference_mode():
        y = stack.A(x)
        stack.A_vjp(x, list(y)), stack.A_adjoint_A(x), stack.forward(x)
    fresh = adjoin.DistributedStackedLinearPhysics(ctx, 2, lambda i, device, shared: make(kind, tensors[i]))
    assert equal(everything(stack, x), everything(fresh, x))


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_changes_nothing_and_takes_half_precision(ctx, kind):
    x = image_for(kind, torch.float32)
    tensors = [[t.to(torch.complex64 if t.is_complex() else torch.float32) for t in tensors_of(kind, i)] for i in range(2)]
    stack = adjoin.DistributedStackedLinearPhysics(ctx, 2, lambda i, device, shared: make(kind, tensors[i]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = stack.A(x)
        under = [*y, stack.A_vjp(x, list(y)), stack.A_adjoint_A(x)]
        half = make(kind, tensors[0]).A(x.bfloat16())
        assert make(kind, tensors[0]).A_vjp(x, half).shape == x.shape
    y = stack.A(x)
    assert equal(under, [*y, stack.A_vjp(x, list(y)), stack.A_adjoint_A(x)], 0.0)
    assert half.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_four_threads_get_the_results_of_one(kind):
    operator = make(kind, tensors_of(kind, 0))
    x = image_for(kind)
    images = [torch.cat([x[:1]] * n) for n in (1, 2, 3, 4, 5, 6)]
    fresh = make(kind, tensors_of(kind, 0))
    right = [(fresh.A(z), fresh.A_adjoint_A(z)) for z in images]

    def work(thread):
        order = [(5 * i + thread) % len(images) for i in range(60)]
        return all(equal((operator.A(images[k]), operator.A_adjoint_A(images[k])), right[k]) for k in order)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_four_threads_get_the_results_of_one_of_sums_and_products():
    a, b = (Matrix(torch.randn(4, 4, dtype=DOUBLE)) for _ in range(2))
    images = [torch.randn(n, 4, dtype=DOUBLE) for n in range(1, 7)]
    makers = [lambda: a + b, lambda: a - 2.0 * b, lambda: a * b, lambda: (a * b).T, lambda: 3.0 * a.T]
    for make_one in makers:
        right = [(make_one().A(x), make_one().A_adjoint_A(x), make_one().compute_sqnorm(x[:1])) for x in images]
        shared = make_one()

        def work(thread, shared=shared, right=right):
            order = [(5 * i + thread) % len(images) for i in range(30)]
            found = ((shared.A(images[k]), shared.A_adjoint_A(images[k]), shared.compute_sqnorm(images[k][:1])) for k in order)
            return all(equal(f[:2], right[k][:2]) and f[2] == right[k][2] for f, k in zip(found, order, strict=True))

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(4)))


def test_other_threads_of_python_work_while_an_operator_computes():
    """One of C++, without the interpreter's lock; one of Python has it."""
    blur, x = Blur(torch.rand(1, 1, 31, 31), padding="valid", method="direct"), torch.rand(1, 1, 3072, 3072)
    ticks, over = [], threading.Event()

    def tick():
        while not over.wait(0.005):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    longest = 0
    for _ in range(10):
        start = time.monotonic()
        blur.A(x)
        end = time.monotonic()
        if end - start > 0.05:
            longest = max(longest, sum(start < moment < end for moment in ticks[:]))
    over.set()
    thread.join()
    assert longest >= 3


def test_angles_are_copied():
    angles, x = torch.tensor([0.0, 40.0, 80.0]), torch.rand(1, 1, 8, 8)
    scan = Tomography(angles, (8, 8))
    right = scan.A(x)
    angles.mul_(2)
    assert torch.equal(scan.A(x), right) and torch.equal(scan.A_adjoint_A(x), scan.A_adjoint(right))


OUT_OF_MEMORY = """
import resource, torch
from adjoin.physics import Blur, Matrix, MultiCoilMRI, gaussian_kernel
torch.set_num_threads(1)
x = torch.rand(1, 1, 900, 900)
operators = [
    (Blur(gaussian_kernel((2.0, 2.0), size=[900, 900]), padding="circular"), x),
    (Blur(gaussian_kernel((2.0, 2.0), size=[31, 31]), padding="reflect", method="fft"), x),
    (MultiCoilMRI(torch.ones(900, 900), torch.randn(1, 2, 900, 900, dtype=torch.complex64)), x.to(torch.complex64)),
    (Matrix(torch.rand(900, 900)), torch.rand(900, 900)),
]
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
failures = 0
for operator, image in operators:
    calls = [lambda: operator.A(image), lambda: operator.A_adjoint_A(image)]
    for more in range(0, 24, 3):  # memory ends at ever later places of the first calls
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (more << 20), hard))
        for call in calls:
            try:
                call()
            except (RuntimeError, MemoryError) as error:
                failures += 1
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    fresh = type(operator)(**operator.recipe()[2])
    for method in ("A", "A_adjoint_A"):
        assert torch.equal(getattr(operator, method)(image), getattr(fresh, method)(image)), (operator, method)
assert failures > 8, failures
print("right")
"""


def test_memory_that_runs_out_in_the_middle_leaves_operators_as_they_were(ctx):
    if ctx.world_size > 1:
        pytest.skip("operators know no ranks")
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "right\n", done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["circular", "diagonal", "matrix"])
def test_a_change_in_place_before_the_backward_pass_raises_on_all_ranks(ctx, kind):
    tensors = [tensors_of(kind, i) for i in range(3)]
    stack = adjoin.DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: make(kind, tensors[i]))
    calls = (
        lambda t: sum(v.sum() for v in stack.A(t)),
        lambda t: stack.A_adjoint_A(t).sum(),
        lambda t: stack.A_adjoint([t, t, t]).sum() if kind != "matrix" else stack.A_adjoint_A(t).sum(),
    )
    for call in calls:
        x = image_for(kind).requires_grad_()
        value = call(x)
        tensors[1][0].mul_(2.0)  # an operator of one rank
        with pytest.raises(RuntimeError, match="in place"):
            value.backward()
        call(x).backward()
        assert torch.isfinite(x.grad).all()


def test_downsampling_names_what_is_missing(ctx):
    stack = adjoin.DistributedStackedLinearPhysics(
        ctx, 2, lambda i, device, shared: Downsampling(torch.ones(1, 1, 3, 3, dtype=DOUBLE), 2)
    )
    x = image_for("downsampling")
    y = stack.A(x)
    assert stack.A_vjp(x, list(y)).shape == x.shape
    assert stack.prox_l2(x, list(y), 1.0).shape == x.shape
    assert stack.A_dagger(list(y), "LSQR", init=torch.zeros_like(x), local_only=False).shape == x.shape
    for call in (lambda: stack.A_adjoint(list(y)), lambda: stack.A_dagger(list(y), "CG", local_only=False)):
        with pytest.raises(RuntimeError, match="image_size"):
            call()
    operator = Downsampling(torch.ones(1, 1, 3, 3, dtype=DOUBLE), 2)
    assert torch.equal(operator.A_adjoint_for(y[0], x), operator.A_vjp(x, y[0]))
