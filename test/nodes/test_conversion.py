"""Masks survive the way through a message; messages say what happened."""

import math

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from cv_bridge import CvBridge
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Header

from twnet_ros.codec import FrameKind
from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.conversion import (
    class_image,
    decode_mask,
    encode_masks,
    image_message,
    status_message,
    topic_token,
)
from twnet_ros.nodes.ticket import Ticket
from twnet_ros.segment import Path, Segmentation

NAMES = ("road", "sky", "traffic light", "person")
UNLABELLED = 255


def header():
    message = Header(frame_id="camera")
    message.stamp.sec, message.stamp.nanosec = 5, 250_000_000
    return message


@given(
    arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.sampled_from([0, 1, 2, 3, UNLABELLED]),
    ),
    st.sets(st.sampled_from(range(len(NAMES)))),
)
def test_masks_come_back_as_the_pixels_they_were(labels, wanted):
    message = encode_masks(labels, NAMES, wanted, header())
    assert (message.height, message.width) == labels.shape
    assert [mask.class_id for mask in message.masks] == sorted(wanted & set(labels.flat))
    for mask in message.masks:
        expected = labels == mask.class_id
        assert mask.class_name == NAMES[mask.class_id]
        assert mask.pixel_count == expected.sum()
        assert (decode_mask(mask, *labels.shape) == expected).all()
        rows, cols = np.nonzero(expected)
        assert mask.roi.y_offset == rows.min() and mask.roi.x_offset == cols.min()
        assert mask.roi.height == np.ptp(rows) + 1 and mask.roi.width == np.ptp(cols) + 1
        # Alternating, so only the first may be empty, and nothing follows the last pixel.
        assert 0 not in mask.run_lengths[1:]


def test_runs_are_row_major_in_the_region_and_start_outside_the_class():
    labels = np.array(
        [
            [0, 0, 0, 0, 0],
            [0, 0, 1, 1, 0],
            [0, 1, 1, 1, 0],
            [0, 1, 1, 0, 0],
        ],
        np.uint8,
    )
    (mask,) = encode_masks(labels, NAMES, [1], header()).masks
    assert (mask.roi.x_offset, mask.roi.y_offset) == (1, 1)
    assert (mask.roi.width, mask.roi.height) == (3, 3)
    assert list(mask.run_lengths) == [1, 7, 1]
    assert mask.pixel_count == 7


def test_a_mask_that_contradicts_itself_is_refused():
    labels = np.zeros((4, 6), np.uint8)
    (mask,) = encode_masks(labels, NAMES, [0], header()).masks
    with pytest.raises(ValueError, match="inside 5x4 px, got 6x4"):
        decode_mask(mask, 4, 5)
    mask.run_lengths = [0, 23]
    with pytest.raises(ValueError, match="over 24 pixels.*got 23"):
        decode_mask(mask, 4, 6)


def test_images_are_mono8_under_the_packets_header():
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    message = image_message(labels, header())
    assert (message.encoding, message.height, message.width, message.step) == ("mono8", 3, 4, 4)
    assert message.header == header()
    assert (CvBridge().imgmsg_to_cv2(message) == labels).all()
    assert class_image(labels, 5).tolist() == [[0] * 4, [0, 255, 0, 0], [0] * 4]


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("road", "road"),
        ("traffic light", "traffic_light"),
        ("Lane-marking (dashed)", "Lane_marking_dashed_"),
    ],
)
def test_class_names_become_topic_names(name, token):
    assert topic_token(name) == token


def test_status_of_a_labelled_frame():
    times_ms = {"decode": 1.0, "input": 2.0, "network": 30.0, "output": 4.0, "total": 37.0}
    labels = np.zeros((2, 2), np.uint8)
    segmentation = Segmentation(labels, 7, 3, FrameKind.P, Path.NONKEY, 4, times_ms)
    ticket = Ticket(
        header(),
        5_250_000_000,
        100.0,
        kind=FrameKind.P,
        intact=True,
        caveat="several references",
        decode_ms=1.5,
        segmentation=segmentation,
        frames_skipped=2,
        packets_dropped=1,
    )
    status = status_message(ticket, now_ns=5_500_000_000, now_s=100.125)
    assert status.header == header()
    assert (status.frame_type, status.path) == (FrameStatus.FRAME_P, FrameStatus.PATH_NONKEY)
    assert (status.frames_since_key, status.chain_intact) == (4, True)
    assert (status.waiting, status.reason, status.caveat) == (False, "", "several references")
    assert (status.frames_skipped, status.packets_dropped) == (2, 1)
    assert (status.decode_ms, status.inference_ms) == (1.5, 36.0)
    assert (status.total_ms, status.age_ms) == (125.0, 250.0)


def test_status_of_a_packet_without_labels_and_without_a_stamp():
    ticket = Ticket(Header(), 0, 100.0, reason="waiting for a key frame", waiting=True)
    status = status_message(ticket, now_ns=5, now_s=100.0)
    assert (status.frame_type, status.path) == (FrameStatus.FRAME_UNKNOWN, FrameStatus.PATH_NONE)
    assert (status.waiting, status.reason) == (True, "waiting for a key frame")
    assert math.isnan(status.age_ms)
    ticket.stamp_ns = 7  # of the video; simulated time has not begun
    assert math.isnan(status_message(ticket, now_ns=0, now_s=100.0).age_ms)
