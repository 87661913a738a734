"""The streaming engine."""

import copy
import os
import pathlib
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twnet_ros.codec import CodedFrame, FrameKind
from twnet_ros.net import CheckpointError, FeatureState, TWNet, load_checkpoint, residual
from twnet_ros.segment.device import PRECISIONS, choose
from twnet_ros.segment.input import Geometry, InputPass
from twnet_ros.segment.output import label
from twnet_ros.segment.segmentation import Path, Segmentation, SegmentError

MODELS = pathlib.Path(__file__).parents[1] / "models"


def find_model(model: str | os.PathLike[str]) -> pathlib.Path:
    """Return the file of a shipped model's name or of a path; SegmentError where there is none."""
    shipped = {path.stem: path for path in sorted(MODELS.glob("*.safetensors"))}
    if str(model) in shipped:
        return shipped[str(model)]
    path = pathlib.Path(model)
    if not path.is_file():
        raise SegmentError(
            f"model: expected a checkpoint file or one of {', '.join(shipped) or 'none shipped'}, "
            f"got {str(model)!r}"
        )
    return path


class Segmenter:
    """Labels the frames of one stream, in the order the decoder returns them.

    It holds the only state there is: the context feature and the decoded picture of the frame
    that the next one's motion points to.
    """

    def __init__(
        self,
        model: TWNet,
        device: str = "auto",
        precision: str = "auto",
        input_size: tuple[int, int] | None = None,
        per_frame: bool = False,
    ) -> None:
        """Take a network as ``load_checkpoint`` returns it; see ``load``."""
        self._device, self.precision = choose(model, device, precision)
        self._dtype = PRECISIONS[self.precision]
        self._network = copy.deepcopy(model).eval().to(self._device, self._dtype)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config = model.config
        self.classes = model.config.classes
        self.colors: NDArray[np.uint8] = np.array(model.config.colors, np.uint8)
        self.input_size = input_size or model.config.input_size
        if min(self.input_size) < TWNet.SIZE_MULTIPLE:
            raise SegmentError(
                f"input_size: expected sides of at least {TWNet.SIZE_MULTIPLE}, "
                f"got {self.input_size}"
            )
        self.per_frame = per_frame
        self.waiting = ""  # why the last step returned nothing
        self._input: InputPass | None = None
        # Compiles the pass out, which takes seconds when it was never used before.
        label(torch.zeros(1, len(self.classes), 1, 1), Geometry.of((32, 32), (32, 32)))
        self.reset()

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str],
        device: str = "auto",
        precision: str = "auto",
        input_size: tuple[int, int] | None = None,
        per_frame: bool = False,
    ) -> "Segmenter":
        """Load a shipped model by name, or a checkpoint file.

        ``device`` is ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``precision`` ``auto``, ``fp32``,
        ``bf16`` or (CUDA) ``fp16``. The video is scaled to fit ``input_size`` (width, height in
        pixels, the checkpoint's unless given). ``per_frame`` takes the key step for every
        frame. SegmentError says what was expected.
        """
        try:
            network = load_checkpoint(find_model(model))
        except CheckpointError as error:
            raise SegmentError(f"model: {error}") from error
        return cls(network, device, precision, input_size, per_frame)

    @property
    def device(self) -> str:
        """The device in use, ``cpu`` or ``cuda:N``."""
        return str(self._device)

    @property
    def state(self) -> FeatureState | None:
        """What the next non-key frame starts from, for watching; None before a key frame."""
        return self._state

    def reset(self) -> None:
        """Forget the stream: the next frame takes the key step."""
        self._state: FeatureState | None = None
        self._previous: Tensor | None = None
        self._next_index: int | None = None  # of the only frame that the state may serve
        self._key_index = 0
        self.waiting = ""

    def flush(self) -> list[Segmentation]:
        """Return what is still held back at the end of a stream: nothing, as B-frames are not."""
        return []

    @torch.inference_mode()
    def step(self, frame: CodedFrame) -> list[Segmentation]:
        """Label the next frame.

        Returns nothing while the frame's reference chain is broken; ``waiting`` then says why.
        A frame that does not follow the last one takes the key step, as the first one does. A
        B-frame is labelled by the key step and leaves no state behind.
        """
        if frame.index != self._next_index:
            self.reset()
        if not frame.intact:
            self.reset()
            self.waiting = frame.fault
            return []
        self.waiting = ""
        start = time.perf_counter()
        source = self._input_of(frame)
        picture = source.picture(frame)
        image = source.image(picture, frame)
        carried = None
        if not (self.per_frame or frame.key or frame.kind is FrameKind.B):
            carried = self._carried(source, picture, frame)
        prepared = self._now()

        kept = self._state, self._previous, self._key_index
        self._state = None  # consumed; a step that fails leaves none behind
        if carried is None:
            path, self._key_index = Path.KEY, frame.index
            logits, state = self._network.key(image)
        else:
            path = Path.NONKEY
            logits, state = self._network.nonkey(image, *carried)
        distance = frame.index - self._key_index
        if frame.kind is FrameKind.B:
            self._state, self._previous, self._key_index = kept
        else:
            self._state, self._previous = state, picture
        self._next_index = frame.index + 1
        computed = self._now()

        labels = label(logits, source.geometry)
        end = time.perf_counter()
        times = {
            "decode": frame.decode_ms,
            "input": 1e3 * (prepared - start),
            "network": 1e3 * (computed - prepared),
            "output": 1e3 * (end - computed),
            "total": 1e3 * (end - start) + frame.decode_ms,
        }
        return [Segmentation(labels, frame.index, frame.pts, frame.kind, path, distance, times)]

    def _input_of(self, frame: CodedFrame) -> InputPass:
        """Return the pass in for the frame's size; a new size forgets the stream."""
        video = (frame.width, frame.height)
        if self._input is None or self._input.geometry.video != video:
            self.reset()
            geometry = Geometry.of(video, self.input_size)
            self._input = InputPass(geometry, self.config, self._device, self._dtype)
        return self._input

    def _carried(
        self, source: InputPass, picture: Tensor, frame: CodedFrame
    ) -> tuple[Tensor, Tensor, FeatureState] | None:
        """Return motion, residual and state of a non-key frame, or None where there is none."""
        if self._state is None or self._previous is None or frame.motion is None:
            return None
        motion = source.motion(frame.motion)
        return motion, residual(picture, self._previous, motion), self._state

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
