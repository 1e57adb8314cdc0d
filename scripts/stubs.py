# SPDX-License-Identifier: BSD-3-Clause
"""Writes python/adjoin/_adjoin.pyi, the types of the extension module, and the names of its operators in physics.py; with
--check, says whether both are up to date.

    PYTHONPATH=build/release/python python scripts/stubs.py [--check]
"""

import pathlib
import re
import subprocess
import sys
import tempfile

STUB = pathlib.Path(__file__).parent.parent / "python" / "adjoin" / "_adjoin.pyi"
PHYSICS = STUB.with_name("physics.py")
# Arguments are numbers of any kind to pybind11; to a reader they are these.
PLAINER = {
    "typing.SupportsInt | typing.SupportsIndex": "int",
    "typing.SupportsFloat | typing.SupportsIndex": "float",
    "*args)": "*args: typing.Any)",
    "**kwargs)": "**kwargs: typing.Any)",
    "*args, ": "*args: typing.Any, ",
    "info: SolveInfo": "info: SolveInfo | None",
}
# What pybind11 leaves open.
WHOLE = {
    "dict": "dict[str, typing.Any]",
    "list": "list[typing.Any]",
    "tuple": "tuple[typing.Any, ...]",
    "os.PathLike": "os.PathLike[str]",
}


def generate():
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "adjoin._adjoin", "--output-dir", folder, "--exit-code"]
        subprocess.run(command, check=True, timeout=300)
        text = pathlib.Path(folder, "adjoin", "_adjoin.pyi").read_text()
    for pybind11, plain in PLAINER.items():
        text = text.replace(pybind11, plain)
    for bare, whole in WHOLE.items():
        text = re.sub(rf"(: |-> |\| |\[|, ){re.escape(bare)}(?=[],:)|\s=])", rf"\1{whole}", text)
    return text


def with_operators(text):
    """physics.py with every operator of the extension module among its names."""
    from adjoin import _adjoin

    inner = {"LoweredPhysics"}  # what the package uses itself
    kinds = [kind for kind in vars(_adjoin).values() if isinstance(kind, type) and issubclass(kind, _adjoin.Physics)]
    operators = {kind.__name__ for kind in kinds} - inner

    for opening, line, closing in (
        ("from adjoin._adjoin import (\n", "    {},", "\n)"),
        ("__all__ = [\n", '    "{}",', "\n]"),
    ):
        head, rest = text.split(opening)
        body, tail = rest.split(closing, 1)
        lines = sorted({*body.split("\n"), *(line.format(name) for name in operators)})
        text = head + opening + "\n".join(lines) + closing + tail
    return text


def main(arguments):
    stale = []
    for path, text in ((STUB, generate()), (PHYSICS, with_operators(PHYSICS.read_text()))):
        if text != path.read_text():
            stale.append(path.name)
            if "--check" not in arguments:
                path.write_text(text)
    if stale and "--check" in arguments:
        print(f"stubs: {' and '.join(stale)} are not what the extension offers; run make stubs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
