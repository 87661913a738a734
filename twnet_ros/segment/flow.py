"""Motion from elsewhere than the codec: from the pictures alone, or none at all."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from twnet_ros.segment.color import ycc_to_rgb
from twnet_ros.segment.segmentation import SegmentError
from twnet_ros.segment.transfer import upload

# From the current and the previous picture, (1, 3, H, W) YCbCr in 8-bit levels, the motion
# (1, 2, H, W) in pixels on their device: source in the previous picture = position + motion.
Flow = Callable[[Tensor, Tensor], Tensor]

NETWORKS = ("flownet2", "pwcnet")  # as the package ptlflow calls them
# What motion comes from: the codec's vectors and, for frames without, optical flow (auto); the
# vectors alone, so that frames without take the key step (codec); optical flow alone, by OpenCV
# (flow) or by a network; nothing, so that all is taken from where it was (none).
MOTION_SOURCES = ("auto", "codec", "flow", "none", *NETWORKS)


def open_flow(source: str) -> Flow | None:
    """Return what gives frames without vectors their motion, for one of MOTION_SOURCES.

    None where such frames take the key step. SegmentError for other sources, and where a
    network cannot be loaded.
    """
    if source not in MOTION_SOURCES:
        raise SegmentError(f"motion: expected one of {', '.join(MOTION_SOURCES)}, got {source!r}")
    if source in NETWORKS:
        return FlowNetwork(source)
    if source == "none":
        return stand_still
    return None if source == "codec" else OpticalFlow()


def stand_still(current: Tensor, previous: Tensor) -> Tensor:
    """Return no motion, as a Flow."""
    return torch.zeros_like(current[:, :2])


class OpticalFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016) on luma, as OpenCV has it, on the CPU."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def __call__(self, current: Tensor, previous: Tensor) -> Tensor:
        """Return the motion as a Flow does."""
        # OpenCV's own annotations leave out that there may be no flow to start from.
        search: Any = self._search
        flow: NDArray[np.float32] = search.calc(_luma(current), _luma(previous), None)
        return upload(flow, current.device).permute(2, 0, 1)[None]


def _luma(picture: Tensor) -> NDArray[np.uint8]:
    return picture[0, 0].round().to("cpu", torch.uint8).numpy()


class FlowNetwork:
    """A network of the package ptlflow, on the pictures' device, in float32.

    Its weights are ptlflow's own ("things", trained on FlyingThings3D), which it downloads when
    they are first asked for.
    """

    WEIGHTS = "things"
    LEAST = 65  # px a side: at 1/64 PWC-Net divides by the side less one

    def __init__(self, name: str) -> None:
        try:
            with redirect_stdout(sys.stderr):  # it tells what it lacks for other networks
                import ptlflow
        except ModuleNotFoundError as error:
            if error.name != "ptlflow":
                raise SegmentError(f"motion {name}: ptlflow lacks a package: {error}") from error
            raise SegmentError(
                f"motion {name}: expected the package ptlflow: pip install 'ptlflow>=0.4'"
            ) from error
        except (ImportError, RuntimeError, AttributeError) as error:  # of what it rests on
            raise SegmentError(f"motion {name}: ptlflow cannot be imported: {error}") from error
        try:
            self._network = ptlflow.get_model(name, ckpt_path=self.WEIGHTS)
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            raise SegmentError(
                f"motion {name}: ptlflow cannot load its weights {self.WEIGHTS!r}: {error}"
            ) from error
        self._network.eval().requires_grad_(False)
        # Colours as most streams have them: another matrix would tint both pictures alike.
        to_rgb = torch.from_numpy(ycc_to_rgb("bt601", False) / 255)
        to_bgr = to_rgb.flip(0)
        self._weight, self._bias = to_bgr[:, :3, None, None].contiguous(), to_bgr[:, 3]

    def __call__(self, current: Tensor, previous: Tensor) -> Tensor:
        """Return the motion as a Flow does; SegmentError for pictures of less than 65 px a side.

        ptlflow takes (N, 2, 3, H, W), BGR from 0 to 1, and returns ``flows`` (N, 1, 2, H, W): for
        each pixel of the first picture (dx, dy), in pixels, to where it is in the second.
        """
        if min(current.shape[-2:]) < self.LEAST:
            raise SegmentError(
                f"motion: expected pictures of at least {self.LEAST} px a side for a flow "
                f"network, got {current.shape[-1]}x{current.shape[-2]}"
            )
        for name in ("_weight", "_bias", "_network"):  # they stay there
            setattr(self, name, getattr(self, name).to(current.device))
        bgr = F.conv2d(torch.cat([current, previous]), self._weight, self._bias).clamp(0, 1)
        flow: Tensor = self._network({"images": bgr[None]})["flows"]
        return flow[:, 0].float().nan_to_num(0.0)  # what is no number is no place to read from
