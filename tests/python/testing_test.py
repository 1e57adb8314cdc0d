# SPDX-License-Identifier: BSD-3-Clause
"""check_operator: ten planted faults are found and named, and every operator passes."""

import pytest
import torch
from copies_test import OPERATORS
from support import Dense, Scaling

import adjoin
from adjoin.physics import Blur, Diagonal, MatrixFree
from adjoin.testing import check_operator

X = torch.randn(1, 2, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def blurred(x):
    """Circular convolution with (1, 2, 4)."""
    return x + 2 * x.roll(1, -1) + 4 * x.roll(2, -1)


def blurred_back(y):
    return y + 2 * y.roll(-1, -1) + 4 * y.roll(-2, -1)


def maps(A, A_adjoint, **others):
    """An operator as deepinv's are."""
    methods = {"A": A, "A_adjoint": A_adjoint, **others}
    return type("Maps", (), {name: staticmethod(method) for name, method in methods.items()})()


def twice(x):
    return 2 * x


class Changes:
    def A(self, x):
        return x.mul_(2.0)

    def A_adjoint(self, y):
        return 2 * y


class Remembers:
    """A running mean, as a layer of normalisation in training mode."""

    def __init__(self):
        self.calls = 0

    def A(self, x):
        self.calls += 1
        return x * (2 + 0.1 / self.calls)

    def A_adjoint(self, y):
        return 2 * y


W = torch.polar(torch.rand(6, 8), 6 * torch.rand(6, 8))

FAULTS = {
    "wrong conjugate": (maps(lambda x: W * x, lambda y: W * y), X.float(), "adjoint", "a conjugate is missing"),
    "wrong scale": (
        maps(blurred, lambda y: blurred_back(y) / 6),
        X,
        "adjoint",
        "A_adjoint is the adjoint times 0.166667: the scale is wrong",
    ),
    "missing flip": (maps(blurred, blurred), X, "adjoint", "a flip is missing"),
    "in-place change of the input": (Changes(), X, "input unchanged", "A changed its image in place"),
    "wrong dtype": (
        maps(lambda x: 2 * x.float(), lambda y: 2 * y.double()),
        X,
        "dtypes",
        "A of a Double image gave Float measurements",
    ),
    "shape that depends on the batch": (
        maps(lambda x: x.reshape(1, -1), lambda y: y.reshape(-1, 2, 6, 8)),
        X,
        "batches",
        "only dimension 0 may depend on the batch",
    ),
    "nonlinear offset": (maps(lambda x: 2 * x + 0.5, twice), X, "linearity", "A of zeros is not zero"),
    "not deterministic": (
        maps(lambda x: 2 * x + 1e-3 * torch.randn_like(x), twice),
        X,
        "determinism",
        "A of one and the same argument gave two results",
    ),
    "state": (Remembers(), X, "determinism", "A of one and the same argument gave two results"),
    "wrong device": (
        maps(lambda x: (2 * x).to("meta"), twice),
        X,
        "devices",
        "A of an image on cpu gave measurements on meta",
    ),
    "wrong fused form": (
        maps(twice, twice, A_adjoint_A=twice),
        X,
        "fused form",
        "A_adjoint_A(x) is not A_adjoint(A(x)): they are 0.5",
    ),
    "wrong A_A_adjoint": (
        maps(twice, twice, A_A_adjoint=twice),
        X,
        "fused form",
        "A_A_adjoint(y) is not A(A_adjoint(y)): they are 0.5",
    ),
    "wrong derivative": (
        maps(lambda x: x + x.detach(), twice),
        X,
        "vjp",
        "autograd's derivative of A is not A_vjp: they are 0.5",
    ),
    "wrong A_vjp": (maps(twice, twice, A_vjp=lambda x, v: v), X, "vjp", "A_vjp(x, v) is not A_adjoint(v)"),
    "an exception": (maps(lambda x: x @ torch.ones(3), twice), X, "calls", "the operator threw: RuntimeError"),
    "another shape": (maps(twice, lambda y: y[..., 1:]), X, "calls", "A_adjoint(A(x)) has the shape [1, 2, 6, 7]"),
}


@pytest.mark.parametrize(("operator", "x", "check", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_found_and_named(operator, x, check, words):
    with pytest.raises(AssertionError) as failure:
        check_operator(operator, x)
    assert f"\n  {check} failed: " in str(failure.value) and words in str(failure.value)
    report = check_operator(operator, x, raise_exception=False)
    assert report.failed == [check] and not report.passed
    assert [one.check for one in report.findings if one.verdict == "failed" and words in one.explanation] == [check]


@pytest.mark.parametrize(("operator", "x"), OPERATORS, ids=[f"{i}-{o.name}" for i, (o, _) in enumerate(OPERATORS)])
def test_every_operator_passes(operator, x):
    report = check_operator(operator, x)
    assert report.passed and repr(report).startswith(f"check_operator: {operator.name}: no check failed")


def test_operators_of_other_libraries_pass():
    linalg = pytest.importorskip("scipy.sparse.linalg")
    matrix = torch.randn(5, 48, dtype=torch.float64)
    assert check_operator(MatrixFree(linalg.aslinearoperator(matrix.numpy()), image_shape=(6, 8)), X).passed
    deepinv = pytest.importorskip("deepinv")
    kernel = torch.ones(1, 1, 3, 3).cumsum(-1)
    report = check_operator(deepinv.physics.Blur(kernel, padding="circular"), torch.ones(1, 1, 16, 16))
    assert report.passed, report
    assert check_operator(Scaling(2.0), X).passed
    assert check_operator(Dense(matrix[:, :8]), X, others=[Dense(matrix[:, 8:16])], batches=False).passed


def test_a_report_says_what_was_tried():
    report = check_operator(Scaling(2.0), X)
    explanations = {one.check: one.explanation for one in report.findings}
    assert list(explanations) == [
        "calls", "devices", "dtypes", "input unchanged", "determinism", "linearity", "adjoint", "vjp", "batches", "fused form",
    ]  # fmt: skip
    assert explanations["dtypes"] == "takes Double, Float, ComplexFloat and ComplexDouble"
    report = check_operator(Scaling(2.0), X, dtypes=[], batches=False)
    assert {one.check: one.verdict for one in report.findings}["batches"] == "not tried"
    assert "takes Double\n" in repr(report)


def test_parameters_and_tolerances_reach_the_calls():
    class Gain:
        def A(self, x, gain=1.0):
            return gain * x

        def A_adjoint(self, y, gain=1.0):
            return (gain if gain < 2 else 2.001) * y

    assert check_operator(Gain(), X).passed
    assert check_operator(Gain(), X, gain=2.0, raise_exception=False).failed == ["adjoint"]
    assert check_operator(Gain(), X, gain=2.0, tol=1e-2).passed


def test_what_is_no_operator_is_refused():
    with pytest.raises(adjoin.InvalidArgument, match="must return operators"):
        check_operator(3, X)
    with pytest.raises(adjoin.InvalidArgument, match="must be a floating-point or complex tensor with entries"):
        check_operator(Scaling(2.0), torch.ones(2, 2, dtype=torch.int64))

    class Own(Blur):
        def A(self, x):
            return x

    with pytest.raises(adjoin.InvalidArgument, match="Own overrides A of Blur, which C\\+\\+ does not see"):
        check_operator(Own(torch.ones(1, 1, 3, 3)), X)

    class Named(Diagonal):
        pass

    assert check_operator(Named(2.0), X).passed
