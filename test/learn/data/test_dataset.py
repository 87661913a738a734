"""Data sets are recognised by their folders, and their splits opened when asked for."""

import numpy as np
import pytest

from twnet_ros.learn.data.dataset import held_out_pictures, open_data
from twnet_ros.learn.data.source import SnippetSource, StillSource, StreetSource
from twnet_ros.learn.data.still import DataError
from twnet_ros.segment.palette import CAMVID, CITYSCAPES

SIZE = (32, 16)


def test_streets():
    data = open_data("streets", None, (96, 64), [])
    assert data.classes is CITYSCAPES
    training, held_out = data.training(), data.held_out()
    assert isinstance(training, StreetSource) and isinstance(held_out, StreetSource)
    assert not set(training.seeds) & set(held_out.seeds)
    with pytest.raises(DataError, match="streets: expected a split of train, val, got 'test'"):
        data.held_out("test")


def test_cityscapes_with_and_without_sequences(cityscapes_folder):
    data = open_data(str(cityscapes_folder()), None, SIZE, [])
    assert (data.classes, data.size) == (CITYSCAPES, SIZE)
    training = data.training()
    assert isinstance(training, StillSource)
    assert training.movers == (11, 12, 13, 14, 17, 18)
    assert len(list(training.clip(np.random.default_rng(0), 3))) == 3
    real = open_data(str(cityscapes_folder(snippets=True)), "cityscapes", SIZE, []).held_out()
    assert isinstance(real, SnippetSource)
    assert [number for _, number in real.labelled()] == [19, 19]
    assert len(held_out_pictures(real)) == 2


def test_camvid(tmp_path, drive_of):
    root = tmp_path / "CamVid"
    for split, name in (("train", "0006R0_f00930"), ("val", "0016E5_07959")):
        drive_of().write(root / split / f"{name}.png", 0)
        drive_of().write_truth(root / f"{split}annot" / f"{name}.png", 0, (3, 0, 8))
    data = open_data(str(root), None, SIZE, [])
    assert data.classes is CAMVID
    training = data.training()
    assert isinstance(training, StillSource) and training.movers == (8, 9, 10)
    assert isinstance(data.held_out("val"), StillSource)
    with pytest.raises(DataError, match="test: expected a folder of PNG files"):
        data.held_out("test")


def test_stills_without_anything_that_moves_are_said_to_have_none(still_folder, tmp_path, caplog):
    root, classes = still_folder(2), tmp_path / "classes.json"
    classes.write_text('{"names": ["a", "b", "van"], "colors": [[0, 0, 0], [1, 1, 1], [2, 2, 2]]}')
    for named in ("camvid", str(classes)):
        assert not caplog.text
        source = open_data(str(root), named, (96, 64), []).training()
        source.sample(np.random.default_rng(0))
        for seed in range(2):
            assert len(list(source.clip(np.random.default_rng(seed), 2))) == 2
    assert caplog.text.count("nothing passes through clips") == 1


def test_a_folder_with_its_own_classes(still_folder, tmp_path):
    root = still_folder(4)
    data = open_data(str(root), "camvid", (96, 64), ["B"])
    assert data.classes is CAMVID
    assert len(data.training().stills) == len(data.held_out().stills) == 2
    assert open_data(str(root), None, (96, 64), []).held_out() is None
    assert held_out_pictures(None) == []
    with pytest.raises(DataError, match="nothing is left to train on"):
        open_data(str(root), None, (96, 64), ["A", "B"]).training()
    classes = tmp_path / "classes.json"
    classes.write_text('{"names": ["road", "sky"], "colors": [[1, 2, 3], [4, 5, 6]]}')
    few = open_data(str(root), str(classes), (96, 64), [])
    assert few.classes.names == ("road", "sky")
    assert set(few.training().sample(np.random.default_rng(0))[1].ravel().tolist()) == {0, 1, 255}


def test_published_data_sets_have_classes_and_splits_of_their_own(cityscapes_folder):
    root = str(cityscapes_folder())
    for name in (root, "streets"):
        with pytest.raises(DataError, match="its own classes, cityscapes, got camvid"):
            open_data(name, "camvid", SIZE, [])
        with pytest.raises(DataError, match="expected no hold-out, .*, got aachen"):
            open_data(name, None, SIZE, ["aachen"])


def test_a_folder_that_is_none_of_them(tmp_path):
    with pytest.raises(DataError, match=r"none: expected the folders 'images' .*found nothing"):
        open_data(str(tmp_path / "none"), None, SIZE, [])
    for name in ("leftImg8bits", "gtfine"):
        (tmp_path / name).mkdir()
    with pytest.raises(
        DataError, match=r"'leftImg8bit' and 'gtFine' .*found gtfine, leftImg8bits"
    ):
        open_data(str(tmp_path), None, SIZE, [])
