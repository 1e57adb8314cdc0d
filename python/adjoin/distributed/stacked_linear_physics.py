# SPDX-License-Identifier: BSD-3-Clause
"""Stacks of linear operators, spread over ranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from adjoin._adjoin import Communicator, SolveInfo
from adjoin.arguments import TensorLike, as_tensor
from adjoin.context import DistributedContext
from adjoin.distributed.sharded_image import ShardedImage
from adjoin.distributed.slice_grid import SliceGrid
from adjoin.distributed.stack_calls import Factory, LinearCalls, Measurements
from adjoin.distributed.stacked_physics import DistributedStackedPhysics
from adjoin.errors import InvalidArgument

__all__ = ["DistributedStackedLinearPhysics"]


class DistributedStackedLinearPhysics(LinearCalls, DistributedStackedPhysics):
    """A stack of linear operators, each owned by one rank.

    Adjoint-like methods return the global sum on every rank by one message; with ``gather=False`` this rank's part of
    it, without any. ``reduce_op`` is "sum", "mean" (1/n of it), "none" (the operators' results by themselves), or None
    for the stack's ``reduction``. Measurements ``y`` are lists of all n tensors, or of this rank's.

    :param reduction: "sum", or "mean", which weighs the space of measurements by 1/n, so that ``A_adjoint`` stays the
        adjoint.
    :param fuse: compute operators of one kind together where that is quicker; results agree to round-off.
    :param grid: the ranks as a grid, for operators that act slice by slice: each rank takes its operators on its slices.
        The stack then works on sharded images alone, cut along the slices: ``A(x, gather=False)`` sends nothing,
        ``A_adjoint_sharded`` and ``A_adjoint_A`` add up slabs within a group of ranks (:attr:`group`), which alone raises
        what fails in them. Measurements are lists of all with all slices, or a rank's own.

    The other parameters, ``ctx``, ``num_operators``, ``factory``, ``factory_kwargs``, ``dtype``, ``gather_strategy``,
    ``parameters``, ``costs`` and ``lower``, are those of :class:`DistributedStackedPhysics`.

    :raises adjoin.RankFailure: from every call, on every rank, where a rank failed, and
        :class:`adjoin.CallDisagreement` where ranks make different calls.

    >>> from adjoin.physics import Matrix
    >>> with DistributedContext(device_mode="cpu") as ctx:
    ...     stack = DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: Matrix((i + 1) * torch.eye(2)))
    ...     stack.A_adjoint_A(torch.ones(1, 2))
    tensor([[14., 14.]])
    """

    def __init__(
        self,
        ctx: DistributedContext,
        num_operators: int,
        factory: Factory,
        *,
        factory_kwargs: dict[str, Any] | None = None,
        reduction: str = "sum",
        dtype: torch.dtype | None = None,
        gather_strategy: str = "concatenated",
        parameters: Iterable[torch.Tensor] = (),
        costs: Sequence[float] = (),
        fuse: bool = True,
        lower: bool = True,
        grid: SliceGrid | None = None,
    ) -> None:
        self.reduction = reduction
        self._set_up(
            ctx,
            num_operators,
            factory,
            factory_kwargs=factory_kwargs,
            reduction=reduction,
            dtype=dtype,
            gather_strategy=gather_strategy,
            parameters=parameters,
            costs=costs,
            fuse=fuse,
            lower=lower,
            grid=grid,
        )

    @property
    def group(self) -> Communicator:
        """The ranks among which the operators are spread and images added up, with counters of what was sent: all, or on a
        grid those that have this rank's slices."""
        group: Communicator = self._stack.group
        return group

    def A(self, x: TensorLike | ShardedImage, gather: bool = True, reduce_op: str | None = None, **kwargs: Any) -> Any:
        """Measurements without noise, as of :class:`DistributedStackedPhysics`; a sharded image is gathered, by one
        message.

        :param x: an image, equal on every rank, or a sharded one.
        :param gather: False gives this rank's measurements.
        :param reduce_op: as of :class:`DistributedStackedPhysics`; None for sharded images.
        :return: a list of measurements.
        """
        if not isinstance(x, ShardedImage):
            return super().A(x, gather, reduce_op, **kwargs)
        self._no_reduce_op("A", reduce_op)
        return self._listed(self._stack.A_of_sharded(x._impl, gather, kwargs), gather)

    def A_adjoint(self, y: Measurements, gather: bool = True, reduce_op: str | None = None, **kwargs: Any) -> Any:
        """Aᵀ y = Σ A_iᵀ y_i, of the image's shape.

        :param y: measurements: a list of all, or of this rank's own.
        :param gather: False gives this rank's sum, without any message.
        :param reduce_op: "sum", "mean" or "none"; None for the stack's ``reduction``.
        :return: the image, on every rank.
        """
        return self._adjoint(y, gather, reduce_op, kwargs)

    def A_adjoint_sharded(self, y: Measurements, axis: int | None = None, **kwargs: Any) -> ShardedImage:
        """Aᵀ y as a sharded image, of which each rank gets its slab alone, by one message.

        :param y: measurements: a list of all, or of this rank's own.
        :param axis: the axis that is cut; None: as :meth:`ShardedImage.from_replicated`.
        :return: a sharded image.
        """
        return ShardedImage(self._stack, self._stack.A_adjoint_sharded(y, axis, kwargs))

    def shard_image(self, x: TensorLike, axis: int | None = None) -> ShardedImage:
        """This rank's slab of an image that every rank has (:meth:`ShardedImage.from_replicated`).

        :param x: an image, equal on every rank.
        :param axis: the axis that is cut; None: as the stack cuts images.
        :return: a sharded image.
        """
        return ShardedImage(self._stack, self._stack.shard_image(as_tensor(x, "x"), axis))

    def _no_reduce_op(self, method: str, reduce_op: str | None) -> None:
        if reduce_op is not None:
            error = InvalidArgument(f"reduce_op: must be None where the image is sharded, got {reduce_op!r}")
            self._stack.refuse(method, error)

    def A_vjp(
        self, x: TensorLike, v: Measurements, gather: bool = True, reduce_op: str | None = None, **kwargs: Any
    ) -> Any:
        """Σ J_i(x)ᵀ v_i, of the shape of ``x``.

        :param x: an image, equal on every rank.
        :param v: tensors of the shapes of the measurements.
        :param gather: False gives this rank's sum, without any message.
        :param reduce_op: "sum", "mean" or "none"; None for the stack's ``reduction``.
        :return: the image, on every rank.
        """
        return self._vjp(x, v, gather, reduce_op, kwargs)

    def A_adjoint_A(
        self, x: TensorLike | ShardedImage, gather: bool = True, reduce_op: str | None = None, **kwargs: Any
    ) -> Any:
        """Aᵀ A x = Σ A_iᵀ A_i x, of the shape of ``x``; measurements are neither kept nor sent. Of a sharded image a sharded
        one, cut alike.

        :param x: an image, equal on every rank, or a sharded one.
        :param gather: False gives this rank's sum, without any message; not of sharded images.
        :param reduce_op: "sum", "mean" or "none"; None for the stack's ``reduction``, as it must be for sharded images.
        :return: the image, on every rank, or a sharded one.
        """
        if not isinstance(x, ShardedImage):
            return self._normal(x, gather, reduce_op, kwargs)
        self._no_reduce_op("A_adjoint_A", reduce_op)
        return ShardedImage(self._stack, self._stack.A_adjoint_A_of_sharded(x._impl, kwargs))

    def A_A_adjoint(self, y: Measurements, gather: bool = True, reduce_op: str | None = None, **kwargs: Any) -> Any:
        """A Aᵀ y = [A_1 Aᵀ y, …, A_n Aᵀ y]; the inner adjoint is the global one even with ``gather=False``.

        :param y: measurements: a list of all, or of this rank's own.
        :param gather: False gives this rank's own measurements.
        :param reduce_op: "sum", "mean" or "none"; None for the stack's ``reduction``.
        :return: a list of measurements.
        """
        return self.A(self.A_adjoint(y, **kwargs), gather=gather, reduce_op=reduce_op, **kwargs)

    def A_dagger(
        self,
        y: Measurements,
        solver: str = "CG",
        max_iter: int | None = None,
        tol: float | None = None,
        verbose: bool = False,
        *,
        init: TensorLike | None = None,
        local_only: bool = True,
        gather: bool = True,
        info: SolveInfo | None = None,
        layout: str = "automatic",
        **kwargs: Any,
    ) -> torch.Tensor:
        """Pseudoinverse.

        :param local_only: True: (1/n) Σ A_i† y_i, cheap, one message, and only an approximation. False: the exact
            least-squares solution of minimum norm.
        :param solver: "CG", "LSQR", "LSMR", "BiCGStab" or "MINRES".
        :param max_iter: default 100.
        :param tol: relative tolerance, default 1e-6.
        :param init: start of the iteration, default zero.
        :param gather: with ``local_only``: False gives this rank's part of the sum.
        :param info: a ``SolveInfo()`` that is told how the solve ended; with ``local_only``, how the worst of this rank's.
        :param layout: without ``local_only``, how the solver keeps its images: "replicated", "sharded", or "automatic", as
            is likely to be quicker.
        :param y: measurements: a list of all, or of this rank's own.
        :param verbose: whether rank 0 draws a progress bar.
        :return: the image, on every rank.
        :raises adjoin.RankFailure: on every rank, where a rank failed, or met NaN or infinity.
        """
        iterations = 100 if max_iter is None else max_iter
        accuracy = 1e-6 if tol is None else tol
        return self._stack.A_dagger(
            y, solver, iterations, accuracy, verbose, init, local_only, gather, info, layout, kwargs
        )

    def A_dagger_sharded(
        self,
        y: Measurements,
        solver: str = "CG",
        max_iter: int | None = None,
        tol: float | None = None,
        verbose: bool = False,
        *,
        init: ShardedImage | None = None,
        axis: int | None = None,
        info: SolveInfo | None = None,
        **kwargs: Any,
    ) -> ShardedImage:
        """The exact least-squares solution of minimum norm as a sharded image: no rank holds more than its slab of any of the
        solver's images. Parameters as of :meth:`A_dagger`.

        :param init: start of the iteration; the solution is cut as it is.
        :param axis: without ``init``, the axis that is cut.
        :param y: measurements: a list of all, or of this rank's own.
        :param solver: as of :meth:`A_dagger`, as are max_iter, tol, verbose and info.
        :return: a sharded image.
        :raises adjoin.RankFailure: on every rank, where a rank failed, or met NaN or infinity.
        """
        return ShardedImage(
            self._stack,
            self._stack.A_dagger_sharded(
                y,
                solver,
                100 if max_iter is None else max_iter,
                1e-6 if tol is None else tol,
                verbose,
                None if init is None else init._impl,
                axis,
                info,
                kwargs,
            ),
        )

    def prox_l2(
        self,
        z: TensorLike | ShardedImage,
        y: Measurements,
        gamma: float,
        solver: str = "CG",
        max_iter: int | None = None,
        tol: float | None = None,
        verbose: bool = False,
        *,
        init: TensorLike | ShardedImage | None = None,
        info: SolveInfo | None = None,
        layout: str = "automatic",
        **kwargs: Any,
    ) -> Any:
        """argmin_x γ/2 ‖A x − y‖² + 1/2 ‖x − z‖², of the shape and dtype of ``z``, sharded where ``z`` is; parameters as of
        :meth:`A_dagger`.

        :param z: an image, equal on every rank, or a sharded one.
        :param y: measurements: a list of all, or of this rank's own.
        :param gamma: γ > 0, a number, or a tensor of one or of one an item.
        :param solver: as of :meth:`A_dagger`, as are max_iter, tol, verbose, init, info and layout.
        :return: the image, on every rank, or a sharded one.
        """
        iterations = 100 if max_iter is None else max_iter
        accuracy = 1e-6 if tol is None else tol
        if isinstance(z, ShardedImage):
            start: Any = init._impl if isinstance(init, ShardedImage) else init
            image = self._stack.prox_l2_of_sharded(
                z._impl, y, gamma, solver, iterations, accuracy, verbose, start, info, kwargs
            )
            return ShardedImage(self._stack, image)
        whole: Any = init
        return self._stack.prox_l2(z, y, gamma, solver, iterations, accuracy, verbose, whole, info, layout, kwargs)

    def compute_sqnorm(
        self,
        x0: TensorLike | ShardedImage,
        *,
        max_iter: int = 50,
        tol: float = 1e-3,
        verbose: bool = False,
        local_only: bool = True,
        gather: bool = True,
        layout: str = "automatic",
        **kwargs: Any,
    ) -> torch.Tensor:
        """‖A‖², a scalar tensor of the real dtype of ``x0``, or in double precision where that does not hold it.

        :param x0: gives shape, dtype and device of an image.
        :param local_only: True: an upper bound, for which a few numbers are sent. False: the value, to a relative
            accuracy of ``tol``; always so where ``x0`` is sharded.
        :param layout: without ``local_only``, how the images of the iteration are kept, as of :meth:`A_dagger`.
        :param max_iter: the most steps of Lanczos.
        :param verbose: whether rank 0 draws a progress bar.
        :param gather: False gives the bound of this rank's operators.
        :return: a scalar tensor.
        """
        if isinstance(x0, ShardedImage):
            norm = self._stack.compute_sqnorm_of_sharded(x0._impl, max_iter, tol, verbose, kwargs)
            return self._sqnorm(x0.local, norm)
        return self._sqnorm(
            x0, self._stack.compute_sqnorm(x0, max_iter, tol, verbose, local_only, gather, layout, kwargs)
        )

    def sqnorm_bounds(
        self, x0: TensorLike, *, max_iter: int = 50, tol: float = 1e-3, **kwargs: Any
    ) -> tuple[float, float]:
        """Lower and upper bound of ‖A‖², for which a few numbers are sent.

        :param x0: an image, which gives shape, dtype and device.
        :param max_iter: the steps of Lanczos for each operator.
        :param tol: not used.
        :return: (lower, upper), two numbers.
        """
        return self._stack.sqnorm_bounds(x0, max_iter, tol, kwargs)

    def adjointness_test(self, u: TensorLike, seed: int = 0, **kwargs: Any) -> float:
        """|⟨A u, v⟩ − ⟨u, Aᵀ v⟩| / (‖A u‖ ‖v‖) for a random v: of the order of the dtype's precision.

        :param u: an image, equal on every rank.
        :param seed: of the random measurements.
        :return: a number.
        """
        return self._stack.adjointness_test(u, seed, kwargs)
