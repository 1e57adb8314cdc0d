"""
adjoin's C++ library, as the package adjoin uses it.
"""
from __future__ import annotations
import adjoin.distributed.sharded_image
import collections.abc
import numpy
import os
import torch
import torch.distributed.distributed_c10d
import typing
__all__: list[str] = ['AmplitudeLoss', 'Blur', 'Box', 'ChannelMixing', 'Communicator', 'DRUNet', 'DataFidelity', 'Denoiser', 'Diagonal', 'DistributedContext', 'DistributedDataFidelity', 'DistributedProcessing', 'DistributedStackedLinearPhysics', 'DistributedStackedPhysics', 'DnCNN', 'Downsampling', 'EnteredCall', 'FFDNet', 'FilterBank', 'Finding', 'GaussianNoise', 'Huber', 'IndicatorLInf', 'InnerIterations', 'Inpainting', 'IterationRecord', 'L1', 'L1Prior', 'L2', 'LinearPhysics', 'LocalSum', 'LoweredPhysics', 'Matrix', 'MrdFile', 'MrdScan', 'MultiCoilMRI', 'NonCartesianMRI', 'NonuniformFourier', 'OperatorReport', 'OptimResult', 'Physics', 'PnP', 'PoissonLikelihood', 'PoissonNoise', 'Positivity', 'Prior', 'RED', 'Report', 'SampledProjection', 'ShardedImage', 'SolveInfo', 'SolverResult', 'Tikhonov', 'Tomography', 'TotalVariation', 'UniformNoise', 'WaveletPrior', 'ZeroPrior', 'adaptive_maps', 'adjoint', 'adjoint_wavelet_transform', 'admm', 'bicgstab', 'bicubic_kernel', 'bilinear_kernel', 'box_kernel', 'check_operator', 'children_mark', 'children_mark_name', 'compose', 'compression_matrix', 'concatenated', 'conjugate_gradient', 'denoiser_of', 'density_compensation', 'espirit_maps', 'finalize_mpi', 'fista', 'gaussian_kernel', 'gaussian_kernel_3d', 'gaussian_noise', 'geometric_compression', 'gradient_descent', 'has_finufft', 'hqs', 'inverse_wavelet_transform', 'largest_eigenvalue', 'launched_by_mpi', 'launcher', 'load_denoiser', 'lsmr', 'lsqr', 'measure_costs', 'minres', 'mix_coils', 'mix_coils_along', 'monotone_fista', 'motion_kernel', 'mpi_communicator', 'off_resonance_mri', 'ordered_subsets', 'poisson_noise', 'prewhitening_matrix', 'primal_dual', 'process_group_communicator', 'proximal_gradient', 'psnr', 'python_linear_physics', 'python_physics', 'read_cfl', 'read_hdf5', 'read_npy', 'read_png', 'read_safetensors', 'root_sum_of_squares', 'scale', 'show_progress_by', 'sinc_kernel', 'single_communicator', 'subspace_mri', 'sum', 'uniform_noise', 'viewed', 'wavelet_transform', 'write_cfl', 'write_nifti', 'write_npy', 'write_png', 'write_safetensors']
class EnteredCall:
    def __enter__(self) -> None:
        ...
    def __exit__(self, *args: typing.Any) -> None:
        ...
class Communicator:
    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        ...
    def all_gather_bytes(self, data: bytes) -> list[typing.Any]:
        ...
    def all_reduce(self, tensor: torch.Tensor, op: str = 'sum') -> None:
        ...
    def barrier(self) -> None:
        ...
    def broadcast(self, tensor: torch.Tensor, root: int) -> None:
        ...
    def broadcast_bytes(self, data: bytes, root: int) -> bytes:
        ...
    def call(self, name: str, fingerprint: int = 0) -> EnteredCall:
        """
        A context manager: the collectives made in it belong to the call of this name, whose first one compares name and fingerprint among the ranks; where they differ, all raise CallDisagreement.
        """
    def leave(self, at_once: bool = False) -> None:
        """
        This rank makes no more calls: those who wait for it in one, then or later, raise CallDisagreement.
        """
    def recv(self, tensor: torch.Tensor, src: int = -1, tag: int = 0) -> int:
        """
        Fills ``tensor`` with what rank ``src`` sends, or where that is -1 any rank; returns which.
        """
    def reduce_scatter(self, tensor: torch.Tensor, op: str = 'sum') -> torch.Tensor:
        """
        This rank's part, along a first dimension as long as there are ranks, of the reduction of ``tensor``; the first dimension is kept, with one entry.
        """
    def refuse(self, report: str) -> None:
        """
        Raises CallDisagreement on all ranks, in place of the first collective of the call that this rank is in.
        """
    def reset_counters(self) -> None:
        ...
    def send(self, tensor: torch.Tensor, dst: int, tag: int = 0) -> None:
        """
        Sends ``tensor`` to rank ``dst``, which calls recv.
        """
    @property
    def begun(self) -> int:
        """
        How many collectives this rank has begun or refused: unchanged where a call has failed before the other ranks could hear of it.
        """
    @property
    def counters(self) -> dict[str, typing.Any]:
        ...
    @property
    def description(self) -> str:
        ...
    @property
    def local_rank(self) -> int:
        ...
    @property
    def local_size(self) -> int:
        ...
    @property
    def rank(self) -> int:
        ...
    @property
    def size(self) -> int:
        ...
class DistributedContext:
    def __init__(self, communicator: Communicator, device_mode: str, seed: int | None, seed_offset: bool, deterministic: bool, check_replicated: str | None) -> None:
        ...
    def local_indices(self, num_items: int) -> list[int]:
        ...
    def rand(self, sizes: tuple[int, ...], dtype: torch.dtype, seed: int | None) -> torch.Tensor:
        ...
    def randn(self, sizes: tuple[int, ...], dtype: torch.dtype, seed: int | None) -> torch.Tensor:
        ...
    @property
    def communicator(self) -> Communicator:
        ...
    @property
    def description(self) -> str:
        ...
    @property
    def device(self) -> torch.device:
        ...
class SolverResult:
    """
    The solution that a solver found, and how it ended.
    """
    def __repr__(self) -> str:
        ...
    def _repr_html_(self) -> typing.Any:
        ...
    @property
    def iterations(self) -> int:
        """
        How many iterations it took.
        """
    @property
    def reason(self) -> str:
        """
        Why it ended: "converged", "iteration limit", "breakdown", "stagnated", "ill-conditioned" or "stopped by the monitor".
        """
    @property
    def relative_residuals(self) -> list[float]:
        """
        One an item, as the recurrence estimates them.
        """
    @property
    def x(self) -> torch.Tensor:
        """
        The solution, of the dtype of x0 where that was given, else of the right-hand side.
        """
class SolveInfo:
    """
    How a solve ended whose result is the solution alone: pass one as `info` and read it afterwards. A
    closed form is "converged" after 0 iterations and has no residuals.
    """
    def __init__(self) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def _repr_html_(self) -> typing.Any:
        ...
    @property
    def iterations(self) -> int:
        """
        How many iterations it took.
        """
    @property
    def reason(self) -> str:
        """
        Why it ended: "converged", "iteration limit", "breakdown", "stagnated", "ill-conditioned" or "stopped by the monitor".
        """
    @property
    def relative_residuals(self) -> list[float]:
        """
        One an item, as the recurrence estimates them.
        """
