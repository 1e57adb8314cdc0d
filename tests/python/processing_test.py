# SPDX-License-Identifier: BSD-3-Clause
"""Processing in tiles over ranks, against the whole image in one process."""

import pytest
import torch

from adjoin import DistributedProcessing, DistributedSignalStrategy, distribute


def smooth(x):
    """A mean over 3 × 3 pixels, with zeros beyond the border."""
    return torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)


@pytest.mark.parametrize("max_batch_size", [None, 1, 3])
def test_tiles_that_overlap_give_the_result_on_the_whole_image(ctx, max_batch_size):
    x = torch.rand(2, 1, 24, 20)
    tiles = distribute(
        smooth, ctx, type_object="denoiser", patch_size=8, overlap=2, max_batch_size=max_batch_size, pad_mode="constant"
    )
    assert torch.allclose(tiles(x), smooth(x), atol=1e-6)
    assert tiles.num_patches == 9


def test_arguments_go_to_the_processor(ctx):
    tiles = DistributedProcessing(ctx, lambda x, sigma, scale=1.0: sigma * scale * x, strategy="basic")
    x = torch.rand(1, 1, 8, 8)
    assert torch.allclose(tiles(x, 0.5, scale=4.0), 2 * x)
    assert torch.allclose(tiles(x, sigma=torch.tensor(3.0)), 3 * x)


def test_parts_of_the_ranks_add_up(ctx):
    tiles = distribute(smooth, ctx, type_object="denoiser", patch_size=8, overlap=2)
    x = torch.rand(1, 1, 24, 24)
    part = tiles(x, gather=False)
    ctx.all_reduce(part)
    assert torch.allclose(part, tiles(x))


class Halves(DistributedSignalStrategy):
    """Left and right half."""

    def get_num_patches(self):
        return 2

    def _half(self, index):
        width = self.img_size[-1] // 2
        return slice(index * width, (index + 1) * width)

    def get_local_patches(self, x, local_indices):
        return [(i, x[..., self._half(i)]) for i in local_indices]

    def reduce_patches(self, out_tensor, local_pairs):
        for i, patch in local_pairs:
            out_tensor[..., self._half(i)] = patch


@pytest.mark.parametrize("strategy", [Halves, Halves((1, 1, 4, 6))])
def test_a_strategy_of_ones_own(ctx, strategy):
    tiles = DistributedProcessing(ctx, lambda x: x + x.mean(), strategy=strategy)
    x = torch.rand(1, 1, 4, 6)
    expected = torch.cat([half + half.mean() for half in x.chunk(2, dim=-1)], dim=-1)
    assert torch.allclose(tiles(x), expected)


def test_a_processor_must_keep_the_shape(ctx):
    tiles = DistributedProcessing(ctx, lambda x: x[..., 1:], strategy_kwargs={"patch_size": 4, "overlap": 1})
    with pytest.raises((ValueError, RuntimeError), match="keep the shape"):
        tiles(torch.rand(1, 1, 16, 16))


@pytest.mark.parametrize("max_batch_size", [None, 2, 100])
def test_tiles_come_one_at_a_time_on_the_cpu_unless_more_are_asked_for(ctx, max_batch_size):
    sizes = []

    def process(tiles):
        sizes.append(len(tiles))
        return tiles

    tiles = DistributedProcessing(
        ctx, process, strategy_kwargs={"patch_size": 4, "overlap": 1}, max_batch_size=max_batch_size
    )
    tiles(torch.rand(1, 1, 16, 16))
    assert tiles.num_patches == 16 and sum(sizes) == len(tiles.local_indices)
    assert max(sizes) == min(max_batch_size or 1, len(tiles.local_indices))


@pytest.mark.parametrize("mode", ["always", "never", "auto"])
@pytest.mark.parametrize("max_batch_size", [1, 100])
def test_what_is_kept_for_the_derivatives_of_tiles(ctx, mode, max_batch_size):
    """Nothing where it is computed again: always, or where a rank has more than one batch of tiles."""
    calls, kept = [], []

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, tiles):
            calls.append(len(tiles))
            return (self.gain * tiles).tanh()

    tiles = DistributedProcessing(
        ctx, Network(), strategy_kwargs={"patch_size": 4, "overlap": 1}, max_batch_size=max_batch_size, checkpoint_batches=mode
    )
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        result = tiles(torch.rand(1, 1, 16, 16)).sum()
    once = len(calls)
    result.backward()
    again = mode == "always" or (mode == "auto" and once > 1)
    assert len(calls) == (2 if again else 1) * once
