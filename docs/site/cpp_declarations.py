# SPDX-License-Identifier: BSD-3-Clause
"""The public declarations of the headers in include/adjoin, as Doxygen finds them, with their comments."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include"

SETTINGS = """
INPUT = adjoin
RECURSIVE = YES
EXTRACT_ALL = YES
GENERATE_HTML = NO
GENERATE_LATEX = NO
GENERATE_XML = YES
XML_PROGRAMLISTING = NO
QUIET = YES
WARNINGS = NO
PREDEFINED = __x86_64__ __GNUC__=12
"""


@dataclasses.dataclass
class Declaration:
    """A declaration. `signature` is the header's text up to the body, `comment` the lines of its comment."""

    kind: str  # function, variable, typedef, enum, class, struct, define
    name: str  # with all scopes
    header: str  # beginning with adjoin/
    line: int
    signature: str = ""
    comment: list[str] = dataclasses.field(default_factory=list)
    joined: bool = False  # under the comment of the declaration before
    values: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # of an enum, with their comments
    members: list[Declaration] = dataclasses.field(default_factory=list)


def declarations() -> list[Declaration]:
    """All declarations in the namespace adjoin, classes with their public members and with the protected ones that a
    derived class may override; without destructors. Raises FileNotFoundError where there is no Doxygen."""
    if not shutil.which("doxygen"):
        raise FileNotFoundError("The reference of C++ needs doxygen: apt-get install doxygen")
    with tempfile.TemporaryDirectory() as folder:
        settings = f"{SETTINGS}OUTPUT_DIRECTORY = {folder}\n"
        subprocess.run(["doxygen", "-"], input=settings, text=True, cwd=INCLUDE, check=True, stdout=subprocess.DEVNULL)
        compounds = {}
        for path in pathlib.Path(folder, "xml").glob("*.xml"):
            compound = xml.parse(path).getroot().find("compounddef")
            if compound is not None:
                compounds[compound.get("id")] = compound
    space = compounds["namespaceadjoin"]
    found = _members(space, compounds)
    for compound in compounds.values():
        if compound.get("kind") == "file":
            found += [_declaration(m) for m in compound.iter("memberdef") if m.get("kind") == "define"]
    found = [d for d in found if not d.name.startswith("ADJOIN_HAS_")]
    _read(found)
    return found


def _members(scope, compounds) -> list[Declaration]:
    found = []
    for member in scope.iter("memberdef"):
        overrides = re.search(r"\b(override|final)\b", member.findtext("argsstring") or "")
        hidden = member.get("prot") == "private" or (member.get("prot") == "protected" and overrides) or _is_using(member)
        if not hidden and member.get("kind") in ("function", "variable", "typedef", "enum"):
            if not member.findtext("name").startswith(("~", "@")):
                found.append(_declaration(member))
    for inner in scope.findall("innerclass"):
        compound = compounds.get(inner.get("refid"))
        if compound is not None and inner.get("prot", "public") == "public":
            declared = _declaration(compound)
            declared.members = _members(compound, compounds)
            found.append(declared)
    return found


def _is_using(member) -> bool:
    """Whether it is a function that `using Base::name;` takes from a base class, where it is listed."""
    definition, name = member.findtext("definition") or "", member.findtext("qualifiedname") or ""
    is_elsewhere = "<" not in definition and not definition.endswith(name)
    return member.get("kind") == "function" and (is_elsewhere or not member.findtext("argsstring"))


def _declaration(element) -> Declaration:
    location = element.find("location")
    name = element.findtext("qualifiedname") or element.findtext("compoundname") or element.findtext("name")
    values = [
        (value.findtext("name"), " ".join("".join(_described(value)).split())) for value in element.findall("enumvalue")
    ]
    return Declaration(element.get("kind"), name, location.get("file"), int(location.get("line")), values=values)


def _described(element):
    """The text of a comment behind a declaration."""
    for part in ("briefdescription", "detaileddescription"):
        yield from element.find(part).itertext()


def _read(found: list[Declaration]) -> None:
    """Adds signatures and comments, in the order of the headers. A declaration without a comment that follows another
    one without an empty line belongs to the comment of that one."""
    found.sort(key=lambda d: (d.header, d.line))
    last_line = {}
    for declared in found:
        lines = (INCLUDE / declared.header).read_text().splitlines()
        first = declared.line - 1
        while first > 0 and _continues(lines[first - 1]):
            first -= 1
        declared.signature, end = _signature(lines, first, declared)
        above = first - 1
        while above >= 0 and lines[above].strip().startswith("///"):
            declared.comment.insert(0, lines[above].strip()[3:].removeprefix(" "))
            above -= 1
        declared.joined = not declared.comment and last_line.get(declared.header) == first
        last_line[declared.header] = end + 1
        _read(declared.members)


def _continues(line: str) -> bool:
    """Whether a line belongs to the declaration that the next one goes on with."""
    text = line.split("//")[0].strip()
    return bool(text) and not text.startswith(("#", "public:", "protected:", "private:")) and text[-1] not in ";{}"


def _signature(lines: list[str], first: int, declared: Declaration) -> tuple[str, int]:
    """The text from `first` up to the body or the semicolon, and the line where the declaration ends."""
    text, depth, number = "", 0, first
    is_class = declared.kind in ("class", "struct", "enum")
    while number < len(lines):
        line = re.sub(r"\s*//.*", "", lines[number])
        for place, letter in enumerate(line):
            depth += (letter in "([") - (letter in ")]")
            stop = letter == ";" or (letter == "{" and (is_class or declared.kind == "function"))
            if depth == 0 and (stop or (declared.kind == "define")):
                return _tidy(text, declared), _end(lines, number, place)
            text += letter
        text += " "
        number += 1
    raise ValueError(f"{declared.header}:{declared.line}: no end of {declared.name}")


def _end(lines: list[str], number: int, place: int) -> int:
    """The line of the semicolon or of the brace that closes what is opened at this place."""
    depth = 0
    for index in range(number, len(lines)):
        for letter in lines[index][place if index == number else 0 :]:
            depth += (letter == "{") - (letter == "}")
            if depth == 0 and letter in ";}":
                return index
    return number


def _tidy(text: str, declared: Declaration) -> str:
    text = " ".join(re.sub(r"/\*(\w+)\*/", r"\1", text).split())
    if declared.kind == "define":
        return declared.name
    if declared.kind == "function":
        text = re.sub(r"\)((?: const| noexcept| override)*) : .*", r")\1", text)  # what initialises members
    text = re.sub(r"^(enum class|enum|class|struct|using) |(?<=> )(class|struct|using) (?=\w+( |$))", "", text)
    return re.sub(r"\[\[.*?\]\] ?|__attribute__\(\(.*?\)\) ?|ADJOIN_INLINE ", "", text)
