# SPDX-License-Identifier: BSD-3-Clause
"""The context's collectives: torch's names, right values with every engine, and calls that do not belong together."""

import datetime
import inspect
import os
import threading
import time

import pytest
import torch

import adjoin
from adjoin import CallDisagreement, DistributedContext, InvalidArgument
from adjoin.physics import Blur, Diagonal


def of_rank(rank, *shape):
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape) + 100.0 * rank


def everyone(ctx, *shape):
    return torch.stack([of_rank(r, *shape) for r in range(ctx.world_size)])


@pytest.mark.parametrize("op", ["sum", "mean", "max", torch.distributed.ReduceOp.MIN])
def test_reduce(ctx, op):
    total = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}.get(op, torch.amin)(everyone(ctx, 2, 3), 0)
    assert torch.equal(ctx.all_reduce(of_rank(ctx.rank, 2, 3), op), total)
    for dst in range(ctx.world_size):
        tensor = of_rank(ctx.rank, 2, 3)
        ctx.reduce(tensor, dst, op)
        assert torch.equal(tensor, total if ctx.rank == dst else of_rank(ctx.rank, 2, 3))


def test_gathers(ctx):
    mine, everything = of_rank(ctx.rank, 2, 3), everyone(ctx, 2, 3)
    parts = [torch.empty(2, 3) for _ in range(ctx.world_size)]
    ctx.all_gather(parts, mine)
    assert torch.equal(torch.stack(parts), everything)
    for shape in [(ctx.world_size, 2, 3), (2 * ctx.world_size, 3)]:
        output = torch.empty(shape)
        ctx.all_gather_into_tensor(output, mine)
        assert torch.equal(output, everything.reshape(shape))
    for dst in range(ctx.world_size):
        parts = [torch.zeros(2, 3) for _ in range(ctx.world_size)]
        ctx.gather(mine, parts if ctx.rank == dst else None, dst)
        assert torch.equal(torch.stack(parts), everything if ctx.rank == dst else torch.zeros_like(everything))


def test_scatters(ctx):
    parts = [of_rank(ctx.rank, 2) + 10 * r for r in range(ctx.world_size)]
    for src in range(ctx.world_size):
        output = torch.empty(2)
        ctx.scatter(output, parts if ctx.rank == src else None, src)
        assert torch.equal(output, of_rank(src, 2) + 10 * ctx.rank)
    total = everyone(ctx, 2).sum(0) + 10 * ctx.rank * ctx.world_size
    output = torch.empty(2)
    ctx.reduce_scatter(output, parts)
    assert torch.equal(output, total)
    ctx.reduce_scatter_tensor(output, torch.cat(parts))
    assert torch.equal(output, total)


def test_all_to_all(ctx):
    def sent(source, target):
        return torch.full((source + 2 * target,), float(10 * source + target))

    ranks = range(ctx.world_size)
    outputs = [torch.empty(r + 2 * ctx.rank) for r in ranks]
    ctx.all_to_all(outputs, [sent(ctx.rank, r) for r in ranks])
    assert all(torch.equal(outputs[r], sent(r, ctx.rank)) for r in ranks)
    output = torch.empty(sum(r + 2 * ctx.rank for r in ranks))
    sizes = [r + 2 * ctx.rank for r in ranks], [ctx.rank + 2 * r for r in ranks]
    ctx.all_to_all_single(output, torch.cat([sent(ctx.rank, r) for r in ranks]), *sizes)
    assert torch.equal(output, torch.cat([sent(r, ctx.rank) for r in ranks]))
    output = torch.empty(2 * ctx.world_size)
    ctx.all_to_all_single(output, torch.arange(2.0 * ctx.world_size) + 100 * ctx.rank)
    assert output.tolist() == [100 * r + 2 * ctx.rank + i for r in ranks for i in range(2)]


def test_messages_between_two_ranks(ctx):
    if ctx.world_size == 1:
        with pytest.raises(InvalidArgument, match="rank"):
            ctx.send(torch.ones(2), 0)
        return
    if ctx.rank == 0:
        ctx.send(of_rank(7, 3).double(), 1)
        ctx.send(of_rank(8, 3), 1, tag=5)
    elif ctx.rank == 1:
        first, second = torch.empty(3, dtype=torch.float64), torch.empty(3)
        assert ctx.recv(first, 0) == 0
        assert ctx.recv(second, tag=5) == 0
        assert torch.equal(first, of_rank(7, 3).double()) and torch.equal(second, of_rank(8, 3))


