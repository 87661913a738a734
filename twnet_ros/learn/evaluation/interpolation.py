"""Bidirectional interpolation between two key frames, an offline method (Interp-mv)."""

import copy
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from twnet_ros.codec import CodedFrame, FrameKind
from twnet_ros.learn.evaluation.baseline import TracedFeature
from twnet_ros.net import FeatureState, TWNet, fold, warp
from twnet_ros.segment import (
    CODEC_KEYS,
    Network,
    Path,
    Segmentation,
    Segmenter,
    SegmentError,
)
from twnet_ros.segment.input import Geometry
from twnet_ros.segment.output import label

INVERSION_STEPS = 2


def invert(motion: Tensor) -> Tensor:
    """Turn backward motion round in time: from where in the later frame each pixel comes.

    ``motion`` is (N, 2, H, W), ``(dx, dy)`` in its own pixels, on the later frame's grid; what
    is returned lies on the earlier frame's. It is the fixed point of ``back[q] = -motion[q +
    back[q]]``: exact where the motion is the same all around, and where blocks part or meet
    that of one of them.
    """
    back = -motion
    for _ in range(INVERSION_STEPS):
        back = -warp(motion, back)
    return back


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A frame between two key frames, as forward propagation left it."""

    result: Segmentation
    feature: Tensor  # (1, C, h, w)
    motion: Tensor  # (1, 2, h, w) in feature pixels, to the frame before
    geometry: Geometry


class Interpolator:
    """Labels frames from the key frames on both sides (Jain and Gonzalez, 2018).

    The deepest feature of the key frame before a frame is warped forward to it, that of the one
    after it backward, and the two are blended by distance and classified. So the frames between
    wait for the second key frame: the first of a GOP comes out GOP - 1 frames late. An I-frame has
    no vectors; from it back to the frame before, that frame's own motion is taken to go on. Where
    no second key frame comes, at the end of a stream or where it breaks, frames are labelled by
    forward propagation alone.
    """

    def __init__(self, model: TWNet, device: str, precision: str, motion: str = "auto") -> None:
        """Take what ``Network`` and ``Segmenter`` take."""
        traced = TracedFeature(model)
        network = Network(traced, device, precision)  # type: ignore[arg-type]
        self._forward = Segmenter(network, policy=CODEC_KEYS, motion=motion)
        self._classify = copy.deepcopy(model.keyframe.tail.classifier).eval()
        fold(self._classify)
        self._waiting: list[_Waiting] = []

    @property
    def device(self) -> str:
        """The device in use, ``cpu`` or ``cuda:N``."""
        return self._forward.device

    @property
    def precision(self) -> str:
        """The precision in use."""
        return self._forward.precision

    @property
    def state(self) -> FeatureState | None:
        """The feature propagated forward to the last frame, for watching."""
        state = self._forward.state
        return state and FeatureState(state.context[:, :-2], state.distance)

    def reset(self) -> None:
        """Forget the stream, with the frames that wait."""
        self._forward.reset()
        self._waiting.clear()

    def step(self, frame: CodedFrame) -> list[Segmentation]:
        """Take the next frame in; return those that waited for it, in order, or none."""
        if frame.kind is FrameKind.B:
            raise SegmentError(f"interp_mv: expected no B-frames, got frame {frame.index}")
        left = [] if self._goes_on(frame) else self.flush()
        results = self._forward.step(frame)
        state = self._forward.state
        if not results or state is None:  # its chain is broken
            return [*left, *self.flush()]
        (result,) = results
        feature, motion = state.context[:, :-2], state.context[:, -2:]
        if result.path is Path.KEY:
            return [*left, *self._interpolate(feature), result]
        geometry = Geometry.of((frame.width, frame.height), self._forward.input_size)
        self._waiting.append(_Waiting(result, feature, motion, geometry))
        return left

    def _goes_on(self, frame: CodedFrame) -> bool:
        """Tell whether a frame is the next of the stream that the waiting ones are of."""
        if not self._waiting:
            return True
        last = self._waiting[-1]
        same = last.geometry.video == (frame.width, frame.height)
        return same and frame.follows and frame.index == last.result.index + 1

    def skip(self, frame: CodedFrame) -> list[Segmentation]:
        """Refuse: what lies between two key frames is interpolated frame by frame."""
        raise SegmentError(f"interp_mv: expected no frame to be skipped, got frame {frame.index}")

    def flush(self) -> list[Segmentation]:
        """Return the frames that still wait at the end of a stream, by forward propagation."""
        waiting, self._waiting = self._waiting, []
        return [one.result for one in waiting]

    @torch.inference_mode()
    def _interpolate(self, feature: Tensor) -> list[Segmentation]:
        """Label the frames that wait for a key frame with this feature."""
        waiting, self._waiting = self._waiting, []
        classify = self._classify.to(feature)
        # Each frame's way back from the next one; the key frame's own is not known.
        later = [one.motion for one in (*waiting[1:], *waiting[-1:])]
        results = []
        for one, motion in zip(reversed(waiting), reversed(later), strict=True):
            start = time.perf_counter()
            feature = warp(feature, invert(motion))
            share = one.result.distance / (len(waiting) + 1)
            logits = classify(torch.lerp(one.feature, feature, share))
            results.append(_relabel(one, logits, start))
        return results[::-1]


def _relabel(one: _Waiting, logits: Tensor, start: float) -> Segmentation:
    """Give a frame other labels, and the time since ``start`` for the output that it had."""
    computed = time.perf_counter()  # on a GPU not yet: its rest counts as output
    labels = label(logits, one.geometry)
    end = time.perf_counter()
    times = one.result.times_ms
    times = {
        **times,
        "network": times["network"] + 1e3 * (computed - start),
        "output": 1e3 * (end - computed),
        "total": times["total"] - times["output"] + 1e3 * (end - start),
    }
    return replace(one.result, labels=labels, times_ms=times)
