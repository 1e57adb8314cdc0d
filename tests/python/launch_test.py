# SPDX-License-Identifier: BSD-3-Clause
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

def print(*words, **kwargs):
    # In one piece: torchrun's ranks are unbuffered, and the parts of their lines would mix.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

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


def run(name, path, **environment):
    done = subprocess.run(
        [*launcher(name), path], capture_output=True, text=True, timeout=LIMIT, check=False, env=os.environ | environment
    )
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


# Rank 1 leaves in one of these ways while rank 0 waits for it.
WAYS_TO_LEAVE = {
    "the end of the program": "pass",
    "sys.exit()": "sys.exit()",
    "sys.exit(3)": "sys.exit(3)",
    "sys.exit of a text": "sys.exit('enough')",
    "argparse": "import argparse; argparse.ArgumentParser().parse_args(['--nonsense'])",
    "an exception with a hook of its own": "sys.excepthook = lambda *_: None; raise ValueError('only here')",
    "an exception in a thread": "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
    "os._exit(0)": "os._exit(0)",
    "os._exit(1)": "os._exit(1)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGSEGV": "os.kill(os.getpid(), signal.SIGSEGV)",
}


@pytest.mark.parametrize("name", ["torchrun", "mpirun"])
@pytest.mark.parametrize("way", WAYS_TO_LEAVE)
@pytest.mark.parametrize("sharing", ["automatic", "off"])
def test_nobody_waits_for_a_rank_that_leaves(tmp_path, name, way, sharing):
    body = f"""
if ctx.rank == 1:
    time.sleep(0.3)
    {WAYS_TO_LEAVE[way]}
else:
    import threading
    limit = threading.Timer(10, lambda: (print("waited for too long", flush=True), os._exit(1)))
    limit.daemon = True  # or the end of the program would wait for it
    limit.start()
    while True:
        stack.A_adjoint(y)
"""
    code, output = run(name, program(tmp_path, body), ADJOIN_SHARED_MEMORY=sharing)
    assert code != 0
    assert "waited for too long" not in output
    # What the launcher of a rank that was killed says of it names it, too.
    assert "rank 1" in output.lower() or "rank: 1" in output.lower() or ",1]" in output, output


@pytest.mark.parametrize("name", ["torchrun", "mpirun"])
@pytest.mark.parametrize("sharing", ["automatic", "off"])
def test_who_waits_for_longer_than_the_timeout_names_the_late_rank(tmp_path, name, sharing):
    body = f"""
with adjoin.DistributedContext(device_mode="cpu", timeout=1.5, shared_memory="{sharing}") as other:
    other.barrier()
    start = time.monotonic()
    if other.rank == 0:
        try:
            other.all_reduce(x)
        except adjoin.CommunicationError as error:
            print("after", time.monotonic() - start, "s:", error, flush=True)
    else:
        time.sleep(6)
os._exit(0 if ctx.rank == 0 else 1)
"""
    _, output = run(name, program(tmp_path, body))
    line = next(line for line in output.splitlines() if "after" in line)
    assert 1.4 < float(line.split("after ")[1].split()[0]) < 5.5
    assert "all_reduce (sum of 1 x 1 x 8 x 8 float32)" in line and "rank 1" in line and "not come" in line, line


@pytest.mark.parametrize("sharing", ["automatic", "off"])
def test_the_timeout_of_a_process_group_is_honoured(tmp_path, sharing):
    path = tmp_path / "program.py"
    path.write_text(
        """
import datetime, os, time
import torch, torch.distributed as dist
import adjoin

dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=1.5))
with adjoin.DistributedContext(device_mode="cpu", cleanup=False) as ctx:
    ctx.barrier()
    if ctx.rank == 0:
        start = time.monotonic()
        try:
            ctx.barrier()
        except adjoin.CommunicationError as error:
            print("after", time.monotonic() - start, "s:", error, flush=True)
    else:
        time.sleep(6)
    os._exit(ctx.rank)
"""
    )
    _, output = run("torchrun", str(path), ADJOIN_SHARED_MEMORY=sharing)
    line = next(line for line in output.splitlines() if "after" in line)
    assert 1.4 < float(line.split("after ")[1].split()[0]) < 5.5
    assert "barrier" in line and "rank 1" in line, line


@pytest.mark.parametrize("name", ["mpirun", "torchrun"])
@pytest.mark.parametrize("sharing", ["automatic", "off"])
def test_the_timeout_of_the_environment_counts(tmp_path, name, sharing):
    body = """
ctx.barrier()
start = time.monotonic()
if ctx.rank == 0:
    try:
        ctx.barrier()
    except adjoin.CommunicationError as error:
        print("after", time.monotonic() - start, "s:", error, flush=True)
else:
    time.sleep(7)
os._exit(0 if ctx.rank == 0 else 1)
"""
    _, output = run(name, program(tmp_path, body), ADJOIN_TIMEOUT="2.5", ADJOIN_SHARED_MEMORY=sharing)
    line = next(line for line in output.splitlines() if "after" in line)
    assert 2.4 < float(line.split("after ")[1].split()[0]) < 6.5
    assert "barrier" in line and "rank 1" in line, line


