#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two nodes of network namespaces on one machine, with a bandwidth that `tc` sets between them: two_nodes.py [--check].

Runs sums, reduce-scatters and all-gathers of a 16 MiB image under torchrun and mpirun, with one, two and four ranks a
node, and writes {launcher: {ranks a node: {call: seconds}}} as JSON, beside what the bytes take on that network. With
--check, results are compared with what one process computes, on small and large images, and no time is judged. Needs
root, and `ip` and `tc` of iproute2; where these are missing it says so and exits with 77.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKIPPED = 77
ADDRESSES = ("10.77.0.1", "10.77.0.2")
LINK = "link0"  # how each node calls its end of the network
SIDE = 2048  # pixels of a row and of a column: 16 MiB of floats
TIMEOUT = 300  # seconds a program


# ---- The nodes -----------------------------------------------------------------------------------------------------


class Impossible(Exception):
    """This machine cannot make such nodes."""


def call(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Nodes:
    """Two network namespaces and the link between them."""

    def __init__(self, rate, burst, latency):
        self.names = [f"adjoin-{os.getpid()}-{k}" for k in range(2)]
        self.rate, self.burst, self.latency = rate, burst, latency

    def __enter__(self):
        if os.geteuid() != 0:
            raise Impossible("network namespaces need root")
        for tool in ("ip", "tc", "unshare"):
            if shutil.which(tool) is None:
                raise Impossible(f"{tool} is not on the path (Debian: iproute2, util-linux)")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that they are removed
        try:
            self.make()
        except subprocess.CalledProcessError as error:
            self.remove()
            raise Impossible(f"{' '.join(error.cmd)}: {error.stderr.strip()}") from error
        return self

    def __exit__(self, *error):
        self.remove()

    def make(self):
        for name in self.names:
            call("ip", "netns", "add", name)
            call("ip", "-n", name, "link", "set", "lo", "up")
        call(*f"ip -n {self.names[0]} link add {LINK} type veth peer name {LINK} netns {self.names[1]}".split())
        for name, address in zip(self.names, ADDRESSES):
            call("ip", "-n", name, "address", "add", f"{address}/24", "dev", LINK)
            call("ip", "-n", name, "link", "set", LINK, "up")
            limits = ["rate", self.rate, "burst", self.burst, "latency", self.latency]
            call("tc", "-n", name, "qdisc", "add", "dev", LINK, "root", "tbf", *limits)

    def remove(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def on(self, node, *command):
        """A command that runs on `node`, which has a name of its own."""
        script = f'hostname node{node} && exec "$@"'
        return ["ip", "netns", "exec", self.names[node], "unshare", "-u", "sh", "-c", script, "sh", *command]


# ---- The launchers -------------------------------------------------------------------------------------------------


def environment():
    result = dict(os.environ)
    for line in (ROOT / "scripts" / "mpi.env").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, value = line.split("=", 1)
            result[name] = value
    result.update(GLOO_SOCKET_IFNAME=LINK, CUDA_VISIBLE_DEVICES="")
    return result


def finish(processes):
    """Waits for all, ends all where one fails or none ends; the output of the first that has failed."""
    end = time.monotonic() + TIMEOUT
    try:
        while any(process.poll() is None for process in processes):
            if any(process.poll() for process in processes) or time.monotonic() > end:
                break
            time.sleep(0.05)
    finally:
        failed = [process for process in processes if process.poll() != 0]
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            process.wait()
    return failed


def lack_of(launcher, mpirun):
    """Why a launcher cannot be used here; empty where it can."""
    if launcher == "torchrun":
        return ""
    if shutil.which(mpirun) is None:
        return f"{mpirun} is not on the path"
    version = call(mpirun, "--version").splitlines()[0]
    return "" if re.search(r"\(Open MPI\) ([5-9]|\d\d)", version) else f"needs Open MPI 5 or newer, {mpirun} is {version}"


def launch(nodes, launcher, ranks, program, mpirun):
    """Runs `program`, arguments of Python, on `ranks` ranks of each node."""
    if launcher == "torchrun":
        commands = [
            nodes.on(
                *(node, sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", str(node)),
                *("--nproc-per-node", str(ranks), "--master-addr", ADDRESSES[0], "--master-port", "29500", *program),
            )
            for node in range(2)
        ]
    else:
        # What PRRTE starts on a node it starts by this agent, as AGENT HOST COMMAND….
        agent = f"{sys.executable} {pathlib.Path(__file__).resolve()} --agent {','.join(nodes.names)}"
        hosts = ",".join(f"{address}:{ranks}" for address in ADDRESSES)
        commands = [
            nodes.on(
                *(0, mpirun, "--prtemca", "plm_ssh_agent", agent, "--prtemca", "prte_if_include", LINK),
                *("--prtemca", "plm_ssh_no_tree_spawn", "1", "--mca", "pml", "ob1", "--mca", "btl", "self,sm,tcp"),
                *("--mca", "btl_tcp_if_include", LINK, "--bind-to", "none", "--host", hosts, "-n", str(2 * ranks)),
                *("--map-by", f"ppr:{ranks}:node:OVERSUBSCRIBE", sys.executable, *program),
            )
        ]
    with tempfile.TemporaryFile("w+") as output:
        processes = [
            subprocess.Popen(
                command, env=environment(), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            for command in commands
        ]
        failed = finish(processes)
        output.seek(0)
        if failed:
            sys.exit(f"two_nodes: {launcher}, {ranks} ranks a node, has failed:\n{output.read()}")


def agent(names, host, command):
    """Runs a command of the launcher on the node of this address."""
    nodes = Nodes("", "", "")
    nodes.names = names.split(",")
    # As ssh does, which hands all to a shell.
    os.execvp("ip", nodes.on(ADDRESSES.index(host), "sh", "-c", " ".join(command)))


# ---- What runs on every rank ---------------------------------------------------------------------------------------


def stack_of(context, adjoin, operator=None):
    """One operator a rank, unless given one whose adjoint costs one pass over the image."""
    from adjoin.physics import Diagonal

    return adjoin.DistributedStackedLinearPhysics(
        context, context.world_size, lambda i, device, shared: operator or Diagonal(1.0 + i)
    )


class Corner:
    """An operator that takes no time: a few pixels of the image."""

    def A(self, x):
        return x[..., :8, :8].clone()

    def A_adjoint(self, y):
        image = y.new_zeros(*y.shape[:-2], SIDE, SIDE)
        image[..., :8, :8] = y
        return image


def check_on_rank(context, adjoin, torch):
    assert "2 nodes" in str(context), str(context)
    for shape in ((1, 1, 7, 5), (1, 3, 517, 301), (1, 1, SIDE, SIDE)):
        stack = stack_of(context, adjoin)
        x = torch.arange(torch.tensor(shape).prod().item()).remainder(1000).view(shape).float()
        y = stack.A(x, gather=False)
        factor = sum((1.0 + i) ** 2 for i in range(context.world_size))
        for _ in range(3):
            assert torch.equal(stack.A_adjoint(y), factor * x)
            assert torch.equal(stack.A_adjoint_A(x), factor * x)
            slab = stack.A_adjoint_sharded(y)
            assert torch.equal(slab.gather(), factor * x)
            again = stack.A(slab.with_local(slab.local / factor), gather=False)
            assert all(torch.allclose(a, b, rtol=1e-6) for a, b in zip(again, y))
            slab = stack.A_adjoint_A(stack.shard_image(x, axis=2))
            assert torch.equal(slab.gather(), factor * x)


def plain_all_reduce(torch, x):
    """A sum of all ranks' x that knows no nodes, as deepinv and PyLops-MPI call it."""
    if torch.distributed.is_initialized():
        return lambda: torch.distributed.all_reduce(x)
    from mpi4py import MPI

    result = torch.empty_like(x)
    return lambda: MPI.COMM_WORLD.Allreduce(x.numpy(), result.numpy())


def time_on_rank(context, adjoin, torch, rounds):
    stack = stack_of(context, adjoin)
    x = torch.ones(1, 1, SIDE, SIDE)
    y = stack.A(x, gather=False)
    corners = stack_of(context, adjoin, Corner())
    slab = corners.shard_image(x)
    calls = {
        "A_adjoint": lambda: stack.A_adjoint(y),
        "reduce-scatter": lambda: stack.A_adjoint_sharded(y),
        "all-gather": lambda: corners.A(slab, gather=False),
        "adjoint alone": lambda: stack.A_adjoint(y, gather=False),
        "a plain all_reduce": plain_all_reduce(torch, torch.zeros(SIDE, SIDE)),
        "a number": lambda: context.all_reduce(torch.ones(1, dtype=torch.float64)),
    }
    seconds = {}
    for name, function in calls.items():
        seconds[name] = []
        for round_ in range(rounds + 2):
            context.barrier()
            span = torch.zeros(2, dtype=torch.float64)
            start = time.monotonic()
            function()
            end = time.monotonic()
            # One clock for all: from when the last rank begins to when the last one has its result.
            span[0], span[1] = start, end
            context.all_reduce(span, op="max")
            if round_ >= 2:
                seconds[name].append((span[1] - span[0]).item())
            elif round_ == 1 and (span[1] - span[0]).item() > 1.0:  # once is enough
                seconds[name].append((span[1] - span[0]).item())
                break
    return {name: statistics.median(values) for name, values in seconds.items()}


def on_rank(path, rounds):
    import torch

    import adjoin

    with adjoin.DistributedContext(device_mode="cpu") as context:
        if rounds == 0:
            check_on_rank(context, adjoin, torch)
        else:
            result = time_on_rank(context, adjoin, torch, rounds)
            if context.rank == 0:
                pathlib.Path(path).write_text(json.dumps(result), encoding="utf-8")


# ---- What this machine's network does ------------------------------------------------------------------------------


def exchange_on_node(node):
    """Prints the seconds in which 16 MiB go each way at once, by plain sockets."""
    import socket
    import threading

    if node == 0:
        with socket.create_server((ADDRESSES[0], 29600)) as server:
            link = server.accept()[0]
    else:
        for _ in range(100):
            try:
                link = socket.create_connection((ADDRESSES[0], 29600))
                break
            except OSError:
                time.sleep(0.05)
    data, room = bytes(4 * SIDE * SIDE), memoryview(bytearray(4 * SIDE * SIDE))
    seconds = []
    for _ in range(7):
        link.sendall(b"!")
        link.recv(1)
        start = time.monotonic()
        sender = threading.Thread(target=link.sendall, args=(data,))
        sender.start()
        received = 0
        while received < len(room):
            received += link.recv_into(room[received:])
        sender.join()
        seconds.append(time.monotonic() - start)
    print(statistics.median(seconds))


def exchange(nodes):
    program = [sys.executable, str(pathlib.Path(__file__).resolve()), "--exchange"]
    both = [
        subprocess.Popen(nodes.on(node, *program, str(node)), stdout=subprocess.PIPE, text=True) for node in range(2)
    ]
    return max(float(process.communicate(timeout=TIMEOUT)[0]) for process in both)


# ---- The command ---------------------------------------------------------------------------------------------------


def parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare results, and judge no time")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4], help="ranks a node")
    parser.add_argument("--launchers", nargs="+", choices=["torchrun", "mpirun"], default=["torchrun", "mpirun"])
    parser.add_argument("--mpirun", default="mpirun", help="of Open MPI 5")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rate", default="1gbit")
    parser.add_argument("--burst", default="256kb")
    parser.add_argument("--latency", default="50ms")
    parser.add_argument("--out", type=pathlib.Path, help="where the JSON goes; it is printed in any case")
    return parser


def main():
    options = parser().parse_args()
    with Nodes(options.rate, options.burst, options.latency) as nodes, tempfile.TemporaryDirectory() as folder:
        result = measure(nodes, pathlib.Path(folder) / "seconds.json", options)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(options.out)


def measure(nodes, path, options):
    """Runs all that is asked for, prints a line of each, and returns the times."""
    result = {"rate": options.rate, "bytes": 4 * SIDE * SIDE}
    if not options.check:
        result["plain sockets"] = exchange(nodes)
        print(f"16 MiB each way by plain sockets: {1e3 * result['plain sockets']:.0f} ms", flush=True)
    for launcher in options.launchers:
        if lack := lack_of(launcher, options.mpirun):
            print(f"{launcher}: skipped: {lack}", flush=True)
            continue
        for ranks in options.ranks:
            rounds = 0 if options.check else options.rounds
            program = [str(pathlib.Path(__file__).resolve()), "--on-rank", str(path), str(rounds)]
            launch(nodes, launcher, ranks, program, options.mpirun)
            what = f"{launcher}, {ranks} {'rank' if ranks == 1 else 'ranks'} a node"
            if options.check:
                print(f"{what}: right", flush=True)
                continue
            seconds = json.loads(path.read_text(encoding="utf-8"))
            result.setdefault(launcher, {})[str(ranks)] = seconds
            print(f"{what}, ms: " + ", ".join(f"{name} {1e3 * value:.3g}" for name, value in seconds.items()), flush=True)
    return result


if __name__ == "__main__":
    if sys.argv[1:2] == ["--on-rank"]:
        on_rank(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1:2] == ["--agent"]:
        agent(sys.argv[2], sys.argv[3], sys.argv[4:])
    elif sys.argv[1:2] == ["--exchange"]:
        exchange_on_node(int(sys.argv[2]))
    else:
        try:
            main()
        except Impossible as reason:
            print(f"two_nodes: skipped: {reason}")
            sys.exit(SKIPPED)
