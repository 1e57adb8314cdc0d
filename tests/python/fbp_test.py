# SPDX-License-Identifier: BSD-3-Clause
"""Filtered backprojection warns as Python does."""

import math
import warnings

import pytest
import torch

from adjoin.physics import Tomography


def chords(radius, detectors, views):
    u = torch.arange(float(detectors)) - (detectors - 1) / 2
    return (2 * (radius**2 - u**2).clamp(min=0).sqrt()).expand(1, 1, views, detectors)


def test_a_scan_without_fault_does_not_warn():
    scan = Tomography(torch.arange(360.0) + 0.01 * torch.randn(360), (64, 64), detectors=64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = scan.fbp(chords(25, 64, 360))
    assert math.isclose(image[0, 0, 30:34, 30:34].mean(), 1.0, rel_tol=0.01)


def test_missing_directions_and_short_detectors_warn():
    with pytest.warns(UserWarning, match="leave out"):
        Tomography(torch.arange(-60.0, 61.0), (64, 64), detectors=64).fbp(chords(25, 64, 121))
    scan = Tomography(torch.arange(180.0), (64, 64), detectors=40)
    with pytest.warns(UserWarning, match="beyond the detector"):
        assert scan.fbp(chords(25, 40, 180))[0, 0, 32, 32] > 1.05
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = scan.fbp(chords(25, 40, 180), padding="extrapolate")
    assert math.isclose(image[0, 0, 32, 32], 1.0, rel_tol=0.01)


def test_a_warning_may_be_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="leave out"):
            Tomography(torch.arange(-60.0, 61.0), (64, 64), detectors=64).fbp(chords(25, 64, 121))