class Physics:
    """
    A measurement model y = sensor(noise(A(x))).
    
    Images x are tensors (B, C, …) or NumPy arrays, which count as tensors on the CPU; results are tensors. Keyword arguments
    of a call stand for the operator's own parameters (see parameter_names) in that call; unknown ones raise
    adjoin.InvalidArgument. Operators can be copied, pickled and saved by torch.save, with noise and sensor.
    
    :raises adjoin.InvalidArgument: from every method, naming the argument, for a tensor of the wrong shape, dtype or device and
        for keyword arguments that the operator does not take.
    """
    def A(self, x: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> torch.Tensor:
        """
        Measurements without noise.
        
        :param x: an image.
        :return: A(x), of the precision and on the device of x.
        """
    def A_vjp(self, x: torch.Tensor | numpy.ndarray, v: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> torch.Tensor:
        """
        The vector-Jacobian product, the adjoint of A's derivative.
        
        :param x: an image.
        :param v: a tensor of the shape of A(x).
        :return: J(x)ᵀ v, of the shape and dtype of x; for linear operators A_adjoint(v), its real part where x is real.
        """
    def __call__(self, x: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> torch.Tensor:
        """
        As forward.
        
        :param x: an image.
        :return: sensor(noise(A(x))).
        """
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
    def __repr__(self) -> str:
        ...
    def _tensors_with_gradients(self) -> list[torch.Tensor]:
        """
        The tensors that the operator and its parts are made of, where they require gradients or carry a tangent.
        """
    def forward(self, x: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> torch.Tensor:
        """
        Measurements with noise and sensor response.
        
        :param x: an image.
        :return: sensor(noise(A(x))).
        """
    def load_state_dict(self, state_dict: dict[str, typing.Any]) -> None:
        """
        Replaces the operator's tensors.
        
        :param state_dict: all of them, as state_dict() gives them; other names raise.
        """
    def recipe(self) -> tuple[typing.Any, ...]:
        """
        How another such operator is made, for copies.
        
        :return: (maker, operands, arguments).
        """
    def set_noise_model(self, noise_model: typing.Any) -> None:
        """
        Sets what forward adds.
        
        :param noise_model: gaussian_noise(…) and the like, or any callable of a tensor; None for nothing.
        """
    def set_sensor_model(self, sensor_model: typing.Any) -> None:
        """
        Sets what forward applies last.
        
        :param sensor_model: a callable of a tensor; None for nothing.
        """
    def state_dict(self) -> typing.Any:
        """
        The operator's tensors.
        
        :return: tensors by name; the names of those of the operands of sums and products begin with their places.
        """
    def to(self, device: typing.Any = None, dtype: typing.Any = None) -> typing.Any:
        """
        Moves the operator's tensors to a device and converts them to a precision, in place.
        
        :param device: a torch.device or its name; None leaves them where they are.
        :param dtype: a floating-point or complex torch.dtype, also in place of the device; complex tensors stay complex.
        :return: the operator itself.
        """
    def update(self, **kwargs: typing.Any) -> None:
        """
        Replaces parameters, by name, (such as filter or mask) for all later calls; see parameter_names.
        """
    @property
    def name(self) -> str:
        """
        The name of the class, as messages have it.
        """
    @property
    def noise_model(self) -> typing.Any:
        """
        As set_noise_model got it, or None.
        """
    @property
    def parameter_names(self) -> list[str] | None:
        """
        The keyword arguments that calls and update take; None for any.
        """
    @property
    def sensor_model(self) -> typing.Any:
        """
        As set_sensor_model got it, or None.
        """
class LinearPhysics(Physics):
    """
    A linear measurement model, with its adjoint (the conjugate transpose for complex ones).
    
    a + b, a - b, -a, 2 * a, a * b (first b) and a.T are linear models, too, which share their operands.
    """
    def A_A_adjoint(self, y: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> torch.Tensor:
        """
        The adjoint, then the operator.
        
        :param y: measurements, of the shape of A(x).
        :return: A Aᵀ y, of the shape of y.
        """
    def A_adjoint(self, y: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> torch.Tensor:
        """
        The adjoint, the conjugate transpose for complex operators.
        
        :param y: measurements, of the shape of A(x).
        :return: Aᵀ y, of the shape of x.
        :raises adjoin.InvalidArgument: also where y does not tell the size of the image; A_adjoint_for is given one.
        """
    def A_adjoint_A(self, x: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> torch.Tensor:
        """
        The normal operator.
        
        :param x: an image.
        :return: Aᵀ A x, of the shape of x.
        """
    def A_adjoint_for(self, y: torch.Tensor | numpy.ndarray, image: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> torch.Tensor:
        """
        The adjoint for images of given sizes.
        
        :param y: measurements, of the shape of A(image).
        :param image: gives sizes, dtype and device; its values do not count.
        :return: Aᵀ y, of the shape of `image`.
        """
    def A_dagger(self, y: torch.Tensor | numpy.ndarray, solver: str = 'CG', max_iter: int = 100, tol: float = 1e-06, verbose: bool = False, init: torch.Tensor | numpy.ndarray | None = None, info: SolveInfo | None = None, **kwargs: typing.Any) -> torch.Tensor:
        """
        The minimum-norm least-squares solution of A x = y: a closed form where there is one, else by iteration.
        
        :param y: measurements, of the shape of A(x).
        :param solver: "CG", "LSQR", "LSMR", "BiCGStab" or "MINRES".
        :param max_iter: the most iterations.
        :param tol: the relative tolerance of the solver's stopping rule.
        :param verbose: whether to draw a progress bar.
        :param init: the start, of the image's shape and dtype, by default zero; closed forms are not used with one.
        :param info: a SolveInfo that is told how the solve ended.
        :return: argmin ‖A x − y‖, which differentiates with respect to y and the operator's tensors.
        :raises adjoin.Error: where NaN or infinity comes up, naming the iteration.
        """
    def __add__(self, arg0: LinearPhysics) -> LinearPhysics:
        ...
    @typing.overload
    def __mul__(self, arg0: LinearPhysics) -> LinearPhysics:
        ...
    @typing.overload
    def __mul__(self, arg0: typing.Any) -> typing.Any:
        ...
    def __neg__(self) -> LinearPhysics:
        ...
    def __rmul__(self, arg0: typing.Any) -> typing.Any:
        ...
    def __sub__(self, arg0: LinearPhysics) -> LinearPhysics:
        ...
    def adjointness_test(self, u: torch.Tensor | numpy.ndarray, seed: int = 0, **kwargs: typing.Any) -> float:
        """
        How far A_adjoint is from the adjoint; adjoin.testing.check_operator tries more, and explains.
        
        :param u: an image.
        :param seed: of the random measurements v.
        :return: |⟨A u, v⟩ − ⟨u, Aᵀ v⟩| / (‖A u‖ ‖v‖), of the order of the dtype's precision.
        """
    def compute_sqnorm(self, x0: torch.Tensor | numpy.ndarray, *, max_iter: int = 50, tol: float = 0.001, verbose: bool = False, **kwargs: typing.Any) -> float:
        """
        The squared spectral norm, by Lanczos where it is not known in closed form.
        
        :param x0: an image, which gives shape, dtype and device.
        :param max_iter: the most steps.
        :param tol: the relative accuracy.
        :param verbose: whether to draw a progress bar.
        :return: ‖A‖².
        """
    def prox_l2(self, z: torch.Tensor | numpy.ndarray, y: torch.Tensor | numpy.ndarray, gamma: typing.Any, solver: str = 'CG', max_iter: int = 100, tol: float = 1e-06, verbose: bool = False, init: torch.Tensor | numpy.ndarray | None = None, info: SolveInfo | None = None, **kwargs: typing.Any) -> torch.Tensor:
        """
        The proximal operator of γ/2 ‖A x − y‖².
        
        :param z: an image.
        :param y: measurements, of the shape of A(z).
        :param gamma: γ > 0, a number, or a tensor of one or of one for each item of the batch.
        :param solver: as of A_dagger, as are max_iter, tol, verbose, init and info.
        :return: argmin_x γ/2 ‖A x − y‖² + 1/2 ‖x − z‖², of the shape of z, which differentiates with respect to z, y and γ, too.
        :raises adjoin.Error: where NaN or infinity comes up, naming the iteration.
        """
    def sqnorm_bounds(self, x0: torch.Tensor | numpy.ndarray, *, max_iter: int = 50, **kwargs: typing.Any) -> tuple[float, float]:
        """
        Proven bounds of the squared spectral norm.
        
        :param x0: an image, which gives shape, dtype and device.
        :param max_iter: the steps of Lanczos, at least 24.
        :return: (lower, upper); the upper one fails with probability 1e-6.
        """
    @property
    def T(self) -> LinearPhysics:
        """
        The adjoint as an operator.
        """
class GaussianNoise:
    """
    y + sigma n, n standard normal.
    """
    def __call__(self, y: torch.Tensor | numpy.ndarray) -> torch.Tensor:
        """
        Noisy measurements, of the shape and dtype of y.
        """
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
    def __repr__(self) -> str:
        ...
    def set_state(self, state: tuple[torch.Tensor, torch.device] | None) -> None:
        """
        Goes on where a stream had such a state; None is its beginning.
        """
    @property
    def state(self) -> tuple[torch.Tensor, torch.device] | None:
        """
        How far its own stream of random numbers has come; None before the first draw and without a seed.
        """
class PoissonNoise:
    """
    gain Poisson(y / gain).
    """
    def __call__(self, y: torch.Tensor | numpy.ndarray) -> torch.Tensor:
        """
        Noisy measurements, of the shape and dtype of y.
        """
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
    def __repr__(self) -> str:
        ...
    def set_state(self, state: tuple[torch.Tensor, torch.device] | None) -> None:
        """
        Goes on where a stream had such a state; None is its beginning.
        """
    @property
    def state(self) -> tuple[torch.Tensor, torch.device] | None:
        """
        How far its own stream of random numbers has come; None before the first draw and without a seed.
        """
class UniformNoise:
    """
    y + u, u uniform in [-a, a].
    """
    def __call__(self, y: torch.Tensor | numpy.ndarray) -> torch.Tensor:
        """
        Noisy measurements, of the shape and dtype of y.
        """
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
    def __repr__(self) -> str:
        ...
    def set_state(self, state: tuple[torch.Tensor, torch.device] | None) -> None:
        """
        Goes on where a stream had such a state; None is its beginning.
        """
    @property
    def state(self) -> tuple[torch.Tensor, torch.device] | None:
        """
        How far its own stream of random numbers has come; None before the first draw and without a seed.
        """
class Blur(LinearPhysics):
    """
    Convolution with a kernel, whose centre is at index k // 2.
    
    x (B, C, H, W) with a filter (b, c, h, w), or (B, C, D, H, W) with (b, c, d, h, w); b is 1 or B, c is 1 or C. `padding`
    is "valid", "circular", "replicate", "reflect" or "constant", `method` "auto", "fft" or "direct". Circular blurs fuse.
    Parameter filter.
    """
    def __init__(self, filter: torch.Tensor | numpy.ndarray, padding: str = 'valid', method: str = 'auto') -> None:
        ...
    def __repr__(self) -> str:
        ...
    @property
    def filter(self) -> torch.Tensor:
        """
        The kernel, as it was given.
        """
class ChannelMixing(LinearPhysics):
    """
    y_m = Σ M_mn x_n over the channels of x, with a matrix M (m, n), real or complex.
    
    x (B, n, …) gives (B, m, …): grey images from colours, spectra to bands. Parameter matrix.
    """
    def __init__(self, matrix: torch.Tensor | numpy.ndarray) -> None:
        ...
    @property
    def matrix(self) -> torch.Tensor:
        """
        M (m, n).
        """
class Diagonal(LinearPhysics):
    """
    y = w · x, entry by entry, with weights w that are broadcast to the shape of x.
    
    A number (a scaling), a plane, an image. Pseudoinverse and norm are closed forms; stacks fuse. Parameter weights.
    """
    @typing.overload
    def __init__(self, factor: float) -> None:
        """
        factor: the number that it multiplies by.
        """
    @typing.overload
    def __init__(self, weights: torch.Tensor | numpy.ndarray) -> None:
        ...
    @property
    def weights(self) -> torch.Tensor:
        """
        The weights, as they were given.
        """
class Downsampling(LinearPhysics):
    """
    Every factor-th pixel of each spatial axis of the filtered image.
    
    `padding` and `filter` as of Blur, no filter takes the pixels as they are. `image_size` is the spatial size of the images,
    which measurements do not tell: without it, A_adjoint(y) and A_dagger(y) raise, and what is given an image works.
    Parameter filter.
    """
    def __init__(self, filter: torch.Tensor | numpy.ndarray | None = None, factor: int = 2, padding: str = 'circular', image_size: collections.abc.Sequence[int] = []) -> None:
        ...
class FilterBank(LinearPhysics):
    """
    Convolution with each kernel of a bank (K, 1, h, w) or (K, 1, d, h, w).
    
    x (B, C, …) gives (B, K C, …), kernel k on channel c in channel k C + c. `padding` and `method` as of Blur. Circular
    banks fuse. Parameter filters.
    """
    def __init__(self, filters: torch.Tensor | numpy.ndarray, padding: str = 'circular', method: str = 'auto') -> None:
        ...
    @property
    def filters(self) -> torch.Tensor:
        """
        The kernels (K, 1, …).
        """
class Inpainting(Diagonal):
    """
    y = mask · x; the mask is broadcast to the shape of x. Or keeps pixels at random.
    
    A mask, or the shape (C, H, W) of one whose pixels are kept with `probability`, drawn with `seed`; all channels of a
    pixel together when `pixelwise`. Parameter mask.
    """
    @typing.overload
    def __init__(self, mask: torch.Tensor | numpy.ndarray) -> None:
        ...
    @typing.overload
    def __init__(self, shape: collections.abc.Sequence[int], probability: float, seed: int, pixelwise: bool = True) -> None:
        ...
    @property
    def mask(self) -> torch.Tensor:
        """
        The mask, as it was given or drawn.
        """
class Matrix(LinearPhysics):
    """
    y = M x for a matrix M (m, n), real or complex.
    
    Images (B, n), or (B, *image_shape) flattened, to measurements (B, m), all of M's dtype. Pseudoinverse and norm are
    closed forms; stacks fuse. Parameter matrix.
    """
    def __init__(self, matrix: torch.Tensor | numpy.ndarray, image_shape: collections.abc.Sequence[int] = []) -> None:
        ...
    @property
    def matrix(self) -> torch.Tensor:
        """
        M (m, n).
        """
class SampledProjection(LinearPhysics):
    """
    Sums of an image over the samples of lines, as those of a rotated image down its columns.
    
    x (B, C, H, W) of `image_size` gives (B, C, lines, views). `grid` (views, samples, lines, 2) has the coordinates x and y
    of the samples, as of torch's grid_sample with align_corners, which interpolates bilinearly, with zeros outside. They
    refer to a `frame` (H, W) in which the image lies with so many pixels `before` it, by default the image itself. The image
    is multiplied by `weights` (H, W) first, the sums by `factor`.
    """
    def __init__(self, grid: torch.Tensor | numpy.ndarray, image_size: typing.Annotated[collections.abc.Sequence[int], "FixedSize(2)"], frame: typing.Annotated[collections.abc.Sequence[int], "FixedSize(2)"] = [0, 0], before: typing.Annotated[collections.abc.Sequence[int], "FixedSize(2)"] = [0, 0], weights: torch.Tensor | numpy.ndarray | None = None, factor: float = 1.0) -> None:
        ...
    @property
    def grid(self) -> torch.Tensor:
        """
        (views, samples, lines, 2).
        """
    @property
    def image_size(self) -> typing.Annotated[list[int], "FixedSize(2)"]:
        """
        (H, W).
        """
class Tomography(LinearPhysics):
    """
    Line integrals along parallel rays at `angles` (degrees).
    
    x (B, C, H, W) of `image_size` (H, W) gives sinograms (B, C, angles, detectors), and volumes (B, C, D, H, W) slice by
    slice. `detectors` cells (0: as many as cover the diagonal), `spacing` pixels apart; the axis is `shift` cells off the
    middle. `fbp` is filtered backprojection, `split(n)` gives n operators of some angles each.
    """
    def __init__(self, angles: torch.Tensor | numpy.ndarray, image_size: typing.Annotated[collections.abc.Sequence[int], "FixedSize(2)"], detectors: int = 0, spacing: float = 1.0, shift: float = 0.0) -> None:
        ...
    def fbp(self, y: torch.Tensor | numpy.ndarray, filter: str = 'ramp', padding: str = 'zeros') -> torch.Tensor:
        """
        Filtered backprojection. Angles may be uneven, repeated and of several turns.
        
        :param y: sinograms (B, C, angles, detectors).
        :param filter: "ramp", "shepp_logan", "cosine", "hamming" or "hann".
        :param padding: "zeros", or "extrapolate", which continues projections that do not end within the detector as those of a
            cylinder.
        :return: images (B, C, H, W). Warns where directions are missing or the detector is too short.
        :raises adjoin.InvalidArgument: for sinograms of other sizes and names that are not known.
        """
    def split(self, n: int) -> list[LinearPhysics]:
        """
        Operators of some of the angles each, whose stack is this operator.
        
        :param n: how many operators.
        :return: a list; operator i has angles i, i + n, ….
        """
    @property
    def angles(self) -> list[float]:
        """
        In degrees.
        """
    @property
    def image_size(self) -> typing.Annotated[list[int], "FixedSize(2)"]:
        """
        (H, W).
        """
class MultiCoilMRI(LinearPhysics):
    """
    Parallel MRI: y_n = mask · F(s_n · x) with coil maps s_n and the centred Fourier transform F.
    
    Coil maps are complex (b, N, H, W) or (b, N, D, H, W), F is orthonormal. x real (B, 2, H, W) gives y (B, 2, N, H, W),
    complex (B, 1, H, W) gives (B, N, H, W); with `three_d` images are volumes, with `dynamic` sequences (T, H, W). The mask,
    None for all, has the image's shape, or axes of length 1. `split(n)` gives n operators of some coils each. Parameters
    mask and coil_maps.
    """
    def __init__(self, mask: torch.Tensor | numpy.ndarray | None, coil_maps: torch.Tensor | numpy.ndarray, three_d: bool = False, dynamic: bool = False) -> None:
        ...
    def split(self, n: int) -> list[LinearPhysics]:
        """
        Operators of some of the coils each, whose stack is this operator.
        
        :param n: how many operators.
        :return: a list; each has neighbouring coils.
        """
    @property
    def coil_maps(self) -> torch.Tensor:
        """
        The coil maps (b, N, …).
        """
    @property
    def mask(self) -> torch.Tensor:
        """
        The mask, as it was given; ones for None.
        """
class NonuniformFourier(LinearPhysics):
    """
    Fourier sums at any frequencies: y_j = Σ_n x_n exp(−2πi k_j·(n − N // 2)) / √ΠN. By FINUFFT (pip install finufft).
    
    x (B, C, H, W) or (B, C, D, H, W) of `image_size`, real or complex, gives complex y (B, C, …) with the leading axes of
    `trajectory` (…, axes), whose last axis is in the order of the image's axes. `units` of the trajectory as given:
    "cycles_per_pixel" (−½ … ½), "radians_per_pixel" or "cycles_per_fov"; `eps` is the relative accuracy. Stacks fuse.
    Parameter trajectory, in cycles a pixel, which has gradients.
    """
    def __init__(self, trajectory: torch.Tensor | numpy.ndarray, image_size: collections.abc.Sequence[int], units: str = 'cycles_per_pixel', eps: float = 1e-06) -> None:
        ...
    def split(self, n: int) -> list[LinearPhysics]:
        """
        Operators of some of the shots each, whose stack is this operator.
        
        :param n: how many operators.
        :return: a list; operator i has shots i, i + n, …, along the first axis of the trajectory.
        """
    @property
    def image_size(self) -> list[int]:
        """
        (H, W) or (D, H, W).
        """
    @property
    def trajectory(self) -> torch.Tensor:
        """
        (…, axes), in cycles a pixel.
        """
class NonCartesianMRI(LinearPhysics):
    """
    Parallel MRI along a trajectory: y_n = weights · F(s_n · x) with coil maps s_n and Fourier sums F.
    
    F, `trajectory` (…, axes), `units` and `eps` as of NonuniformFourier. Coil maps are complex (b, N, H, W) or
    (b, N, D, H, W). x complex (B, 1, H, W) gives y complex (B, N, …), real (B, 2, H, W) gives real (B, 2, N, …), with the
    leading axes of the trajectory, to which `weights` broadcast, such as the roots of density_compensation. The normal
    operator is a convolution, with `normal_spectrum` where that was kept (None: computed). Stacks of coils, and of shots with
    common maps, fuse. Parameters trajectory, coil_maps and weights, which all have gradients.
    """
    def __init__(self, trajectory: torch.Tensor | numpy.ndarray, coil_maps: torch.Tensor | numpy.ndarray, weights: torch.Tensor | numpy.ndarray | None = None, units: str = 'cycles_per_pixel', eps: float = 1e-06, normal_spectrum: torch.Tensor | numpy.ndarray | None = None) -> None:
        ...
    def normal_spectrum(self) -> torch.Tensor:
        """
        The spectrum of the normal operator, which it takes time to compute: the constructor takes one that was kept.
        
        :return: double (2, …, 2, image), which belongs to the trajectory and the weights.
        """
    def split(self, n: int, by: str = 'coil') -> list[LinearPhysics]:
        """
        Operators of some of the coils or shots each, whose stack is this operator.
        
        :param n: how many operators.
        :param by: "coil", neighbouring ones, or "shot", every n-th.
        :return: a list.
        """
    @property
    def coil_maps(self) -> torch.Tensor:
        """
        The coil maps (b, N, …).
        """
    @property
    def trajectory(self) -> torch.Tensor:
        """
        (…, axes), in cycles a pixel.
        """
    @property
    def weights(self) -> torch.Tensor | None:
        """
        The weights of the samples, or None.
        """
class Finding:
    """
    What one check of an operator found.
    """
    def __repr__(self) -> str:
        ...
    @property
    def check(self) -> str:
        """
        The name of the check, such as "adjoint".
        """
    @property
    def explanation(self) -> str:
        """
        What was measured, what is wrong, or why it was not tried.
        """
    @property
    def verdict(self) -> str:
        """
        "passed", "failed" or "not tried".
        """
class OperatorReport:
    """
    The findings of adjoin.testing.check_operator; printed, a report for people.
    """
    def __repr__(self) -> str:
        ...
    def _repr_html_(self) -> typing.Any:
        ...
    @property
    def failed(self) -> list[str]:
        """
        The names of the checks that failed.
        """
    @property
    def findings(self) -> list[Finding]:
        """
        One Finding a check, in the order in which to mend faults.
        """
    @property
    def name(self) -> str:
        """
        The operator's name.
        """
    @property
    def passed(self) -> bool:
        """
        Whether no check failed.
        """
class LoweredPhysics(LinearPhysics):
    """
    A Python operator `original`, for which an operator of ours, the stand-in, does the work. `finish` adds noise and
    sensor to measurements. adjoin.lowering makes them.
    """
    def __init__(self, original: LinearPhysics, finish: typing.Any) -> None:
        ...
    def set_stand_in(self, physics: LinearPhysics | None, sources: collections.abc.Sequence[torch.Tensor] = [], dtypes: collections.abc.Sequence[torch.dtype] = [], device: torch.device = ..., image: collections.abc.Sequence[int] = [], image_view: collections.abc.Sequence[int] = [], measurement: collections.abc.Sequence[int] = [], measurement_view: collections.abc.Sequence[int] = [], any_batch: bool = False) -> None:
        """
        Makes `physics`, None for nobody, do the work for tensors of these dtypes and sizes on this device; sizes are
        those behind the batch, -1 for any, none for whatever it takes, and views those of `physics` itself. Where
        autograd records one of the `sources`, the Python operator does.
        """
    @property
    def stand_in(self) -> LinearPhysics | None:
        """
        The operator of ours that does the work, or None.
        """
class DistributedStackedPhysics:
    def A(self, x: torch.Tensor | numpy.ndarray, gather: bool, kwargs: typing.Any) -> list[torch.Tensor]:
        ...
    def A_reduced(self, x: torch.Tensor | numpy.ndarray, reduction: str, gather: bool, kwargs: typing.Any) -> torch.Tensor:
        ...
    def __init__(self, context: DistributedContext, num_operators: int, factory: typing.Any, reduction: str, dtype: torch.dtype | None, gather_strategy: str, costs: collections.abc.Sequence[float], fuse: bool, grid: tuple[collections.abc.Sequence[int], int, int, int] | None) -> None:
        ...
    def forward(self, x: torch.Tensor | numpy.ndarray, gather: bool, kwargs: typing.Any) -> list[torch.Tensor]:
        ...
    def forward_reduced(self, x: torch.Tensor | numpy.ndarray, reduction: str, gather: bool, kwargs: typing.Any) -> torch.Tensor:
        ...
    def refuse(self, method: str, error: typing.Any) -> None:
        ...
    def set_parameters(self, replicated: collections.abc.Sequence[torch.Tensor], owned: collections.abc.Sequence[torch.Tensor]) -> None:
        ...
    @property
    def group(self) -> Communicator:
        ...
    @property
    def local_indices(self) -> list[int]:
        ...
    @property
    def num_operators(self) -> int:
        ...
class DistributedStackedLinearPhysics(DistributedStackedPhysics):
    def A_A_adjoint(self, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], gather: bool, kwargs: typing.Any) -> list[torch.Tensor]:
        ...
    def A_adjoint(self, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], gather: bool, kwargs: typing.Any) -> torch.Tensor:
        ...
    def A_adjoint_A(self, x: torch.Tensor | numpy.ndarray, gather: bool, kwargs: typing.Any) -> torch.Tensor:
        ...
    def A_adjoint_A_each(self, x: torch.Tensor | numpy.ndarray, gather: bool, kwargs: typing.Any) -> list[torch.Tensor]:
        ...
    def A_adjoint_A_of_sharded(self, x: ShardedImage, kwargs: typing.Any) -> ShardedImage:
        ...
    def A_adjoint_each(self, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], gather: bool, kwargs: typing.Any) -> list[torch.Tensor]:
        ...
    def A_adjoint_sharded(self, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], axis: int | None, kwargs: typing.Any) -> ShardedImage:
        ...
    def A_dagger(self, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], solver: str, max_iter: int, tol: float, verbose: bool, init: torch.Tensor | numpy.ndarray | None, local_only: bool, gather: bool, info: SolveInfo | None, layout: str, kwargs: typing.Any) -> torch.Tensor:
        ...
    def A_dagger_sharded(self, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], solver: str, max_iter: int, tol: float, verbose: bool, init: ShardedImage | None, axis: int | None, info: SolveInfo | None, kwargs: typing.Any) -> ShardedImage:
        ...
    def A_of_sharded(self, x: ShardedImage, whole: bool, kwargs: typing.Any) -> list[torch.Tensor]:
        ...
    def A_vjp(self, x: torch.Tensor | numpy.ndarray, v: collections.abc.Sequence[torch.Tensor | numpy.ndarray], gather: bool, kwargs: typing.Any) -> torch.Tensor:
        ...
    def A_vjp_each(self, x: torch.Tensor | numpy.ndarray, v: collections.abc.Sequence[torch.Tensor | numpy.ndarray], gather: bool, kwargs: typing.Any) -> list[torch.Tensor]:
        ...
    def __init__(self, context: DistributedContext, num_operators: int, factory: typing.Any, reduction: str, dtype: torch.dtype | None, gather_strategy: str, costs: collections.abc.Sequence[float], fuse: bool, grid: tuple[collections.abc.Sequence[int], int, int, int] | None) -> None:
        ...
    def adjointness_test(self, u: torch.Tensor | numpy.ndarray, seed: int, kwargs: typing.Any) -> float:
        ...
    def compute_sqnorm(self, x0: torch.Tensor | numpy.ndarray, max_iter: int, tol: float, verbose: bool, local_only: bool, gather: bool, layout: str, kwargs: typing.Any) -> float:
        ...
    def compute_sqnorm_of_sharded(self, x0: ShardedImage, max_iter: int, tol: float, verbose: bool, kwargs: typing.Any) -> float:
        ...
    def gather_image(self, x: ShardedImage) -> torch.Tensor:
        ...
    def prox_l2(self, z: torch.Tensor | numpy.ndarray, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], gamma: typing.Any, solver: str, max_iter: int, tol: float, verbose: bool, init: torch.Tensor | numpy.ndarray | None, info: SolveInfo | None, layout: str, kwargs: typing.Any) -> torch.Tensor:
        ...
    def prox_l2_of_sharded(self, z: ShardedImage, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], gamma: typing.Any, solver: str, max_iter: int, tol: float, verbose: bool, init: ShardedImage | None, info: SolveInfo | None, kwargs: typing.Any) -> ShardedImage:
        ...
    def read_npy(self, path: str, axis: int | None) -> ShardedImage:
        ...
    def shard_image(self, x: torch.Tensor | numpy.ndarray, axis: int | None) -> ShardedImage:
        ...
    def sqnorm_bounds(self, x0: torch.Tensor | numpy.ndarray, max_iter: int, tol: float, kwargs: typing.Any) -> tuple[float, float]:
        ...
