# SPDX-License-Identifier: BSD-3-Clause
"""A Sphinx extension: the gallery shows its programs, and runs those that take seconds: what they print, and their pictures,
are those of this build."""

import html
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Programs that take seconds, and the file that each needs in .cache, which scripts/fetch_data.sh brings.
QUICK = {"quick_start": "", "deconvolution": "data/kodim23.png", "parallel_mri": "", "tomography": "data/HAADF_Aligned.hspy"}
LINK = re.compile(r"\[\w+\.py\]\(\.\./examples/python/(\w+)\.py\)\n\n!\[(.*?)\]\((.*?)\)")


def setup(app):
    app.connect("source-read", show_programs)
    return {"parallel_read_safe": True}


def show_programs(app, docname, source):
    if docname == "gallery" and app.builder.name == "html":
        source[0] = LINK.sub(lambda match: section(app, *match.groups()), source[0])


def section(app, name, caption, picture):
    """What the site has in place of the link to a program and of its picture."""
    program = ROOT / "examples" / "python" / f"{name}.py"
    shown, printed = f"![{caption}]({picture})", ""
    if name in QUICK and (ROOT / ".cache" / QUICK[name]).exists():
        printed = f"```text\n{run(program, pathlib.Path(app.outdir) / '_gallery')}```\n\n"
        shown = f'<img src="_gallery/{name}.png" alt="{html.escape(caption)}">'
    folded = f"<details><summary><code>{name}.py</code></summary>\n\n```python\n{program.read_text()}```\n\n</details>"
    return f"{folded}\n\n{printed}{shown}"


def run(program, folder):
    """What a program prints, without the line that names its figure. Raises CalledProcessError when it fails."""
    command = [sys.executable, "-W", "ignore", program, "--out", folder]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    return "".join(line for line in result.stdout.splitlines(keepends=True) if not line.startswith("written: "))
