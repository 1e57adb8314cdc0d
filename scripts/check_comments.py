#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks that every source and header begins with a comment, or docstring, that says its idea in a sentence, and that none of
the library is longer than 400 lines, unless that comment says why. Prints every file that does not; exits 1 if any."""
import ast
import re
import subprocess
import sys

from violations import report

FOLDERS = ["src", "include", "python", "apps", "benchmarks", "examples", "tests"]
LIBRARY = ("src/", "include/", "python/")
MOST_LINES = 400
LICENCE = re.compile(r"^(//|#) SPDX-License-Identifier: .*\n", re.MULTILINE)
SENTENCE = re.compile(r".*?(?<!\b[A-Z])\.(?=\s|$)")  # K. Zhang ends none
REASON = re.compile(r"\bin one file\b", re.IGNORECASE)


def sources(root):
    """Their paths, as git knows them; of a copy without git, all that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *FOLDERS], cwd=root, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        paths = [root / line for line in listed.stdout.splitlines()]
    else:
        paths = [path for folder in FOLDERS for path in (root / folder).rglob("*")]
    return sorted(path for path in paths if path.suffix in (".cpp", ".hpp", ".py") and path.exists())


def first_comment(path, text):
    """What a file begins with, as one line; empty where that is no comment."""
    if path.suffix == ".py":
        docstring = ast.get_docstring(ast.parse(text))
        if docstring is not None:
            return " ".join(docstring.split())
        lines, mark = text.removeprefix("#!/usr/bin/env python3\n").splitlines(), "#"
    else:
        lines, mark = text.splitlines(), "//"
    begin = []
    for line in lines:
        if not line.startswith(mark):
            break
        begin.append(line.removeprefix(mark))
    return " ".join(" ".join(begin).split())


def violations(root):
    """Yields one message for each file that is not as it should be."""
    for path in sources(root):
        text = LICENCE.sub("", path.read_text(encoding="utf-8"), count=1)
        here = path.relative_to(root).as_posix()
        if not text.strip():  # an empty __init__.py
            continue
        comment = first_comment(path, text)
        sentence = SENTENCE.match(comment)
        if not comment:
            yield f"{here}: begins without a comment"
        elif sentence is None or len(sentence[0].split()) < 4:
            yield f"{here}: its first comment is no sentence: {comment[:60]!r}"
        length = text.count("\n")
        if here.startswith(LIBRARY) and length > MOST_LINES and not REASON.search(comment):
            yield f"{here}: has {length} lines; more than {MOST_LINES} need a reason, 'In one file …', in its first comment"


if __name__ == "__main__":
    sys.exit(report("first comments", violations))
