# SPDX-License-Identifier: BSD-3-Clause
"""Runs the code blocks of docs/installing.md as they stand: installing.py GROUP... [--build FOLDER] [--mpirun PROGRAM].

The comment before a block, <!-- test: GROUP, where -->, names its group. The blocks of a group run in turn, in an
environment that has nothing of this project on its paths but what the page says that the user has:

    package  an installation from FOLDER, a project outside, its program under mpirun
    own      a copy of the sources, python3 with torch and mpicxx on the path
    pip      a copy of the sources, a new virtual environment
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
FENCE = re.compile(r"(?:^<!-- (test|not run): (\w+), (.*?) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    """(group, where, language, text) of every block of the page. Raises if the page does not say what to do with one."""
    found = []
    for kind, group, where, language, text in FENCE.findall((ROOT / "docs/installing.md").read_text()):
        if not kind:
            raise SystemExit(f"installing.md: no comment says how to test this block:\n{text}")
        if kind == "test":
            found.append((group, where, language, text))
    return found


def shell(text, folder, environment):
    print(f"== in {folder}\n{text}", end="", flush=True)
    subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=environment, check=True)


def clean_environment(work):
    """Paths with nothing but CMake and what the system has."""
    tools = work / "bin"
    tools.mkdir()
    for tool in ("cmake", "ctest", "ninja"):
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "CMAKE_", "MPI"))}
    return {**kept, "PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin"}


def copy_of_sources(folder):
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def run_package(work, arguments):
    environment = {**clean_environment(work), "PREFIX": str(work / "prefix")}
    (work / "sources/build").mkdir(parents=True)
    (work / "sources/build/release").symlink_to(arguments.build.resolve())
    project = work / "project"
    project.mkdir()
    shutil.copy(ROOT / "examples/quick_start.cpp", project / "main.cpp")
    for group, where, language, text in blocks():
        if group != "package":
            continue
        if language == "cmake":
            (project / "CMakeLists.txt").write_text(text)
            continue
        if text.startswith("mpirun"):
            environment["PATH"] += f":{arguments.mpirun.parent}"
        shell(text, work / "sources" if where == "beside the build folder" else project, environment)
    subprocess.run([project / "build/program"], env=environment, check=True, timeout=60)
    # An operator outside the library, docs/writing_an_operator.md.
    own = shutil.copytree(ROOT / "examples/own_operator", work / "own_operator")
    python = f"-DPython_EXECUTABLE={sys.executable}"
    shell(f"cmake -S . -B build -DCMAKE_PREFIX_PATH=$PREFIX {python} && cmake --build build", own, environment)
    check_installation(work / "prefix")


def check_installation(prefix):
    """What lies in the prefix: no more than the page says."""
    found = sorted(entry.name for entry in prefix.iterdir())
    assert set(found) <= {"bin", "include", "lib", "lib64", "share"}, f"unexpected in the prefix: {found}"
    assert list(prefix.rglob("share/doc/adjoin/LICENSE")), "no licence in the prefix"
    assert not list(prefix.rglob("_adjoin*")), "a Python extension in the prefix"


def run_own(work, arguments):
    sources = copy_of_sources(work / "sources")
    if (ROOT / ".cache").is_dir():
        (sources / ".cache").symlink_to(ROOT / ".cache")  # data that tests would fetch
    for group, _, _, text in blocks():
        if group == "own":
            shell(text, sources, dict(os.environ))


def run_pip(work, arguments):
    sources = copy_of_sources(work / "sources")
    subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
    environment = clean_environment(work)
    environment["PATH"] = f"{work / 'venv/bin'}:{environment['PATH']}"
    for group, _, _, text in blocks():
        if group == "pip":
            shell(text, sources, environment)
    shell("python -c 'import adjoin; print(adjoin.__file__)'", work, environment)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="+", choices=["package", "own", "pip"])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--mpirun", type=pathlib.Path, default=pathlib.Path(shutil.which("mpirun") or "mpirun"))
    arguments = parser.parse_args()
    known = {group for group, *_ in blocks()}
    assert known == {"package", "own", "pip"}, f"the page has blocks of groups {known}"
    for group in arguments.groups:
        with tempfile.TemporaryDirectory(prefix="adjoin-") as work:
            {"package": run_package, "own": run_own, "pip": run_pip}[group](pathlib.Path(work), arguments)


if __name__ == "__main__":
    main()
