# SPDX-License-Identifier: BSD-3-Clause
"""Samples of tests that take long."""

import os


def sampled(items, one_in):
    """The first case of each test of pytest and one in so many; all where ADJOIN_WHOLE is set."""
    if "ADJOIN_WHOLE" in os.environ:
        return list(items)
    seen, kept = set(), []
    for number, item in enumerate(items):
        name = item.nodeid.partition("[")[0]
        if name not in seen or number % one_in == 0:
            kept.append(item)
        seen.add(name)
    return kept
