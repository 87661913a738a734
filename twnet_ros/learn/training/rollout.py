"""Walking along compressed clips, as the second training step does.

The corrected feature is a recurrence that run time follows for a whole GOP. So clips are not cut
into short roll-outs: each lane of the batch walks along one long clip, a few frames an iteration,
and hands its state, without gradient, to the next iteration. States of every age the network will
meet are trained on, at the price of a short roll-out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from twnet_ros.codec import CodedFrame
from twnet_ros.learn.data.clip import Coding, transcode
from twnet_ros.learn.data.image import network_image, network_labels
from twnet_ros.learn.data.source import Source
from twnet_ros.net import TWNet
from twnet_ros.segment.compensation import compensate
from twnet_ros.segment.input import Geometry, InputPass


@dataclass(frozen=True)
class Rollout:
    """How clips are walked along."""

    frames: int = 4  # P-frames an iteration, the length of the gradient's way back
    shortest: int = 8  # P-frames of a clip at least
    longest: int = 60  # and at most
    consistency: float = 1.0  # lambda of equation 8
    fit: int = 32  # stretches for each round of the least-squares start; 0 goes without


@dataclass
class Stretch:
    """The next frames of one lane, or of all lanes stacked.

    ``first`` says which begin a clip; ``key`` has their key frames. Motion and
    residual are on the context's grid, as the non-key step takes them.
    """

    first: Tensor  # (N,) bool
    key: Tensor  # (K, 3, H, W) normalised images, of those that begin
    image: Tensor  # (N, T, 3, H, W)
    motion: Tensor  # (N, T, 2, h, w) feature pixels
    residual: Tensor  # (N, T, 3, h, w) mean magnitude in 8-bit levels
    labels: Tensor  # (N, H, W) of the last frame: train ids; unlabelled where it is padded
    clean: Tensor  # (N, 3, H, W) image of the last frame as it was before compression

    @classmethod
    def side_by_side(cls, parts: Sequence["Stretch"]) -> "Stretch":
        """Join the lanes of several."""
        if len(parts) == 1:
            return parts[0]
        names = cls.__dataclass_fields__
        return cls(**{name: torch.cat([getattr(p, name) for p in parts]) for name in names})

    def frame(self, t: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return image, motion and residual of the frame number ``t`` on a device."""
        image = self.image[:, t].to(device, memory_format=torch.channels_last)
        return image, self.motion[:, t].to(device), self.residual[:, t].to(device)


class Lanes(IterableDataset[Stretch]):
    """Batches of stretches, one lane beside the other, each along its own random clips."""

    def __init__(
        self,
        source: Source,
        model: TWNet,
        rollout: Rollout,
        lanes: int,
        seed: tuple[int, int],
        first: int = 0,
    ) -> None:
        """Take so many lanes, from the number ``first`` on; each depends on its number alone.

        Of ``model`` the input and the context's stride count.
        """
        self.source, self.rollout = source, rollout
        self.config, self.stride = model.config, model.keyframe.stride
        self.lanes, self.seed = range(first, first + lanes), seed

    def __iter__(self) -> Iterator[Stretch]:
        walks = [self._walk(np.random.default_rng([*self.seed, n])) for n in self.lanes]
        while True:
            yield Stretch.side_by_side([next(walk) for walk in walks])

    def _walk(self, rng: np.random.Generator) -> Iterator[Stretch]:
        """Walk along one random clip after the other, a lane by itself."""
        rollout = self.rollout
        while True:
            length = int(rng.integers(rollout.shortest, rollout.longest + 1)) // rollout.frames
            clip = self.source.clip(rng, 1 + length * rollout.frames)
            pairs = ((rgb, (rgb, labels)) for rgb, labels in clip)
            frames = transcode(pairs, Coding.random(rng, gop=600))
            key, _ = next(frames)
            geometry = Geometry.of((key.width, key.height), self.config.input_size)
            source = InputPass(geometry, self.config, torch.device("cpu"), torch.float32)
            previous, key_image = source.convert(key)
            for stretch in range(length):
                steps = []
                for _ in range(rollout.frames):
                    frame, (rgb, labels) = next(frames)
                    picture, image = source.convert(frame)
                    steps.append((image, *self._step(source, frame, picture, previous)))
                    previous = picture
                images, motions, errors = (torch.stack(c, 1) for c in zip(*steps, strict=True))
                ids = torch.from_numpy(network_labels(labels, geometry))[None]
                clean = network_image(rgb, geometry, self.config)
                first, begun = torch.tensor([stretch == 0]), key_image[: stretch == 0]
                yield Stretch(first, begun, images, motions, errors, ids, clean)

    def _step(
        self, source: InputPass, frame: CodedFrame, picture: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return motion and residual of a frame on the context's grid."""
        if frame.motion is None:
            raise RuntimeError(f"frame {frame.index} of a training clip is a second key frame")
        return compensate(picture, previous, source.motion(frame.motion), self.stride)


@torch.no_grad()
def restart(model: TWNet, batch: Stretch, context: Tensor, device: str) -> Tensor:
    """Return the lanes' contexts (N, C, h, w): the key step's where a clip begins."""
    first = batch.first
    if not first.any():
        return context
    _, state = model.key(batch.key.to(device, memory_format=torch.channels_last))
    if first.all():
        return state.context
    context = context.clone()
    context[first.to(device)] = state.context.to(context.dtype)
    return context
