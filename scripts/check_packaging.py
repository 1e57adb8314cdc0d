#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks that the recipes of packaging/ agree with the sources about adjoin's version and the oldest torch, CMake and
scikit-build-core that it takes. Prints what does not; exits 1 if any."""

import re
import sys

from violations import report

# What each file says, as a regular expression whose group is the number.
PLACES = {
    "version": {
        "pyproject.toml": r'^version = "(.*)"',
        "CMakeLists.txt": r"^project\(adjoin VERSION (\S+)",
        "CITATION.cff": r"^version: (.*)",
        "packaging/conda/recipe.yaml": r'^  version: "(.*)"',
        "packaging/debian/changelog": r"^adjoin \((.*)-\d+\)",
        "packaging/spack/package.py": r'^    version\("(.*?)"',
    },
    "oldest torch": {
        "CMakeLists.txt": r"find_package\(TorchWheel (\S+) REQUIRED\)",
        "packaging/conda/recipe.yaml": r"- pytorch >=(\S+)",
        "packaging/debian/control": r"^ python3-torch \(>= (.*)\)",
        "packaging/spack/package.py": r'"py-torch@(.*?):"',
    },
    "oldest CMake": {
        "CMakeLists.txt": r"^cmake_minimum_required\(VERSION (.*)\)",
        "packaging/conda/recipe.yaml": r"- cmake >=(\S+)",
        "packaging/debian/control": r"^ cmake \(>= (.*)\)",
        "packaging/spack/package.py": r'"cmake@(.*?):"',
    },
    "oldest scikit-build-core": {
        "pyproject.toml": r"^requires = .*scikit-build-core>=([\d.]+)",
        "packaging/conda/recipe.yaml": r"- scikit-build-core >=([\d.]+)",
        "packaging/debian/control": r"^ python3-scikit-build-core \(>= (.*)\)",
        "packaging/spack/package.py": r'"py-scikit-build-core@([\d.]+):',
    },
}


def violations(root):
    """Yields one message for each number that a file lacks, and for each thing about which files differ."""
    for thing, places in PLACES.items():
        said = {}
        for file, pattern in places.items():
            found = re.search(pattern, (root / file).read_text(encoding="utf-8"), re.MULTILINE)
            if found:
                said[file] = found[1]
            else:
                yield f"{file}: says nothing of the {thing}: {pattern}"
        if len(set(said.values())) > 1:
            yield f"{thing}: " + ", ".join(f"{number} in {file}" for file, number in said.items())


if __name__ == "__main__":
    sys.exit(report("packaging", violations))
