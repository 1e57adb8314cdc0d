# SPDX-License-Identifier: BSD-3-Clause
"""Ranks in a grid: groups along the slices of images, in each of which the operators are shared out."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SliceGrid"]


class SliceGrid(NamedTuple):
    """How the ranks of a stack of slice-local operators work together: rank ``s * operators + o`` has the slices of part
    ``s`` of the image, and the operators of share ``o``.

    :param image: the shape of the whole images, the same for all calls.
    :param slices: parts of the image; ``slices * operators`` is the number of ranks.
    :param operators: ranks that share out the operators for each part.
    :param axis: the axis along which every operator acts slice by slice, and images are cut evenly: of ``Tomography`` any
        but the last two, of ``Blur`` batch and channels, of ``MultiCoilMRI`` the batch, of an operator of your own what its
        method ``slice_axis`` says.
    """

    image: tuple[int, ...]
    slices: int
    operators: int
    axis: int = 0
