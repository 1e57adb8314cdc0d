# SPDX-License-Identifier: BSD-3-Clause
"""Measurement models whose arithmetic is that of C++.

Each has ``A``, ``forward`` (with noise), ``A_vjp`` and, as all here are linear, ``A_adjoint``, ``A_adjoint_A``,
``A_A_adjoint``, ``A_dagger``, ``prox_l2``, ``compute_sqnorm`` and ``adjointness_test``; ``a + b``, ``2 * a``, ``a * b``
(first b) and ``a.T`` are such models, too. Images are tensors (B, C, …), real or complex, on any device.

>>> import torch
>>> blur = Blur(gaussian_kernel((1.0, 1.0)), padding="circular")
>>> blur.A(torch.ones(1, 1, 16, 16)).shape
torch.Size([1, 1, 16, 16])
"""

from adjoin._adjoin import (
    Blur,
    ChannelMixing,
    Diagonal,
    Downsampling,
    FilterBank,
    Inpainting,
    LinearPhysics,
    Matrix,
    MultiCoilMRI,
    NonCartesianMRI,
    NonuniformFourier,
    Physics,
    SampledProjection,
    Tomography,
    adaptive_maps,
    bicubic_kernel,
    bilinear_kernel,
    box_kernel,
    compression_matrix,
    density_compensation,
    espirit_maps,
    gaussian_kernel,
    gaussian_kernel_3d,
    gaussian_noise,
    geometric_compression,
    has_finufft,
    mix_coils,
    mix_coils_along,
    motion_kernel,
    off_resonance_mri,
    poisson_noise,
    prewhitening_matrix,
    root_sum_of_squares,
    sinc_kernel,
    subspace_mri,
    uniform_noise,
)
from adjoin.operators import MatrixFree, as_physics
from adjoin.voronoi import voronoi_density

__all__ = [
    "Blur",
    "ChannelMixing",
    "Diagonal",
    "Downsampling",
    "FilterBank",
    "Inpainting",
    "LinearPhysics",
    "Matrix",
    "MatrixFree",
    "MultiCoilMRI",
    "NonCartesianMRI",
    "NonuniformFourier",
    "Physics",
    "SampledProjection",
    "Tomography",
    "adaptive_maps",
    "as_physics",
    "bicubic_kernel",
    "bilinear_kernel",
    "box_kernel",
    "compression_matrix",
    "density_compensation",
    "espirit_maps",
    "gaussian_kernel",
    "gaussian_kernel_3d",
    "gaussian_noise",
    "geometric_compression",
    "has_finufft",
    "mix_coils",
    "mix_coils_along",
    "motion_kernel",
    "off_resonance_mri",
    "poisson_noise",
    "prewhitening_matrix",
    "root_sum_of_squares",
    "sinc_kernel",
    "subspace_mri",
    "uniform_noise",
    "voronoi_density",
]
