# SPDX-License-Identifier: BSD-3-Clause
"""Learned denoisers from files."""

import pytest
import torch

from adjoin import distribute
from adjoin.io import write_safetensors
from adjoin.models import DnCNN, load_denoiser


@pytest.fixture
def weights():
    return {
        "in_conv.weight": torch.randn(4, 1, 3, 3) / 3,
        "conv_list.0.weight": torch.randn(4, 4, 3, 3) / 6,
        "out_conv.weight": torch.randn(1, 4, 3, 3) / 6,
    }


@pytest.fixture
def file(tmp_path, weights):
    write_safetensors(tmp_path / "net.safetensors", weights, {"architecture": "DnCNN"})
    return tmp_path / "net.safetensors"


def network(x, weights):
    for name in ("in_conv", "conv_list.0"):
        x = torch.relu(torch.nn.functional.conv2d(x, weights[f"{name}.weight"], padding=1))
    return torch.nn.functional.conv2d(x, weights["out_conv.weight"], padding=1)


def test_networks_are_read_from_files(file, weights):
    x = torch.rand(2, 1, 12, 10)
    expected = x + network(x, weights)
    assert torch.allclose(DnCNN(file)(x, 0.1), expected, atol=1e-6)
    assert torch.allclose(DnCNN(file)(x, torch.tensor([0.1, 0.2])), expected, atol=1e-6)
    assert torch.allclose(load_denoiser(file)(x, 0.1), expected, atol=1e-6)


def test_tiles_that_overlap_by_the_radius_give_what_the_whole_image_gives(ctx, file):
    dncnn = DnCNN(file)
    assert dncnn.radius == 3
    tiled = distribute(dncnn, ctx, patch_size=8, overlap=dncnn.radius, pad_mode="none")
    x = torch.rand(1, 1, 20, 24)
    assert torch.allclose(tiled(x, 0.1), dncnn(x, 0.1), atol=1e-6)
    assert tiled.num_patches == 9
