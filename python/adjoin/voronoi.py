# SPDX-License-Identifier: BSD-3-Clause
"""Density compensation by the areas of Voronoi cells, which SciPy finds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from adjoin.arguments import TensorLike
from adjoin.errors import InvalidArgument

__all__ = ["voronoi_density"]


def voronoi_density(trajectory: TensorLike, image_size: Sequence[int], units: str = "cycles_per_pixel") -> torch.Tensor:
    """The area of k-space around each sample of a trajectory (..., 2), in pixels of the grid of an image (H, W): that of
    its Voronoi cell, which samples in one place share. Cells that reach beyond the samples' convex hull are as large as
    the cell of the nearest sample whose own does not. Of the leading axes and precision of the trajectory, as
    ``density_compensation``, whose iteration serves in 3-D and for larger trajectories, too. Needs SciPy.

    V. Rasche et al., "Resampling of data between arbitrary grids using convolution interpolation", IEEE Trans. Med.
    Imaging 18, 1999.

    :param trajectory: (..., 2), its last axis (row, column).
    :param image_size: (H, W).
    :param units: of the trajectory, as of :class:`NonuniformFourier`.
    :return: (...), of the precision of the trajectory.
    :raises adjoin.InvalidArgument: for another trajectory, image_size or units, and samples that lie on a line.
    """
    import numpy
    from scipy.spatial import ConvexHull, Voronoi, cKDTree

    given = torch.as_tensor(trajectory).detach()
    scales = {
        "cycles_per_pixel": [1.0, 1.0],
        "radians_per_pixel": [2 * math.pi, 2 * math.pi],
        "cycles_per_fov": [float(n) for n in image_size],
    }
    if units not in scales:
        raise InvalidArgument(f"voronoi_density: units must be one of {', '.join(scales)}, got '{units}'")
    if not given.is_floating_point() or given.dim() < 2 or given.shape[-1] != 2 or len(image_size) != 2:
        raise InvalidArgument(
            "voronoi_density: trajectory must be real (..., 2) for an image (H, W), "
            f"got {given.dtype} {tuple(given.shape)} and {tuple(image_size)}"
        )
    if not given.isfinite().all():
        raise InvalidArgument("voronoi_density: trajectory must be finite")
    # Samples of a line that meets others in the origin are equal but for rounding.
    pixels = given.reshape(-1, 2).double().cpu().numpy() / scales[units] * image_size
    places, which, counts = numpy.unique(pixels.round(5), axis=0, return_inverse=True, return_counts=True)
    try:
        hull = ConvexHull(places)
        cells = Voronoi(places)
    except (ValueError, RuntimeError) as error:  # SciPy's QhullError is one of the latter
        raise InvalidArgument(
            f"voronoi_density: trajectory must have samples in three places that are not on a line, got {len(places)} places"
        ) from error
    inside = (hull.equations[:, :2] @ cells.vertices.T + hull.equations[:, 2:] <= 1e-6).all(0)
    areas = numpy.full(len(places), numpy.nan)
    for place, region in enumerate(cells.point_region):
        corners = cells.regions[region]
        if corners and -1 not in corners and inside[corners].all():
            x, y = (cells.vertices[corners] - places[place]).T
            order = numpy.arctan2(y, x).argsort()
            x, y = x[order], y[order]
            areas[place] = abs(x @ numpy.roll(y, 1) - y @ numpy.roll(x, 1)) / 2
    known = ~numpy.isnan(areas)
    if not known.any():
        raise InvalidArgument("voronoi_density: no cell lies within the convex hull of the samples")
    areas[~known] = areas[known][cKDTree(places[known]).query(places[~known])[1]]
    shared = (areas / counts)[which.reshape(-1)]
    return torch.from_numpy(shared).reshape(given.shape[:-1]).to(given)
