"""Checks that every source names the project's licence in its first lines, or with --add writes the line there."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LINE = "SPDX-License-Identifier: BSD-3-Clause"
COMMENTS = {
    **dict.fromkeys((".cpp", ".hpp", ".in"), "//"),
    **dict.fromkeys((".py", ".pyi", ".sh", ".cmake", ".txt", ".toml", ".yml", ".yaml", ".cff"), "#"),
}
# What tools read line by line, or write themselves.
WITHOUT = {"python/adjoin/_adjoin.pyi", "python/adjoin/py.typed"}


def sources() -> list[str]:
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [name for name in names if pathlib.Path(name).suffix in {".cpp", ".hpp", ".py", ".sh", ".cmake"} and name not in WITHOUT]


def main() -> int:
    missing = [name for name in sources() if (ROOT / name).is_file() and LINE not in (ROOT / name).read_text()[:300]]
    if "--add" in sys.argv[1:]:
        for name in missing:
            path = ROOT / name
            lines = path.read_text().splitlines(keepends=True)
            place = 1 if lines and lines[0].startswith("#!") else 0
            lines.insert(place, f"{COMMENTS[path.suffix]} {LINE}\n")
            path.write_text("".join(lines))
        return 0
    for name in missing:
        print(f"{name}: has no line '{LINE}'; python scripts/check_licence.py --add writes it")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
