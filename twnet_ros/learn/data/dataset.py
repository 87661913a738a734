"""Data sets: from a name or a folder to what training and evaluation draw from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from twnet_ros.learn.data import camvid, cityscapes, folder
from twnet_ros.learn.data.snippet import Snippet
from twnet_ros.learn.data.source import Labelled, SnippetSource, Source, StillSource, StreetSource
from twnet_ros.learn.data.still import DataError, Stills
from twnet_ros.net import TWNet, load_checkpoint
from twnet_ros.segment import find_model
from twnet_ros.segment.palette import CAMVID, CITYSCAPES, ClassSet, read_class_set

CLASS_SETS = {"camvid": CAMVID, "cityscapes": CITYSCAPES}
MOVERS = ("car", "pedestrian", "cyclist", "person", "rider", "bicycle", "motorcycle", "truck")
TRAINING_SEEDS = range(0, 10_000)  # of procedural streets
HELD_OUT_SEEDS = range(1_000_000, 1_000_100)
HELD_OUT_PICTURES = 48
LAYOUTS = (
    "the folders 'images' (or 'frames') and 'labels', 'leftImg8bit' and 'gtFine' (Cityscapes), "
    "'701_StillsRaw_full' and 'LabeledApproved_full' or 'train' and 'trainannot' (CamVid)"
)


@dataclass(frozen=True)
class Data:
    """A data set; each split is read, and found whole or not, when it is asked for."""

    classes: ClassSet
    size: tuple[int, int]  # (width, height) of clips
    split: Callable[[str], Source | None]  # by its name; None where nothing belongs to it

    def training(self) -> Source:
        """Open what to train on."""
        source = self.split("train")
        if source is None:
            raise DataError("nothing is left to train on beside what is held out")
        return source

    def load_model(self, model: str) -> TWNet:
        """Load a shipped model or a file; DataError where its classes are others."""
        network = load_checkpoint(find_model(model))
        if network.config.classes != self.classes.names:
            raise DataError(
                f"{model}: expected the data's classes {', '.join(self.classes.names)}, "
                f"got {', '.join(network.config.classes)}"
            )
        return network

    def held_out(self, split: str = "val") -> Source | None:
        """Open what to score on, ``val`` or ``test``; None where nothing was held out."""
        return self.split(split)


def open_data(name: str, classes: str | None, size: tuple[int, int], hold_out: list[str]) -> Data:
    """Open ``streets`` (procedural), Cityscapes, CamVid or any folder of labelled frames.

    The layout is recognised by its folders. ``classes`` is a name of CLASS_SETS or a file for
    ``read_class_set``, by default the data set's own, for a folder Cityscapes'; ``size`` is that
    of clips; ``hold_out`` is for folders, see ``folder.read_split``: the others have splits of
    their own. DataError says what is missing.
    """
    split: Callable[[str], Source | None]
    chosen = (CLASS_SETS.get(classes) or read_class_set(Path(classes))) if classes else None
    if name == "streets":
        own, split = CITYSCAPES, partial(_streets, size)
    else:
        root = Path(name)
        if cityscapes.recognises(root):
            own, read = CITYSCAPES, partial(cityscapes.read_split, root)
        elif camvid.recognises(root):
            own, read = CAMVID, partial(camvid.read_split, root)
        elif folder.recognises(root):
            own = chosen or CITYSCAPES
            read = partial(folder.read_split, root, len(own.names), hold_out)
            hold_out = []
        else:
            found = ", ".join(sorted(p.name for p in root.iterdir())[:8]) if root.is_dir() else ""
            raise DataError(f"{name}: expected {LAYOUTS}, found {found or 'nothing'}")
        split = partial(_files, root, own, size, read)
    if chosen not in (None, own):
        named = next(n for n, known in CLASS_SETS.items() if known is own)
        raise DataError(f"{name}: expected its own classes, {named}, got {classes}")
    if hold_out:
        raise DataError(
            f"{name}: expected no hold-out, as it has splits of its own, got {', '.join(hold_out)}"
        )
    return Data(own, size, split)


def held_out_pictures(source: Source | None) -> list[Labelled]:
    """Return pictures to score on: evenly spread stills, or streets of held-out seeds."""
    if source is None:
        return []
    if isinstance(source, (StillSource, SnippetSource)):
        stills = source.stills
        chosen = np.linspace(0, len(stills) - 1, min(HELD_OUT_PICTURES, len(stills))).astype(int)
        return [stills.read(int(index)) for index in chosen]
    return [source.sample(np.random.default_rng([11, i])) for i in range(HELD_OUT_PICTURES)]


def _streets(size: tuple[int, int], split: str) -> Source:
    seeds = {"train": TRAINING_SEEDS, "val": HELD_OUT_SEEDS}
    if split not in seeds:
        raise DataError(f"streets: expected a split of {', '.join(seeds)}, got {split!r}")
    return StreetSource(seeds[split], size)


def _files(
    root: Path,
    classes: ClassSet,
    size: tuple[int, int],
    read: Callable[[str], tuple[Stills, list[Snippet]]],
    split: str,
) -> Source | None:
    """Open a split of a data set in files: its sequences where it has some, else its stills."""
    stills, snippets = read(split)
    if not len(stills):
        return None
    if snippets:
        return SnippetSource(root, stills, snippets, size, varied=split == "train")
    movers = tuple(i for i, label in enumerate(classes.names) if label in MOVERS)
    return StillSource(stills, movers, size)