class ShardedImage:
    def dot(self, other: ShardedImage) -> complex:
        ...
    def norm(self) -> float:
        ...
    def with_local(self, local: torch.Tensor | numpy.ndarray) -> ShardedImage:
        ...
    def write_npy(self, path: str) -> None:
        ...
    @property
    def axis(self) -> int | None:
        ...
    @property
    def begins(self) -> list[int]:
        ...
    @property
    def local(self) -> torch.Tensor:
        ...
    @property
    def rank(self) -> int:
        ...
    @property
    def sizes(self) -> list[int]:
        ...
class LocalSum:
    def __init__(self, context: DistributedContext, name: str, indices: collections.abc.Sequence[int]) -> None:
        ...
    def reduce(self, part: typing.Any, inputs: collections.abc.Sequence[torch.Tensor], gather: bool) -> torch.Tensor:
        ...
    def refuse(self, method: str, error: typing.Any) -> None:
        ...
    def set_parameters(self, replicated: collections.abc.Sequence[torch.Tensor], owned: collections.abc.Sequence[torch.Tensor]) -> None:
        ...
class DistributedProcessing:
    def __call__(self, x: torch.Tensor | numpy.ndarray, gather: bool, kwargs: typing.Any) -> torch.Tensor:
        ...
    def __init__(self, context: DistributedContext, processor: typing.Any, *, strategy: str, tiling_dims: collections.abc.Sequence[int], patch_size: collections.abc.Sequence[int], overlap: collections.abc.Sequence[int], stride: collections.abc.Sequence[int], pad_mode: str, num_splits: collections.abc.Sequence[int], max_batch_size: int | None, custom: typing.Any) -> None:
        ...
    def refuse(self, method: str, error: typing.Any) -> None:
        ...
    def set_parameters(self, parameters: collections.abc.Sequence[torch.Tensor]) -> None:
        ...
    @property
    def local_indices(self) -> list[int]:
        ...
    @property
    def num_patches(self) -> int:
        ...
