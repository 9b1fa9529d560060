"""Imports torchvision where its compiled extension does not fit the installed PyTorch.

Without the extension nobody declares the two operators for which torchvision registers a shape function as it is
imported, and the import fails. Its GoogLeNet needs neither, so declaring them is enough:

    from torchvision_import import torchvision
"""

import torch

_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

try:
    import torchvision
except RuntimeError:
    LIBRARY = torch.library.Library("torchvision", "DEF")  # the declarations live as long as this object
    for _name in ("nms", "qnms"):
        LIBRARY.define(_name + _BOXES)
    import torchvision  # noqa: F401
