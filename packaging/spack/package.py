# SPDX-License-Identifier: BSD-3-Clause
"""The Python package for Spack, of a source archive beside it, or of a checkout by `spack dev-build`."""

import os

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyAdjoin(PythonPackage):
    """Distributed stacks of linear operators for imaging inverse problems."""

    manual_download = True
    url = f"file://{os.getcwd()}/adjoin-0.1.0.tar.gz"

    license("BSD-3-Clause")

    version("0.1.0")

    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("py-scikit-build-core@0.11:1", type="build")
    depends_on("py-pybind11", type="build")

    depends_on("python@3.10:3.14", type=("build", "link", "run"))
    depends_on("py-torch@2.6:", type=("build", "link", "run"))
    depends_on("py-numpy", type=("build", "run"))
    depends_on("mpi", type=("build", "link", "run"))
    depends_on("libpng", type=("build", "link"))
    depends_on("zlib-api", type=("build", "link"))

    conflicts("%gcc@:11", msg="adjoin is C++20")

    import_modules = ["adjoin"]

    def setup_build_environment(self, env):
        env.set("CMAKE_BUILD_PARALLEL_LEVEL", str(make_jobs))
