"""The streaming engine."""

import os
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twnet_ros.codec import BlockMotion, CodedFrame, FrameKind, compose
from twnet_ros.net import FeatureState, wrong_size
from twnet_ros.segment.compensation import Field, compensate
from twnet_ros.segment.device import free_memory
from twnet_ros.segment.evidence import gather
from twnet_ros.segment.flow import open_flow
from twnet_ros.segment.fusion import fuse, fuse_contexts
from twnet_ros.segment.input import Geometry, InputPass
from twnet_ros.segment.leaf import two_sided_context
from twnet_ros.segment.moment import Moment
from twnet_ros.segment.network import Network
from twnet_ros.segment.policy import USUAL_KEYS, KeyPolicy
from twnet_ros.segment.segmentation import Path, Segmentation, SegmentError, Wish
from twnet_ros.segment.warmup import compile_passes, grey_frames
from twnet_ros.segment.work import Work

LABELS_ALONE = Wish()
MOST_HELD = 16  # B-frames in a row that wait; x264 makes no more, and memory must end somewhere


@dataclass(frozen=True, slots=True)
class _Anchor:
    """A frame as its step left it, for the next one to start from."""

    state: FeatureState
    picture: Tensor  # (1, 3, H, W), YCbCr levels at the network's size
    key_index: int  # of the frame that the feature was computed at
    since: int  # frames labelled since then
    pointed: bool  # vectors of the next I or P frame, composed with those skipped, lead here
    logits: Tensor | None  # (1, C, h, w), fused; None where the network's are not to be


