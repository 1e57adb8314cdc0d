# SPDX-License-Identifier: BSD-3-Clause
"""Makes a wheel that other systems can install: repair_wheel.py WHEEL FOLDER puts it into the folder.

auditwheel copies into it the libraries that not every Linux has, and names the oldest C library that it runs with. Those of
torch and of MPI are left out: torch is a package that the wheel asks for, and MPI is loaded when it is there. The licence
of what has been copied goes along. The wheel is refused where one has none, where it is 20 MB or larger, or where it does
not ask for the one minor release of torch that it was built with. auditwheel, patchelf and wheel must be on the path.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

LEFT_OUT = ["libtorch*.so", "libc10*.so", "libgomp.so.1", "libmpi.so.*"]
MOST_BYTES = 20_000_000


def run(*command):
    print("+", " ".join(map(str, command)), flush=True)
    subprocess.run([str(part) for part in command], check=True)


def licence_of(library):
    """What Debian says of the package that a library, copied as NAME-HASH.so.VERSION, comes from."""
    name = re.sub(r"-[0-9a-f]{8}(?=\.so)", "", library)
    stem = name[: name.index(".so") + 3]
    found = subprocess.run(["dpkg", "-S", f"*/{stem}.*"], capture_output=True, text=True).stdout.splitlines()
    packages = {line.split(":")[0] for line in found if "-dev" not in line.split(":")[0]}
    for package in sorted(packages):
        path = pathlib.Path("/usr/share/doc", package, "copyright")
        if path.exists():
            return path.read_bytes()
    raise SystemExit(f"repair_wheel: no licence is known of {library}")


def complete(wheel, folder):
    """Unpacks the wheel, lays the licences of the libraries that it carries beside adjoin's own, and packs it anew. An MPI
    that is a Python package lies outside of it, in the environment's lib, which auditwheel has the MPI backend forget."""
    with tempfile.TemporaryDirectory() as work:
        run(sys.executable, "-m", "wheel", "unpack", "--dest", work, wheel)
        (root,) = pathlib.Path(work).iterdir()
        (licences,) = root.glob("*.dist-info/licenses")
        for library in sorted(root.glob("adjoin.libs/*")):
            (licences / f"{library.name}.txt").write_bytes(licence_of(library.name))
        run("patchelf", "--set-rpath", "$ORIGIN:$ORIGIN/../torch/lib:$ORIGIN/../../..", root / "adjoin/libadjoin_mpi.so.0")
        run(sys.executable, "-m", "wheel", "pack", "--dest-dir", folder, root)


def check(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        needs = re.findall(r"^Requires-Dist: (.*)$", archive.read(metadata).decode(), re.MULTILINE)
    assert any(re.fullmatch(r"torch==\d+\.\d+\.\*", need) for need in needs), f"one minor release of torch: {needs}"
    for name in names:
        assert not re.search(r"lib(torch|c10|mpi|gomp)[^/]*\.so", name), f"{name} is no part of a wheel"
    libraries = [name.rpartition("/")[2] for name in names if name.startswith("adjoin.libs/")]
    for library in libraries:
        assert any(name.endswith(f"/licenses/{library}.txt") for name in names), f"no licence of {library}"
    size = wheel.stat().st_size
    assert size < MOST_BYTES, f"{wheel.name} has {size} bytes"
    print(f"{wheel.name}: {size / 1e6:.1f} MB, needs {', '.join(needs)}; carries {', '.join(libraries) or 'no library'}")


def main():
    wheel, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as work:
        excluded = [part for name in LEFT_OUT for part in ("--exclude", name)]
        run("auditwheel", "repair", "--strip", "--wheel-dir", work, *excluded, wheel)
        (repaired,) = pathlib.Path(work).glob("*.whl")
        complete(repaired, folder)
        made = folder / repaired.name
    run("auditwheel", "show", made)
    check(made)


if __name__ == "__main__":
    main()