def test_objects(ctx):
    mine = {"rank": ctx.rank, "tensor": of_rank(ctx.rank, 2)}
    ranks = range(ctx.world_size)
    values = [None] * ctx.world_size
    ctx.all_gather_object(values, mine)
    assert [value["rank"] for value in values] == list(ranks)
    for root in ranks:
        values = [mine, ctx.rank]
        ctx.broadcast_object_list(values, root)
        assert values[0]["rank"] == values[1] == root
        values = [None] * ctx.world_size
        ctx.gather_object(ctx.rank, values if ctx.rank == root else None, root)
        assert values == (list(ranks) if ctx.rank == root else [None] * ctx.world_size)
        output = [None]
        ctx.scatter_object_list(output, [10 * root + r for r in ranks] if ctx.rank == root else None, root)
        assert output == [10 * root + ctx.rank]


IN_PLACE = {
    "all_reduce": lambda ctx, t: ctx.all_reduce(t),
    "broadcast": lambda ctx, t: ctx.broadcast(t, ctx.world_size - 1),
    "reduce": lambda ctx, t: [ctx.reduce(t, dst) for dst in range(ctx.world_size)],
    "all_gather_into_tensor": lambda ctx, t: ctx.all_gather_into_tensor(t, t[: 12 // ctx.world_size].detach().clone()),
    "scatter": lambda ctx, t: ctx.scatter(t, [torch.ones_like(t)] * ctx.world_size),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_collectives_count_as_changes_in_place_and_take_no_part_in_autograd(ctx, name):
    change = IN_PLACE[name]
    weights = torch.arange(12.0) + ctx.rank
    operator, blur = Diagonal(weights), Blur(weights[:9].reshape(1, 1, 3, 3), padding="circular", method="fft")
    x, image = torch.ones(1, 12), torch.ones(1, 1, 8, 8)
    operator.A_dagger(x), blur.A(image)
    change(ctx, weights)
    assert torch.equal(operator.A_dagger(x), Diagonal(weights.clone()).A_dagger(x))
    assert torch.allclose(blur.A(image), torch.full((1, 1, 8, 8), weights[:9].sum().item()))

    leaf = torch.ones(12, requires_grad=True)
    changed = 2 * leaf
    saved = (changed * changed).sum()
    change(ctx, changed.detach())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.backward()
    if name in ("all_reduce", "broadcast"):
        changed = 2 * leaf
        change(ctx, changed)
        ctx.communicator.reset_counters()
        (gradient,) = torch.autograd.grad(changed.sum(), leaf)
        assert torch.equal(gradient, torch.full((12,), 2.0))
        assert ctx.communicator.counters["collectives"] == 0
    with torch.inference_mode():
        change(ctx, torch.ones(12))


def test_received_messages_count_as_changes_in_place(ctx):
    weights = torch.ones(3)
    operator = Diagonal(weights)
    operator.A_dagger(torch.ones(1, 3))
    if ctx.rank == 0 and ctx.world_size > 1:
        ctx.send(torch.full((3,), 2.0), 1)
    elif ctx.rank == 1:
        ctx.recv(weights, 0)
        assert torch.equal(operator.A_dagger(torch.ones(1, 3)), torch.full((1, 3), 0.5))


def test_minima_and_maxima_pass_NaN_on(ctx):
    communicator = ctx.communicator
    nan = torch.tensor(float("nan"))
    for dtype in [torch.float32, torch.float64, torch.float16, torch.bfloat16]:
        for size in [4, 3000]:
            for op, value in [("min", 0.0), ("max", ctx.world_size - 1.0)]:
                tensor = torch.full((size,), float(ctx.rank), dtype=dtype)
                tensor[1] = nan if ctx.rank == 0 else -torch.inf
                tensor[2] = -nan if ctx.rank == ctx.world_size - 1 else torch.inf
                tensor[3] = -torch.inf if op == "min" else torch.inf
                communicator.all_reduce(tensor, op)
                assert tensor[0] == value and tensor[1].isnan() and tensor[2].isnan()
                assert tensor[3] == (-torch.inf if op == "min" else torch.inf)


def test_names_that_are_not_there_say_so(ctx):
    with pytest.raises(AttributeError, match="nonsense"):
        ctx.nonsense()
    if ctx.engine == "c10d":
        assert ctx.is_initialized()
    else:
        with pytest.raises(AttributeError, match="process group"):
            ctx.new_group()
    assert ctx.get_rank() == ctx.rank and ctx.get_world_size() == ctx.world_size
    assert ctx.get_backend() == {"c10d": "gloo"}.get(ctx.engine, ctx.engine)


UNLIKE = {
    "dtypes": lambda ctx, odd: ctx.all_reduce(torch.ones(2, dtype=torch.double if odd else torch.float)),
    "lengths": lambda ctx, odd: ctx.all_reduce(torch.ones(3 if odd else 2)),
    "shapes": lambda ctx, odd: ctx.broadcast(torch.ones((3, 2) if odd else (2, 3))),
    "operations": lambda ctx, odd: ctx.all_reduce(torch.ones(2), "max" if odd else "sum"),
    "roots": lambda ctx, odd: ctx.reduce(torch.ones(2), 1 if odd else 0),
    "methods": lambda ctx, odd: ctx.barrier() if odd else ctx.all_reduce(torch.ones(2)),
    "objects": lambda ctx, odd: ctx.broadcast_object(1) if odd else ctx.all_gather_object([], 1),
    "types": lambda ctx, odd: ctx.all_reduce("text" if odd else torch.ones(2)),
    "names of operations": lambda ctx, odd: ctx.all_reduce(torch.ones(2), "nonsense" if odd else "sum"),
    "lists": lambda ctx, odd: ctx.gather(torch.ones(2), [], 1 if odd else 5),
    "pickles": lambda ctx, odd: ctx.all_gather_object([], (lambda: 0) if odd else 1),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_unlike_calls_are_an_error_on_all_ranks(ctx, what):
    if ctx.world_size == 1:
        return
    for odd in range(ctx.world_size):
        with pytest.raises(Exception) as caught:
            UNLIKE[what](ctx, ctx.rank == odd)
        own = what in ("types", "names of operations", "lists", "pickles") and not isinstance(caught.value, CallDisagreement)
        assert own or len(caught.value.entries) == ctx.world_size
        assert ctx.all_reduce(torch.ones(1)).item() == ctx.world_size


def test_entered_calls_are_compared(ctx):
    if ctx.world_size == 1:
        return
    with pytest.raises(CallDisagreement, match="solve 1.*solve 2") as caught, ctx.communicator.call(f"solve {min(ctx.rank, 1) + 1}"):
        ctx.all_reduce(torch.ones(1))
    assert [entry["call"] for entry in caught.value.entries][:2] == ["solve 1", "solve 2"]
    with pytest.raises(CallDisagreement) as caught, ctx.communicator.call("solve", ctx.rank):
        ctx.barrier()
    assert [entry["fingerprint"] for entry in caught.value.entries] == list(range(ctx.world_size))
    with pytest.raises(CallDisagreement, match="not today") as caught, ctx.communicator.call("solve"):
        if ctx.rank == 0:
            ctx.communicator.refuse("not today")
        ctx.barrier()
    assert [entry["refusal"] for entry in caught.value.entries] == ["not today"] + [""] * (ctx.world_size - 1)
    ctx.barrier()


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), datetime.timedelta(0)])
def test_a_timeout_must_be_positive(timeout):
    with pytest.raises(InvalidArgument, match="timeout"):
        DistributedContext(timeout=timeout)


def test_the_choice_of_sharing_is_checked_and_shown(ctx):
    with pytest.raises(InvalidArgument, match="shared_memory.*in_pieces.*'nonsense'"):
        with DistributedContext(shared_memory="nonsense"):
            pass
    if ctx.engine == "single":
        return
    for sharing in ["in_place", "in_pieces", "off"]:
        with DistributedContext(device_mode="cpu", shared_memory=sharing) as other:
            assert other.all_reduce(torch.ones(100_000))[-1] == ctx.world_size
            assert sharing == "off" or f"shared memory ({sharing}" in repr(other)
            assert sharing != "off" or "shared memory" not in repr(other)


def test_the_environment_chooses_what_is_automatic(ctx, monkeypatch):
    if ctx.engine == "single":
        return
    monkeypatch.setenv("ADJOIN_SHARED_MEMORY", "off")
    with DistributedContext(device_mode="cpu") as other:
        assert "shared memory" not in repr(other)
        assert other.all_reduce(torch.ones(3))[0] == ctx.world_size
    monkeypatch.setenv("ADJOIN_SHARED_MEMORY", "in_pieces")
    monkeypatch.setenv("ADJOIN_STORES", "streamed")
    with DistributedContext(device_mode="cpu") as other:
        assert other.world_size == 1 or "shared memory (in_pieces; stores streamed)" in repr(other)
        assert other.all_reduce(torch.ones(100_000))[-1] == ctx.world_size
    monkeypatch.setenv("ADJOIN_STORES", "nonsense")
    with pytest.raises(InvalidArgument, match="ADJOIN_STORES"):
        adjoin.DistributedContext(device_mode="cpu").__enter__()
    monkeypatch.setenv("ADJOIN_STORES", "")
    monkeypatch.setenv("ADJOIN_SHARED_MEMORY", "nonsense")
    with pytest.raises(InvalidArgument, match="ADJOIN_SHARED_MEMORY"):
        adjoin.DistributedContext(device_mode="cpu").__enter__()
    monkeypatch.setenv("ADJOIN_SHARED_MEMORY", "")
    monkeypatch.setenv("ADJOIN_TIMEOUT", "soon")
    with pytest.raises(InvalidArgument, match="ADJOIN_TIMEOUT"):
        adjoin.DistributedContext(device_mode="cpu").__enter__()


@pytest.mark.parametrize(
    ("variable", "usual", "odd"),
    [
        ("ADJOIN_SHARED_MEMORY", "off", "in_place"),
        ("ADJOIN_SHARED_MEMORY", "off", "nonsense"),
        ("ADJOIN_STORES", "cached", "streamed"),
        ("ADJOIN_TIMEOUT", "60", "61"),
        ("ADJOIN_TIMEOUT", "60", "soon"),
    ],
)
def test_unlike_or_wrong_settings_of_one_rank_are_one_error_on_all(ctx, monkeypatch, variable, usual, odd):
    monkeypatch.setenv(variable, odd if ctx.rank == ctx.world_size - 1 else usual)
    start = time.monotonic()
    text = ""
    try:
        with DistributedContext(device_mode="cpu") as other:
            assert other.all_reduce(torch.ones(1)) == 1
    except InvalidArgument as error:
        text = str(error)
    texts = [None] * ctx.world_size
    ctx.all_gather_object(texts, text)
    assert time.monotonic() - start < 10
    assert set(texts) == {text}
    if ctx.world_size > 1:
        assert odd in text and str(ctx.world_size - 1) in text
    else:
        assert not text  # one process shares nothing and waits for nobody


def test_a_process_group_or_a_communicator_of_mpi4py_in_place_of_all(ctx):
    if ctx.engine == "c10d":
        import torch.distributed as dist

        alone = [dist.new_group([r]) for r in range(ctx.world_size)][ctx.rank]
        with DistributedContext(device_mode="cpu", comm=alone) as other:
            assert other.world_size == 1
        with DistributedContext(device_mode="cpu", comm=dist.new_group()) as other:
            assert other.all_reduce(torch.ones(1)) == ctx.world_size
    if ctx.engine == "mpi":
        mpi4py = pytest.importorskip("mpi4py.MPI")
        with DistributedContext(device_mode="cpu", comm=mpi4py.COMM_SELF) as other:
            assert other.world_size == 1
        with DistributedContext(device_mode="cpu", comm=mpi4py.COMM_WORLD.Split(0, -ctx.rank)) as other:
            assert other.rank == ctx.world_size - 1 - ctx.rank
            assert other.all_reduce(torch.ones(1)) == ctx.world_size


def test_a_context_that_has_ended_says_so(ctx):
    with DistributedContext(device_mode="cpu") as other:
        other.barrier()
    if other.world_size > 1:
        with pytest.raises(adjoin.CommunicationError, match="ended"):
            other.barrier()


def test_ranks_know_where_they_are(ctx):
    assert ctx.local_world_size == int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") or os.environ.get("LOCAL_WORLD_SIZE") or 1)
    assert ctx.local_rank == ctx.rank


# ---- Arguments and settings ---------------------------------------------------------------------------------------


def test_collectives_have_the_names_and_arguments_of_torch():
    """In its order; but no group, no device and nothing asynchronous."""
    for name in (
        "all_reduce reduce broadcast all_gather all_gather_into_tensor reduce_scatter reduce_scatter_tensor gather scatter "
        "all_to_all all_to_all_single send recv all_gather_object gather_object scatter_object_list broadcast_object_list barrier"
    ).split():
        ours = list(inspect.signature(getattr(DistributedContext, name)).parameters)[1:]
        theirs = [p for p in inspect.signature(getattr(torch.distributed, name)).parameters if p in ours]
        assert ours == theirs, name


def test_seeds(ctx):
    state = torch.get_rng_state()
    try:
        for offset in (True, False):
            with DistributedContext(device_mode="cpu", seed=7, seed_offset=offset):
                drawn = torch.rand(3)
            assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(7 + offset * ctx.rank)))
        torch.manual_seed(5)
        before = torch.get_rng_state()
        first, second = ctx.rand(2, 3), ctx.randn(2, 3, dtype=torch.complex64, seed=4)
        assert torch.equal(torch.get_rng_state(), before)  # torch's generator is left alone
        assert torch.equal(second, ctx.randn([2, 3], dtype=torch.complex64, seed=4))
        assert not torch.equal(first, ctx.rand(2, 3))
        for tensor in (first, second):
            assert all(torch.equal(other, tensor) for other in ctx.communicator.all_gather(tensor))
    finally:
        torch.set_rng_state(state)


