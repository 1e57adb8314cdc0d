# SPDX-License-Identifier: BSD-3-Clause
"""Parameters that every rank has a copy of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from adjoin.context import DistributedContext

__all__ = ["DistributedReplicatedParameters", "replicated"]


class DistributedReplicatedParameters:
    """Makes the gradients of parameters, of which every rank has a copy, the mean of those of the ranks, or their sum.

    Needed where a parameter's gradient comes from what a rank computes by itself. Gradients through distributed stacks,
    fidelities and denoisers are those of one process already, so that their mean changes nothing. Every rank runs the
    backward pass.

    :param parameters: the same ones, in the same order, on every rank; those that require no gradient are left alone.
    :param average: whether it is the mean.
    """

    def __init__(self, ctx: DistributedContext, parameters: Iterable[torch.Tensor], average: bool = True) -> None:
        self.ctx = ctx
        self.average = average
        self.parameters = [p for p in parameters if isinstance(p, torch.nn.Parameter)]
        self._hooks = [
            p.register_post_accumulate_grad_hook(self._reduce_gradient) for p in self.parameters if p.requires_grad
        ]

    def _reduce_gradient(self, parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            parameter.grad = self.ctx.all_reduce(parameter.grad, "mean" if self.average else "sum")

    def remove_hooks(self) -> None:
        """Leaves gradients as they are from now on."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


def replicated(parameters: Any, ctx: DistributedContext, *, average: bool = True) -> Any:
    """A parameter, or the list of them, on the context's device and with DistributedReplicatedParameters."""
    single = isinstance(parameters, torch.nn.Parameter)
    found: list[torch.nn.Parameter] = []
    for i, p in enumerate([parameters] if single else parameters):
        if not isinstance(p, torch.nn.Parameter):
            raise TypeError(f"object: must be parameters, got a {type(p).__name__} at index {i}")
        if p.device != ctx.device:
            p = torch.nn.Parameter(p.data.to(ctx.device), requires_grad=p.requires_grad)
        found.append(p)
    reduction = DistributedReplicatedParameters(ctx, found, average)
    for p in found:
        p._deepinv_dist_sync = reduction  # type: ignore[attr-defined]  # which lives as long as they do
    return found[0] if single else found