class DataFidelity:
    """
    A distance d(u, y) of measurements from those observed.
    
    A fidelity of one's own derives from it and defines fn(u, y), a number or scalar tensor, and, as far as they are needed,
    grad(u, y) (else by automatic differentiation of fn), prox(u, y, gamma) = argmin_v gamma d(v, y) + 1/2 ‖v − u‖² and
    lipschitz(), of the gradient.
    
    :raises adjoin.InvalidArgument: from every method, for measurements of different shapes, and where what it needs is not
        defined.
    """
    def __init__(self) -> None:
        ...
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
    def __repr__(self) -> str:
        ...
    def fn(self, u: torch.Tensor | numpy.ndarray, y: torch.Tensor | numpy.ndarray) -> torch.Tensor:
        """
        The distance.
        
        :param u: measurements that an image would give.
        :param y: those observed.
        :return: d(u, y), a number.
        """
    def fn_and_grad(self, u: torch.Tensor | numpy.ndarray, y: torch.Tensor | numpy.ndarray) -> tuple[float, torch.Tensor]:
        """
        The distance and its gradient, in one pass.
        
        :param u: measurements that an image would give.
        :param y: those observed.
        :return: (d(u, y), ∇d(u, y)).
        """
    def grad(self, u: torch.Tensor | numpy.ndarray, y: torch.Tensor | numpy.ndarray) -> torch.Tensor:
        """
        The gradient with respect to u.
        
        :param u: measurements that an image would give.
        :param y: those observed.
        :return: ∇d(u, y), of the shape of u.
        """
    def lipschitz(self) -> float:
        """
        The Lipschitz constant of the gradient.
        
        :return: a number, infinite where there is none.
        """
    def prox(self, u: torch.Tensor | numpy.ndarray, y: torch.Tensor | numpy.ndarray, gamma: float) -> torch.Tensor:
        """
        The proximal operator.
        
        :param u: measurements.
        :param y: those observed.
        :param gamma: γ > 0.
        :return: argmin_v γ d(v, y) + 1/2 ‖v − u‖², of the shape of u.
        """
    def prox_conjugate(self, u: torch.Tensor | numpy.ndarray, y: torch.Tensor | numpy.ndarray, gamma: float) -> torch.Tensor:
        """
        The proximal operator of the convex conjugate, by Moreau's identity.
        
        :param u: measurements.
        :param y: those observed.
        :param gamma: γ > 0.
        :return: argmin_v γ d*(v, y) + 1/2 ‖v − u‖², of the shape of u.
        """
class L2(DataFidelity):
    """
    Σ |u − y|² / (2 sigma²): Gaussian noise; sigma is a number, or a real tensor that broadcasts to the
    measurements, with the standard deviation of each sample.
    """
    @typing.overload
    def __init__(self, sigma: float = 1.0) -> None:
        ...
    @typing.overload
    def __init__(self, sigma: torch.Tensor | numpy.ndarray) -> None:
        ...
    @property
    def weights(self) -> torch.Tensor | None:
        """
        1 / sigma² of each sample where sigma is a tensor, else None.
        """
class L1(DataFidelity):
    """
    ‖u − y‖₁.
    """
    def __init__(self) -> None:
        ...
class IndicatorLInf(DataFidelity):
    """
    0 where no entry of u − y is larger than the radius, else infinite.
    """
    def __init__(self, radius: float) -> None:
        ...
class PoissonLikelihood(DataFidelity):
    """
    Kullback-Leibler divergence of the counts from their expectation u / gain + background; with `denormalize` the
    counts are y / gain, else y.
    """
    def __init__(self, gain: float = 1.0, background: float = 0.0, denormalize: bool = False) -> None:
        ...
class Huber(DataFidelity):
    """
    Σ h(|u − y|) with h(r) = r²/2 up to delta, and linear beyond.
    """
    def __init__(self, delta: float = 1.0) -> None:
        ...
class AmplitudeLoss(DataFidelity):
    """
    ‖√u − √y‖² of intensities (phase retrieval).
    """
    def __init__(self) -> None:
        ...
class DistributedDataFidelity:
    def __init__(self, stack: DistributedStackedPhysics, fidelities: collections.abc.Sequence[DataFidelity], reduction: str) -> None:
        ...
    def fn(self, arg0: torch.Tensor | numpy.ndarray, arg1: collections.abc.Sequence[torch.Tensor | numpy.ndarray]) -> torch.Tensor:
        ...
    def fn_of_sharded(self, arg0: adjoin.distributed.sharded_image.ShardedImage, arg1: collections.abc.Sequence[torch.Tensor | numpy.ndarray]) -> torch.Tensor:
        ...
    def grad(self, arg0: torch.Tensor | numpy.ndarray, arg1: collections.abc.Sequence[torch.Tensor | numpy.ndarray]) -> torch.Tensor:
        ...
    def grad_of_sharded(self, arg0: adjoin.distributed.sharded_image.ShardedImage, arg1: collections.abc.Sequence[torch.Tensor | numpy.ndarray]) -> adjoin.distributed.sharded_image.ShardedImage:
        ...
    def lipschitz(self, x0: torch.Tensor | numpy.ndarray) -> float:
        ...
    def prox(self, x: torch.Tensor | numpy.ndarray, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], gamma: float, max_iter: int = 100, tol: float = 1e-06) -> torch.Tensor:
        ...
    def prox_of_sharded(self, x: adjoin.distributed.sharded_image.ShardedImage, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], gamma: float, max_iter: int = 100, tol: float = 1e-06) -> adjoin.distributed.sharded_image.ShardedImage:
        ...
