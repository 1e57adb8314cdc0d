# SPDX-License-Identifier: BSD-3-Clause
"""adjoin.launch: ranks that are started from a running program."""

import os
import pathlib
import subprocess
import sys
import time

import pytest
import torch

import adjoin
from adjoin.physics import Diagonal


@pytest.fixture(autouse=True)
def alone(ctx):
    """In a process of its own: the tests' own context makes this one a rank."""
    if ctx.world_size > 1:
        pytest.skip("a rank does not launch")


def run(body):
    """A program, as text; what it prints."""
    program = "import os, sys, time, torch, adjoin\n" + body
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_ranks_work_together_and_their_results_come_back():
    out = run("""
from adjoin.physics import Diagonal
x = torch.rand(1, 1, 8, 8)
def solve(scale):  # as in a cell: nobody could import it
    with adjoin.DistributedContext(device_mode="cpu") as ctx:
        stack = adjoin.distribute([Diagonal(scale * (i + 1)) for i in range(4)], ctx)
        print(f"rank {ctx.rank} of {ctx.world_size} with {ctx.engine}")
        print("to stderr", file=sys.stderr)
        return ctx.rank, stack.local_indexes, stack.A_adjoint_A(x)
results = adjoin.launch(solve, 1.0, ranks=2)
assert [rank for rank, _, _ in results] == [0, 1]
assert sorted(sum((indexes for _, indexes, _ in results), [])) == [0, 1, 2, 3]
assert all(torch.allclose(normal, 30 * x) for _, _, normal in results)
assert len(solve(1.0)) == len(adjoin.launch(solve, 1.0, ranks=3)) == 3 and "RANK" not in os.environ
""")
    assert sorted(out.splitlines()) == [
        "rank 0 of 1 with single",
        *(f"rank {rank} of {ranks} with c10d" for rank in range(3) for ranks in (2, 3) if rank < ranks),
    ]


def test_a_rank_that_fails_dies_or_is_late_is_named():
    out = run("""
def program(what):
    with adjoin.DistributedContext(device_mode="cpu") as ctx:
        if ctx.rank == 1:
            what()
        ctx.all_reduce(torch.ones(1))
def fail():
    raise KeyError("no such thing")
for function, argument, timeout in ((program, fail, None), (program, lambda: os._exit(7), None), (time.sleep, 60, 2.0)):
    start = time.monotonic()
    try:
        adjoin.launch(function, argument, timeout=timeout)
    except adjoin.Error as error:
        print(str(error).splitlines()[0], "|", str(error).splitlines()[-1], time.monotonic() - start < 30)
""")
    assert out.splitlines() == [
        "launch: rank 1 failed: | KeyError: 'no such thing' True",
        " | ".join(["launch: rank 1 ended with exit code 7 and no result"] * 2) + " True",
        " | ".join(["launch: ranks [0, 1] did not end within 2.0 s"] * 2) + " True",
    ]


def test_arguments_are_checked():
    for call, message in (
        (lambda: adjoin.launch(3), "function: must be callable, got 3"),
        (lambda: adjoin.launch(print, ranks=0), "ranks: must be a number above 0, got 0"),
        (lambda: adjoin.launch(print), "this process is a rank itself"),
    ):
        with pytest.raises(adjoin.InvalidArgument, match=message):
            call()


def test_a_killed_launch_leaves_no_ranks():
    program = "import time, adjoin; print('ready', flush=True); adjoin.launch(time.sleep, 300)"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    end = time.monotonic() + 30
    while len(ranks := open(children).read().split()) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    process.terminate()
    process.wait(30)
    while any(os.path.exists(f"/proc/{rank}") for rank in ranks) and time.monotonic() < end:
        time.sleep(0.1)
    assert len(ranks) == 2 and not any(os.path.exists(f"/proc/{rank}") for rank in ranks)


# ---- Notebooks ----------------------------------------------------------------------------------------------------


def test_reports_results_and_stacks_show_themselves(ctx):
    report = adjoin.io.Report("A <title>").text("paragraph")
    assert report._repr_html_().startswith("<iframe") and "A &amp;lt;title&amp;gt;" in report._repr_html_()
    stack = adjoin.distribute([Diagonal(2.0), Diagonal(1.0)], ctx)
    shown = stack._repr_html_()
    assert "of 2 operators" in shown and "2 Diagonal: [0, 1]" in shown and "one process" in shown
    x = torch.rand(1, 1, 4, 4)
    result = adjoin.optim.gradient_descent(stack, stack.A(x), adjoin.optim.ZeroPrior(), 0 * x, max_iter=5, step=0.1)
    shown = result._repr_html_()
    assert "OptimResult: iteration limit" in shown and "<svg" in shown and "(1, 1, 4, 4) float32 on cpu" in shown
    info = adjoin.solvers.SolveInfo()
    stack.A_dagger(stack.A(x), "LSQR", info=info, local_only=False)
    assert "SolveInfo: converged" in info._repr_html_()
    solved = adjoin.solvers.conjugate_gradient(lambda v: 2 * v, torch.ones(3))
    assert "SolverResult: converged" in solved._repr_html_() and "(3,)" in solved._repr_html_()
    checked = adjoin.testing.check_operator(Diagonal(2.0), x)
    assert "Diagonal: no check failed" in checked._repr_html_() and "determinism" in checked._repr_html_()


def test_progress_is_drawn_where_it_is_asked_for():
    from adjoin import _adjoin

    lines = []

    def slow(v):
        time.sleep(0.06)
        return torch.arange(1.0, 9.0) * v

    operator = adjoin.physics.as_physics(type("Slow", (), {"A": staticmethod(slow), "A_adjoint": staticmethod(slow)})())
    _adjoin.show_progress_by(lines.append)
    try:
        operator.A_dagger(torch.ones(1, 8), "CG", max_iter=8, tol=0.0, verbose=True, init=torch.zeros(1, 8))
    finally:
        _adjoin.show_progress_by(None)
    assert lines and lines[0].startswith("A_dagger (CG) [") and "/8, residual" in lines[0] and lines[-1] == ""


def test_the_notebook_runs(ctx):
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    path = pathlib.Path(__file__).resolve().parents[2] / "examples/notebooks/stack.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    printed = "".join(output["text"] for output in outputs[1])
    assert sorted(printed.splitlines()) == ["rank 0 of 2 has views [0, 2]", "rank 1 of 2 has views [1]"]
    errors = eval(outputs[2][0]["data"]["text/plain"])
    assert len(errors) == 2 and max(errors) < 1e-2
    for output, shown in zip(outputs[3:7], ["OptimResult: ", "of 1 operators", "<iframe", "no check failed"]):
        assert shown in output[0]["data"]["text/html"]
    assert [output["output_type"] for output in outputs[7]] == ["display_data"]  # the progress bar
