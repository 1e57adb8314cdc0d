# SPDX-License-Identifier: BSD-3-Clause
"""Ranks whom no launcher watches, and none ends: what each of them hears of one that leaves, is lost, fails or is late."""

import signal
import subprocess
import sys

import pytest

LIMIT = 90  # seconds

# The program becomes ranks, as torchrun starts them, and tells how each ended.
PRELUDE = """
import os, signal, socket, sys, threading, time
import torch, torch.distributed as dist
import adjoin

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def become(size):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(port), WORLD_SIZE=str(size), LOCAL_WORLD_SIZE=str(size))
    ranks = {}
    for rank in range(size):
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            return
        ranks[pid] = rank
    for _ in range(size):
        pid, status = os.wait()
        say("rank", ranks[pid], "ended with", os.waitstatus_to_exitcode(status))
    os._exit(0)

class Scaling:
    def __init__(self, factor):
        self.factor = factor
    def A(self, x, **kwargs):
        return self.factor * x
    def A_adjoint(self, y, **kwargs):
        return self.factor * y

def stack_of(ctx, **options):
    return adjoin.DistributedStackedLinearPhysics(ctx, 4, lambda i, device, shared: Scaling(1.0 + i), **options)

def caught(call):
    start = time.monotonic()
    try:
        call()
    except Exception as error:
        return error, time.monotonic() - start
    return None, time.monotonic() - start
"""


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)


def run(body, size=2):
    """The lines that the ranks of a program said, sorted."""
    program = PRELUDE + f"\nbecome({size})\n" + body
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = sorted(done.stdout.splitlines())
    print(*lines, done.stderr, sep="\n")
    return lines


# How rank 2 goes while the others wait for it: what they raise, and how it ends.
GONE = {
    "the end of the context": ("ctx.__exit__(None, None, None); time.sleep(2)", "CallDisagreement", 0),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", "CommunicationError", -signal.SIGKILL),
    "the end of the program": ("sys.exit()", "CallDisagreement", 0),
    "sys.exit(3)": ("sys.exit(3)", "CallDisagreement", 3),
    "an exception": ("raise ValueError('only here')", "CallDisagreement", 1),
    "os._exit(0)": ("os._exit(0)", "CommunicationError", 0),
}


@pytest.mark.parametrize("sharing", ["automatic", "off"])
@pytest.mark.parametrize("way", GONE)
def test_who_waits_for_a_rank_that_is_gone_hears_which_and_how(way, sharing):
    what, error, code = GONE[way]
    body = f"""
ctx = adjoin.DistributedContext(device_mode="cpu", shared_memory="{sharing}").__enter__()
stack = stack_of(ctx)
x = torch.ones(1, 1, 8, 8)
y = stack.A(x)
if ctx.rank == 2:
    time.sleep(0.3)
    {what}
else:
    error, seconds = caught(lambda: [stack.A_adjoint(y) for _ in range(10**9)])
    left = isinstance(error, adjoin.CallDisagreement) and [entry["left"] for entry in error.entries]
    again, _ = caught(lambda: stack.A_adjoint(y))
    say("heard", type(error).__name__, left, "rank 2" in str(error), seconds < 10, type(again).__name__)
"""
    lines = run(body, 3)
    left = [False, False, True] if error == "CallDisagreement" else False
    assert lines[:2] == [f"heard {error} {left} True True CommunicationError"] * 2
    assert lines[2:] == ["rank 0 ended with 0", "rank 1 ended with 0", f"rank 2 ended with {code}"]


@pytest.mark.parametrize("sharing", ["automatic", "off"])
def test_the_lowest_rank_that_failed_is_named(sharing):
    body = f"""
with adjoin.DistributedContext(device_mode="cpu", shared_memory="{sharing}") as ctx:
    stack = stack_of(ctx)
    x = torch.ones(1, 1, 8, 8)
    factors = [operator.factor for operator in stack.local_physics]
    if ctx.rank > 0:
        for operator in stack.local_physics:
            operator.factor = None
    error, _ = caught(lambda: stack.A_adjoint_A(x))
    if ctx.rank == 0:
        say(type(error).__name__, error.rank, error.operator_index)
    for operator, factor in zip(stack.local_physics, factors):
        operator.factor = factor
    say(stack.A_adjoint_A(x).unique().tolist())
"""
    lines = run(body, 3)
    assert lines[:4] == ["RankFailure 1 1"] + ["[30.0]"] * 3


def test_how_long_leaving_takes():
    """Among ranks that share memory it waits for nobody; else for the timeout and two seconds, or about one."""
    body = """
for sharing, at_once, timeout, late in (("in_pieces", False, 20.0, 1), ("off", False, 2.0, 6), ("off", True, 20.0, 3)):
    ctx = adjoin.DistributedContext(device_mode="cpu", shared_memory=sharing, timeout=timeout).__enter__()
    ctx.barrier()
    start = time.monotonic()
    if ctx.rank == 0:
        ctx.communicator.leave(at_once)
        say(f"{sharing} {at_once}: {time.monotonic() - start:.2f}")
    time.sleep(max(0.0, start + late - time.monotonic()))
    ctx.__exit__(None, None, None)
os._exit(0)
"""
    seconds = {line.split(": ")[0]: float(line.split(": ")[1]) for line in run(body) if ": " in line}
    assert seconds["in_pieces False"] < 0.5
    assert 1.9 < seconds["off False"] < 5.5
    assert 0.5 < seconds["off True"] < 2.0