FOUND = """
os.write(1, f"found {ctx.engine} {ctx.rank} {ctx.world_size} {ctx.local_rank} {ctx.all_reduce(torch.ones(1)).item():.0f}\\n".encode())
"""
LEFT_OVERS = [
    {"RANK": "0", "WORLD_SIZE": "1"},
    {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
    {"LOCAL_RANK": "0"},
    {"LOCAL_RANK": "", "LOCAL_WORLD_SIZE": "", "RANK": "", "WORLD_SIZE": ""},
    {"LOCAL_RANK": "nonsense", "LOCAL_WORLD_SIZE": "nonsense"},
    {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0"},
    {"PMI_SIZE": "1", "PMI_RANK": "0"},
    {"OMPI_COMM_WORLD_SIZE": "", "PMI_SIZE": "", "PMIX_RANK": ""},
]


@pytest.mark.parametrize("name", ["torchrun", "mpirun"])
@pytest.mark.parametrize("left", LEFT_OVERS, ids=str)
def test_the_launcher_that_started_the_process_counts(tmp_path, name, left):
    code, output = run(name, program(tmp_path, FOUND), **left)
    assert code == 0, output
    engine = {"torchrun": "c10d", "mpirun": "mpi"}[name]
    found = sorted(line for line in output.splitlines() if line.startswith("found"))
    assert found == [f"found {engine} 0 2 0 2", f"found {engine} 1 2 1 2"], output


def test_torchrun_in_a_job_of_mpirun_counts(tmp_path):
    inner = [*launcher("torchrun"), program(tmp_path, FOUND)]
    command = [*launcher("mpirun")[:1], "-n", "1", *inner]
    output = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False).stdout
    found = sorted(line for line in output.splitlines() if line.startswith("found"))
    assert found == ["found c10d 0 2 0 2", "found c10d 1 2 1 2"], output


def test_the_launcher_of_another_mpi_is_noticed(tmp_path):
    code, output = run("python", program(tmp_path, FOUND), PMI_SIZE="2", PMI_RANK="0")
    assert code != 0
    assert "one of 2 (PMI_SIZE)" in output and "another MPI" in output, output


@pytest.mark.parametrize("name", ["torchrun", "mpirun"])
def test_what_a_rank_starts_is_alone(tmp_path, name):
    body = """
import subprocess
child = "import adjoin, torch\\nwith adjoin.DistributedContext(device_mode='cpu') as ctx: print('child', ctx.engine, ctx.world_size, ctx.all_reduce(torch.ones(1)).item())"
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout, flush=True)
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, env=dict(os.environ)).stdout, flush=True)
pid = os.fork()
if pid == 0:
    try:
        stack.A_adjoint(y)
    except adjoin.CommunicationError as error:
        os.write(1, f"forked: {error}\\n".encode())
    with adjoin.DistributedContext(device_mode="cpu") as own:
        os.write(1, f"forked {own.engine} {own.world_size} {own.all_reduce(torch.ones(1)).item()}\\n".encode())
    sys.exit(0)
os.waitpid(pid, 0)
assert torch.allclose(stack.A_adjoint(y), 30 * x)
print("still two", flush=True)
"""
    code, output = run(name, program(tmp_path, body))
    assert code == 0, output
    assert output.count("child single 1 1.0") == 4, output
    assert output.count("forked single 1 1.0") == 2 and output.count("is no rank itself") == 2, output
    assert output.count("still two") == 2, output


@pytest.mark.parametrize("namespaces", [["--pid", "--mount-proc"], ["--user", "--map-root-user"]], ids=" ".join)
def test_ranks_that_do_not_see_each_others_memory_send_messages(tmp_path, namespaces):
    private = ["unshare", "--fork", *namespaces]
    if shutil.which("unshare") is None or subprocess.run([*private, "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces are not allowed here")
    body = """
for size in (4, 300):
    z = torch.ones(1, 1, size, size)
    assert torch.allclose(stack.A_adjoint(stack.A(z, gather=False)), 30 * z)
    assert [round(v.mean().item()) for v in stack.A(z)] == [1, 2, 3, 4]
print("right", "shared memory" in repr(ctx), flush=True)
"""
    command = [*launcher("mpirun")[:-1], "--mca", "btl", "self,tcp", *private, sys.executable, program(tmp_path, body)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("right") == 2, done.stdout + done.stderr
    assert "--pid" not in namespaces or done.stdout.count("right False") == 2


@pytest.mark.parametrize("name", ["torchrun", "mpirun"])
@pytest.mark.parametrize("limited", ["ctx.rank == 0", "True"])
def test_memory_that_cannot_be_had_is_done_without(tmp_path, name, limited):
    body = f"""
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
if {limited}:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
z = torch.ones(1, 1, 500, 500)
assert torch.allclose(stack.A_adjoint(stack.A(z)), 30 * z)  # in the window that is there
with adjoin.DistributedContext(device_mode="cpu") as other:
    again = adjoin.DistributedStackedLinearPhysics(other, 4, lambda i, device, shared: Scaling(1.0 + i))
    assert torch.allclose(again.A_adjoint(again.A(z)), 30 * z)
    print("right", "shared memory" in repr(other), flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
"""
    code, output = run(name, program(tmp_path, body))
    assert code == 0, output
    assert output.count("right False") == 2, output
