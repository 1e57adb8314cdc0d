# SPDX-License-Identifier: BSD-3-Clause
"""Images of which each rank holds a share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from adjoin import _adjoin
from adjoin.arguments import TensorLike

if TYPE_CHECKING:
    from adjoin.distributed.stacked_linear_physics import DistributedStackedLinearPhysics

__all__ = ["ShardedImage"]


class ShardedImage:
    """An image of which this rank holds a slab: consecutive elements of the flat image, or consecutive indices of an axis.

    Made by the methods of a stack (``A_adjoint_sharded``, ``A_dagger_sharded``, ``A_adjoint_A`` and ``prox_l2`` of sharded
    images) and by :meth:`from_replicated`. Pointwise work is done on :attr:`local`:
    ``x.with_local(x.local.clamp(min=0))``.

    :param stack: the stack, of the extension module, whose images are cut so.
    :param impl: what the extension module has of the image.
    :raises InvalidArgument: by the methods, for a slab of another shape, image or stack; the same error on every rank.

    >>> import adjoin
    >>> from adjoin.physics import Matrix
    >>> with adjoin.DistributedContext(device_mode="cpu") as ctx:
    ...     stack = adjoin.DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: Matrix(torch.eye(2)))
    ...     x = ShardedImage.from_replicated(stack, torch.ones(1, 2))
    ...     stack.A_adjoint_A(x).gather()
    tensor([[3., 3.]])
    """

    __slots__ = ("_impl", "_stack")

    def __init__(self, stack: _adjoin.DistributedStackedLinearPhysics, impl: _adjoin.ShardedImage) -> None:
        self._stack = stack
        self._impl = impl

    @classmethod
    def from_replicated(
        cls, stack: DistributedStackedLinearPhysics, x: TensorLike, axis: int | None = None
    ) -> ShardedImage:
        """This rank's slab of an image that every rank has, without any message.

        :param stack: the stack on whose ranks the slabs are.
        :param x: the image, equal on every rank, with the batch first.
        :param axis: the axis that is cut; None: as the stack cuts images, the flat image or, where the ranks have a joint
            normal operator, whole images.
        :return: the image, with a copy of this rank's slab.
        :raises InvalidArgument: where the image has no such axis.
        """
        return stack.shard_image(x, axis)

    @classmethod
    def from_npy(
        cls, stack: DistributedStackedLinearPhysics, path: str | os.PathLike[str], axis: int | None = None
    ) -> ShardedImage:
        """The array of a NumPy file in C order, of which each rank reads its slab alone, without any message.

        :param stack: the stack on whose ranks the slabs are.
        :param path: the file.
        :param axis: the axis that is cut, as in :meth:`from_replicated`.
        :return: the image, of the dtype of the file.
        :raises Error: where the file cannot be read or is no such array.
        """
        return cls(stack._stack, stack._stack.read_npy(os.fspath(path), axis))

    def to_npy(self, path: str | os.PathLike[str]) -> None:
        """Writes the image as a NumPy file, each rank its slab, without any message: the file is complete when all ranks
        have written theirs (``ctx.barrier()``).

        :param path: the file.
        :raises Error: where it cannot be written.
        """
        self._impl.write_npy(os.fspath(path))

    @property
    def local(self) -> torch.Tensor:
        """This rank's slab: one-dimensional where the flat image is cut."""
        return self._impl.local

    @property
    def shape(self) -> torch.Size:
        """Of the whole image."""
        return torch.Size(self._impl.sizes)

    @property
    def dtype(self) -> torch.dtype:
        """Of its elements."""
        return self._impl.local.dtype

    @property
    def axis(self) -> int | None:
        """The axis that is cut; None: the flat image is."""
        return self._impl.axis

    @property
    def offsets(self) -> list[int]:
        """Where the slab of each rank begins, and where that of the last one ends: elements of the flat image, or indices
        of the axis."""
        return self._impl.begins

    def with_local(self, local: TensorLike) -> ShardedImage:
        """The image, cut alike, of which this rank's slab is another one.

        :param local: the slab, of the shape of :attr:`local`.
        :return: the image; this one stays as it is.
        :raises InvalidArgument: where the slab has another shape.
        """
        return ShardedImage(self._stack, self._impl.with_local(local))

    def gather(self) -> torch.Tensor:
        """The whole image on every rank, by one message.

        :return: the image, of shape :attr:`shape`, the caller's own.
        :raises RankFailure: on every rank, where one cannot make the call.
        """
        return self._stack.gather_image(self._impl)

    def dot(self, other: ShardedImage) -> complex:
        """⟨self, other⟩ of the whole images, by one small message.

        :param other: an image that is cut alike.
        :return: the inner product, the same number on every rank.
        :raises InvalidArgument: where the images are cut in unlike ways.
        """
        return self._impl.dot(other._impl)

    def norm(self) -> float:
        """‖self‖ of the whole image, by one small message.

        :return: the norm, the same number on every rank.
        """
        return self._impl.norm()

    def __repr__(self) -> str:
        cut = "flat" if self.axis is None else f"along axis {self.axis}"
        return f"ShardedImage(shape={tuple(self.shape)}, {self.dtype}, cut {cut} at {self.offsets})"