@pytest.mark.parametrize("sharing", ["automatic", "off"])
def test_who_waits_for_a_message_of_a_rank_that_does_not_send_it(sharing):
    body = f"""
for how in ("late", "left"):
    ctx = adjoin.DistributedContext(device_mode="cpu", shared_memory="{sharing}", timeout=2.0).__enter__()
    ctx.barrier()
    start = time.monotonic()
    if ctx.rank == 0:
        error, seconds = caught(lambda: ctx.recv(torch.ones(3), 1))
        say(how, type(error).__name__, how == "left" or seconds > 1.5, seconds < 3.8)
    elif how == "left":
        ctx.communicator.leave(True)
    time.sleep(max(0.0, start + 4 - time.monotonic()))
    ctx.__exit__(None, None, None)
os._exit(0)
"""
    assert run(body)[:2] == ["late CommunicationError True True", "left CommunicationError True True"]


def test_who_waits_lets_other_threads_of_python_work():
    body = """
for sharing in ("automatic", "off"):
    with adjoin.DistributedContext(device_mode="cpu", shared_memory=sharing) as ctx:
        stack, x = stack_of(ctx), torch.ones(1, 1, 8, 8)
        ticks = []
        def tick():
            while not ticks or ticks[-1] is not None:
                ticks.append(1)
                time.sleep(0.01)
        threading.Thread(target=tick, daemon=True).start()
        ctx.barrier()
        before = len(ticks)
        if ctx.rank == 1:
            time.sleep(1)
        stack.A_adjoint_A(x)
        worked = len(ticks) - before
        if ctx.rank == 0:
            say(sharing, worked > 20)
        ticks.append(None)
"""
    assert run(body)[:2] == ["automatic True", "off True"]


def test_process_groups():
    """That which a context makes ends with it unless it shall not, waits for ten minutes, and may be used besides."""
    body = """
for cleanup in (False, True):
    with adjoin.DistributedContext(device_mode="cpu", cleanup=cleanup) as ctx:
        timeout = dist.group.WORLD._get_backend(torch.device("cpu")).options._timeout.total_seconds()
        stack, x = stack_of(ctx), torch.ones(1, 1, 8, 8)
        for k in range(5):
            own = torch.full((3,), float(ctx.rank))
            dist.all_reduce(own)
            assert own.tolist() == [1.0] * 3
            assert torch.equal(stack.A_adjoint_A(x), 30 * x)
    say(timeout, cleanup, dist.is_initialized())
    if not cleanup:
        dist.destroy_process_group()
"""
    assert run(body)[:4] == ["600.0 False True"] * 2 + ["600.0 True False"] * 2


@pytest.mark.parametrize("sharing", ["automatic", "off"])
def test_some_of_the_ranks_work_together_while_others_do_something_else(sharing):
    body = f"""
with adjoin.DistributedContext(device_mode="cpu", shared_memory="{sharing}") as ctx:
    some = dist.new_group([0, 2])
    if ctx.rank != 1:
        with adjoin.DistributedContext(device_mode="cpu", shared_memory="{sharing}", comm=some) as pair:
            stack = stack_of(pair)
            for size in (3, 400_000):
                x = torch.ones(1, size)
                assert torch.equal(stack.A_adjoint_A(x), 30 * x) and torch.equal(stack.A(x)[3], 4 * x)
            say("rank", ctx.rank, "is", pair.rank, "of", pair.world_size)
    else:
        time.sleep(0.5)
    assert ctx.all_reduce(torch.ones(1)) == 3
"""
    assert [line for line in run(body, 3) if " is " in line] == ["rank 0 is 0 of 2", "rank 2 is 1 of 2"]


def test_large_results_are_shared_with_forked_children_alone():
    """They are the rank's own; and what the ranks share are files without names, which end with them."""
    body = """
with adjoin.DistributedContext(device_mode="cpu", shared_memory="in_place") as ctx:
    stack, x = stack_of(ctx), torch.ones(1, 1, 400, 400)
    for _ in range(3):
        result, small = stack.A_adjoint_A(x), stack.A_adjoint_A(x[..., :8, :8])
    child = os.fork()
    if child == 0:
        if ctx.rank == 0:
            result.fill_(-1)
            small.fill_(-1)
        os._exit(0)
    os.waitpid(child, 0)
    ctx.barrier()
    say(ctx.rank, "large", result.unique().tolist(), "small", small.unique().tolist())
    maps = [line for line in open("/proc/self/maps") if "adjoin" in line and line.split()[1].endswith("s")]
    say("shared", len(maps) > 0 and all("/memfd:adjoin (deleted)" in line for line in maps))
"""
    lines = run(body)
    assert lines[:2] == ["0 large [-1.0] small [30.0]", "1 large [30.0] small [30.0]"]
    assert lines[-2:] == ["shared True"] * 2
