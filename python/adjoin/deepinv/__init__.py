# SPDX-License-Identifier: BSD-3-Clause
"""deepinv's classes for distributed computing, done by adjoin.

The classes are deepinv's ``Physics``, ``LinearPhysics``, ``DataFidelity`` and ``Denoiser``, so that its optimisers,
priors and training take them. Their names, arguments and defaults are those of ``deepinv.distributed``, releases 0.4.1,
0.4.2 and 0.5.0: ``reduce_op`` is "sum" by default, and None stands for the operators' results by themselves. What
differs among the releases is in ``adjoin.deepinv.versions``.

:func:`install` puts them in the place of ``deepinv.distributed``, for programs that cannot change an import.
"""

from adjoin.deepinv.versions import current as _current

_current()  # comes first: says what is missing where deepinv cannot be imported

from adjoin.deepinv.context import DistributedContext  # noqa: E402
from adjoin.deepinv.data_fidelity import DistributedDataFidelity  # noqa: E402
from adjoin.deepinv.distribute import distribute  # noqa: E402
from adjoin.deepinv.installation import install, uninstall  # noqa: E402
from adjoin.deepinv.parameters import DistributedReplicatedParameters  # noqa: E402
from adjoin.deepinv.physics import DistributedStackedLinearPhysics, DistributedStackedPhysics  # noqa: E402
from adjoin.deepinv.processing import DistributedProcessing  # noqa: E402

__all__ = [
    "DistributedContext",
    "DistributedDataFidelity",
    "DistributedProcessing",
    "DistributedReplicatedParameters",
    "DistributedStackedLinearPhysics",
    "DistributedStackedPhysics",
    "distribute",
    "install",
    "uninstall",
]