class Segmenter:
    """Labels the frames of one stream, in the order the decoder returns them.

    It holds the only state there is: the context feature, logits and decoded picture of the last
    frame that was no B-frame with vectors (the anchor), the motion of the frames skipped since,
    and the B-frames that wait for the next anchor.

    ``wish``, ``policy`` and ``label_broken`` may be replaced between two frames. They hold for all
    that is labelled from then on, the B-frames that wait included; those of a broken chain come
    out, too, when it is no longer to be labelled.
    """

    def __init__(
        self,
        network: Network,
        input_size: tuple[int, int] | None = None,
        per_frame: bool = False,
        policy: KeyPolicy = USUAL_KEYS,
        motion: str = "auto",
        label_broken: bool = False,
    ) -> None:
        """Take a network on its device; the rest is as in ``load``."""
        self._network = network
        self._input: InputPass | None = None  # made for a size of video
        self.video: tuple[int, int] | None = (
            None  # size of the last frame for ``step``; None before
        )
        self.config = network.config
        self.classes = self.config.classes
        self.colors: NDArray[np.uint8] = np.array(self.config.colors, np.uint8)
        self.input_size = input_size or self.config.input_size
        if wrong := wrong_size(self.input_size):
            raise SegmentError(wrong)
        self.per_frame = per_frame
        self.policy = policy
        self.motion = motion
        self.label_broken = label_broken
        self.wish = LABELS_ALONE
        self._flow = open_flow(motion)
        self.waiting = ""  # why the last step returned nothing
        self._moved = ""  # why the network is not on the device that was asked for
        compile_passes(len(self.classes), network.dtype)
        self.reset()

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str],
        device: str = "auto",
        precision: str = "auto",
        input_size: tuple[int, int] | None = None,
        per_frame: bool = False,
        policy: KeyPolicy = USUAL_KEYS,
        motion: str = "auto",
        label_broken: bool = False,
    ) -> "Segmenter":
        """Load a shipped model by name, or a checkpoint file, as ``Network.load`` does.

        The video is scaled to fit ``input_size`` (width, height in pixels, the checkpoint's unless
        given). ``per_frame`` takes the key step for every frame, ``policy`` for some that are no
        key frames; ``motion`` is one of MOTION_SOURCES. ``label_broken`` labels what frames of a
        broken chain show, too. SegmentError says what was expected.
        """
        network = Network.load(model, device, precision)
        return cls(network, input_size, per_frame, policy, motion, label_broken)

    @property
    def device(self) -> str:
        """The device in use, ``cpu`` or ``cuda:N``."""
        return str(self._network.device)

    @property
    def precision(self) -> str:
        """The precision in use, ``fp32``, ``bf16`` or ``fp16``."""
        return self._network.precision

    @property
    def caveat(self) -> str:
        """What is not as it was asked for, as text for a person."""
        return self._moved or self._network.caveat

    @property
    def state(self) -> FeatureState | None:
        """What the next non-key frame starts from, for watching; None before a key frame."""
        return self._anchor.state if self._anchor else None

    def warm_up(self, video: tuple[int, int] | None = None) -> None:
        """Take both steps of a grey picture of a video's size, else of that it is scaled to fit.

        The first of a kind takes longer: its kernels are chosen, and on a GPU loaded. Where a GPU
        has no room now, beside an engine that is still at work, the first frame finds out.
        """
        with suppress(torch.cuda.OutOfMemoryError):
            for frame in grey_frames(video or self.input_size):
                self._step(frame)
        self.reset()

    def reset(self) -> None:
        """Forget the stream, with the B-frames that wait: the next frame takes the key step."""
        self._anchor: _Anchor | None = None
        self._skipped: BlockMotion | None = None  # from the last skipped frame to the anchor
        self._held: list[CodedFrame] = []  # the B-frames that wait for the next anchor
        # Index and chain of the only frame that the anchor may serve.
        self._next: tuple[int, bool] | None = None
        self.waiting = ""

    def step(self, frame: CodedFrame) -> list[Segmentation]:
        """Label the next frame.

        Returns nothing while the frame's reference chain is broken, unless ``label_broken``;
        ``waiting`` then says why.
        A frame that does not follow the last one takes the key step, as the first one does, and
        so does one without motion. A B-frame with vectors waits for the next I or P frame, which
        it may be predicted from, and comes out in front of it; it leaves no state behind. Where
        the stream breaks before that, or more than MOST_HELD wait, the key step labels it.

        A GPU that is out of memory is tried once more with all that can be freed; then the engine
        goes on on the CPU, by the key step, and ``caveat`` says so.
        """
        self.video = (frame.width, frame.height)
        held, source = list(self._held), self._input
        for make_room in (free_memory, self._move_to_cpu):
            try:
                return self._step(frame)
            except torch.cuda.OutOfMemoryError:
                self.reset()
            self._input = source  # of the size of what is held
            make_room()
            self._held = list(held)
        return self._step(frame)

    def _move_to_cpu(self) -> None:
        left = self.device
        self._network = self._network.on_cpu()
        self._moved = f"out of memory on {left}: the network runs on the CPU, in {self.precision}"
        if self._input is not None:
            self._prepare(self._input.geometry)
        free_memory()

    @torch.inference_mode()
    def _step(self, frame: CodedFrame) -> list[Segmentation]:
        left = self._follow(frame)
        if self.waiting:
            return left
        if frame.kind is FrameKind.B and not self.per_frame:
            if self._vectors(frame) is not None or self._held:
                if len(self._held) == MOST_HELD:
                    left += self.flush()
                self._held.append(frame)
                return left
            if self._flow is None:  # vectors to come point past it
                return [*left, self._label(frame, None)[0]]
        held, self._held = self._held, []
        past, self._anchor = self._anchor, None  # a step that fails leaves no state behind
        if past:
            past = replace(past, since=past.since + len(held) + 1)
        # The step consumes the state that the B-frames start from, too.
        kept = replace(past, state=past.state.clone()) if past and held else None
        labelled, anchor = self._label(frame, past)
        leaves = [self._label_leaf(one, kept, anchor) for one in held]
        self._anchor, self._skipped = anchor, None
        return [*left, *leaves, labelled]

    def skip(self, frame: CodedFrame) -> list[Segmentation]:
        """Go past the next frame without labelling it, at next to no cost.

        Its motion becomes part of the next one's, which goes on from the last frame labelled; past
        a key frame, or one without motion, the next takes the key step. B-frames that wait for
        this frame are skipped with it. Returns what a break in the stream before this frame left.
        """
        left = self._follow(frame)
        if frame.kind is FrameKind.B or self.waiting:
            return left
        self._held.clear()
        vectors = self._vectors(frame)
        if frame.key or (vectors is None and self._flow is None):
            self._anchor = self._skipped = None
        elif self._anchor is None:
            pass
        elif vectors is None:
            self._anchor = replace(self._anchor, pointed=False)
        else:
            self._skipped = self._since_anchor(vectors)
        return left

    @torch.inference_mode()
    def flush(self) -> list[Segmentation]:
        """Return the B-frames that still wait at the end of a stream, labelled by the key step."""
        held, self._held = self._held, []
        return [self._label(frame, None)[0] for frame in held]

    def _follow(self, frame: CodedFrame) -> list[Segmentation]:
        """Start anew where the frame does not go on with the stream; return what was held."""
        video = (frame.width, frame.height)
        same = self._input is not None and self._input.geometry.video == video
        left: list[Segmentation] = []
        waiting = "" if self.label_broken else frame.fault
        goes_on = frame.follows and (frame.index, frame.intact) == self._next
        if waiting or not (same and goes_on):
            left = self.flush()
            self.reset()
        if not same:
            self._prepare(Geometry.of(video, self.input_size))
        self.waiting = waiting
        self._next = (frame.index + 1, frame.intact)
        return left

    def _prepare(self, geometry: Geometry) -> None:
        network = self._network
        self._input = InputPass(geometry, self.config, network.device, network.dtype)

    def _vectors(self, frame: CodedFrame) -> BlockMotion | None:
        return frame.motion if self.motion in ("auto", "codec") else None

    def _since_anchor(self, motion: BlockMotion) -> BlockMotion:
        return motion if self._skipped is None else compose(motion, self._skipped)

    def _label(
        self, frame: CodedFrame, past: _Anchor | None, begun: Work | None = None
    ) -> tuple[Segmentation, _Anchor]:
        """Label a frame from the anchor before it, or by the key step where there is none.

        A key step that is merely due has a share of what was carried up to it.
        """
        work = begun or Work.begin(frame, self._source, self.wish)
        carried = None
        if past is not None and not frame.key and not self.per_frame:
            carried = self._carry(work, past)
        work.prepared = Moment.of(self._network.device)
        path, key_index, since = Path.KEY, frame.index, 0
        if past is None or carried is None:
            logits, state = self._network.key(work.image)
        else:
            field, motion, error = carried
            if self.policy.is_due(past.since):
                logits, fresh = self._network.key(work.image)
                context = fuse_contexts(fresh.context, past.state.context, motion, error)
                state = replace(fresh, context=context)
            else:
                path, key_index, since = Path.NONKEY, past.key_index, past.since
                logits, state = self._network.nonkey(work.image, motion, error, past.state)
            if past.logits is not None:
                logits = fuse(logits, past.logits, field, error)
        labelled = work.finish(logits, self._source.geometry, path, frame.index - key_index)
        kept = logits if self.config.fuses and not self.per_frame else None
        pointed = frame.kind is not FrameKind.B
        return labelled, _Anchor(state, work.picture, key_index, since, pointed, kept)

    def _carry(self, work: Work, past: _Anchor) -> tuple[Field, Tensor, Tensor] | None:
        """Return motion from the anchor, and it and the residual as the non-key step takes them.

        None where nothing leads to the frame, or it is another picture.
        """
        frame, picture = work.frame, work.picture
        vectors = self._vectors(frame)
        intra = 0.0
        if vectors is not None and past.pointed:
            blocks = self._since_anchor(vectors)
            field = self._source.motion(blocks)
            intra = 1 - float(np.mean(blocks.coded))
        elif self._flow is not None:
            field = Field.of_pixels(self._flow(picture, past.picture))
        else:
            return None
        stride = self._source.stride(past.state.context)
        motion, error = compensate(picture, past.picture, field, stride)
        if self.policy.sees_another(intra, error):
            return None
        if work.wish.evidence:
            work.evidence = gather(self._source.geometry, picture, past.picture, field)
        return field, motion, error

    def _label_leaf(
        self, frame: CodedFrame, past: _Anchor | None, future: _Anchor
    ) -> Segmentation:
        """Label a B-frame from the anchors on both sides of it, or as its motion allows."""
        vectors = self._vectors(frame)
        if past is None or vectors is None or not past.pointed:
            # By optical flow, if that is there, which leaves its state to the others; how often a
            # key step comes at least is the anchors' affair.
            start = replace(past, state=past.state.clone(), since=0) if past else None
            return self._label(frame, start)[0]
        source = self._source
        work = Work.begin(frame, source, self.wish)
        blocks = self._since_anchor(vectors)
        field = source.motion(blocks)
        before, after = past.state.context, future.state.context
        stride = source.stride(before)
        pictures = work.picture, past.picture
        motion, error = compensate(*pictures, field, stride, future.picture)
        if self.policy.sees_another(1 - float(np.mean(blocks.coded)), error):
            return self._label(frame, None, work)[0]
        context = two_sided_context(before, after, field.dense(), field.dense_ahead(), stride)
        if work.wish.evidence:
            work.evidence = gather(source.geometry, *pictures, field, future.picture)
        work.prepared = Moment.of(self._network.device)
        # The context is at its place already.
        state = FeatureState(context, past.state.distance)
        logits, _ = self._network.nonkey(work.image, torch.zeros_like(motion), error, state)
        if past.logits is not None and future.logits is not None:
            logits = fuse(logits, past.logits, field, error, future.logits)
        return work.finish(logits, source.geometry, Path.NONKEY, frame.index - past.key_index)

    @property
    def _source(self) -> InputPass:
        assert self._input is not None  # made by _follow before any frame is labelled
        return self._input
