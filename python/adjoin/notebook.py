# SPDX-License-Identifier: BSD-3-Clause
"""What Jupyter shows of reports, results, stacks and progress."""

from __future__ import annotations

import html
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from adjoin import _adjoin

__all__: list[str] = []


def table(title: str, rows: Iterable[Sequence[object]]) -> str:
    """A title, and a table of names and values."""
    lines = "".join(
        f"<tr><th style='text-align:left'>{html.escape(str(name))}</th>"
        f"<td style='text-align:left'>{html.escape(str(value))}</td></tr>"
        for name, value in rows
    )
    return f"<div><strong>{html.escape(title)}</strong><table>{lines}</table></div>"


def curve(name: str, values: Sequence[float]) -> str:
    """A small logarithmic curve of positive values, where there are at least two."""
    points = [(i, math.log10(value)) for i, value in enumerate(values) if value > 0 and math.isfinite(value)]
    if len(points) < 2:
        return ""
    low, high = min(y for _, y in points), max(y for _, y in points)
    width, height = 240, 60
    across, up = width / (len(values) - 1), height / ((high - low) or 1.0)
    path = " ".join(f"{x * across:.1f},{(high - y) * up:.1f}" for x, y in points)
    return (
        f"<svg width='{width + 4}' height='{height + 4}' viewBox='-2 -2 {width + 4} {height + 4}' role='img' "
        f"aria-label='{html.escape(name)}'><polyline points='{path}' fill='none' stroke='currentColor'/></svg>"
        f"<div>{html.escape(name)}, from 10^{high:.1f} to 10^{low:.1f}</div>"
    )


def report_html(report: Any) -> str:
    """The page of a report, in a frame of its own."""
    page = html.escape(report.html(), quote=True)
    return f"<iframe srcdoc=\"{page}\" style='width:100%;height:600px;border:1px solid #ccc'></iframe>"


def result_html(result: Any) -> str:
    """How an algorithm ended, and how it got there."""
    rows: list[tuple[str, object]] = [("iterations", result.iterations), ("image", _described(result.x))]
    history = result.history
    if history:
        last = history[-1]
        rows.append(("seconds", f"{last.seconds:.3g}"))
        rows += [
            (name, f"{value:.4g}")
            for name, value in (("change", last.change), ("objective", last.objective), ("psnr", last.psnr))
            if not math.isnan(value)
        ]
    return table(f"OptimResult: {result.reason}", rows) + curve("change", [record.change for record in history])


def solve_html(info: Any) -> str:
    """How a solve ended."""
    residuals = info.relative_residuals
    rows: list[tuple[str, object]] = [("iterations", info.iterations)]
    if residuals:
        rows.append(("relative residual", f"{max(residuals):.3g}" + (" at most" if len(residuals) > 1 else "")))
    if hasattr(info, "x"):
        rows.append(("solution", _described(info.x)))
    return table(f"{type(info).__name__}: {info.reason}", rows)


def operator_report_html(report: Any) -> str:
    """The findings of check_operator."""
    colours = {"passed": "#2a7d2a", "failed": "#b00020", "not tried": "#777"}
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(one.check)}</th>"
        f"<td style='color:{colours[one.verdict]}'>{one.verdict}</td>"
        f"<td style='text-align:left'>{html.escape(one.explanation)}</td></tr>"
        for one in report.findings
    )
    count = len(report.failed)
    ending = "no check failed" if count == 0 else f"{count} of {len(report.findings)} checks failed"
    return f"<div><strong>{html.escape(report.name)}: {ending}</strong><table>{rows}</table></div>"


def stack_html(stack: Any) -> str:
    """Who owns which operators of a stack."""
    context = stack.ctx
    names = [operator.name for operator in stack._operators]
    kinds = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)) or "none"
    return table(
        f"{type(stack).__name__} of {stack.num_operators} operators",
        [
            (f"here, on rank {context.rank} of {context.world_size}", f"{kinds}: {stack.local_indexes}"),
            ("computed by adjoin for another library", stack.num_lowered),
            ("measurements are gathered", stack.gather_strategy),
            ("context", repr(context)),
        ],
    )


def _described(tensor: Any) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"


class _Bar:
    """A progress bar in the output of the cell that runs."""

    def __init__(self) -> None:
        self.handle: Any = None

    def __call__(self, line: str) -> None:
        if self.handle is None and line:
            from IPython.display import display

            self.handle = display({"text/plain": line}, raw=True, display_id=True)
        elif self.handle is not None:
            self.handle.update({"text/plain": line}, raw=True)
        if not line:
            self.handle = None


def draw_progress_in_cells() -> bool:
    """Draws progress bars in the cells of Jupyter, where this process is a kernel of it; returns whether it is."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        return False
    _adjoin.show_progress_by(_Bar())
    return True
