# SPDX-License-Identifier: BSD-3-Clause
"""Runs the code blocks of pages as they stand: pages.py [PAGE…], by default those of all pages.

Blocks of Python share one interpreter, those of the shell one folder, from top to bottom. A block of Python whose first line
is a comment with a file's name, `# program.py …`, is that file, which a later block of the shell runs. A block of text says
what the block before prints: words as they are, numbers to 2 percent or two units of their last digit.

In comments, which readers do not see,

    <!-- before: …lines of Python, or -->          what comes before the next block
    <!-- before cpp: …lines of C++ -->             likewise; pages.py --cpp writes these blocks as one program
    <!-- test: NAME, where -->                     the test NAME runs the next block: tests/installing.py, tests/readme.cmake
    <!-- not run: why -->                          nobody runs it

Files of the sources that a page names, `src/…`, `tests/…`, must be there, but for a NAME that stands for any. `pages.py --list` counts the blocks.
"""

import argparse
import collections
import contextlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMMENT = r"<!-- (before|before cpp|test|not run): ?(.*?) ?-->"
PART = re.compile(rf"^{COMMENT}\n|^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d+(?:\.(\d+))?(?:e([-+]?\d+))?")
ELSEWHERE = {"package", "own", "pip", "readme"}
Block = collections.namedtuple("Block", "page line language text kind note before")  # kind: run, test, not run


def all_pages():
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page):
    """The code blocks of a page. Raises SystemExit where one has a language that nobody runs, or none."""
    text = page.read_text()
    found, kind, note, before = [], "run", "", {}
    for match in PART.finditer(text):
        said, words, language, code = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        where = f"{page.relative_to(ROOT)}:{line}"
        if said in ("test", "not run"):
            kind, note = said, words
            if said == "test" and words.split(",")[0] not in ELSEWHERE:
                raise SystemExit(f"{where}: no test is called {words.split(',')[0]!r}")
        elif said:
            before[said] = before.get(said, "") + words + "\n"
        elif not language.startswith("{"):  # what Sphinx reads
            if kind == "run" and language not in ("python", "sh", "text", "cpp"):
                raise SystemExit(f"{where}: nobody runs a block of {language or 'no language'!r}")
            found.append(Block(page, line, language, code, kind, note, before))
            kind, note, before = "run", "", {}
    if kind != "run" or before:
        raise SystemExit(f"{page.relative_to(ROOT)}: no block follows the last comment")
    return found


def check_files(page):
    """Raises SystemExit where the page names a file or folder of the sources that is not there."""
    for named in re.findall(r"`((?:src|include|python|apps|tests|benchmarks|examples|docs|scripts|cmake)/[\w./-]*)`", page.read_text()):
        if "NAME" not in named and not (ROOT / named).exists():
            raise SystemExit(f"{page.relative_to(ROOT)}: there is no {named}")


def agree(expected, printed):
    """Whether two texts have the same words and about the same numbers."""
    words, others = expected.split(), printed.split()
    return len(words) == len(others) and all(map(words_agree, words, others))


def words_agree(word, other):
    if NUMBER.sub("#", word) != NUMBER.sub("#", other):
        return False
    for a, b in zip(NUMBER.finditer(word), NUMBER.finditer(other), strict=True):
        unit = 10.0 ** (int(a[2] or 0) - len(a[1] or "")) if "." in a[0] or a[2] else 0.0
        if abs(float(a[0]) - float(b[0])) > max(0.02 * abs(float(a[0])), 2 * unit) * (unit > 0):
            return False
    return True


def run_page(page, mpirun, build):
    check_files(page)
    blocks = blocks_of(page)
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), str(mpirun.parent), os.environ["PATH"]])
    # Several pages at once must not wait at one port for their ranks.
    environment = {**os.environ, "PATH": path, "PET_STANDALONE": "1", "OMP_NUM_THREADS": "1"}
    space, files, printed, last = {"__name__": "page"}, {}, "", None
    with tempfile.TemporaryDirectory(prefix="adjoin-page-") as work:
        os.chdir(work)
        pathlib.Path("build").mkdir()
        pathlib.Path("build/release").symlink_to(build)
        for block in blocks:
            where = f"{page.relative_to(ROOT)}:{block.line}"
            if block.kind != "run" or block.language == "cpp":
                last = None
                continue
            if block.language == "text":
                if last is None or not agree(block.text, printed):
                    raise SystemExit(f"{where}: expected\n{block.text}\nbut this came:\n{printed}")
                continue
            print(f"== {where}", flush=True)
            exec(compile(block.before.get("before", ""), f"{where} (before)", "exec"), space)
            name = re.match(r"# ([\w.]+\.py)\b", block.text)
            if name:
                pathlib.Path(name[1]).write_text(block.text)
                files[name[1]] = where
            elif block.language == "python":
                with contextlib.redirect_stdout(io.StringIO()) as output:
                    exec(compile("\n" * block.line + block.text, str(page), "exec"), space)
                printed = output.getvalue()
            else:
                command = ["bash", "-euo", "pipefail", "-c", block.text]
                result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=300)
                printed = result.stdout
                if result.returncode:
                    raise SystemExit(f"{where}: ends with {result.returncode}\n{printed}")
                files = {file: place for file, place in files.items() if file not in block.text}
            print(printed, end="", flush=True)
            last = block
        if files:
            raise SystemExit(f"no block of the shell runs {files}")


def cpp_program():
    """All blocks of C++ as one program, those of a page in one function."""
    includes, functions, calls = {"#include <ATen/ATen.h>"}, [], []
    for page in all_pages():
        name = re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")))
        body = ""
        for block in [b for b in blocks_of(page) if b.kind == "run" and b.language == "cpp"]:
            lines = (block.before.get("before cpp", "") + block.text).splitlines()
            includes |= {line for line in lines if line.startswith("#include")}
            code = "\n".join(line for line in lines if not line.startswith("#include"))
            body += f'{{\n#line {block.line + 1} "{page}"\n{code}\n}}\n'
        if body:
            functions.append(f"void {name}() {{\n{body}}}\n")
            calls.append(f"  {name}();\n")
    return "\n".join(sorted(includes)) + "\n\n" + "\n".join(functions) + "\nint main() {\n" + "".join(calls) + "}\n"


def count(pages):
    blocks = [block for page in pages for block in blocks_of(page)]
    for block in blocks:
        if block.kind == "not run":
            print(f"{block.page.relative_to(ROOT)}:{block.line}: not run: {block.note}")
    kinds = collections.Counter(block.kind for block in blocks)
    print(f"{len(blocks)} blocks: {kinds['run']} run here, {kinds['test']} by other tests, {kinds['not run']} not run")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", type=pathlib.Path)
    parser.add_argument("--mpirun", type=pathlib.Path, default=pathlib.Path(shutil.which("mpirun") or "mpirun"))
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="what pages call build/release")
    parser.add_argument("--list", action="store_true", help="count the blocks")
    parser.add_argument("--cpp", type=pathlib.Path, help="write the blocks of C++ as a program")
    arguments = parser.parse_args()
    pages = [page.resolve() for page in arguments.pages] or all_pages()
    if arguments.cpp:
        arguments.cpp.write_text(cpp_program())
    elif arguments.list:
        count(pages)
    elif len(pages) == 1:
        run_page(pages[0], arguments.mpirun, arguments.build.resolve())
    else:
        for page in pages:
            subprocess.run([sys.executable, __file__, "--mpirun", arguments.mpirun, "--build", arguments.build, page], check=True)


if __name__ == "__main__":
    main()
