"""A recorded drive with labels of its own: scored as it was coded, from its first key frame on."""

import os
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from twnet_ros.codec import CodedFrame, FrameKind, OpenVideo
from twnet_ros.learn.data.clip import Coding
from twnet_ros.learn.data.still import DataError
from twnet_ros.learn.evaluation.trial import Trial, key_distances, spread
from twnet_ros.segment.palette import UNLABELLED
from twnet_ros.segment.picture import Picture
from twnet_ros.segment.replay import decode


class Drive:
    """A ``Clip``: the frames of a video that are whole, decoded anew each time, and their labels.

    Labels (H, W), of the video's size, belong to frames by presentation time in nanoseconds; a
    frame without any is all unlabelled.
    """

    def __init__(
        self, path: str | os.PathLike[str], read: OpenVideo, labels: Iterable[tuple[int, Picture]]
    ) -> None:
        """Take the video that ``read`` opens; DataError where no label belongs to a frame."""
        self._path, self._read = path, read
        # An hour of label images would not fit into memory as they are.
        self._labels: dict[int, tuple[tuple[int, ...], bytes]] = {}
        for stamp, ids in labels:
            if stamp in self._labels:
                raise DataError(
                    f"{path}: expected labels with times of their own, got two at {stamp} ns"
                )
            self._labels[stamp] = ids.shape, zlib.compress(ids.tobytes())
        frames = []
        self.has_leaves = False  # B-frames
        for frame in self._frames():
            frames.append((frame.pts, frame.key, frame.y.shape))
            self.has_leaves |= frame.kind is FrameKind.B
        self._length = len(frames)
        self.labelled = [n for n, (time, _, _) in enumerate(frames) if time in self._labels]
        self.keys = [number for number, (_, key, _) in enumerate(frames) if key]
        if not self.labelled:
            raise DataError(f"{path}: expected labels with the times of frames, got none")
        for number in self.labelled:
            time, _, size = frames[number]
            shape = self._labels[time or 0][0]
            if shape != size:
                raise DataError(f"{path}: expected labels of the video's size {size}, got {shape}")

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[CodedFrame, Picture]]:
        for frame in self._frames():
            yield frame, self._truth(frame)

    @property
    def missed(self) -> int:
        """How many labels have the time of no whole frame."""
        return len(self._labels) - len(self.labelled)

    def _frames(self) -> Iterator[CodedFrame]:
        return (frame for frame in decode(self._path, self._read) if frame.intact)

    def _truth(self, frame: CodedFrame) -> Picture:
        shape, packed = self._labels.get(frame.pts if frame.pts is not None else -1, ((), b""))
        if not packed:
            return np.full(frame.y.shape, UNLABELLED, np.uint8)
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)


def drive_trial(
    path: str | os.PathLike[str],
    read: OpenVideo,
    labels: Iterable[tuple[int, Picture]],
    every: int = 1,
) -> tuple[Trial, tuple[int, int]]:
    """Return the trial of a whole drive, every labelled frame of it, and its size (width, height).

    Of ``every`` frames the first is labelled by the methods; the others are skipped. DataError
    where that is asked of B-frames: those that wait for a frame which is skipped are, too, but not
    by ``per_frame``.
    """
    info, packets = read(path)
    total_bits = 8 * sum(len(packet.data) for packet in packets)
    drive = Drive(path, read, labels)
    if every > 1 and drive.has_leaves:
        raise DataError(f"--every {every}: expected a drive without B-frames, got {path}")
    scored = [number for number in drive.labelled if number % every == 0]
    if not scored:
        raise DataError(f"--every {every}: expected to meet a labelled frame, which it does not")
    bits_per_pixel = round(total_bits / (len(drive) * info.width * info.height), 3)
    distances = key_distances(drive.keys, len(drive), every)
    gop = 1 + max(key_distances(drive.keys, len(drive)))
    coding = Coding(info.codec, gop, info.fps, bits_per_pixel)
    text = f"a drive of {len(drive)} frames, {len(scored)} of which are scored, in {info.codec}, "
    text += f"{len(drive.keys)} I-frames, {bits_per_pixel} bit/pixel"
    if drive.missed:
        text += f"; {drive.missed} labels have the time of no whole frame"
    shown = [(0, scored[place]) for place in spread(len(scored))]
    trial = Trial([drive], coding, every, distances, scored, text, shown)
    return trial, (info.width, info.height)
