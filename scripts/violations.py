# SPDX-License-Identifier: BSD-3-Clause
"""What checks of the sources have in common: the tree that they look at, and their report."""
import pathlib
import sys


def report(title, violations):
    """Prints the messages that `violations` yields of the tree named on the command line, by default this one, and how many
    they are. 1 if any."""
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    found = list(violations(root))
    for message in found:
        print(message)
    print(f"{title}: {len(found)} violations")
    return 1 if found else 0
