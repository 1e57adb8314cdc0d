"""The same tests run alone, under mpirun and under torchrun: every rank runs them all, in the same order."""

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


def pytest_collection_modifyitems(items):
    """A test that starts programs of its own does so alone."""
    import os

    among_others = int(os.environ.get("WORLD_SIZE", os.environ.get("OMPI_COMM_WORLD_SIZE", "1"))) > 1
    if among_others:
        for item in items:
            if "launch_test" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="starts ranks itself"))
