# SPDX-License-Identifier: BSD-3-Clause
"""Lets torchvision, which deepinv imports, load beside the CPU build of torch: scripts/setup.sh puts this file into .venv.

PyPI has torchvision's operators for the CUDA build only; without them its import fails, where it describes two of them.
Declaring these two is enough, as nothing here uses them.
"""

import sys
from importlib.abc import MetaPathFinder

_declared = []  # declarations end with their library


class _DeclareOperators(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            if torch.version.cuda is None:
                library = torch.library.Library("torchvision", "DEF")
                for operator in ("nms", "qnms"):
                    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
                _declared.append(library)
        return None


sys.meta_path.insert(0, _DeclareOperators())
