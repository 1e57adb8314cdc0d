"""Writes python/adjoin/_adjoin.pyi, the types of the extension module; with --check, says whether it is up to date.

    PYTHONPATH=build/release/python python scripts/stubs.py [--check]
"""

import pathlib
import subprocess
import sys
import tempfile

STUB = pathlib.Path(__file__).parent.parent / "python" / "adjoin" / "_adjoin.pyi"
# Arguments are numbers of any kind to pybind11; to a reader they are these.
PLAINER = {
    "typing.SupportsInt | typing.SupportsIndex": "int",
    "typing.SupportsFloat | typing.SupportsIndex": "float",
    "*args)": "*args: typing.Any)",
    "**kwargs)": "**kwargs: typing.Any)",
    "*args, ": "*args: typing.Any, ",
    "info: SolveInfo": "info: SolveInfo | None",
}


def generate():
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "adjoin._adjoin", "--output-dir", folder, "--exit-code"]
        subprocess.run(command, check=True, timeout=300)
        text = pathlib.Path(folder, "adjoin", "_adjoin.pyi").read_text()
    for pybind11, plain in PLAINER.items():
        text = text.replace(pybind11, plain)
    return text


def main(arguments):
    text = generate()
    if "--check" not in arguments:
        STUB.write_text(text)
    elif text != STUB.read_text():
        print("stubs: python/adjoin/_adjoin.pyi is not what the extension offers; run make stubs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