def test_deterministic_algorithms_are_asked_for(ctx):
    assert not torch.are_deterministic_algorithms_enabled()
    try:
        with DistributedContext(device_mode="cpu", deterministic=True):
            assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_gpu_that_is_not_there_is_an_error(ctx):
    if torch.cuda.is_available() or ctx.engine == "c10d":  # where a process group would be asked for it
        pytest.skip("torch sees a GPU, or torch.distributed chooses it")
    with pytest.raises(InvalidArgument, match="device_mode: a GPU was asked for"):
        DistributedContext(device_mode="gpu").__enter__()


@pytest.mark.parametrize("how", ["off", "sampled", "full", None])
def test_the_environment_says_how_replicated_arguments_are_compared(ctx, monkeypatch, how):
    if how is None:
        monkeypatch.delenv("ADJOIN_CHECK_REPLICATED", raising=False)
    else:
        monkeypatch.setenv("ADJOIN_CHECK_REPLICATED", how)
    with DistributedContext(device_mode="cpu") as other:
        stack = adjoin.distribute([Diagonal(1.0 + i) for i in range(3)], other)
        x = torch.ones(1, 4)
        for factor, noticed in ((2.0, how != "off"), (1.0 + 1e-6, how == "full")):
            own = x * factor if ctx.rank == ctx.world_size - 1 else x
            if noticed and ctx.world_size > 1:
                with pytest.raises(adjoin.RankFailure, match="x must be equal on every rank") as caught:
                    stack.A_adjoint_A(own)
                assert caught.value.rank == ctx.world_size - 1
            else:
                stack.A_adjoint_A(own)
            assert torch.equal(stack.A_adjoint_A(x), 14 * x)  # the next call works


