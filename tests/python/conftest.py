"""The same tests run alone, under mpirun and under torchrun: every rank runs them all, in the same order."""

import collections
import os

import pytest
import torch

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


# Of tests whose every case starts programs, the first of each and one in so many; all where ADJOIN_WHOLE is set.
ONE_IN = 15


def pytest_collection_modifyitems(config, items):
    """A test that starts programs of its own does so alone, and not for every case."""
    among_others = int(os.environ.get("WORLD_SIZE", os.environ.get("OMPI_COMM_WORLD_SIZE", "1"))) > 1
    cases = collections.Counter()
    left = []
    for item in items:
        if item.path.name == "launch_test.py":
            sampled = cases[item.originalname] == 0 or cases.total() % ONE_IN == 0 or "ADJOIN_WHOLE" in os.environ
            if among_others or not sampled:
                left.append(item)
            cases[item.originalname] += 1
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)
