# SPDX-License-Identifier: BSD-3-Clause
"""A Sphinx extension: links of the pages into the repository lead to pages of the site where there is one, and two files of
the repository's root are pages of the site."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def setup(app):
    app.connect("source-read", redirect)
    return {"parallel_read_safe": True}


def redirect(app, docname, source):
    def from_docs(match):
        target = match[1]
        return f"]({target.removeprefix('docs/') if target.startswith('docs/') else '../' + target})"

    def to_page(match):
        return f"]({match[1]}{PAGES[match[2]]}{match[3]}"

    text = source[0]
    if docname in ("contributing", "changelog"):
        text = re.sub(r"\]\((?!http)([\w./-]+[\w#./-]*)\)", from_docs, (ROOT / f"{docname.upper()}.md").read_text())
    # The pages of the site are one folder below those files, in docs.
    source[0] = re.sub(rf"\]\(((?:\.\./)*)\.\./({'|'.join(PAGES)})([)#])", to_page, text)
