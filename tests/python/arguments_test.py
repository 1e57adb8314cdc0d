# SPDX-License-Identifier: BSD-3-Clause
"""Arguments: NumPy arrays wherever tensors are taken, and errors that say which argument is wrong, and what it must be."""

import numpy
import pytest
import torch
from specimens import SPECIMENS, drawn
from support import Scaling

import adjoin
from adjoin import InvalidArgument, optim, solvers
from adjoin.physics import (
    Blur,
    Diagonal,
    Downsampling,
    Inpainting,
    Matrix,
    MatrixFree,
    SampledProjection,
    Tomography,
    as_physics,
    gaussian_kernel,
)

rng = numpy.random.default_rng(0)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


# The same numbers in memory of every kind.
LAYOUTS = {
    "plain": lambda a: a.copy(),
    "read-only": read_only,
    "Fortran": numpy.asfortranarray,
    "reversed": lambda a: numpy.ascontiguousarray(a[..., ::-1])[..., ::-1],
    "strided": lambda a: numpy.repeat(a, 2, axis=-1)[..., ::2],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "matrix subclass": lambda a: a.view(type("Own", (numpy.ndarray,), {})),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())


@every_layout
@pytest.mark.parametrize("name", SPECIMENS)
def test_operators_are_made_of_arrays_and_applied_to_arrays(name, layout):
    make, shape = SPECIMENS[name]
    image = drawn(*shape)
    right = make(torch.from_numpy)
    y = right.A(torch.from_numpy(image))
    operator = make(layout)
    got = operator.A(layout(image))
    assert isinstance(got, torch.Tensor) and torch.allclose(got, y)
    for method in ("A_adjoint", "A_A_adjoint"):
        assert torch.allclose(getattr(operator, method)(layout(y.numpy())), getattr(right, method)(y))
    assert torch.allclose(operator.A_vjp(layout(image), layout(y.numpy())), right.A_vjp(torch.from_numpy(image), y))
    x0 = torch.zeros_like(torch.from_numpy(image))
    assert torch.allclose(
        operator.prox_l2(layout(image), layout(y.numpy()), 0.5, init=x0.numpy(), max_iter=3),
        right.prox_l2(torch.from_numpy(image), y, 0.5, init=x0, max_iter=3),
    )
    assert operator.compute_sqnorm(layout(image)) == pytest.approx(right.compute_sqnorm(torch.from_numpy(image)))


def test_an_array_is_not_changed_and_not_kept_by_results():
    image = numpy.ones((1, 1, 4, 4))
    y = Diagonal(1.0).A(image)
    y += 1
    assert (image == 1).all()


def test_parameters_of_a_call_are_arrays():
    blur, kernel = Blur(torch.ones(1, 1, 3, 3)), drawn(1, 1, 3, 3)
    x = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    assert torch.equal(blur.A(x, filter=kernel), blur.A(x, filter=torch.from_numpy(kernel)))
    blur.update(filter=kernel)
    assert torch.equal(blur.filter, torch.from_numpy(kernel))
    assert torch.equal(blur.A(x, filter=None), blur.A(x))


def test_an_operator_of_pythons_gets_tensors_and_its_own_keywords(ctx):
    class Gain(Scaling):
        def A(self, x, gain=1.0):
            assert isinstance(x, torch.Tensor) and isinstance(gain, (float, numpy.ndarray))
            return x * torch.as_tensor(gain)

    operator = as_physics(Gain(1.0))
    assert torch.equal(operator.A(numpy.ones((1, 3)), gain=numpy.float64(2)), torch.full((1, 3), 2.0).double())
    assert operator.A(numpy.ones((1, 3)), gain=numpy.ones(3)).shape == (1, 3)


def test_matrix_free_operators_take_arrays():
    sparse = pytest.importorskip("scipy.sparse")
    operator = MatrixFree(sparse.linalg.aslinearoperator(sparse.eye(4)))
    assert torch.equal(operator.A_adjoint(numpy.ones((1, 4))), torch.ones(1, 4).double())


