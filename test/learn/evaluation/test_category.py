"""Categories: every class in one, as Cityscapes publishes them."""

import numpy as np
import pytest

from twnet_ros.learn.evaluation.category import categories
from twnet_ros.learn.evaluation.metric import Confusion
from twnet_ros.segment.palette import CAMVID, CITYSCAPES

NAMES = ["flat", "construction", "object", "nature", "sky", "human", "vehicle"]


def test_cityscapes_has_those_it_publishes():
    # The category ids of the published label table, in train-id order; 1 is flat.
    published = [1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 6, 7, 7, 7, 7, 7, 7]
    found = categories(CITYSCAPES.names)
    assert list(found) == NAMES
    for number, members in enumerate(found.values(), 1):
        assert sorted(members) == [i for i, one in enumerate(published) if one == number]


@pytest.mark.parametrize("known", [CITYSCAPES, CAMVID])
def test_each_class_is_in_one(known):
    found = categories(known.names)
    assert list(found) == NAMES
    confusion = Confusion(len(known.names)).merged(list(found.values()))  # says if not
    assert len(confusion.counts) == 7


def test_mistakes_within_a_category_are_none():
    members = categories(CAMVID.names)
    road, pavement, sky = (CAMVID.names.index(name) for name in ("road", "pavement", "sky"))
    confusion = Confusion(11)
    truth = np.array([road, road, pavement, sky, sky], np.uint8)
    predicted = np.array([road, pavement, road, sky, road], np.uint8)
    confusion.add(truth, predicted)
    iou = dict(zip(members, confusion.merged(list(members.values())).iou(), strict=True))
    assert (iou["flat"], iou["sky"]) == pytest.approx((75, 50))
    assert np.isnan(iou["human"])


def test_other_data_has_none():
    assert categories(("road", "sky", "car")) == {}
    assert categories(CITYSCAPES.names[:-1]) == {}
