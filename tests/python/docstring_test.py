"""The examples in docstrings."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "context",
        "distributed.distribute",
        "distributed.processing",
        "distributed.stacked_physics",
        "physics",
        "solvers",
        "tensor_list",
        "testing",
    ],
)
def test_examples_in_docstrings_show_what_happens(ctx, name):
    if ctx.world_size > 1:
        pytest.skip("the examples are those of one process")
    result = doctest.testmod(importlib.import_module(f"adjoin.{name}"))
    assert result.attempted > 0 and result.failed == 0
