# SPDX-License-Identifier: BSD-3-Clause
"""The operator is what its documentation says."""

import torch
from shift import Shift

from adjoin import DistributedContext, distribute
from adjoin.testing import check_operator


def test_it_moves_pixels():
    x = torch.zeros(1, 1, 4, 5)
    x[0, 0, 1, 4] = 1
    assert Shift(2, 1).A(x)[0, 0, 3, 0] == 1


def test_it_is_an_operator():
    check_operator(Shift(1, 2), torch.ones(1, 1, 8, 8), others=[Shift(0, 3), Shift(-1, 0)])


def test_it_fuses_in_a_stack():
    with DistributedContext() as ctx:
        stack = distribute([Shift(i, 2 * i) for i in range(4)], ctx)
        x = torch.rand(1, 1, 8, 8)
        assert torch.equal(stack.A_adjoint_A(x), 4 * x)