def test_how_arguments_are_compared_must_be_the_same_on_every_rank(ctx, monkeypatch):
    if ctx.world_size > 1:
        with pytest.raises(InvalidArgument, match="check_replicated: must be the same on every rank"):
            DistributedContext(device_mode="cpu", check_replicated="full" if ctx.rank == 0 else "off").__enter__()
    monkeypatch.setenv("ADJOIN_CHECK_REPLICATED", "nonsense")
    with pytest.raises(adjoin.Error, match="must be 'off', 'sampled' or 'full', got 'nonsense'"):
        DistributedContext(device_mode="cpu").__enter__()


def test_of_two_threads_that_make_collective_calls_at_once_one_raises(ctx):
    entered, release = threading.Event(), threading.Event()

    class Waiting:
        def A(self, x, **kwargs):
            entered.set()
            assert release.wait(30)
            return x

        A_adjoint = A

    stack = adjoin.DistributedStackedLinearPhysics(ctx, ctx.world_size, lambda i, device, shared: Waiting())
    results = []
    thread = threading.Thread(target=lambda: results.append(stack.A_adjoint_A(torch.ones(1, 2))))
    thread.start()
    assert entered.wait(30)
    try:
        if ctx.world_size > 1:
            for call in (ctx.barrier, lambda: ctx.all_reduce(torch.ones(2)), lambda: stack.A(torch.ones(1, 2))):
                with pytest.raises(adjoin.Error, match="thread"):
                    call()
    finally:
        release.set()
        thread.join(30)
    assert torch.equal(results[0], torch.full((1, 2), float(ctx.world_size)))
    assert ctx.all_reduce(torch.ones(1)) == ctx.world_size
