"""Motion from the pictures alone, where the stream gives none."""

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# What motion comes from: the codec's vectors and, for frames without, optical flow (auto); the
# vectors alone, so that frames without take the key step (codec); optical flow alone (flow).
MOTION_SOURCES = ("auto", "codec", "flow")


class OpticalFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016) on luma, as OpenCV has it, on the CPU."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def __call__(self, current: Tensor, previous: Tensor) -> Tensor:
        """Return the motion (1, 2, H, W) in pixels: source in ``previous`` = position + motion.

        Both pictures are (1, 3, H, W), YCbCr in 8-bit levels; the result is on their device.
        """
        # OpenCV's own annotations leave out that there may be no flow to start from.
        search: Any = self._search
        flow: NDArray[np.float32] = search.calc(_luma(current), _luma(previous), None)
        return torch.from_numpy(flow).to(current.device).permute(2, 0, 1)[None]


def _luma(picture: Tensor) -> NDArray[np.uint8]:
    return picture[0, 0].round().to("cpu", torch.uint8).numpy()
