# SPDX-License-Identifier: BSD-3-Clause
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


# The most that conjugate gradients on slabs take on all ranks together, in images of 16 MiB. What ranks share is counted
# once; freed memory goes back, so that it is not counted.
SLABS = """
import ctypes
from adjoin.physics import Blur, Diagonal

N = 160
KINDS = {
    "weights": lambda i: Diagonal(1.0 + i),
    "blurs": lambda i: Blur(torch.rand(1, 1, 5, 5, 5), padding="circular", method="fft"),
}

class Peak(threading.Thread):
    def __init__(self):
        super().__init__()
        self.over, self.before, self.most = threading.Event(), self.now(), 0
    def now(self):
        with open("/proc/self/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
    def run(self):
        while not self.over.wait(0.001):
            self.most = max(self.most, self.now() - self.before)

with adjoin.DistributedContext(device_mode="cpu") as ctx, torch.no_grad():
    ctypes.CDLL(None).mallopt(-3, 1 << 20)  # M_MMAP_THRESHOLD
    stack = adjoin.DistributedStackedLinearPhysics(ctx, 8, lambda i, device, shared: KINDS[KIND](i))
    solve = lambda y: stack.A_dagger_sharded(y, max_iter=4, tol=0.0, axis=2)
    small = torch.rand(1, 1, 32, 32, 32)
    solve([small for _ in stack.local_indexes])
    y = [torch.rand(1, 1, N, N, N) for _ in stack.local_indexes]
    peak = Peak()
    ctx.barrier()
    peak.start()
    time.sleep(0.05)
    solve(y)
    ctx.barrier()
    peak.over.set()
    peak.join()
    images = torch.tensor([peak.most / (4 * N**3)], dtype=torch.float64)
    ctx.all_reduce(images)
    say("images", images.item())
"""


@pytest.mark.parametrize("kind", ["weights", "blurs"])
def test_a_further_rank_adds_its_partial_sum_to_a_solve_on_slabs(kind):
    """The spectra of blurs lie in it, so that they take no memory beside it. The first rank beside another also brings the
    image that all read, the sum that they read, and its own sum to that of the other."""
    peaks = [float(run(f"KIND = {kind!r}\n{SLABS}", ranks)[0].split()[1]) for ranks in (1, 2, 4)]
    assert peaks[2] - peaks[1] < 2 * 1.35, peaks
    assert peaks[1] - peaks[0] < 2.0 + 2 * 1.35, peaks
