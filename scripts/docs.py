# SPDX-License-Identifier: BSD-3-Clause
"""Makes the documentation site, and checks it: docs.py [--links] FOLDER, with the built package on PYTHONPATH.

Warnings are errors. `--links` asks the web after the links that leave the site, too. The tools come into .cache/docs, which
only this program has on its path, and Doxygen from the system.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "docs" / "requirements.txt"
TOOLS = ROOT / ".cache" / "docs"


def install_tools():
    stamp = TOOLS / "installed.txt"
    if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
        print("docs: installing Sphinx into .cache/docs")
        shutil.rmtree(TOOLS, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        subprocess.run([*pip, "--no-deps", "--target", TOOLS, "-r", REQUIREMENTS], check=True)
        stamp.write_text(REQUIREMENTS.read_text())
    if not shutil.which("doxygen"):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            sys.exit("docs: please install Doxygen: sudo apt-get install doxygen")
        print("docs: installing doxygen")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "doxygen"]
        subprocess.run(install, check=True, env=environment, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--links", action="store_true", help="ask the web after the links that leave the site")
    arguments = parser.parse_args()
    install_tools()
    path = os.pathsep.join(filter(None, [str(TOOLS), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    # Anew each time: Sphinx does not see that headers and docstrings change.
    shutil.rmtree(arguments.folder, ignore_errors=True)
    sphinx = ["-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-d", f"{arguments.folder}.doctrees"]
    steps = [
        [*sphinx, "-b", "html", ROOT / "docs", arguments.folder],
        [ROOT / "scripts" / "check_site.py", arguments.folder],
        *([[*sphinx, "-b", "linkcheck", ROOT / "docs", f"{arguments.folder}.links"]] if arguments.links else []),
    ]
    for step in steps:
        if result := subprocess.run([sys.executable, *step], env=environment).returncode:
            sys.exit(result)
    print(f"docs: {arguments.folder / 'index.html'}")


if __name__ == "__main__":
    main()
