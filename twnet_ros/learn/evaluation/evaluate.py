"""Accuracy over clips, through the same engine that runs on the robot."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from twnet_ros.codec import BlockMotion, CodedFrame, FrameKind
from twnet_ros.learn.data.cache import ClipCache, StoredClip
from twnet_ros.learn.data.clip import Coding, transcode
from twnet_ros.learn.data.source import SnippetSource, Source
from twnet_ros.learn.data.still import DataError
from twnet_ros.learn.evaluation.method import engine
from twnet_ros.learn.evaluation.metric import Confusion
from twnet_ros.learn.evaluation.tally import Tally
from twnet_ros.net import TWNet
from twnet_ros.segment import Path
from twnet_ros.segment.policy import INTERVAL


class Clip(Protocol):
    """Coded frames with their train ids, to be gone through more than once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[CodedFrame, NDArray[np.uint8]]]: ...


def make_clips(source: Source, count: int, frames: int, coding: Coding, seed: int) -> list[Clip]:
    """Encode and decode ``count`` random clips of ``frames`` frames; same seed, same clips."""
    clips: list[Clip] = []
    for number in tqdm(range(count), desc="clips", leave=False):
        rng = np.random.default_rng([seed, number])
        clips.append(list(transcode(source.clip(rng, frames), coding)))
    return clips


def labelled_clips(
    source: SnippetSource,
    cache: ClipCache,
    coding: Coding,
    distances: Sequence[int],
    count: int | None,
    seed: int,
) -> list[Clip]:
    """Return the real frames from a key frame to each labelled one, encoded.

    The labelled frame is the last of its clip, its number there is its distance to the key frame,
    and it alone is labelled. Each is taken at each of ``distances``, or where there are none at
    one that is drawn uniformly from those within a GOP (paper, section 5). Labelled frames with
    fewer frames before them than the greatest distance are left out; of the others ``count``,
    evenly spread, are taken, or all.
    """
    if min(distances, default=0) < 0:
        raise DataError(f"expected distances from 0 on, got {min(distances)}")
    furthest = max(distances, default=0)
    labelled = [found for found in source.labelled() if found[1] >= furthest]
    if not labelled:
        most = max(number for _, number in source.labelled())
        raise DataError(
            f"{source.root}: expected distances of at most {most}, the frames that lie before a "
            f"labelled one, got {furthest}"
        )
    if count is not None and count < len(labelled):
        labelled = [labelled[i] for i in np.linspace(0, len(labelled) - 1, count).astype(int)]
    clips: list[Clip] = []
    for order, (snippet, number) in enumerate(tqdm(labelled, desc="clips", leave=False)):
        rng = np.random.default_rng([seed, order])
        for distance in distances or [int(rng.integers(min(coding.gop, number + 1)))]:
            frames = snippet.frames[number - distance : number + 1]
            whole = replace(coding, gop=max(coding.gop, len(frames)))
            path = cache.clip(frames, source.size, whole)
            truth = (*(None for _ in range(distance)), snippet.labels[number])
            clips.append(StoredClip(path, truth, source.stills.train_ids))
    return clips


@dataclass(frozen=True)
class Score:
    """What a method reached on clips that begin with a key frame."""

    by_frame: list[Confusion]  # at each frame number, over all clips
    context_rms: list[float]  # root mean square of the state's feature at each frame number
    keys: float  # share of the labelled frames that took the key step
    delay: int  # frames, at most, from a frame to its labels
    tally: Tally
    device: str  # in use, and the precision there
    precision: str

    def total(self) -> Confusion:
        """Return the confusion over all frames."""
        return self.over(range(len(self.by_frame)))

    def late(self) -> Confusion:
        """Return the confusion over the last quarter of the frames."""
        count = len(self.by_frame)
        return self.over(range(count - max(1, count // 4), count))

    def by_distance(self, distances: Sequence[int]) -> list[Confusion]:
        """Return the confusion at each distance from the key frame, given that of each frame."""
        frames: list[list[int]] = [[] for _ in range(1 + max(distances))]
        for number, distance in enumerate(distances):
            frames[distance].append(number)
        return [self.over(numbers) for numbers in frames]

    def over(self, frames: Iterable[int]) -> Confusion:
        """Return the confusion over some frame numbers."""
        result = Confusion(len(self.by_frame[0].counts))
        for number in frames:
            result.counts += self.by_frame[number].counts
        return result


def score(
    model: TWNet,
    clips: list[Clip],
    method: str,
    device: str = "cpu",
    precision: str = "fp32",
    every: int = 1,
    motion: str = "auto",
    interval: int = INTERVAL,
    show: Collection[tuple[int, int]] = (),
) -> Score:
    """Score a method on clips, at the model's own input size.

    Of ``every`` frames the first is labelled and scored; the others are skipped. ``interval`` is
    that of the method ``adaptive``. Labels are kept of the frames to ``show``, each by its clip's
    number and its own there.
    """
    segmenter = engine(model, method, device, precision, motion, interval)
    longest = max(len(clip) for clip in clips)
    warming = next(clip for clip in clips if len(clip) == longest)
    for frame, _ in islice(warming, 2):  # the first steps take longer, and are not timed
        segmenter.step(frame)
    tally = Tally(show)
    by_frame = [Confusion(len(model.config.classes)) for _ in range(longest)]
    square, reached = np.zeros(longest), np.zeros(longest)
    labelled = keys = delay = 0
    for clip in clips:
        segmenter.reset()
        tally.start_clip()
        frames: dict[int, tuple[int, BlockMotion | None, NDArray[np.uint8]]] = {}  # by index
        leaf_before = False
        for number, (frame, truth) in enumerate(clip):
            reached[number] += 1
            if number % every:
                results = segmenter.skip(frame)
            else:
                # Motion of a B-frame, and past one, does not lead to the frame before it.
                leaf = frame.kind is FrameKind.B
                vectors = None if leaf or leaf_before else frame.motion
                leaf_before = leaf
                frames[frame.index] = number, vectors, truth
                results = segmenter.step(frame)
            if segmenter.state is not None:
                square[number] += float(segmenter.state.context.float().square().mean())
            if number == len(clip) - 1:
                results = [*results, *segmenter.flush()]
            for result in results:
                its_number, its_motion, its_truth = frames.pop(result.index)
                by_frame[its_number].add(its_truth, result.labels)
                tally.add(its_number, its_motion, its_truth, result)
                labelled += 1
                keys += result.path is Path.KEY
                delay = max(delay, number - its_number)
    rms = list(np.sqrt(square / reached))
    share = keys / max(1, labelled)
    return Score(by_frame, rms, share, delay, tally, segmenter.device, segmenter.precision)
