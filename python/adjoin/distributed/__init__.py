# SPDX-License-Identifier: BSD-3-Clause
"""Stacks of operators, processing in tiles and data fidelities, spread over ranks."""

from adjoin.context import DistributedContext
from adjoin.distributed.data_fidelity import DistributedDataFidelity
from adjoin.distributed.distribute import distribute
from adjoin.distributed.measure_costs import measure_costs
from adjoin.distributed.processing import DistributedProcessing
from adjoin.distributed.sharded_image import ShardedImage
from adjoin.distributed.slice_grid import SliceGrid
from adjoin.distributed.stacked_linear_physics import DistributedStackedLinearPhysics
from adjoin.distributed.stacked_physics import DistributedStackedPhysics
from adjoin.distributed.strategies import DistributedSignalStrategy

__all__ = [
    "DistributedContext",
    "DistributedDataFidelity",
    "DistributedProcessing",
    "DistributedSignalStrategy",
    "DistributedStackedLinearPhysics",
    "DistributedStackedPhysics",
    "ShardedImage",
    "SliceGrid",
    "distribute",
    "measure_costs",
]
