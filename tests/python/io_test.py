# SPDX-License-Identifier: BSD-3-Clause
"""Pictures, arrays and weights that are written and read, and files that are refused."""

import numpy
import pytest
import torch

from adjoin import io
from adjoin.errors import InvalidArgument


def test_arrays_pictures_and_weights_come_back(tmp_path):
    array = torch.arange(6.0).reshape(2, 3)
    io.write_npy(tmp_path / "a.npy", array)
    assert torch.equal(io.read_npy(tmp_path / "a.npy"), array)
    assert numpy.array_equal(numpy.load(tmp_path / "a.npy"), array.numpy())
    io.write_cfl(tmp_path / "a", array)
    assert torch.equal(io.read_cfl(tmp_path / "a.cfl"), array.to(torch.complex64))
    assert torch.equal(io.read_cfl(tmp_path / "a", [1, 0], axis=0), array[[1, 0]].to(torch.complex64))
    with pytest.raises(InvalidArgument, match="indices of axis 3"):
        io.read_cfl(tmp_path / "a", [7])
    picture = torch.rand(1, 3, 8, 8).mul(255).round() / 255
    io.write_png(tmp_path / "a.png", picture)
    assert torch.allclose(io.read_png(tmp_path / "a.png"), picture, atol=1e-6)
    assert io.psnr(picture, io.read_png(tmp_path / "a.png")) > 100
    io.write_safetensors(tmp_path / "a.safetensors", {"w": array}, {"kind": "test"})
    tensors, metadata = io.read_safetensors(tmp_path / "a.safetensors")
    assert torch.equal(tensors["w"], array) and metadata == {"kind": "test"}


def test_a_report_is_one_file(tmp_path):
    report = io.Report("A run & its end").text("It <ended>.").table(["method", "dB"], [["fista", "30.1"]])
    report.pictures([("grey", numpy.ones((1, 8, 8))), ("colour", torch.rand(1, 3, 8, 8))])
    report.curves([("psnr", [1.0, 2.0, float("nan")])], title="PSNR", y_label="dB", log_y=True)
    report.write(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert text == report.html() and "It &lt;ended&gt;." in text and "fista" in text and "<svg" in text
    io.Report("Another").append(tmp_path / "a.html")
    assert "Another" in (tmp_path / "a.html").read_text()
    with pytest.raises(ValueError, match="row"):
        report.table(["a"], [["1", "2"]])
