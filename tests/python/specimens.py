# SPDX-License-Identifier: BSD-3-Clause
"""One of each operator of adjoin.physics, for tests of what holds for all of them: copies, arrays, check_operator.

A line for a new operator is all that these tests need.
"""

import numpy

from adjoin.physics import (
    Blur,
    ChannelMixing,
    Diagonal,
    Downsampling,
    FilterBank,
    Inpainting,
    Matrix,
    MultiCoilMRI,
    NonCartesianMRI,
    NonuniformFourier,
    SampledProjection,
    Tomography,
)


def drawn(*shape):
    """Random numbers between 0 and 1, the same each time."""
    return numpy.random.default_rng(sum(shape)).random(shape)


# By name a function that makes the operator of arrays, each as `of` has it, and the shape of an image.
SPECIMENS = {
    "Blur": (lambda of: Blur(of(drawn(1, 1, 3, 3)), padding="circular"), (1, 1, 8, 8)),
    "ChannelMixing": (lambda of: ChannelMixing(of(drawn(2, 1))), (1, 1, 8, 8)),
    "Diagonal": (lambda of: Diagonal(of(drawn(8, 8))), (1, 1, 8, 8)),
    "Downsampling": (lambda of: Downsampling(of(drawn(1, 1, 3, 3)), image_size=(8, 8)), (1, 1, 8, 8)),
    "FilterBank": (lambda of: FilterBank(of(drawn(2, 1, 3, 3))), (1, 1, 8, 8)),
    "Inpainting": (lambda of: Inpainting(of(drawn(8, 8) > 0.5)), (1, 1, 8, 8)),
    "Matrix": (lambda of: Matrix(of(drawn(5, 64)), (1, 8, 8)), (1, 1, 8, 8)),
    "MultiCoilMRI": (lambda of: MultiCoilMRI(of(drawn(8, 8)), of(drawn(1, 2, 8, 8) + 1j)), (1, 2, 8, 8)),
    "NonCartesianMRI": (
        lambda of: NonCartesianMRI(of(drawn(6, 20, 2) - 0.5), of(drawn(1, 2, 8, 8) + 1j), of(drawn(20)), eps=1e-13),
        (1, 2, 8, 8),
    ),
    "NonuniformFourier": (lambda of: NonuniformFourier(of(drawn(90, 2) - 0.5), (8, 8), eps=1e-13), (1, 1, 8, 8)),
    "SampledProjection": (
        lambda of: SampledProjection(of(drawn(2, 6, 5, 2)), (8, 8), weights=of(drawn(8, 8))),
        (1, 1, 8, 8),
    ),
    "Tomography": (lambda of: Tomography(of(numpy.arange(5)), (8, 8)), (1, 1, 8, 8)),
}