@every_layout
def test_stacks_fidelities_and_algorithms_take_arrays(ctx, layout):
    stack = adjoin.DistributedStackedLinearPhysics(ctx, 3, lambda i, device, shared: Matrix((i + 1) * numpy.eye(3)))
    x, y = layout(numpy.ones((1, 3))), [layout(numpy.ones((1, 3)))] * 3
    assert torch.equal(stack.A(x)[2], torch.full((1, 3), 3.0).double())
    assert torch.equal(stack.A_adjoint(y), torch.full((1, 3), 6.0).double())
    assert torch.equal(stack.A_vjp(x, tuple(y)), stack.A_adjoint(y))
    assert torch.equal(stack.A_adjoint_A(x), torch.full((1, 3), 14.0).double())
    assert torch.allclose(stack.A_dagger(y, init=x, local_only=False), torch.full((1, 3), 6 / 14).double())
    assert torch.allclose(stack.prox_l2(x, y, 1.0), torch.full((1, 3), 7 / 15).double())
    assert stack.compute_sqnorm(x, local_only=False) == pytest.approx(14)
    fidelity = adjoin.DistributedDataFidelity(ctx, optim.L2())
    assert fidelity.fn(x, y, stack).item() == pytest.approx(1.5 * (0 + 1 + 4))
    assert torch.allclose(fidelity.grad(x, y, stack), torch.full((1, 3), 8.0).double())
    each = adjoin.DistributedDataFidelity(ctx, lambda i, device, shared: optim.L2(), 3)
    assert torch.allclose(each.grad(x, y, stack), torch.full((1, 3), 8.0).double())
    result = optim.fista(stack, y, optim.ZeroPrior(), x, max_iter=50, truth=layout(numpy.full((1, 3), 6 / 14)))
    assert torch.allclose(result.x, torch.full((1, 3), 6 / 14).double(), atol=1e-3)
    tiles = adjoin.DistributedProcessing(ctx, lambda t: 2 * t, strategy_kwargs={"patch_size": 4, "overlap": 1})
    assert torch.equal(tiles(layout(numpy.ones((1, 1, 8, 8)))), torch.full((1, 1, 8, 8), 2.0).double())


def test_fidelities_priors_solvers_files_and_lists_take_arrays(tmp_path):
    ones, zeros = numpy.ones((1, 4)), numpy.zeros((1, 4))
    assert optim.L2().fn(ones, zeros) == 2 and optim.L2().prox(ones, zeros, 1.0).tolist() == [[0.5] * 4]
    assert optim.L1Prior().fn(ones) == 4 and optim.L1Prior().prox(ones, 0.25).tolist() == [[0.75] * 4]
    assert optim.wavelet_transform(numpy.ones((1, 1, 8, 8))).shape == (1, 1, 8, 8)
    assert solvers.conjugate_gradient(lambda x: 2 * x, ones, x0=zeros).x.tolist() == [[0.5] * 4]
    assert solvers.lsqr(lambda x: 2 * x, lambda y: 2 * y, ones).x[0, 0] == pytest.approx(0.5)
    assert solvers.largest_eigenvalue(lambda x: 2 * x, ones)[0] == pytest.approx(2)
    adjoin.io.write_npy(tmp_path / "a.npy", ones)
    assert torch.equal(adjoin.io.read_npy(tmp_path / "a.npy"), torch.ones(1, 4).double())
    adjoin.io.write_safetensors(tmp_path / "a.safetensors", {"ones": ones})
    adjoin.io.write_png(tmp_path / "a.png", numpy.ones((1, 4, 4)))
    assert adjoin.io.psnr(ones, ones + 0.1) == pytest.approx(20)
    both = adjoin.TensorList([ones, torch.ones(2)])
    assert all(isinstance(entry, torch.Tensor) for entry in both) and (both + both)[0].sum() == 8


@pytest.mark.parametrize("dtype", ["O", "U3", "M8[s]", "f8,i4"])
def test_arrays_that_are_no_numbers_are_refused(dtype):
    with pytest.raises(InvalidArgument, match=r"Blur: filter: must be a tensor or a NumPy array, got an array of "):
        Blur(numpy.zeros((1, 1, 3, 3), dtype=dtype))


def test_masked_arrays_are_refused():
    with pytest.raises(InvalidArgument, match="x: must be"):
        Diagonal(2.0).A(numpy.ma.masked_array([1.0, 2.0], mask=[True, False]))


# ---- Unknown and wrong arguments ----------------------------------------------------------------------------------

