#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks that includes go only down the rooms (docs/architecture.md). Prints every include that goes up; exits 1 if any."""
import pathlib
import re
import sys

from violations import report

# What each room may include besides itself.
MAY_USE = {
    "core": set(),
    "kernels": {"core"},
    "comm": {"core", "kernels"},
    "solvers": {"core"},
    "physics": {"core", "solvers"},
    "operators": {"core", "solvers", "physics", "kernels"},
    "distributed": {"core", "comm", "solvers", "physics"},
    "optim": {"core", "comm", "solvers", "physics", "distributed"},
    "io": {"core"},
    "models": {"core", "io"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.MULTILINE)


def room_of(parts):
    return parts[0] if len(parts) > 1 else None


def violations(root):
    """Yields one message for each forbidden include under include/adjoin and src."""
    for folder in (root / "include" / "adjoin", root / "src"):
        for path in sorted(folder.rglob("*.[hc]pp")):
            here = path.relative_to(root)
            room = room_of(path.relative_to(folder).parts)
            if room is None:  # a header that gathers several rooms
                continue
            if room not in MAY_USE:
                yield f"{here}: the room '{room}' is not in the list of {pathlib.Path(__file__).name}"
                continue
            for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
                if name.startswith(("..", "./")):
                    yield f"{here}: relative include {name}"
                if name == "mpi.h" and room != "comm":
                    yield f"{here}: only the room comm may include {name}"
                parts = pathlib.PurePosixPath(name).parts
                public = parts[0] == "adjoin"
                target = room_of(parts[1:] if public else parts)
                if target not in MAY_USE:  # of a library, or in no room
                    continue
                if target != room and target not in MAY_USE[room]:
                    yield f"{here}: {room} may not include {name}"
                if not public and folder.name == "adjoin":
                    yield f"{here}: a public header may not include the private {name}"
                if not (root / ("include" if public else "src") / name).exists():
                    yield f"{here}: {name} does not exist"


if __name__ == "__main__":
    sys.exit(report("include graph", violations))
