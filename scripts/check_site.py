# SPDX-License-Identifier: BSD-3-Clause
"""Checks the site that scripts/docs.py has made: every link within it leads somewhere, and every public name is on it, of
Python what modules name in `__all__`, of C++ what include/adjoin declares."""

import html.parser
import importlib
import pathlib
import pkgutil
import re
import sys
import urllib.parse

from sphinx.util.inventory import InventoryFile

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Modules of the package that users have no need to import.
PRIVATE = {"arguments", "collectives", "copies", "lowering", "operators"}
sys.path.insert(0, str(ROOT / "docs" / "site"))

from cpp_declarations import INCLUDE, declarations  # noqa: E402


class Page(html.parser.HTMLParser):
    """The links of a page, and the places in it that links may name."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places = [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            if name == "id" or (tag == "a" and name == "name"):
                self.places.add(value)


def broken_links(folder):
    pages = {path: Page(path.read_text()) for path in folder.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{path.relative_to(folder)}: no file for the link {link}"
            elif target in pages and urllib.parse.unquote(parts.fragment) not in pages[target].places:
                yield f"{path.relative_to(folder)}: no such place: {link}"


def missing_in_python(names):
    """Public names without a description; an object that several modules name needs one."""
    import adjoin

    found = [m.name for m in pkgutil.iter_modules(adjoin.__path__) if m.name not in PRIVATE and m.name[0] != "_"]
    modules = [adjoin, *(importlib.import_module(f"adjoin.{name}") for name in found)]
    public = [(f"{module.__name__}.{name}", getattr(module, name)) for module in modules for name in module.__all__]
    described = {id(thing) for name, thing in public if name in names}
    for name, thing in public:
        if id(thing) not in described:
            yield name


def missing_in_cpp(names):
    def all_of(found):
        for declared in found:
            yield declared.name.replace("< ", "<").replace(" >", ">")  # of a specialisation
            yield from (f"{declared.name}::{value}" for value, _ in declared.values)
            yield from all_of(declared.members)

    found = set(all_of(declarations()))
    yield from found - names
    # What Doxygen has not seen.
    for header in INCLUDE.rglob("*.hpp"):
        text = re.sub(r"^namespace detail \{.*^\}  // namespace detail", "", header.read_text(), flags=re.M | re.S)
        for kind, name in re.findall(r"^(class|struct|enum class) (\w+)[^;]*?\{", text, re.MULTILINE):
            if f"adjoin::{name}" not in found:
                yield f"{header.relative_to(INCLUDE)}: {kind} {name}"


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    with (folder / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, uri: uri)
    names = {name for domain, entries in inventory.items() if not domain.startswith("std:") for name in entries}
    faults = [
        *sorted(broken_links(folder)),
        *(f"not on the site: {name}" for name in sorted(missing_in_python(names)) + sorted(missing_in_cpp(names))),
    ]
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
