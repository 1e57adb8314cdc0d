"""Programs under the launchers: none hangs, whatever happens to a rank."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

LIMIT = 90  # seconds

PRELUDE = """
import os, signal, sys, time
import torch
import adjoin

class Scaling:
    def __init__(self, factor):
        self.factor = factor
    def A(self, x, **kwargs):
        return self.factor * x
    def A_adjoint(self, y, **kwargs):
        return self.factor * y

torch.set_num_threads(1)
with adjoin.DistributedContext(device_mode="cpu") as ctx:
    stack = adjoin.DistributedStackedLinearPhysics(ctx, 4, lambda i, device, shared: Scaling(1.0 + i))
    x = torch.ones(1, 1, 8, 8)
    y = stack.A(x)
"""


def launcher(name):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    mpirun = shutil.which("mpirun", path=f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if name == "mpirun" and mpirun is None:
        pytest.skip("mpirun is not on the path")
    return {"python": [sys.executable], "torchrun": torchrun, "mpirun": [str(mpirun), "-n", "2", sys.executable]}[name]


def program(tmp_path, body):
    indented = "\n".join("    " + line for line in body.strip().splitlines())
    path = tmp_path / "program.py"
    path.write_text(PRELUDE + indented + "\n")
    return str(path)


def run(name, path):
    done = subprocess.run([*launcher(name), path], capture_output=True, text=True, timeout=LIMIT, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["python", "torchrun", "mpirun"])
def test_the_same_program_runs_under_every_launcher(tmp_path, name):
    body = """
assert torch.allclose(stack.A_adjoint(y), 30 * x)
print(f"{ctx.engine} {ctx.rank} of {ctx.world_size};")
"""
    code, output = run(name, program(tmp_path, body))
    assert code == 0, output
    engine = {"python": "single", "torchrun": "c10d", "mpirun": "mpi"}[name]
    ranks = 1 if name == "python" else 2
    assert all(f"{engine} {rank} of {ranks};" in output for rank in range(ranks))


@pytest.mark.parametrize("name", ["python", "torchrun", "mpirun"])
@pytest.mark.parametrize("late", [0, 1])
def test_contexts_follow_one_another(tmp_path, name, late):
    body = f"""
for _ in range(2):
    if ctx.rank == {late}:
        time.sleep(0.5)
    ctx.__exit__(None, None, None)
    with adjoin.DistributedContext(device_mode="cpu") as ctx:
        again = adjoin.DistributedStackedLinearPhysics(ctx, 4, lambda i, device, shared: Scaling(1.0 + i))
        assert torch.allclose(again.A_adjoint(y), 30 * x)
print("both")
"""
    code, output = run(name, program(tmp_path, body))
    assert code == 0 and "both" in output, output


@pytest.mark.parametrize("name", ["torchrun", "mpirun"])
def test_an_uncaught_exception_outside_of_calls_ends_all_ranks(tmp_path, name):
    body = """
if ctx.rank == 1:
    raise ValueError("only here")
while True:
    stack.A_adjoint(y)
"""
    code, output = run(name, program(tmp_path, body))
    assert code != 0 and "only here" in output


@pytest.mark.parametrize("name", ["torchrun", "mpirun"])
def test_an_uncaught_exception_of_an_operator_is_reported_by_all_ranks(tmp_path, name):
    body = """
if ctx.rank == 1:
    stack.local_physics[0].factor = None
stack.A(x)
"""
    code, output = run(name, program(tmp_path, body))
    assert code != 0
    assert "RankFailure: rank 1, operator 1: TypeError" in output


@pytest.mark.parametrize("name", ["torchrun", "mpirun"])
def test_a_killed_rank_ends_the_others(tmp_path, name):
    body = """
if ctx.rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
while True:
    stack.A_adjoint(y)
"""
    code, _ = run(name, program(tmp_path, body))
    assert code != 0


@pytest.mark.parametrize("name", ["python", "torchrun", "mpirun"])
def test_ctrl_c_ends_all_ranks(tmp_path, name):
    body = """
print("running", flush=True)
while True:
    stack.A_dagger(y, max_iter=1000, tol=0.0, local_only=False)
"""
    command = [*launcher(name), program(tmp_path, body)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as running:
        try:
            assert any("running" in line for line in running.stdout)
            time.sleep(0.5)
            os.killpg(running.pid, signal.SIGINT)  # as a terminal does
            assert running.wait(LIMIT) != 0
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)


def test_ctrl_c_ends_a_long_solve(tmp_path):
    body = """
kernel = adjoin.physics.gaussian_kernel((2.0, 2.0))
blur = adjoin.DistributedStackedLinearPhysics(ctx, 1, lambda *_: adjoin.physics.Blur(kernel, padding="reflect"))
z = torch.rand(1, 1, 32, 32)
print("running", flush=True)
blur.A_dagger([z], "CG", 10**9, 0.0, local_only=False)
"""
    command = [sys.executable, program(tmp_path, body)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            assert "running" in running.stdout.readline()
            time.sleep(0.5)
            running.send_signal(signal.SIGINT)
            assert "KeyboardInterrupt" in running.communicate(timeout=LIMIT)[0]
        finally:
            running.kill()
