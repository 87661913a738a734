"""Encoded clips of real frames, kept in a folder."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import av
import cv2

from twnet_ros.codec import CodedFrame, encoder, write_clip
from twnet_ros.learn.data import snippet
from twnet_ros.learn.data.clip import Coding
from twnet_ros.learn.data.snippet import read_frame, read_truth
from twnet_ros.learn.data.still import DataError, TrainIds
from twnet_ros.segment import picture
from twnet_ros.segment.picture import Picture
from twnet_ros.segment.replay import decode

logger = logging.getLogger(__name__)


class ClipCache:
    """Clips that are encoded once, each an AVI file of its own.

    A file's name begins with a digest of what the clip is made from: its source files, their
    sizes and times of change, picture size, coding, and the code that makes it; so a clip is
    never used for anything else. It ends with the checksum of the file itself: a damaged clip is
    made anew. Files appear whole or not at all, and may be deleted at any time.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        """Keep clips in ``folder``; sources lie under ``root``, which may move as a whole."""
        self.folder, self.root = folder, root

    @classmethod
    def beside(cls, root: Path) -> "ClipCache":
        """Keep clips beside a data set, in ``ROOT.clips``."""
        whole = root.resolve()
        return cls(whole.with_name(f"{whole.name}.clips"), root)

    def clip(self, frames: Sequence[Path], size: tuple[int, int], coding: Coding) -> Path:
        """Return the file of the clip made of ``frames`` at ``size`` (width, height)."""
        digest = self._digest(frames, size, coding)
        folder = self.folder / digest[:2]  # few files in each, to be found fast
        partial = folder / f".{digest}.{os.getpid()}.avi"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob(f"{digest}.*.avi")):
                if path.name == _name(digest, path):
                    return path
                logger.warning("%s: damaged, made anew", path)
                path.unlink()
            write_clip(
                partial,
                (read_frame(path, size) for path in frames),
                codec=coding.codec,
                gop=coding.gop,
                fps=coding.fps,
                bitrate=coding.bitrate(*size),
            )
            return partial.replace(folder / _name(digest, partial))
        except OSError as error:
            raise DataError(
                f"{self.folder}: expected a folder to keep clips in, which --cache names, got: "
                f"{error.strerror}"
            ) from error
        finally:
            if partial.exists():
                partial.unlink()

    def _digest(self, frames: Sequence[Path], size: tuple[int, int], coding: Coding) -> str:
        sources = []
        for path in frames:
            state = path.stat()
            name = path.relative_to(self.root).as_posix()
            sources.append((name, state.st_size, state.st_mtime_ns))
        made_from = json.dumps([_recipe(), sources, size, asdict(coding), coding.bitrate(*size)])
        return hashlib.sha256(made_from.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class StoredClip:
    """A clip in a file and the label file of each of its frames, if it has one."""

    path: Path
    truth: tuple[Path | None, ...]
    train_ids: TrainIds

    def __len__(self) -> int:
        return len(self.truth)

    def __iter__(self) -> Iterator[tuple[CodedFrame, Picture]]:
        frames = decode(self.path)
        for frame, truth in zip(frames, self.truth, strict=True):
            yield frame, read_truth(truth, (frame.width, frame.height), self.train_ids)


def _name(digest: str, path: Path) -> str:
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{digest}.{checksum[:32]}.avi"


@cache
def _recipe() -> str:
    """Return a digest of what turns frames into a clip: code and libraries."""
    digest = hashlib.sha256(json.dumps([av.library_versions, cv2.__version__]).encode())
    for file in (encoder.__file__, picture.__file__, snippet.__file__, __file__):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()