WRONG = {
    "unknown keyword": (lambda: Blur(torch.ones(1, 1, 3, 3), paddding="circular"), r"^Blur: unknown argument 'paddding'; it takes filter, padding, method"),
    "missing": (lambda: Blur(padding="valid"), r"^Blur: filter: missing, must be a tensor or a NumPy array"),
    "too many": (lambda: Blur(torch.ones(1, 1, 3, 3), "valid", "auto", 1), "at most 3 arguments by position, got 4"),
    "text for a tensor": (lambda: Blur("text"), "^Blur: filter: must be a tensor or a NumPy array, got 'text'"),
    "a list for a tensor": (lambda: Tomography([0.0, 1.0], (8, 8)), r"angles: must be a tensor or a NumPy array, got \[0.0, 1.0\]"),
    "a number for a size": (lambda: Tomography(torch.zeros(2), 8), "image_size: must be a sequence of 2, each an integer, got 8"),
    "three sizes": (lambda: Tomography(torch.zeros(2), (8, 8, 8)), "image_size: must be a sequence of 2"),
    "a fraction for a count": (lambda: Downsampling(factor=1.5), "factor: must be an integer, got 1.5"),
    "None for a tensor": (lambda: Diagonal(2.0).A(None), "A: x: must be a tensor or a NumPy array, got None"),
    "text for a number": (lambda: optim.L2("one"), "L2: sigma: must be a number, got 'one'"),
    "a number for text": (lambda: optim.WaveletPrior(3), "WaveletPrior: wavelet: must be text, got 3"),
    "given twice": (lambda: optim.L2(1.0, sigma=2.0), "sigma: given twice"),
    "a number for a function": (lambda: optim.PnP(3), "denoiser: must be a callable"),
    "no noise": (lambda: Diagonal(2.0).set_noise_model(3), "noise_model: must be a callable of a tensor, or None"),
    "a number for sizes": (lambda: gaussian_kernel(1.0), "gaussian_kernel: sigma: must be a sequence of 2, each a number, got 1.0"),
    "a typo in a solver": (lambda: solvers.lsqr(lambda x: x, lambda y: y, torch.ones(2), max_itre=3), "lsqr: unknown argument 'max_itre'"),
    "an operator plus text": (lambda: Diagonal(2.0).A_dagger(torch.ones(2), max_iter="ten"), "A_dagger: max_iter: must be an integer, got 'ten'"),
    "a list with text": (lambda: adjoin.TensorList([torch.ones(1), "text"]), r"x\[1\]: must be a tensor or a NumPy array, got 'text'"),
    "no list": (lambda: adjoin.TensorList(3), "x: must be a list of tensors, got 3"),
    "png of text": (lambda: adjoin.io.write_png("a.png", "text"), "image: must be a tensor or a NumPy array"),
}


