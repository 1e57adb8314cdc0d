"""Files."""

import numpy
import torch

from adjoin import io


def test_arrays_pictures_and_weights_come_back(tmp_path):
    array = torch.arange(6.0).reshape(2, 3)
    io.write_npy(tmp_path / "a.npy", array)
    assert torch.equal(io.read_npy(tmp_path / "a.npy"), array)
    assert numpy.array_equal(numpy.load(tmp_path / "a.npy"), array.numpy())
    picture = torch.rand(1, 3, 8, 8).mul(255).round() / 255
    io.write_png(tmp_path / "a.png", picture)
    assert torch.allclose(io.read_png(tmp_path / "a.png"), picture, atol=1e-6)
    assert io.psnr(picture, io.read_png(tmp_path / "a.png")) > 100
    io.write_safetensors(tmp_path / "a.safetensors", {"w": array}, {"kind": "test"})
    tensors, metadata = io.read_safetensors(tmp_path / "a.safetensors")
    assert torch.equal(tensors["w"], array) and metadata == {"kind": "test"}
