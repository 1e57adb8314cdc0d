"""Stacks of operators, spread over ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch

from adjoin import _adjoin
from adjoin._adjoin import SolveInfo
from adjoin.arguments import TensorLike, as_tensor
from adjoin.context import DistributedContext
from adjoin.copies import WithRanks
from adjoin.distributed.sharded_image import ShardedImage
from adjoin.errors import InvalidArgument
from adjoin.lowering import Lowered, lower
from adjoin.notebook import stack_html
from adjoin.operators import as_physics, parameters_of
from adjoin.tensor_list import TensorList

__all__ = ["DistributedStackedLinearPhysics", "DistributedStackedPhysics", "measure_costs"]

Factory = Callable[[int, torch.device, Any], Any]
Measurements = Sequence[TensorLike] | TensorList


class _FollowedStack:
    """The stack of C++, its lowered operators being as those that they stand for are now. Stacks without any have theirs
    as an instance attribute, which comes before this one."""

    def __get__(self, calls: StackedCalls, kind: type[StackedCalls]) -> Any:
        calls.follow()
        return calls._followed


class StackedCalls(WithRanks):
    """What the stacks of ``adjoin`` and ``adjoin.deepinv`` have in common."""

    _made_anew = ("_stack", "_followed", "_operators", "_lowered")

    _stack: Any = _FollowedStack()

    # Makes of a list of measurements what calls return.
    list_type: ClassVar[Any] = TensorList.of
    linear: ClassVar[bool] = False

    def _set_up(
        self,
        ctx: DistributedContext,
        num_operators: int,
        factory: Factory,
        *,
        factory_kwargs: dict[str, Any] | None,
        reduction: str,
        dtype: torch.dtype | None,
        gather_strategy: str,
        parameters: Iterable[torch.Tensor] = (),
        costs: Sequence[float] = (),
        fuse: bool = True,
        lower: bool = True,
    ) -> None:
        self.ctx = ctx
        self.num_operators = num_operators
        self.lower = lower
        self.dtype = dtype
        self.gather_strategy = gather_strategy
        self._default_reduction = reduction
        self._costs = list(costs)
        self._fuse = fuse
        self._shared_parameters = list(parameters)
        self.factory_kwargs = None if factory_kwargs is None else ctx.broadcast_object(factory_kwargs)
        self.local_physics: list[Any] = []

        def make(index: int) -> Any:
            self.local_physics.append(factory(index, ctx.device, self.factory_kwargs))
            return self.local_physics[-1]

        self._make_stack(make)

    def _make_stack(self, make: Callable[[int], Any]) -> None:
        # The operators as C++ sees them, and those among them that adjoin computes.
        self._operators: list[_adjoin.Physics] = []
        self._lowered: list[Lowered] = []

        def make_physics(index: int) -> _adjoin.Physics:
            self._operators.append(self._as_physics(make(index)))
            return self._operators[-1]

        kind = _adjoin.DistributedStackedLinearPhysics if self.linear else _adjoin.DistributedStackedPhysics
        # Precision is agreed per call where it is not asked for.
        stack = kind(
            self.ctx._impl,
            self.num_operators,
            make_physics,
            self._default_reduction,
            self._strict_dtype(self.dtype),
            self.gather_strategy,
            self._costs,
            self._fuse,
        )
        if self._lowered:
            self._followed = stack
        else:
            self._stack = stack
        self.local_indexes: list[int] = list(stack.local_indices)
        self.num_lowered = self._count_lowered() if self.lower else 0
        known = {id(parameter) for parameter in self._shared_parameters}
        owned = [p for p in parameters_of(self.local_physics) if id(p) not in known]
        stack.set_parameters(self._shared_parameters, owned)

    def _connect(self) -> None:
        operators = iter(self.local_physics)
        self._make_stack(lambda index: next(operators))

    def _as_physics(self, operator: Any) -> _adjoin.Physics:
        lowered = lower(operator) if self.lower else None
        if lowered is None:
            return as_physics(operator, linear=self.linear or None)
        self._lowered.append(lowered)
        return lowered.physics

    def _count_lowered(self) -> int:
        here = sum(one.is_lowered for one in self._lowered)
        return int(self.ctx.communicator.all_gather(torch.tensor([here])).sum())

    def follow(self) -> None:
        """Lets what adjoin computes be as the operators of other libraries, for which it does so, are now."""
        for one in self._lowered:
            one.follow()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.num_operators} operators, {self.num_lowered} lowered, {self.local_indexes} here, "
            f"gather_strategy={self.gather_strategy!r}, {self.ctx!r})"
        )

    def _repr_html_(self) -> str:
        return stack_html(self)

    def _strict_dtype(self, dtype: torch.dtype | None) -> torch.dtype | None:
        return dtype

    def _listed(self, results: Sequence[torch.Tensor], gather: bool) -> Any:
        return self.list_type(results) if gather else results

    def _measure(self, step: str, x: TensorLike, gather: bool, reduce_op: str | None, kwargs: dict[str, Any]) -> Any:
        if reduce_op is None or reduce_op == "none":
            return self._listed(getattr(self._stack, step)(x, gather, kwargs), gather)
        return getattr(self._stack, step + "_reduced")(x, reduce_op, gather, kwargs)

    def _summed(self, result: torch.Tensor, reduce_op: str | None) -> torch.Tensor:
        """A result under the stack's own reduction as the sum or mean that was asked for."""
        if reduce_op is None or reduce_op == self._default_reduction:
            return result
        return result / self.num_operators if reduce_op == "mean" else result * self.num_operators