class Prior:
    """
    A prior g(x) of images.
    
    A prior of one's own derives from it and defines those of fn(x), a number or scalar tensor, grad(x) (else by automatic
    differentiation of fn), prox(x, gamma) = argmin_v gamma g(v) + 1/2 ‖v − x‖² and lipschitz(), of the gradient, that the
    algorithm needs.
    
    :raises adjoin.InvalidArgument: from every method, for images that the prior is not made for, and where what it needs is
        not defined.
    """
    def __init__(self) -> None:
        ...
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
    def __repr__(self) -> str:
        ...
    @typing.overload
    def fn(self, x: adjoin.distributed.sharded_image.ShardedImage) -> torch.Tensor:
        """
        The value at a sharded image, the same on every rank.
        
        :param x: a sharded image.
        :return: g(x), a number.
        """
    @typing.overload
    def fn(self, x: torch.Tensor | numpy.ndarray) -> torch.Tensor:
        """
        The value.
        
        :param x: an image.
        :return: g(x), a number.
        """
    @typing.overload
    def grad(self, x: adjoin.distributed.sharded_image.ShardedImage) -> adjoin.distributed.sharded_image.ShardedImage:
        """
        The gradient at a sharded image.
        
        :param x: a sharded image.
        :return: ∇g(x), cut as x is.
        """
    @typing.overload
    def grad(self, x: torch.Tensor | numpy.ndarray) -> torch.Tensor:
        """
        The gradient.
        
        :param x: an image.
        :return: ∇g(x), of the shape of x.
        """
    @typing.overload
    def prox(self, x: adjoin.distributed.sharded_image.ShardedImage, gamma: float) -> adjoin.distributed.sharded_image.ShardedImage:
        """
        The proximal operator of a sharded image. Priors that act on numbers (L1, boxes, Tikhonov) send nothing, total
        variation the planes at the cuts; for others the image is gathered.
        
        :param x: a sharded image.
        :param gamma: γ > 0.
        :return: argmin_v γ g(v) + 1/2 ‖v − x‖², cut as x is.
        """
    @typing.overload
    def prox(self, x: torch.Tensor | numpy.ndarray, gamma: float) -> torch.Tensor:
        """
        The proximal operator.
        
        :param x: an image.
        :param gamma: γ > 0.
        :return: argmin_v γ g(v) + 1/2 ‖v − x‖², of the shape of x.
        """
    def prox_conjugate(self, x: torch.Tensor | numpy.ndarray, gamma: float, lambda_: float = 1.0) -> torch.Tensor:
        """
        The proximal operator of the convex conjugate of λ g, by Moreau's identity.
        
        :param x: an image.
        :param gamma: γ > 0.
        :param lambda_: λ > 0.
        :return: argmin_v γ (λ g)*(v) + 1/2 ‖v − x‖², of the shape of x.
        """
    @property
    def explicit_prior(self) -> bool:
        """
        Whether g has a value: False of plug-and-play.
        """
class ZeroPrior(Prior):
    """
    g = 0.
    """
    def __init__(self) -> None:
        ...
class Tikhonov(Prior):
    """
    ‖x‖² / 2.
    """
    def __init__(self) -> None:
        ...
class L1Prior(Prior):
    """
    ‖x‖₁.
    """
    def __init__(self) -> None:
        ...
class Box(Prior):
    """
    0 where lower ≤ x ≤ upper, else infinite; bounds may be infinite.
    """
    def __init__(self, lower: float, upper: float) -> None:
        ...
class Positivity(Box):
    """
    0 where x ≥ 0, else infinite.
    """
    def __init__(self) -> None:
        ...
class PnP(Prior):
    """
    Plug-and-play: the prox is denoiser(x, sigma), any callable; sigma=None is the root of the prox's
    strength. The denoiser must give every rank the same image.
    """
    def __init__(self, denoiser: typing.Any, sigma: float | None = None) -> None:
        ...
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
class RED(Prior):
    """
    Regularisation by denoising: the gradient is x − denoiser(x, sigma).
    """
    def __init__(self, denoiser: typing.Any, sigma: float) -> None:
        ...
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
class InnerIterations:
    """
    How the last prox of a total variation ended.
    """
    @property
    def error_bound(self) -> float:
        """
        The proven bound of the distance to the exact one.
        """
    @property
    def iterations(self) -> int:
        """
        How many inner iterations it took.
        """
class TotalVariation(Prior):
    """
    Isotropic total variation over the last `dims` dimensions (2, or 3 for volumes), joined by the box from `lower` to
    `upper`. The prox stops when its result is proved to be within tol ‖x‖ of the exact one, or after `max_iter`
    iterations. While an algorithm iterates, with `warm_start` each begins where the last one ended.
    """
    def __init__(self, dims: int | None = None, lower: float = ..., upper: float = ..., max_iter: int = 100, tol: float = 0.0001, warm_start: bool = True) -> None:
        ...
    def inner(self) -> InnerIterations:
        """
        How the last prox ended.
        
        :return: its number of inner iterations, and the proven bound of the distance to the exact one.
        """
class WaveletPrior(Prior):
    """
    ‖W x‖₁ over the details, along the last `dims` dimensions, of an orthonormal wavelet ("haar", "db1" … "db38", "sym2" … "sym20", "coif1" …
    "coif17"), for images of any size. With `random_shift` the image is shifted at random, as around a torus, before each
    prox and back after it, alike on all ranks. Where sizes are not divisible by 2 ** levels the prox is iterative, and
    stops when its result is proved to be within tol ‖x‖ of the exact one, or after `max_iter` iterations.
    """
    def __init__(self, wavelet: str = 'haar', levels: int = 3, dims: int | None = None, random_shift: bool = False, max_iter: int = 100, tol: float = 0.0001) -> None:
        ...
class IterationRecord:
    """
    What an algorithm notes after an iteration.
    """
    @property
    def change(self) -> float:
        """
        ‖x_k − x_{k−1}‖ / ‖x_k‖.
        """
    @property
    def iteration(self) -> int:
        """
        Its number, from 1.
        """
    @property
    def objective(self) -> float:
        """
        f(x) + λ g(x) where objective=True asks for it, else NaN.
        """
    @property
    def psnr(self) -> float:
        """
        Against truth, in decibels, where that is given, else NaN.
        """
    @property
    def seconds(self) -> float:
        """
        Since the algorithm began.
        """
class OptimResult:
    """
    The image that an algorithm found, and how it ended.
    """
    def __repr__(self) -> str:
        ...
    def _repr_html_(self) -> typing.Any:
        ...
    @property
    def history(self) -> list[IterationRecord]:
        """
        What was noted after each: iteration, seconds, change, objective, psnr.
        """
    @property
    def iterations(self) -> int:
        """
        How many iterations it took.
        """
    @property
    def reason(self) -> str:
        """
        Why it ended: "converged", "iteration limit" or "stopped by the monitor".
        """
    @property
    def x(self) -> torch.Tensor:
        """
        The image, of the dtype of x0; from a sharded x0 this rank's slab of it: x0.with_local(result.x).
        """
class DnCNN:
    """
    A network whose weights are in the .safetensors file `path`, or are given: `tensors` by name, `metadata` by name, and `source`, a name for messages. It computes on `device`.
    """
    @typing.overload
    def __call__(self, x: torch.Tensor | numpy.ndarray, sigma: float) -> torch.Tensor:
        """
        Removes noise.
        
        :param x: a noisy image (B, C, H, W).
        :param sigma: the standard deviation of its noise, a number or, of a network, a tensor of one an item.
        :return: the clean image, of the shape of x.
        :raises adjoin.InvalidArgument: for other shapes and dtypes, and sigma below zero.
        """
    @typing.overload
    def __call__(self, x: torch.Tensor | numpy.ndarray, sigma: torch.Tensor | numpy.ndarray) -> torch.Tensor:
        """
        Removes noise.
        
        :param x: a noisy image (B, C, H, W).
        :param sigma: the standard deviation of its noise, a number or, of a network, a tensor of one an item.
        :return: the clean image, of the shape of x.
        :raises adjoin.InvalidArgument: for other shapes and dtypes, and sigma below zero.
        """
    @typing.overload
    def __init__(self, path: str, device: torch.device) -> None:
        ...
    @typing.overload
    def __init__(self, *, tensors: collections.abc.Mapping[str, torch.Tensor], metadata: collections.abc.Mapping[str, str], source: str, device: torch.device) -> None:
        ...
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
    @property
    def radius(self) -> int:
        """
        How far, in pixels, a pixel of the input reaches: the overlap that tiles need.
        """
class DRUNet:
    """
    A network whose weights are in the .safetensors file `path`, or are given: `tensors` by name, `metadata` by name, and `source`, a name for messages. It computes on `device`.
    """
    @typing.overload
    def __call__(self, x: torch.Tensor | numpy.ndarray, sigma: float) -> torch.Tensor:
        """
        Removes noise.
        
        :param x: a noisy image (B, C, H, W).
        :param sigma: the standard deviation of its noise, a number or, of a network, a tensor of one an item.
        :return: the clean image, of the shape of x.
        :raises adjoin.InvalidArgument: for other shapes and dtypes, and sigma below zero.
        """
    @typing.overload
    def __call__(self, x: torch.Tensor | numpy.ndarray, sigma: torch.Tensor | numpy.ndarray) -> torch.Tensor:
        """
        Removes noise.
        
        :param x: a noisy image (B, C, H, W).
        :param sigma: the standard deviation of its noise, a number or, of a network, a tensor of one an item.
        :return: the clean image, of the shape of x.
        :raises adjoin.InvalidArgument: for other shapes and dtypes, and sigma below zero.
        """
    @typing.overload
    def __init__(self, path: str, device: torch.device) -> None:
        ...
    @typing.overload
    def __init__(self, *, tensors: collections.abc.Mapping[str, torch.Tensor], metadata: collections.abc.Mapping[str, str], source: str, device: torch.device) -> None:
        ...
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
    @property
    def channels(self) -> int:
        """
        How many channels its images have.
        """
class FFDNet:
    """
    A network whose weights are in the .safetensors file `path`, or are given: `tensors` by name, `metadata` by name, and `source`, a name for messages. It computes on `device`.
    """
    @typing.overload
    def __call__(self, x: torch.Tensor | numpy.ndarray, sigma: float) -> torch.Tensor:
        """
        Removes noise.
        
        :param x: a noisy image (B, C, H, W).
        :param sigma: the standard deviation of its noise, a number or, of a network, a tensor of one an item.
        :return: the clean image, of the shape of x.
        :raises adjoin.InvalidArgument: for other shapes and dtypes, and sigma below zero.
        """
    @typing.overload
    def __call__(self, x: torch.Tensor | numpy.ndarray, sigma: torch.Tensor | numpy.ndarray) -> torch.Tensor:
        """
        Removes noise.
        
        :param x: a noisy image (B, C, H, W).
        :param sigma: the standard deviation of its noise, a number or, of a network, a tensor of one an item.
        :return: the clean image, of the shape of x.
        :raises adjoin.InvalidArgument: for other shapes and dtypes, and sigma below zero.
        """
    @typing.overload
    def __init__(self, path: str, device: torch.device) -> None:
        ...
    @typing.overload
    def __init__(self, *, tensors: collections.abc.Mapping[str, torch.Tensor], metadata: collections.abc.Mapping[str, str], source: str, device: torch.device) -> None:
        ...
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
    @property
    def channels(self) -> int:
        """
        How many channels its images have.
        """
    @property
    def radius(self) -> int:
        """
        How far, in pixels, a pixel of the input reaches: the overlap that tiles need.
        """
