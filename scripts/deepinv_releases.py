# SPDX-License-Identifier: BSD-3-Clause
"""Releases of deepinv, each in a folder of its own beside the one torch of this environment.

    python scripts/deepinv_releases.py RELEASE…   installs them, and prints their folders
"""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Those that adjoin.deepinv is tested with; the last is the one of .venv.
RELEASES = ("0.4.1", "0.4.2", "0.5.0")


def folder(release: str) -> pathlib.Path:
    """Where the package of a release lies, alone, without what it needs; installed when it is missing."""
    target = ROOT / ".cache" / "deepinv" / release
    if not (target / f"deepinv-{release}.dist-info" / "RECORD").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        subprocess.run([*pip, "--no-deps", "--target", target, f"deepinv=={release}"], check=True)
    return target


def restart_with(release: str) -> None:
    """Starts this program again with a release in the place of the installed one, unless that is done; the processes that
    it starts find that release, too."""
    first = str(folder(release))
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if path[0] != first:
        os.environ["PYTHONPATH"] = os.pathsep.join([first, *filter(None, path)])
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.argv])


if __name__ == "__main__":
    for name in sys.argv[1:] or RELEASES:
        print(folder(name))