@pytest.mark.parametrize(("call", "message"), WRONG.values(), ids=WRONG.keys())
def test_an_error_names_the_argument(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()
    with pytest.raises(TypeError):  # as of any function
        call()


def test_arithmetic_with_what_is_no_operator_is_a_type_error():
    for call in (lambda: Diagonal(2.0) + 1, lambda: Diagonal(2.0) * "a", lambda: "a" * Diagonal(2.0)):
        with pytest.raises(TypeError):
            call()


x = torch.arange(64.0).reshape(1, 1, 8, 8).sin()
blur = Blur(gaussian_kernel((1.0, 1.0), size=[3, 3]), padding="circular")


@pytest.mark.parametrize("operator", [blur, Inpainting(torch.ones(8, 8)), 2 * blur, blur + Diagonal(2.0), blur * Diagonal(2.0), blur.T, Tomography(torch.zeros(1), (8, 8)), Downsampling(factor=2)], ids=lambda o: o.name)
def test_an_operator_refuses_parameters_that_it_does_not_have(operator):
    y = operator.A(x)
    calls = {
        "A": (x,), "forward": (x,), "A_adjoint": (y,), "A_vjp": (x, y), "A_adjoint_A": (x,), "A_A_adjoint": (y,),
        "A_dagger": (y,), "prox_l2": (x, y, 1.0), "compute_sqnorm": (x,), "sqnorm_bounds": (x,), "adjointness_test": (x,), "update": (),
    }  # fmt: skip
    for method, arguments in calls.items():
        with pytest.raises(InvalidArgument, match="unknown parameter 'fliter'; it takes"):
            getattr(operator, method)(*arguments, fliter=torch.ones(1, 1, 3, 3))
        with pytest.raises(InvalidArgument, match="unknown parameter 'fliter'"):
            getattr(operator, method)(*arguments, fliter=None)


def test_parameters_reach_the_operands_that_have_them():
    mask, kernel = torch.rand(8, 8), torch.rand(1, 1, 3, 3)
    both = blur * Inpainting(torch.ones(8, 8))
    assert set(both.parameter_names) == {"filter", "mask"}
    assert torch.equal(both.A(x, mask=mask, filter=kernel), blur.A(x * mask, filter=kernel))
    assert as_physics(Scaling(1.0)).parameter_names is None


def test_an_operator_of_pythons_takes_what_its_methods_name():
    class Gain:
        def A(self, x, gain=1.0):
            return gain * x

        def A_adjoint(self, y, *, gain=1.0):
            return gain * y

    operator = as_physics(Gain())
    assert operator.parameter_names == ["gain"]
    assert torch.equal(operator.A_adjoint_A(x, gain=2.0), 4 * x)
    with pytest.raises(InvalidArgument, match="Gain::A: unknown parameter 'gian'; it takes 'gain'"):
        operator.A(x, gian=2.0)
    with pytest.raises(InvalidArgument, match="Gain: has no method update"):
        operator.update(gain=2.0)


def mixed_stack(ctx, **options):
    """Blurs, and on the last rank the one operator with a mask."""
    operators = [blur] * ctx.world_size + [Inpainting(torch.ones(8, 8))]
    costs = [1.0] * ctx.world_size + [1e-3]
    return adjoin.DistributedStackedLinearPhysics(ctx, len(operators), lambda i, d, s: operators[i], costs=costs, **options)


@pytest.mark.parametrize("strategy", ["naive", "concatenated", "broadcast"])
def test_a_stack_takes_what_any_operator_on_any_rank_takes(ctx, strategy):
    stack = mixed_stack(ctx, gather_strategy=strategy)
    mask = torch.rand(8, 8)
    assert torch.equal(stack.A(x, mask=mask)[-1], mask * x)
    assert torch.allclose(stack.A_adjoint(stack.A(x), mask=mask), ctx.world_size * blur.A_adjoint_A(x) + mask * x, atol=1e-5)
    y = stack.A(x)
    for call in (
        lambda: stack.A(x, maks=mask),
        lambda: stack.A(x, gather=False, maks=mask),
        lambda: stack.forward(x, maks=mask),
        lambda: stack.A_adjoint(y, maks=mask),
        lambda: stack.A_vjp(x, y, maks=mask),
        lambda: stack.A_adjoint_A(x, maks=mask),
        lambda: stack.A_A_adjoint(y, maks=mask),
        lambda: stack.A_dagger(y, maks=mask),
        lambda: stack.A_dagger(y, local_only=False, maks=mask),
        lambda: stack.prox_l2(x, y, 1.0, maks=mask),
        lambda: stack.compute_sqnorm(x, maks=mask),
        lambda: stack.compute_sqnorm(x, local_only=False, maks=mask),
        lambda: stack.sqnorm_bounds(x, maks=mask),
        lambda: stack.adjointness_test(x, maks=mask),
        lambda: stack.A(x, reduce_op="sum", maks=mask),
        lambda: stack.A_dagger(y, "CG", local_onyl=False),
    ):
        with pytest.raises(adjoin.Error, match="unknown parameter 'maks'|unknown parameter 'local_onyl'"):
            call()
    assert torch.equal(stack.A(x)[0], blur.A(x))


def test_constructors_refuse_unknown_keywords(ctx):
    make = lambda i, device, shared: blur  # noqa: E731
    for call in (
        lambda: adjoin.DistributedStackedLinearPhysics(ctx, 2, make, gather_stategy="broadcast"),
        lambda: adjoin.DistributedStackedPhysics(ctx, 2, make, gather_stategy="broadcast"),
        lambda: adjoin.DistributedDataFidelity(ctx, optim.L2(), gather_stategy="sum"),
        lambda: adjoin.DistributedProcessing(ctx, abs, gather_stategy=1),
        lambda: adjoin.DistributedProcessing(ctx, abs, strategy_kwargs={"gather_stategy": 1}),
        lambda: adjoin.distribute([blur], ctx, gather_stategy="broadcast"),
        lambda: adjoin.distribute(abs, ctx, type_object="denoiser", gather_stategy=1),
        lambda: adjoin.distribute(optim.L2(), ctx, gather_stategy=1),
        lambda: adjoin.DistributedContext(gather_stategy=1),
        lambda: optim.fista(adjoin.distribute([blur], ctx), [x], optim.ZeroPrior(), x, gather_stategy=1),
        lambda: optim.hqs(adjoin.distribute([blur], ctx), [x], optim.ZeroPrior(), x, [1.0], gather_stategy=1),
        lambda: adjoin.io.read_png("a.png", gather_stategy=1),
    ):
        with pytest.raises((TypeError, adjoin.Error), match="gather_stategy"):
            call()


NUMBERS_WITH_GRADIENTS = {
    "scale: factor": lambda w: w * Diagonal(1.0),
    "SampledProjection: factor": lambda w: SampledProjection(torch.zeros(1, 4, 4, 2), (4, 4), factor=w),
    "Tomography: spacing": lambda w: Tomography(torch.zeros(2), (4, 4), spacing=w),
    "IndicatorLInf: radius": lambda w: optim.IndicatorLInf(w),
    "Huber: delta": lambda w: optim.Huber(delta=w),
    "Box: upper": lambda w: optim.Box(0.0, w),
}


@pytest.mark.parametrize("argument", NUMBERS_WITH_GRADIENTS)
def test_a_number_whose_gradient_would_be_lost_is_refused(argument):
    use = NUMBERS_WITH_GRADIENTS[argument]
    with pytest.raises(InvalidArgument, match=f"{argument}: must be a number, got a tensor.* that requires gradients"):
        use(torch.tensor(2.0, requires_grad=True))
    use(torch.tensor(2.0))
    with torch.no_grad():
        use(torch.tensor(2.0, requires_grad=True))
