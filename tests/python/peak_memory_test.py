"""Peaks of memory, in ranks that begin with none of it in reserve."""

import pytest
from unwatched_test import no_launcher, run

assert no_launcher  # a fixture of all tests here

# Resident memory that a call takes besides, in images of 4 MiB.
MEASURE = """
import ctypes
from adjoin.physics import Blur, Diagonal, MultiCoilMRI, gaussian_kernel

def status(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) * 1024

def images(call):
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before = status("VmRSS")
    call()
    return (status("VmHWM") - before) / 2**22

N = 48
x = torch.rand(1, 1, 1024, 1024)
maps = torch.randn(1, 1, 1024, 512, dtype=torch.complex64)
KINDS = {
    "blurs": (lambda i: Blur(gaussian_kernel((1.0 + 0.02 * i, 1.0)), padding="circular"), x),
    "coils": (lambda i: MultiCoilMRI(torch.ones(1024, 512), maps), maps),
    "weights": (lambda i: Diagonal(1.0 + i), x),
    "operators of Python": (lambda i: Scaling(1.0 + i), x),
}
"""


@pytest.mark.parametrize("kind", ["operators of Python", "coils", "blurs", "weights"])
def test_the_normal_operator_stores_no_measurements(kind):
    """Nor do conjugate gradients, whereas `A` has as many as the rank has operators, here 24."""
    body = f"""
with adjoin.DistributedContext(device_mode="cpu") as ctx:
    make, x = KINDS["{kind}"]
    stack = adjoin.DistributedStackedLinearPhysics(ctx, N, lambda i, device, shared: make(i))
    y = [t.clone() for t in stack.A(x, gather=False)]
    solve = lambda: stack.A_dagger(y, "CG", 3, 0.0, local_only=False)
    stack.A_adjoint_A(x), solve()
    say("images", images(lambda: stack.A_adjoint_A(x)), images(solve), images(lambda: stack.A(x, gather=False)))
"""
    for line in run(MEASURE + body)[:2]:
        normal, solve, measured = (float(number) for number in line.split()[1:])
        assert measured > 23
        assert normal < 12  # the memory of Python's own tensors is freed later, or sooner
        assert solve < 16


def test_a_first_normal_operator_of_blurs_takes_few_images():
    body = """
with adjoin.DistributedContext(device_mode="cpu") as ctx:
    make, x = KINDS["blurs"]
    stack = adjoin.DistributedStackedLinearPhysics(ctx, 8, lambda i, device, shared: make(i))
    stack.A_adjoint_A(torch.rand(1, 1, 64, 64))  # libraries are loaded
    x = torch.rand(1, 3, 1024, 1024)
    say("images", images(lambda: stack.A_adjoint_A(x)) / 3)
"""
    assert all(float(line.split()[1]) < 6 for line in run(MEASURE + body)[:2])


def test_freed_memory_is_kept_for_the_next_call():
    """Blocks of up to 32 MiB are, once there is a context: their pages need not be made anew."""
    body = """
import resource
def faults(call):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def work():
    for _ in range(10):
        torch.ones(5 << 20)  # 20 MiB, 5120 pages

before = faults(work)
with adjoin.DistributedContext(device_mode="cpu") as ctx:
    work()
    say("faults", before, min(faults(work) for _ in range(3)))
"""
    before, after = (int(number) for number in run(body, 1)[0].split()[1:])
    assert before > 10_000 and after < 1000
