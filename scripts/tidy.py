#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs clang-tidy over adjoin's sources: tidy.py BUILD [PATH_PREFIX …]. Exits 1 when it finds anything.

The build folder must be configured. GCC's precompiled headers and OpenMP are of no use to clang, so its commands run
without.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

FOLDERS = ("src/", "python/bindings/", "apps/", "benchmarks/", "examples/", "tests/")
# Warnings that clang means by GCC's options and GCC does not.
FLAGS = [
    f"--extra-arg=-Wno-{name}"
    for name in ("deprecated-declarations", "sign-conversion", "unknown-pragmas", "unknown-warning-option")
]


def sources(entry):
    """The sources that an entry of compile_commands.json compiles: those that a unit of CMake's making includes."""
    path = pathlib.Path(entry["directory"]) / entry["file"]
    if path.parent.name != "Unity":
        return [path]
    return [pathlib.Path(name) for name in re.findall(r'#include "(.*\.cpp)"', path.read_text(encoding="utf-8"))]


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    prefixes = tuple(sys.argv[2:]) or FOLDERS
    commands = {}
    for entry in json.loads((pathlib.Path(sys.argv[1]) / "compile_commands.json").read_text(encoding="utf-8")):
        command = re.sub(r" -Winvalid-pch| -fopenmp| -include \S*cmake_pch\S*", "", entry["command"])
        for path in sources(entry):
            name = os.path.relpath(path, root)
            if name.startswith(prefixes):
                commands[name] = {**entry, "file": str(path), "command": command.replace(entry["file"], str(path))}

    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "compile_commands.json").write_text(json.dumps(list(commands.values())))

        def tidy(name):
            command = ["clang-tidy", "--quiet", "-p", folder, *FLAGS, str(root / name)]
            return name, subprocess.run(command, capture_output=True, text=True, check=False)

        failed = 0
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for name, result in pool.map(tidy, sorted(commands)):
                if result.returncode:
                    failed += 1
                    print(result.stdout or f"{name}: {result.stderr}", flush=True)
    print(f"clang-tidy: {len(commands)} files, {failed} with findings")
    return 1 if failed or not commands else 0


if __name__ == "__main__":
    sys.exit(main())
