# SPDX-License-Identifier: BSD-3-Clause
"""A Sphinx extension: the page reference/cpp/ROOM.rst shows what the headers of that room declare.

Each declaration becomes a directive of Sphinx's C++ domain, under a heading for its header; declarations that share one
comment in the header share it here.
"""

from __future__ import annotations

import re

from cpp_declarations import INCLUDE, Declaration, declarations
from sphinx.domains.cpp import CPPDomain

DIRECTIVES = {"variable": "member", "typedef": "type"}


class Domain(CPPDomain):
    """Sphinx's domain of C++, without the names of parameters, which a search would find before all else."""

    def get_objects(self):
        return (found for found in super().get_objects() if not found[2].endswith("Param"))


def setup(app):
    app.add_domain(Domain, override=True)
    app.connect("source-read", fill)
    return {"parallel_read_safe": True}


def fill(app, docname, source):
    """Puts the declarations of a room behind the text of its page."""
    room = docname.removeprefix("reference/cpp/")
    if room == docname or room == "index":
        return
    if not hasattr(app, "adjoin_declarations"):
        app.adjoin_declarations = declarations()
    lines = [source[0].rstrip(), ""]
    for path in sorted((INCLUDE / "adjoin" / room).rglob("*.hpp")):
        header = path.relative_to(INCLUDE).as_posix()
        lines += [f"``{header}``", "-" * (len(header) + 4), "", *escaped(first_comment(path)), ""]
        lines += rendered([d for d in app.adjoin_declarations if d.header == header], "")
    source[0] = "\n".join(lines) + "\n"


def first_comment(path):
    """What a header says of itself at its beginning."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("//"):
            break
        lines.append(line[2:].removeprefix(" "))
    return lines


def rendered(found: list[Declaration], indent: str) -> list[str]:
    lines = []
    for group in grouped(found):
        first = group[0]
        lines += ["", f"{indent}.. {directive(first)}:: {signature(first)}"]
        pad = " " * (len(indent) + len(directive(first)) + 6)
        lines += [f"{pad}{signature(other)}" for other in group[1:]]
        inner = indent + "   "
        lines += [""] + [inner + line if line else "" for line in escaped(first.comment)] + [""]
        for name, comment in first.values:
            lines += [f"{inner}.. cpp:enumerator:: {name}", "", *(f"{inner}   {line}" for line in escaped([comment]) if line), ""]
        lines += rendered(first.members, inner)
    return lines


def grouped(found: list[Declaration]) -> list[list[Declaration]]:
    """Declarations of one kind that share a comment."""
    groups: list[list[Declaration]] = []
    for declared in found:
        is_leaf = declared.kind in ("function", "variable", "typedef")
        if declared.joined and groups and is_leaf and groups[-1][-1].kind == declared.kind:
            groups[-1].append(declared)
        else:
            groups.append([declared])
    return groups


def directive(declared: Declaration) -> str:
    if declared.kind == "define":
        return "c:macro"
    if declared.kind == "enum":
        return "cpp:enum-class"
    return f"cpp:{DIRECTIVES.get(declared.kind, declared.kind)}"


def signature(declared: Declaration) -> str:
    scoped = declared.name.removeprefix("adjoin::")
    if declared.kind == "define":
        return scoped
    return re.sub(r"\{\.\w+ = ", "{", declared.signature)  # Sphinx knows no designated initialisers


def escaped(lines: list[str]) -> list[str]:
    """A comment as reStructuredText: `code` in backquotes, lists with hyphens, all else as it stands."""
    parts = "\n".join(lines).split("`")
    parts[::2] = [re.sub(r"([*|\\_])", r"\\\1", part) for part in parts[::2]]
    for place in range(1, len(parts) - 1, 2):
        parts[place] = f"``{' '.join(parts[place].split())}``" + ("\\ " if parts[place + 1][:1].isalnum() else "")
    text: list[str] = []
    last = ""
    for line in "".join(parts).split("\n"):
        kind = "list" if line.startswith("- ") or (last == "list" and line.startswith("  ")) else ""
        if line.startswith("  ") and not kind:
            kind, line = "lines", "| " + line.strip()  # kept one below the other
        if kind != last and text and text[-1]:
            text.append("")
        last = kind
        text.append(line)
    return text
