# SPDX-License-Identifier: BSD-3-Clause
"""Docstrings: every public name has one that says what its arguments are and what it returns, and their examples run."""

import doctest
import importlib
import inspect
import pkgutil
import re
import types

import pytest

import adjoin

# The faces that users see. Names of adjoin.deepinv are those of deepinv, whose pages describe them.
FACES = ("adjoin", "adjoin.io", "adjoin.models", "adjoin.optim", "adjoin.physics", "adjoin.solvers", "adjoin.testing")
SIGNATURE = re.compile(r"^(?:\d+\. )?\w+\((.*)\) -> (.*)$", re.MULTILINE)  # as pybind11 writes it above the text


def written(thing):
    """The text that somebody wrote, without pybind11's signatures."""
    text = SIGNATURE.sub("", getattr(thing, "__doc__", None) or "").replace("Overloaded function.", "")
    return text.strip()


def arguments_and_result(function):
    """Names of arguments, and whether something is returned."""
    found = SIGNATURE.findall(getattr(function, "__doc__", None) or "")
    if found:  # of the extension module
        # Types may have commas; a name is what comes before a colon.
        names = {name for arguments, _ in found for name in re.findall(r"(?:^|, )\*{0,2}(\w+)(?=: |, |$)", arguments)}
        return names - {"self", "kwargs"}, any(result != "None" for _, result in found)
    signature = inspect.signature(function)
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = {name for name, parameter in signature.parameters.items() if parameter.kind not in kinds}
    return names - {"self", "cls"}, signature.return_annotation not in (None, "None", inspect.Parameter.empty)


def own_class(kind):
    """The class's own text, and those of the classes of ours that it is derived from, which speak for all methods."""
    return "\n".join(written(base) for base in kind.__mro__ if base.__module__.startswith("adjoin"))


def public_names():
    """(name, thing, text that speaks for it, too) of what users may call."""
    for face in FACES:
        module = importlib.import_module(face)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.ismodule(thing):
                continue
            yield f"{face}.{name}", thing, written(module)
            if not inspect.isclass(thing):
                continue
            for base in thing.__mro__:
                if not base.__module__.startswith("adjoin"):
                    continue
                for member, value in vars(base).items():
                    if isinstance(value, (str, type(None), types.MemberDescriptorType)):  # what is no method
                        continue
                    if member == "__init__" or not member.startswith("_"):
                        yield f"{face}.{name}.{member}", value, own_class(thing)


def faults(name, thing, around):
    """What the docstring of a public name lacks."""
    thing = thing.__func__ if isinstance(thing, (staticmethod, classmethod)) else thing
    text = written(thing)
    is_constructor = name.endswith(".__init__")
    if not text and not is_constructor:
        yield f"{name}: no docstring"
    if isinstance(thing, property) or inspect.isclass(thing) or not callable(thing):
        return
    names, returns = arguments_and_result(thing)
    spoken = f"{text}\n{around}" if is_constructor else text
    for argument in sorted(names):
        if not re.search(rf"\b{re.escape(argument)}\b", spoken):
            yield f"{name}: does not say what {argument} is"
    if returns and not is_constructor and ":return" not in text:
        yield f"{name}: does not say what it returns (:return:)"
    if names and ":raises" not in f"{text}\n{around}":
        yield f"{name}: neither it nor its class says what it raises (:raises …:)"


def test_every_public_name_is_described():
    found = sorted({fault for entry in public_names() for fault in faults(*entry)})
    assert not found, "\n".join(found)


def test_what_a_docstring_lacks_is_found():
    def bare(x): ...

    def half(x, y) -> int:
        """Something of x."""

    def whole(x) -> int:
        """Something.

        :param x: a number.
        :return: another.
        :raises ValueError: for text.
        """

    class Silent:
        """Speaks of nothing."""

        def __init__(self, size): ...

    assert list(faults("bare", bare, ""))[0] == "bare: no docstring"
    assert list(faults("half", half, "")) == [
        "half: does not say what y is",
        "half: does not say what it returns (:return:)",
        "half: neither it nor its class says what it raises (:raises …:)",
    ]
    assert not list(faults("whole", whole, ""))
    assert "Silent.__init__: does not say what size is" in list(
        faults("Silent.__init__", Silent.__init__, written(Silent))
    )


def test_modules_say_what_they_are():
    modules = [name for _, name, _ in pkgutil.walk_packages(adjoin.__path__, "adjoin.") if "_adjoin" not in name]
    assert len(modules) > 20
    assert [name for name in modules if not written(importlib.import_module(name))] == []


def test_examples_in_docstrings_show_what_happens(ctx):
    if ctx.world_size > 1:
        pytest.skip("the examples are those of one process")
    with_examples = set()
    for _, name, _ in pkgutil.walk_packages(adjoin.__path__, "adjoin."):
        if "deepinv" in name:
            continue
        result = doctest.testmod(importlib.import_module(name), verbose=False)
        assert result.failed == 0, name
        if result.attempted:
            with_examples.add(name)
    assert with_examples >= {
        "adjoin.context",
        "adjoin.physics",
        "adjoin.solvers",
        "adjoin.testing",
        "adjoin.tensor_list",
    }
