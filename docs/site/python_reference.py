# SPDX-License-Identifier: BSD-3-Clause
"""A Sphinx extension: what autodoc makes of the package's docstrings, signatures and classes."""

import re

# The extension module's words for types, and ours.
TYPES = {
    r"(typing\.)?SupportsInt \| (typing\.)?SupportsIndex": "int",
    r"(typing\.)?SupportsFloat \| (typing\.)?SupportsIndex": "float",
    r'(typing\.)?Annotated\[([\w.]+\[\w+\]), "FixedSize\(\d\)"\]': r"\2",
    r"collections\.abc\.": "",
    r"\(self: [\w.]+(, )?": "(",
}


def setup(app):
    app.connect("autodoc-process-signature", tidy_signature)
    app.connect("autodoc-process-docstring", tidy_docstring)
    app.connect("autodoc-process-bases", leave_out_private_bases)
    return {"parallel_read_safe": True}


def in_our_words(text):
    for theirs, ours in TYPES.items():
        text = re.sub(theirs, ours, text)
    return text


def tidy_signature(app, what, name, thing, options, signature, result):
    if not signature:
        return None
    if signature == "(*args, **kwargs)":  # of several constructors, which the docstring has
        return "", result
    return in_our_words(signature), result


def tidy_docstring(app, what, name, thing, options, lines):
    """Bars are those of norms and stars those of products; a field may name several parameters. Overloads are listed by
    the extension module as `1. name(arguments) -> result`."""
    for number, line in enumerate(lines):
        overload = re.match(r"\d+\. (?:__init__|\w+)(\(.*\)) -> .*", line)
        if overload:
            lines[number] = f"- ``{name.split('.')[-1]}{in_our_words(overload[1]).replace('adjoin._adjoin.', '')}``"
            continue
        parts = re.split(r"(`+[^`]*`+)", line)
        parts[::2] = [re.sub(r"([|*])", r"\\\1", part) for part in parts[::2]]
        lines[number] = re.sub(
            r"^:param ([\w, *]+):", lambda field: f":param {field[1].replace(', ', ',')}:", "".join(parts)
        )
    if "Overloaded function." in lines:
        lines[lines.index("Overloaded function.")] = "Made in one of these ways:" if what == "class" else "Called in one of these ways:"


def leave_out_private_bases(app, name, thing, options, bases):
    """Bases by their public names alone."""
    bases[:] = [base for base in bases if is_public(base)] or [object]


def is_public(kind):
    """Whether a user finds a class in adjoin or in one of the modules that it names."""
    import adjoin

    modules = [adjoin, *(getattr(adjoin, name) for name in adjoin.__all__)]
    named = any(getattr(module, kind.__name__, None) is kind for module in modules)
    return named or kind.__module__.startswith(("builtins", "torch", "deepinv"))