class Denoiser:
    """
    The clean image in x (B, C, …), whose noise has standard deviation sigma.
    """
    def __call__(self, x: torch.Tensor | numpy.ndarray, sigma: float) -> torch.Tensor:
        """
        Removes noise.
        
        :param x: a noisy image (B, C, H, W).
        :param sigma: the standard deviation of its noise, a number or, of a network, a tensor of one an item.
        :return: the clean image, of the shape of x.
        :raises adjoin.InvalidArgument: for other shapes and dtypes, and sigma below zero.
        """
    def __reduce__(self) -> tuple[typing.Any, ...]:
        ...
    def __repr__(self) -> str:
        ...
class MrdScan:
    """
    What an ISMRMRD file has measured of one image.
    """
    @property
    def directions(self) -> typing.Annotated[list[typing.Annotated[list[float], "FixedSize(3)"]], "FixedSize(3)"]:
        """
        Unit vectors of the patient along the axes (D, H, W) of the image; zeros where the file has none.
        """
    @property
    def image_size(self) -> list[int]:
        """
        Of the image that k-space has.
        """
    @property
    def kspace(self) -> torch.Tensor:
        """
        On the grid (coils, H, W) or (coils, D, H, W), the mean of the lines measured in one place, zero where there are none; along a trajectory (coils, lines, samples). complex64.
        """
    @property
    def position(self) -> typing.Annotated[list[float], "FixedSize(3)"]:
        """
        Where pixel n // 2 of each axis lies: millimetres to the patient's left, back and head.
        """
    @property
    def shown_size(self) -> list[int]:
        """
        Of its middle that the scanner's own images show, without oversampling.
        """
    @property
    def trajectory(self) -> torch.Tensor:
        """
        (lines, samples, axes), its last axis (row, column) or (slice, row, column), as the file has it: by custom in cycles a pixel, from -1/2 to 1/2. None on the grid.
        """
    @property
    def voxel_size(self) -> typing.Annotated[list[float], "FixedSize(3)"]:
        """
        Millimetres, (D, H, W).
        """
    @property
    def weights(self) -> torch.Tensor:
        """
        On the grid (H, W) or (D, H, W): the roots of how many lines were averaged, the most being 1, and 0 where nothing was measured: the mask of MultiCoilMRI, which weighs k-space by its noise.
        """
class MrdFile:
    """
    An open ISMRMRD file: the lines of k-space that an MRI scanner measured. Their samples are read when they are asked for.
    
    :param path: the file's name.
    :param group: where in it the measurement is.
    :raises adjoin.Error: naming the file, for one that is not such a file, and by read and noise, for numbers that it does not have.
    """
    def __init__(self, path: os.PathLike[str] | str | bytes, group: str = 'dataset') -> None:
        ...
    def noise(self) -> torch.Tensor:
        """
        Samples of noise.
        
        :return: (coils, samples), for prewhitening_matrix; None where the file has none.
        """
    def read(self, *, coils: collections.abc.Sequence[int] = [], slice: int = 0, contrast: int = 0, phase: int = 0, repetition: int = 0, set: int = 0, calibration: bool = False) -> MrdScan:
        """
        What was measured of one image.
        
        :param coils: the numbers of coils, ascending, whose samples alone are read; empty for all.
        :param slice: the number of the slice, as are contrast, phase, repetition and set.
        :param calibration: the lines that calibrate parallel imaging, in place of the image's.
        :return: an MrdScan.
        """
    @property
    def averages(self) -> int:
        """
        How often each line was measured at most, to be averaged.
        """
    @property
    def coils(self) -> int:
        """
        How many coils measured.
        """
    @property
    def contrasts(self) -> int:
        """
        How many contrasts, such as echoes, there are.
        """
    @property
    def has_calibration(self) -> bool:
        """
        Whether lines were measured to calibrate alone.
        """
    @property
    def header(self) -> str:
        """
        XML, as ISMRMRD describes it.
        """
    @property
    def phases(self) -> int:
        """
        How many phases, as of the heart, there are.
        """
    @property
    def repetitions(self) -> int:
        """
        How many repetitions there are.
        """
    @property
    def sets(self) -> int:
        """
        How many sets, as of flow encodings, there are.
        """
    @property
    def slices(self) -> int:
        """
        How many slices there are; likewise contrasts, phases, repetitions, sets and averages.
        """
    @property
    def trajectory(self) -> str:
        """
        "cartesian", "radial", "spiral" ...
        """
class Report:
    """
    What a run found, as one HTML file that needs nothing else.
    
    What is added comes in that order; every method that adds returns the report. In Jupyter it shows itself.
    
    :param title: the heading of the page.
    :raises adjoin.InvalidArgument: where rows, pictures or curves do not fit; adjoin.Error where a file cannot be written.
    """
    def __init__(self, title: str) -> None:
        ...
    def _repr_html_(self) -> typing.Any:
        ...
    def append(self, path: os.PathLike[str] | str | bytes) -> None:
        """
        Puts this report behind those in the file, or writes it where there is none.
        
        :param path: the file's name.
        """
    def curves(self, curves: collections.abc.Sequence[tuple[str, collections.abc.Sequence[float]]], title: str = '', x_label: str = 'iteration', y_label: str = '', log_y: bool = False) -> Report:
        """
        Adds curves in one diagram.
        
        :param curves: pairs of a name and the values at 1, 2, …; those that are not finite are left out.
        :param title: above the diagram.
        :param x_label: below the horizontal axis.
        :param y_label: beside the vertical axis.
        :param log_y: whether the vertical axis is logarithmic.
        :return: the report.
        """
    def html(self) -> str:
        """
        The page.
        
        :return: the whole file as text.
        """
    def pictures(self, pictures: collections.abc.Sequence[tuple[str, torch.Tensor | numpy.ndarray]]) -> Report:
        """
        Adds pictures side by side.
        
        :param pictures: pairs of a caption and an image as write_png takes it.
        :return: the report.
        """
    def table(self, header: collections.abc.Sequence[str], rows: collections.abc.Sequence[collections.abc.Sequence[str]]) -> Report:
        """
        Adds a table.
        
        :param header: the texts above the columns.
        :param rows: lists of texts, each as long as the header.
        :return: the report.
        """
    def text(self, paragraph: str) -> Report:
        """
        Adds text.
        
        :param paragraph: plain text.
        :return: the report.
        """
    def write(self, path: os.PathLike[str] | str | bytes) -> None:
        """
        Writes the file.
        
        :param path: its name.
        """
def adaptive_maps(coil_images: torch.Tensor | numpy.ndarray, block: int = 7) -> torch.Tensor:
    """
    Coil maps by adaptive combination (Walsh et al., Magn. Reson. Med. 43, 2000).
    
    :param coil_images: complex images of the coils (N, H, W) or (N, D, H, W).
    :param block: the covariance is that over blocks of so many pixels along each axis.
    :return: maps of the shape of coil_images.
    :raises adjoin.InvalidArgument: for real images.
    """
def adjoint(a: LinearPhysics) -> LinearPhysics:
    ...
def adjoint_wavelet_transform(coefficients: torch.Tensor | numpy.ndarray, wavelet: str = 'haar', levels: int = 3, dims: int = 2, sizes: collections.abc.Sequence[int] | None = None) -> torch.Tensor:
    """
    The adjoint of :func:`wavelet_transform`, its inverse where that is orthonormal.
    
    :param coefficients: as wavelet_transform gives them.
    :param wavelet: as there, as are levels and dims.
    :param sizes: of the image along the transformed dimensions, by default those of the coefficients.
    :return: an image.
    :raises adjoin.InvalidArgument: for sizes that do not belong to the coefficients.
    """
@typing.overload
def admm(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: adjoin.distributed.sharded_image.ShardedImage, gamma: float, **kwargs: typing.Any) -> OptimResult:
    ...
@typing.overload
def admm(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: torch.Tensor | numpy.ndarray, gamma: float, **kwargs: typing.Any) -> OptimResult:
    ...
def bicgstab(H: typing.Any, b: torch.Tensor | numpy.ndarray, max_iter: int = 100, tol: float = 1e-06, items: int = 1, x0: torch.Tensor | numpy.ndarray | None = None, preconditioner: typing.Any = None) -> SolverResult:
    """
    BiCGStab (van der Vorst 1992) for H x = b with any square H; two applications of H an iteration.
    
    :param H: a function of a tensor like b; it must not write into it.
    :param b: the right-hand side.
    :param max_iter: the most iterations.
    :param tol: stops at this relative residual; 0 runs all iterations.
    :param items: how many independent problems lie along dimension 0 of b; each stops by itself.
    :param x0: the start, by default zero.
    :param preconditioner: a function near H⁻¹; None for none.
    :return: a SolverResult.
    :raises adjoin.Error: for NaN or infinity in b or from H, naming the iteration.
    """
def bicubic_kernel(factor: int, dtype: torch.dtype = ...) -> torch.Tensor:
    """
    The filter of bicubic resampling.
    
    :param factor: of the downsampling.
    :param dtype: the floating-point dtype of the result.
    :return: a kernel (1, 1, h, h) whose sum is 1.
    :raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.
    """
def bilinear_kernel(factor: int, dtype: torch.dtype = ...) -> torch.Tensor:
    """
    The filter of bilinear resampling.
    
    :param factor: of the downsampling.
    :param dtype: the floating-point dtype of the result.
    :return: a kernel (1, 1, h, h) whose sum is 1.
    :raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.
    """
def box_kernel(size: int, dtype: torch.dtype = ...) -> torch.Tensor:
    """
    The mean over a square.
    
    :param size: how many pixels along each axis.
    :param dtype: the floating-point dtype of the result.
    :return: a kernel (1, 1, size, size) whose sum is 1.
    :raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.
    """
def check_operator(op: LinearPhysics, x: torch.Tensor | numpy.ndarray, *, others: collections.abc.Sequence[LinearPhysics], dtypes: collections.abc.Sequence[torch.dtype], batches: bool, tol: float, seed: int, params: dict[str, typing.Any]) -> OperatorReport:
    """
    As adjoin.testing.check_operator, without raising.
    """
def children_mark() -> str:
    """
    What the environment variable of that name says in processes that a rank starts, which are no ranks.
    """
def compose(a: LinearPhysics, b: LinearPhysics) -> LinearPhysics:
    ...