class LinearCalls(StackedCalls):
    linear: ClassVar[bool] = True
    _stack: _adjoin.DistributedStackedLinearPhysics
    # What reduce_op=None means: the stack's reduction, or "none".
    reduce_op_none: ClassVar[str | None] = None

    def _each(self, method: str, gather: bool, reduce_op: str | None) -> bool:
        """Whether a call is asked for the results of the operators by themselves."""
        if reduce_op not in (None, "sum", "mean", "none"):
            error = InvalidArgument(f"reduce_op: must be 'sum', 'mean', 'none' or None, got {reduce_op!r}")
            if gather:
                self._stack.refuse(method, error)
            raise error
        return (self.reduce_op_none if reduce_op is None else reduce_op) == "none"

    def _adjoint(self, y: Measurements, gather: bool, reduce_op: str | None, kwargs: dict[str, Any]) -> Any:
        if self._each("A_adjoint", gather, reduce_op):
            return self._listed(self._stack.A_adjoint_each(y, gather, kwargs), gather)
        return self._summed(self._stack.A_adjoint(y, gather, kwargs), reduce_op)

    def _vjp(self, x: TensorLike, v: Measurements, gather: bool, reduce_op: str | None, kwargs: dict[str, Any]) -> Any:
        if self._each("A_vjp", gather, reduce_op):
            return self._listed(self._stack.A_vjp_each(x, v, gather, kwargs), gather)
        return self._summed(self._stack.A_vjp(x, v, gather, kwargs), reduce_op)

    def _normal(self, x: TensorLike, gather: bool, reduce_op: str | None, kwargs: dict[str, Any]) -> Any:
        if self._each("A_adjoint_A", gather, reduce_op):
            return self._listed(self._stack.A_adjoint_A_each(x, gather, kwargs), gather)
        return self._summed(self._stack.A_adjoint_A(x, gather, kwargs), reduce_op)

    def _sqnorm(self, x0: TensorLike, value: float) -> torch.Tensor:
        like = as_tensor(x0, "x0")
        dtype = like.real.dtype
        # The square of a norm may lie beyond the numbers of the image's dtype.
        is_held = value == 0.0 or torch.finfo(dtype).tiny <= value <= torch.finfo(dtype).max
        return torch.tensor(value, dtype=dtype if is_held else torch.double, device=like.device)


