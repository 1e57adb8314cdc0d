# SPDX-License-Identifier: BSD-3-Clause
"""Draws how many times as long as adjoin other systems take: chart.py PNG, with {system: {workload: ratio}} on standard
input."""
import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of the backend)


def main():
    peers = json.load(sys.stdin)
    rows = [(name, peer, ratio) for peer, ratios in peers.items() for name, ratio in ratios.items()]
    rows.sort(key=lambda row: (row[1], row[0]), reverse=True)
    figure, axes = plt.subplots(figsize=(8, 0.26 * len(rows) + 1.2))
    colours = {"deepinv": "#4c78a8", "pylops-mpi": "#f58518", "petsc": "#54a24b"}
    axes.barh(range(len(rows)), [row[2] for row in rows], color=[colours[row[1]] for row in rows])
    axes.set_yticks(range(len(rows)), [f"{row[0]}  ({row[1]})" for row in rows], fontsize=8)
    for place, row in enumerate(rows):
        axes.text(row[2] * 1.05, place, f"{row[2]:.1f}", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(0.5, 2.0 * max(row[2] for row in rows))  # the last numbers need room
    axes.margins(y=0.01)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("times as long as adjoin (2 ranks, 1 thread each)")
    figure.tight_layout()
    figure.savefig(sys.argv[1], dpi=110)


if __name__ == "__main__":
    main()
