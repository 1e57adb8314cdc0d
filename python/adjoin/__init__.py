# SPDX-License-Identifier: BSD-3-Clause
"""Distributed stacks of linear operators for imaging inverse problems.

A stack [A_1; …; A_n] whose operators are spread over processes, under torchrun, mpirun or alone, with its adjoint,
normal operator, pseudoinverse, norm, data fidelities and tiled denoisers. Names and meanings are those of
``deepinv.distributed``; the work is done by C++.
"""

import os

import torch

from adjoin import io, models, optim, physics, solvers, testing
from adjoin.context import DistributedContext
from adjoin.distributed import (
    DistributedDataFidelity,
    DistributedProcessing,
    DistributedSignalStrategy,
    DistributedStackedLinearPhysics,
    DistributedStackedPhysics,
    ShardedImage,
    SliceGrid,
    distribute,
    measure_costs,
)
from adjoin.errors import CallDisagreement, CommunicationError, Error, InvalidArgument, OperatorFailure, RankFailure
from adjoin.launching import launch
from adjoin.notebook import draw_progress_in_cells
from adjoin.tensor_list import TensorList

__version__ = "0.1.0"

# The threads of OpenMP do not come along into a forked child, which would wait for them for ever.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

draw_progress_in_cells()

__all__ = [
    "CallDisagreement",
    "CommunicationError",
    "DistributedContext",
    "DistributedDataFidelity",
    "DistributedProcessing",
    "DistributedSignalStrategy",
    "DistributedStackedLinearPhysics",
    "DistributedStackedPhysics",
    "Error",
    "InvalidArgument",
    "OperatorFailure",
    "RankFailure",
    "ShardedImage",
    "SliceGrid",
    "TensorList",
    "distribute",
    "io",
    "launch",
    "measure_costs",
    "models",
    "optim",
    "physics",
    "solvers",
    "testing",
]