class DistributedStackedPhysics(StackedCalls):
    """A stack [A_1; …; A_n] of measurement models, each owned by one rank.

    Images are replicated: every rank passes the same ``x``. Creation and every call with ``gather`` are collective. When
    an operator fails on one rank, that rank raises its exception and the others :class:`adjoin.RankFailure` at that
    call, and the next call works.

    :param ctx: the ranks.
    :param num_operators: n.
    :param factory: ``factory(index, device, factory_kwargs)`` makes operator ``index``; called only on the rank that
        owns it. It may return an operator of :mod:`adjoin.physics`, one of deepinv, a PyLops or SciPy
        ``LinearOperator``, or any object with a method ``A``.
    :param factory_kwargs: for the factory, broadcast from rank 0 once; anything that pickles.
    :param dtype: when given, images and measurements must have this precision.
    :param gather_strategy: "concatenated", one message; "broadcast", one an operator, started as soon as it is done;
        "naive", serialised, for results that change shape at every call.
    :param parameters: parameters that the operators of several ranks share, the same tensors in the same order on every
        rank: their gradients are summed over the ranks once in a backward pass. Those of an operator that one rank
        owns need not be named.
    :param costs: one positive cost an operator, to spread them evenly; round robin otherwise.
    :param lower: whether operators of deepinv, PyLops and SciPy that have an equal in :mod:`adjoin.physics` are computed by
        it (``adjoin.lowering``).
    :raises adjoin.RankFailure: from every call, on every rank, where a rank failed, and
        :class:`adjoin.CallDisagreement` where ranks make different calls.
    """

    def __init__(
        self,
        ctx: DistributedContext,
        num_operators: int,
        factory: Factory,
        *,
        factory_kwargs: dict[str, Any] | None = None,
        dtype: torch.dtype | None = None,
        gather_strategy: str = "concatenated",
        parameters: Iterable[torch.Tensor] = (),
        costs: Sequence[float] = (),
        lower: bool = True,
    ) -> None:
        self._set_up(
            ctx,
            num_operators,
            factory,
            factory_kwargs=factory_kwargs,
            reduction="sum",
            dtype=dtype,
            gather_strategy=gather_strategy,
            parameters=parameters,
            costs=costs,
            lower=lower,
        )

    def __len__(self) -> int:
        return self.num_operators

    def A(self, x: TensorLike, gather: bool = True, reduce_op: str | None = None, **kwargs: Any) -> Any:
        """Measurements without noise.

        :param x: an image (B, C, …), the same on every rank.
        :param gather: True: :class:`TensorList` of all n measurements on every rank, by one message. False: the list of
            this rank's, without any.
        :param reduce_op: "sum" or "mean" of the measurements, which must have one shape, in place of their list.
        :param kwargs: passed to every operator.
        :return: a list of all measurements, or of this rank's own with ``gather=False``.
        :raises adjoin.RankFailure: on every rank, where a rank failed.
        """
        return self._measure("A", x, gather, reduce_op, kwargs)

    def forward(self, x: TensorLike, gather: bool = True, reduce_op: str | None = None, **kwargs: Any) -> Any:
        """Measurements with noise and sensor response; arguments and results as of :meth:`A`.

        :param x: an image, equal on every rank.
        :param gather: as of :meth:`A`, as is reduce_op.
        :return: a list of all measurements, or of this rank's own with ``gather=False``.
        """
        return self._measure("forward", x, gather, reduce_op, kwargs)

    __call__ = forward

    def A_reduced(self, x: TensorLike, reduction: str = "sum", gather: bool = True, **kwargs: Any) -> torch.Tensor:
        """Σ A_i x, or (1/n) Σ A_i x for ``reduction="mean"``, of operators with measurements of one shape: over all
        operators by one message, or with ``gather=False`` over this rank's, without any.

        :return: the sum or mean, on every rank.
        """
        result: torch.Tensor = self._measure("A", x, gather, reduction, kwargs)
        return result

    def forward_reduced(
        self, x: TensorLike, reduction: str = "sum", gather: bool = True, **kwargs: Any
    ) -> torch.Tensor:
        """The same with noise and sensor response.

        :param x: an image, equal on every rank.
        :param reduction: "sum" or "mean".
        :param gather: False gives this rank's sum, without any message.
        :return: the sum or mean, on every rank.
        """
        result: torch.Tensor = self._measure("forward", x, gather, reduction, kwargs)
        return result


class DistributedStackedLinearPhysics(LinearCalls, DistributedStackedPhysics):
    """A stack of linear operators, each owned by one rank.

    Adjoint-like methods return the global sum on every rank by one message; with ``gather=False`` this rank's part of
    it, without any. ``reduce_op`` is "sum", "mean" (1/n of it), "none" (the operators' results by themselves), or None
    for the stack's ``reduction``. Measurements ``y`` are lists of all n tensors, or of this rank's.

    :param reduction: "sum", or "mean", which weighs the space of measurements by 1/n, so that ``A_adjoint`` stays the
        adjoint.
    :param fuse: compute operators of one kind together where that is quicker; results agree to round-off.

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
        )

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


def measure_costs(
    ctx: DistributedContext,
    num_operators: int,
    factory: Factory,
    x: TensorLike,
    *,
    factory_kwargs: dict[str, Any] | None = None,
) -> list[float]:
    """Seconds that ``A_adjoint_A`` takes for each operator on an image like ``x``, the same list on every rank: what
    ``costs=`` of a stack takes, to spread operators of unequal cost evenly. Makes every operator once; collective.

    :param ctx: a :class:`DistributedContext`.
    :param num_operators: how many there are.
    :param factory: as of a stack, as are factory_kwargs.
    :param x: an image.
    :return: seconds, one an operator, for ``costs`` of a stack.
    :raises adjoin.RankFailure: on every rank, where a rank failed.

    >>> from adjoin.physics import Matrix
    >>> with DistributedContext(device_mode="cpu") as ctx:
    ...     len(measure_costs(ctx, 3, lambda i, device, shared: Matrix(torch.eye(2)), torch.ones(1, 2)))
    3
    """
    shared = None if factory_kwargs is None else ctx.broadcast_object(factory_kwargs)

    def make(index: int) -> _adjoin.Physics:
        operator = factory(index, ctx.device, shared)
        lowered = lower(operator)
        return as_physics(operator, linear=True) if lowered is None else lowered.physics

    return _adjoin.measure_costs(ctx._impl, num_operators, make, x)
