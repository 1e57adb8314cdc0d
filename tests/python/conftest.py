# SPDX-License-Identifier: BSD-3-Clause
"""The same tests run alone, under mpirun and under torchrun: every rank runs them all, in the same order."""

import os

import pytest
import torch
from sampling import sampled

import adjoin


@pytest.fixture(scope="session")
def ctx():
    torch.set_num_threads(1)
    with adjoin.DistributedContext(device_mode="cpu") as context:
        yield context


@pytest.fixture(autouse=True)
def seeded():
    """The same random numbers on every rank."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(config, items):
    """Tests that start programs of their own do so alone, and not for every case."""
    among_others = int(os.environ.get("WORLD_SIZE", os.environ.get("OMPI_COMM_WORLD_SIZE", "1"))) > 1
    launches = [item for item in items if item.path.name in ("launch_test.py", "unwatched_test.py", "peak_memory_test.py")]
    kept = [] if among_others else sampled(launches, one_in=25)
    left = [item for item in launches if item not in kept]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)