def compression_matrix(data: torch.Tensor | numpy.ndarray, coils: int) -> torch.Tensor:
    """
    What keeps the most of the energy of data in fewer coils, by mix_coils of k-space and of maps.
    
    :param data: complex (N, …).
    :param coils: how many virtual coils.
    :return: a matrix (coils, N) with orthonormal rows.
    :raises adjoin.InvalidArgument: for more coils than there are.
    """
def concatenated(*args: typing.Any, sizes: collections.abc.Sequence[int]) -> LinearPhysics:
    """
    Operators on vectors (batch, n), whose measurements, vectors of these sizes, come one after the other.
    """
def conjugate_gradient(H: typing.Any, b: torch.Tensor | numpy.ndarray, max_iter: int = 100, tol: float = 1e-06, items: int = 1, x0: torch.Tensor | numpy.ndarray | None = None, preconditioner: typing.Any = None) -> SolverResult:
    """
    Conjugate gradients (Hestenes and Stiefel 1952) for H x = b, H Hermitian and positive semi-definite.
    
    :param H: a function of a tensor like b; it must not write into it.
    :param b: the right-hand side.
    :param max_iter: the most iterations.
    :param tol: stops at this relative residual; 0 runs all iterations.
    :param items: how many independent problems lie along dimension 0 of b; each stops by itself.
    :param x0: the start, by default zero.
    :param preconditioner: a function near H⁻¹, Hermitian and positive definite; None for none.
    :return: a SolverResult.
    :raises adjoin.Error: for NaN or infinity in b or from H, naming the iteration.
    """
def denoiser_of(architecture: str, weights: dict[str, typing.Any]) -> Denoiser:
    ...
def density_compensation(trajectory: torch.Tensor | numpy.ndarray, image_size: collections.abc.Sequence[int], units: str = 'cycles_per_pixel', iterations: int = 30) -> torch.Tensor:
    """
    The area of k-space around each sample, by Pipe and Menon's iteration (Magn. Reson. Med. 41, 1999).
    
    With it, A_adjoint(w · y) is near the image; its roots are weights of NonCartesianMRI.
    
    :param trajectory: (…, axes).
    :param image_size: (H, W) or (D, H, W).
    :param units: of the trajectory, as of NonuniformFourier.
    :param iterations: how many.
    :return: w (…), in pixels of the image's grid.
    :raises adjoin.InvalidArgument: where trajectory and image_size have different numbers of axes.
    """
def espirit_maps(kspace: torch.Tensor | numpy.ndarray, calibration: int = 24, kernel: int = 6, threshold: float = 0.02, crop: float = 0.8, sets: int = 1, power_iterations: int = 0) -> torch.Tensor:
    """
    Coil maps by ESPIRiT (Uecker et al., Magn. Reson. Med. 71, 2014).
    
    :param kspace: complex (N, H, W) or (N, D, H, W) whose centre is fully sampled.
    :param calibration: how many samples of that centre along each axis.
    :param kernel: the size of kernels, in samples.
    :param threshold: of the kernels those count whose singular value is above so many times the largest.
    :param crop: maps are zero where their eigenvalue is below; elsewhere Σ |s|² = 1 over the coils.
    :param sets: 2 where the field of view folds.
    :param power_iterations: 0 for the eigenvectors themselves; 30 for what BART's ecalib makes of them by as many steps of
        the power iteration.
    :return: (sets, N, H, W) or (sets, N, D, H, W), of the dtype of k-space.
    :raises adjoin.InvalidArgument: for k-space that is real, or smaller than the centre.
    """
def finalize_mpi() -> None:
    ...
@typing.overload
def fista(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: adjoin.distributed.sharded_image.ShardedImage, **kwargs: typing.Any) -> OptimResult:
    ...
