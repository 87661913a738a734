"""TWNet: a key step and a non-key step (Fig. 4 of the paper)."""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from twnet_ros.net.backbone import HeadFeatures
from twnet_ros.net.config import Config
from twnet_ros.net.correction import ContextFeatureRectification, ResidualGuidedAttention
from twnet_ros.net.layer import resize
from twnet_ros.net.warp import warp_cubic


@dataclass(frozen=True, slots=True)
class FeatureState:
    """The context feature (N, C, h, w) of one frame and the steps since its key step."""

    context: Tensor
    distance: int

    def clone(self) -> "FeatureState":
        """Return a copy that a later step cannot overwrite."""
        return FeatureState(self.context.clone(), self.distance)


class TWNet(nn.Module):
    """The Tamed Warping Network: a key-frame CNN and the non-key-frame CNN beside it.

    The non-key-frame CNN has copies of the key-frame CNN's head and tail, fine-tuned ("FT"),
    and the correction that its configuration asks for.
    """

    SIZE_MULTIPLE = 32  # height and width of the input, in pixels

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.keyframe = config.build()
        self.head = copy.deepcopy(self.keyframe.head)
        self.tail = copy.deepcopy(self.keyframe.tail)
        self.corrects = config.correction != "none"
        self.attends = config.correction in ("rga", "fusion")
        if self.corrects:
            self.cfr = ContextFeatureRectification(self.keyframe.channels)
        if self.attends:
            self.rga = ResidualGuidedAttention()

    def key(self, image: Tensor) -> tuple[Tensor, FeatureState]:
        """Segment a key frame.

        ``image`` is (N, 3, H, W), normalised RGB. Returns logits (N, classes, h, w), H and W by
        a stride that is the backbone's, and the state for the next frame.
        """
        head = self.keyframe.head(image)
        context = self.keyframe.context(head)
        return self.keyframe.tail(context, head), FeatureState(context, 0)

    def nonkey(
        self, image: Tensor, motion: Tensor, residual: Tensor, state: FeatureState
    ) -> tuple[Tensor, FeatureState]:
        """Segment a non-key frame from the state of the frame that its motion points to.

        ``motion`` is (N, 2, h, w) in feature pixels, as ``to_grid`` brings it to the context's
        grid, and ``residual`` (N, 3, h, w) its mean magnitude there in 8-bit YCbCr levels, as
        ``residual_magnitude`` returns it. The step consumes the state.
        """
        head = self.head(image)
        state = self.carry(head, motion, residual, state)
        return self.tail(state.context, head), state

    def carry(
        self, head: HeadFeatures, motion: Tensor, residual: Tensor, state: FeatureState
    ) -> FeatureState:
        """Warp the last frame's context to this frame (equation 4) and correct it (5 and 7)."""
        context = warp_cubic(state.context, motion)
        if self.corrects:
            missing = self.cfr(context, self.spatial(head, context))
            if self.attends:
                missing = self.rga(residual) * missing
            context = context + missing
        return FeatureState(context, state.distance + 1)

    @staticmethod
    def spatial(head: HeadFeatures, context: Tensor) -> Tensor:
        """Bring the head's spatial feature to the context's grid (N, C, h, w)."""
        return resize(head.lateral[0], context.shape[-2:])

    def recut(self, layer: int, correction: str) -> "TWNet":
        """Return a network with this key-frame CNN, cut at ``layer``, its non-key step untrained.

        ValueError where the backbone's key-frame CNN is another one there.
        """
        made = TWNet(replace(self.config, layer=layer, correction=correction))
        given, wanted = self.keyframe.uncut(), made.keyframe.uncut()
        shapes = [{k: t.shape for k, t in tensors.items()} for tensors in (given, wanted)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"layer: expected {self.config.layer}, for which this key-frame CNN was trained "
                f"({self.config.backbone} with layer {layer} has another one), got {layer}"
            )
        with torch.no_grad():
            for name, tensor in wanted.items():
                tensor.copy_(given[name])
        made.copy_key_parts()
        return made

    def copy_key_parts(self) -> None:
        """Make the non-key step's head and tail those of the key-frame CNN: NKFC without "FT"."""
        self.head.load_state_dict(self.keyframe.head.state_dict())
        self.tail.load_state_dict(self.keyframe.tail.state_dict())
