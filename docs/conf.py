# SPDX-License-Identifier: BSD-3-Clause
"""How Sphinx makes the site of these pages: make docs."""

import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "site"))

project = "adjoin"
author = "adjoin developers"
copyright = author
release = re.search(r'^version = "(.*)"', (DOCS.parent / "pyproject.toml").read_text(), re.MULTILINE)[1]
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
extensions += ["cpp_reference", "python_reference", "repository_links", "gallery_programs"]
exclude_patterns = ["site"]
nitpicky = True
# Names of other libraries, and what Doxygen's C++ calls its own template parameters.
nitpick_ignore_regex = [
    ("cpp:.*", ".*"),
    ("py:.*", r"(torch|numpy|collections|typing|deepinv|os|abc|datetime|adjoin\._adjoin)\..*"),
    ("py:class", "Factory|Measurements|Path|TensorLike|adjoin.deepinv.tensor_list.TensorList"),  # what annotations call types
]

# Pages link to each other as they do on the code host: to files, and to headings by the names that it gives them.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

default_role = "code"
smartquotes = False  # what is in quotes is mostly a string
toc_object_entries_show_parents = "hide"
autoclass_content = "both"  # where the extension module has a constructor's arguments
autodoc_default_options = {"members": True, "undoc-members": True, "imported-members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
cpp_maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"adjoin {release}"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_js_files = ["versions.js"]
html_copy_source = False
html_show_sphinx = False