@typing.overload
def fista(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> OptimResult:
    ...
def gaussian_kernel(sigma: typing.Annotated[collections.abc.Sequence[float], "FixedSize(2)"], angle: float = 0.0, size: collections.abc.Sequence[int] = [], dtype: torch.dtype = ...) -> torch.Tensor:
    """
    A Gaussian.
    
    :param sigma: the standard deviations along its two axes, in pixels.
    :param angle: by which the axes are turned, in degrees.
    :param size: (h, w), by default to where it is negligible.
    :param dtype: the floating-point dtype of the result.
    :return: a kernel (1, 1, h, w) whose sum is 1.
    :raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.
    """
def gaussian_kernel_3d(sigma: typing.Annotated[collections.abc.Sequence[float], "FixedSize(3)"], angles: typing.Annotated[collections.abc.Sequence[float], "FixedSize(3)"] = [0.0, 0.0, 0.0], size: collections.abc.Sequence[int] = [], dtype: torch.dtype = ...) -> torch.Tensor:
    """
    A Gaussian for volumes.
    
    :param sigma: the standard deviations along its three axes, in pixels.
    :param angles: by which the axes are turned, in degrees.
    :param size: (d, h, w), by default to where it is negligible.
    :param dtype: the floating-point dtype of the result.
    :return: a kernel (1, 1, d, h, w) whose sum is 1.
    :raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.
    """
def gaussian_noise(sigma: float, seed: int | None = None) -> GaussianNoise:
    """
    Gaussian noise: y + sigma n, n standard normal.
    
    :param sigma: the standard deviation, of the real and of the imaginary part each where y is complex.
    :param seed: of a stream of its own; None draws from the device's default generator.
    :return: a model for set_noise_model, a callable of measurements.
    :raises adjoin.InvalidArgument: for what is below zero or not finite.
    """
def geometric_compression(kspace: torch.Tensor | numpy.ndarray, coils: int, axis: int = -1) -> torch.Tensor:
    """
    What keeps the most of the energy at each place along the readout in fewer coils, by mix_coils_along of k-space and
    of maps (Zhang et al., Magn. Reson. Med. 69, 2013).
    
    :param kspace: complex (N, H, W) or (N, D, H, W), fully sampled along an axis.
    :param coils: how many virtual coils.
    :param axis: that axis of the image, by default the last one.
    :return: matrices (n, coils, N) with orthonormal rows, one for each place; neighbours are alike.
    :raises adjoin.InvalidArgument: for more coils than there are, and an axis that is none.
    """
@typing.overload
def gradient_descent(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: adjoin.distributed.sharded_image.ShardedImage, **kwargs: typing.Any) -> OptimResult:
    ...
@typing.overload
def gradient_descent(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> OptimResult:
    ...
def has_finufft() -> bool:
    """
    Whether FINUFFT is found, which NonuniformFourier, NonCartesianMRI and density_compensation need.
    
    :return: True or False.
    """
@typing.overload
def hqs(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: adjoin.distributed.sharded_image.ShardedImage, gammas: collections.abc.Sequence[float], **kwargs: typing.Any) -> OptimResult:
    ...
@typing.overload
def hqs(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: torch.Tensor | numpy.ndarray, gammas: collections.abc.Sequence[float], **kwargs: typing.Any) -> OptimResult:
    ...
def inverse_wavelet_transform(coefficients: torch.Tensor | numpy.ndarray, wavelet: str = 'haar', levels: int = 3, dims: int = 2, sizes: collections.abc.Sequence[int] | None = None) -> torch.Tensor:
    """
    The inverse of :func:`wavelet_transform`.
    
    :param coefficients: as wavelet_transform gives them.
    :param wavelet: as there, as are levels and dims.
    :param sizes: of the image along the transformed dimensions, by default those of the coefficients.
    :return: the image.
    :raises adjoin.InvalidArgument: for sizes that do not belong to the coefficients.
    """
def largest_eigenvalue(H: typing.Any, like: torch.Tensor | numpy.ndarray, max_iter: int = 50, tol: float = 0.001, seed: int = 0) -> tuple[float, float]:
    """
    Bounds of the largest eigenvalue of a Hermitian, positive semi-definite map, by Lanczos.
    
    :param H: a function of a tensor like `like`; it must not write into it.
    :param like: gives shape, dtype and device.
    :param max_iter: the most steps.
    :param tol: the relative accuracy at which it stops.
    :param seed: of the random start.
    :return: (lower, upper).
    :raises adjoin.Error: for NaN or infinity from H, naming the iteration.
    """
def launched_by_mpi() -> bool:
    ...
def launcher() -> str:
    """
    Who started this process as one of several: 'mpi', 'torch' or 'none'.
    """
def load_denoiser(path: str, device: torch.device) -> Denoiser:
    ...
def lsmr(A: typing.Any, A_adjoint: typing.Any, y: torch.Tensor | numpy.ndarray, max_iter: int = 100, tol: float = 1e-06, items: int = 1, damping: float = 0.0, x0: torch.Tensor | numpy.ndarray | None = None) -> SolverResult:
    """
    LSMR (Fong and Saunders, SIAM J. Sci. Comput. 33, 2011) for min ‖A x − y‖² + λ² ‖x − x0‖², by which ‖Aᵀr‖ falls monotonically.
    
    :param A: a function from images to measurements; it must not write into its argument.
    :param A_adjoint: its adjoint, from measurements to images.
    :param y: measurements.
    :param max_iter: the most iterations.
    :param tol: the relative tolerance; 0 runs all iterations.
    :param items: how many independent problems lie along dimension 0; each stops by itself.
    :param damping: λ; 0 gives the minimum-norm least-squares solution.
    :param x0: the start, by default zero.
    :return: a SolverResult.
    :raises adjoin.Error: for NaN or infinity in y or from the functions, naming the iteration.
    """
def lsqr(A: typing.Any, A_adjoint: typing.Any, y: torch.Tensor | numpy.ndarray, max_iter: int = 100, tol: float = 1e-06, items: int = 1, damping: float = 0.0, x0: torch.Tensor | numpy.ndarray | None = None) -> SolverResult:
    """
    LSQR (Paige and Saunders, ACM TOMS 8, 1982) for min ‖A x − y‖² + λ² ‖x − x0‖².
    
    :param A: a function from images to measurements; it must not write into its argument.
    :param A_adjoint: its adjoint, from measurements to images.
    :param y: measurements.
    :param max_iter: the most iterations.
    :param tol: the relative tolerance; 0 runs all iterations.
    :param items: how many independent problems lie along dimension 0; each stops by itself.
    :param damping: λ; 0 gives the minimum-norm least-squares solution.
    :param x0: the start, by default zero.
    :return: a SolverResult.
    :raises adjoin.Error: for NaN or infinity in y or from the functions, naming the iteration.
    """
def measure_costs(context: DistributedContext, num_operators: int, factory: typing.Any, x: torch.Tensor | numpy.ndarray) -> list[float]:
    ...
def minres(H: typing.Any, b: torch.Tensor | numpy.ndarray, max_iter: int = 100, tol: float = 1e-06, items: int = 1, x0: torch.Tensor | numpy.ndarray | None = None, preconditioner: typing.Any = None) -> SolverResult:
    """
    MINRES (Paige and Saunders 1975) for H x = b, H Hermitian, possibly indefinite or singular.
    
    :param H: a function of a tensor like b; it must not write into it.
    :param b: the right-hand side.
    :param max_iter: the most iterations.
    :param tol: stops at this relative residual; 0 runs all iterations.
    :param items: how many independent problems lie along dimension 0 of b; each stops by itself.
    :param x0: the start, by default zero.
    :param preconditioner: a function near H⁻¹, Hermitian and positive definite; None for none.
    :return: a SolverResult.
    :raises adjoin.Error: for NaN or infinity in b or from H, naming the iteration.
    """
def mix_coils(matrix: torch.Tensor | numpy.ndarray, data: torch.Tensor | numpy.ndarray) -> torch.Tensor:
    """
    Virtual coils.
    
    :param matrix: (M, N), of compression_matrix or prewhitening_matrix.
    :param data: of coils (N, …), k-space, images or maps.
    :return: (M, …), the matrix times the coils.
    :raises adjoin.InvalidArgument: where the numbers of coils differ.
    """
def mix_coils_along(matrices: torch.Tensor | numpy.ndarray, data: torch.Tensor | numpy.ndarray, axis: int = -1, kspace: bool = False) -> torch.Tensor:
    """
    Virtual coils that differ from place to place along an axis.
    
    :param matrices: (n, M, N), of geometric_compression.
    :param data: complex (N, …): coil images, maps, or k-space.
    :param axis: the axis of the image along which the matrices are.
    :param kspace: whether the data are k-space, which is transformed along the axis and back.
    :return: (M, …).
    :raises adjoin.InvalidArgument: where sizes do not fit.
    """
@typing.overload
def monotone_fista(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: adjoin.distributed.sharded_image.ShardedImage, **kwargs: typing.Any) -> OptimResult:
    ...
@typing.overload
def monotone_fista(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> OptimResult:
    ...
def motion_kernel(length: float, angle: float = 0.0, dtype: torch.dtype = ...) -> torch.Tensor:
    """
    The trace of a motion.
    
    :param length: in pixels.
    :param angle: its direction, in degrees.
    :param dtype: the floating-point dtype of the result.
    :return: a kernel (1, 1, h, w) whose sum is 1.
    :raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.
    """
def mpi_communicator(comm: int | None = None, library: str = '', shared_memory: str = 'automatic', timeout: float | None = None) -> Communicator:
    """
    Of all ranks, or of ``comm``, a handle of Fortran's, which belongs to the MPI of this version.
    """
def off_resonance_mri(trajectory: torch.Tensor | numpy.ndarray, coil_maps: torch.Tensor | numpy.ndarray, field_map: torch.Tensor | numpy.ndarray, times: torch.Tensor | numpy.ndarray, accuracy: float = 0.001, weights: torch.Tensor | numpy.ndarray | None = None, units: str = 'cycles_per_pixel', eps: float = 1e-06) -> LinearPhysics:
    """
    NonCartesianMRI of an image whose pixels are off resonance: a factor exp(−2πi f t) in the sums.
    
    By time segmentation (Sutton, Noll and Fessler 2003). x complex or real (B, 1, image).
    
    :param trajectory: (…, axes).
    :param coil_maps: complex (b, N, image).
    :param field_map: f, the frequencies of the pixels (image), in hertz.
    :param times: t of the samples, in seconds, which broadcast to the samples.
    :param accuracy: there are as many segments as make the factor right to it; each costs a NonCartesianMRI.
    :param weights: of the samples, as of NonCartesianMRI, as are units and eps.
    :return: a LinearPhysics, whose measurements are those of NonCartesianMRI.
    :raises adjoin.InvalidArgument: naming the argument, where shapes do not fit.
    """
@typing.overload
def ordered_subsets(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: adjoin.distributed.sharded_image.ShardedImage, count: int, decay: float, **kwargs: typing.Any) -> OptimResult:
    ...
@typing.overload
def ordered_subsets(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: torch.Tensor | numpy.ndarray, count: int, decay: float, **kwargs: typing.Any) -> OptimResult:
    ...
def poisson_noise(gain: float, seed: int | None = None, clip: bool = True) -> PoissonNoise:
    """
    Poisson noise: gain · Poisson(y / gain), for real y.
    
    :param gain: the value of one count.
    :param seed: of a stream of its own; None draws from the device's default generator.
    :param clip: whether y below zero counts as 0, or raises.
    :return: a model for set_noise_model, a callable of measurements.
    :raises adjoin.InvalidArgument: for what is below zero or not finite.
    """
def prewhitening_matrix(noise: torch.Tensor | numpy.ndarray) -> torch.Tensor:
    """
    What makes the noise of coils white, by mix_coils of k-space and of maps.
    
    :param noise: samples of noise, complex (N, …).
    :return: a matrix (N, N).
    :raises adjoin.InvalidArgument: for fewer samples than coils.
    """
@typing.overload
def primal_dual(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: adjoin.distributed.sharded_image.ShardedImage, **kwargs: typing.Any) -> OptimResult:
    ...
@typing.overload
def primal_dual(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> OptimResult:
    ...
def process_group_communicator(group: torch.distributed.distributed_c10d.ProcessGroup, shared_memory: str = 'automatic', timeout: float | None = None, new_group: typing.Any = None) -> Communicator:
    ...
@typing.overload
def proximal_gradient(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: adjoin.distributed.sharded_image.ShardedImage, **kwargs: typing.Any) -> OptimResult:
    ...
@typing.overload
def proximal_gradient(data_fidelity: DistributedDataFidelity, y: collections.abc.Sequence[torch.Tensor | numpy.ndarray], prior: Prior, x0: torch.Tensor | numpy.ndarray, **kwargs: typing.Any) -> OptimResult:
    ...
def psnr(a: torch.Tensor | numpy.ndarray, b: torch.Tensor | numpy.ndarray, peak: float = 1.0) -> float:
    """
    The peak signal-to-noise ratio.
    
    :param a: an image.
    :param b: another, of the same shape.
    :param peak: the largest value that images may have.
    :return: 10 log10(peak² / mean square of a − b), in decibels.
    :raises adjoin.InvalidArgument: for images of different shapes.
    """
def python_linear_physics(operator: typing.Any, name: str, methods: dict[str, typing.Any], parameters: collections.abc.Sequence[str], any_parameter: bool) -> LinearPhysics:
    ...
def python_physics(operator: typing.Any, name: str, methods: dict[str, typing.Any], parameters: collections.abc.Sequence[str], any_parameter: bool) -> Physics:
    ...
def read_cfl(path: str, axis: int = 3, indices: collections.abc.Sequence[int] | None = None) -> torch.Tensor:
    ...
def read_hdf5(path: str, dataset: str, trusted: bool = False) -> torch.Tensor:
    ...
def read_npy(path: str) -> torch.Tensor:
    ...
def read_png(path: str) -> torch.Tensor:
    ...
def read_safetensors(path: str) -> tuple[dict[str, typing.Any], dict[str, typing.Any]]:
    ...
def root_sum_of_squares(coil_images: torch.Tensor | numpy.ndarray) -> torch.Tensor:
    """
    One image of those of the coils.
    
    :param coil_images: (N, …).
    :return: √Σ |x|² over the coils, real (…).
    :raises adjoin.InvalidArgument: for a tensor without axes.
    """
def scale(a: LinearPhysics, factor: typing.Any) -> LinearPhysics:
    ...
def show_progress_by(show: typing.Any) -> None:
    """
    Where progress bars are drawn: a function of each line; None for standard error.
    """
def sinc_kernel(factor: int, length: int = 0, dtype: torch.dtype = ...) -> torch.Tensor:
    """
    The windowed sinc filter of resampling.
    
    :param factor: of the downsampling.
    :param length: of the filter, in pixels; 0 chooses.
    :param dtype: the floating-point dtype of the result.
    :return: a kernel (1, 1, h, h) whose sum is 1.
    :raises adjoin.InvalidArgument: for numbers that are not above 0 where they must be.
    """
def single_communicator() -> Communicator:
    ...
def subspace_mri(trajectory: torch.Tensor | numpy.ndarray, coil_maps: torch.Tensor | numpy.ndarray, basis: torch.Tensor | numpy.ndarray, weights: torch.Tensor | numpy.ndarray | None = None, units: str = 'cycles_per_pixel', eps: float = 1e-06) -> LinearPhysics:
    """
    NonCartesianMRI of images that change from shot to shot, in the span of K coefficient images (Tamir et al. 2017).
    
    x complex or real (B, K, image); shots are the first axis of the trajectory.
    
    :param trajectory: (…, axes).
    :param coil_maps: complex (b, N, image).
    :param basis: (shots, K).
    :param weights: of the samples, as of NonCartesianMRI, as are units and eps.
    :return: a LinearPhysics, whose measurements are those of NonCartesianMRI.
    :raises adjoin.InvalidArgument: naming the argument, where shapes do not fit.
    """
def sum(a: LinearPhysics, b: LinearPhysics) -> LinearPhysics:
    ...
def uniform_noise(a: float, seed: int | None = None) -> UniformNoise:
    """
    Uniform noise: y + u, u uniform in [−a, a], in the real and in the imaginary part each where y is complex.
    
    :param a: the largest deviation.
    :param seed: of a stream of its own; None draws from the device's default generator.
    :return: a model for set_noise_model, a callable of measurements.
    :raises adjoin.InvalidArgument: for what is below zero or not finite.
    """
def viewed(physics: LinearPhysics, image: collections.abc.Sequence[int], image_view: collections.abc.Sequence[int], measurement: collections.abc.Sequence[int], measurement_view: collections.abc.Sequence[int]) -> LinearPhysics:
    """
    `physics` for images and measurements that have these sizes behind the batch, and others, the views, as it sees
    them.
    """
def wavelet_transform(x: torch.Tensor | numpy.ndarray, wavelet: str = 'haar', levels: int = 3, dims: int = 2) -> torch.Tensor:
    """
    The wavelet transform over the last `dims` dimensions with periodic borders, laid out as by PyWavelets'
    coeffs_to_array(wavedecn(x, wavelet, "periodization", level)). Where sizes are divisible by 2 ** levels it is
    orthonormal and keeps the shape of x; else the result is somewhat larger. Differentiable.
    
    :param x: an image.
    :param wavelet: its name, as of WaveletPrior.
    :param levels: how many.
    :param dims: how many dimensions.
    :return: the coefficients.
    :raises adjoin.InvalidArgument: for a wavelet that is not known, and images of fewer dimensions.
    """
def write_cfl(path: str, array: torch.Tensor | numpy.ndarray) -> None:
    ...
def write_nifti(path: str, image: torch.Tensor | numpy.ndarray, voxel_size: typing.Annotated[collections.abc.Sequence[float], "FixedSize(3)"] = [1.0, 1.0, 1.0], affine: typing.Annotated[collections.abc.Sequence[typing.Annotated[collections.abc.Sequence[float], "FixedSize(4)"]], "FixedSize(3)"] | None = None) -> None:
    ...
def write_npy(path: str, array: torch.Tensor | numpy.ndarray) -> None:
    ...
def write_png(path: str, image: torch.Tensor | numpy.ndarray) -> None:
    ...
def write_safetensors(path: str, tensors: collections.abc.Mapping[str, torch.Tensor | numpy.ndarray], metadata: collections.abc.Mapping[str, str] = {}) -> None:
    ...
children_mark_name: str = 'ADJOIN_RANK'
