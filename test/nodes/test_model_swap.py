"""Another model under playback: every frame is labelled, by one of the two, whole."""

from itertools import cycle, islice

import pytest
import torch
from cv_bridge import CvBridge
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from twnet_ros.codec import StreamDecoder
from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.pipeline import NOBODY
from twnet_ros.nodes.topic import STATUS_QOS
from twnet_ros.segment import Segmenter

SETTINGS = {"device": "cpu", "precision": "fp32"}
BEFORE, AFTER = 10, 10  # frames around the change; between them as many as it takes


@pytest.fixture
def one_thread():
    """As the node's: another order of sums decides ties otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def labels_of(model, frames):
    segmenter = Segmenter.load(model, **SETTINGS)
    return [result.labels for frame in frames for result in segmenter.step(frame)]


def test_a_model_is_swapped_while_frames_come(
    ros, run, checkpoint, other_checkpoint, long_packets, sender_of, message_of, one_thread
):
    segment = run("segment_node", model=checkpoint, skip=False, key_policy="codec", **SETTINGS)
    listener = ros.add(Node("listener"))
    labels, statuses = [], []
    images = listener.create_subscription(
        Image, "segment/labels", labels.append, QoSProfile(depth=1000)
    )
    listener.create_subscription(FrameStatus, "segment/status", statuses.append, STATUS_QOS)
    client = AsyncParameterClient(listener, "segment")
    video = sender_of(CompressedImage)
    ros.spin_until(lambda: segment.poll() is not None or video.has_subscriber())
    ros.spin_until(lambda: images.get_publisher_count() and client.services_are_ready())
    changed, left = None, AFTER
    for sec, packet in enumerate(islice(cycle(long_packets), 20 * len(long_packets))):
        video.send(message_of("compressed_image", packet.data, "mpeg4", sec + 1))
        ros.spin_until(lambda n=sec: len(statuses) > n)  # whatever else the node does
        if sec == BEFORE:
            changed = client.set_parameters_atomically(
                [Parameter("model", value=str(other_checkpoint))]
            )
        left -= changed is not None and changed.done()
        if not left:
            break
    assert changed.done() and changed.result().result.successful
    decoder = StreamDecoder("mpeg4")
    sent = islice(cycle(long_packets), len(statuses))
    frames = [decoder.decode(packet.data)[0] for packet in sent]
    unheard = 0
    while statuses[0].reason == NOBODY:  # the node sees a listener later than that sees the node
        del statuses[0], frames[0]
        unheard += 1
    count = len(statuses)
    assert [status.reason for status in statuses] == [""] * count
    ros.spin_until(lambda: len(labels) == count)
    published = [CvBridge().imgmsg_to_cv2(message) for message in labels]
    same = [
        (ours == theirs).all()
        for ours, theirs in zip(published, labels_of(checkpoint, frames), strict=True)
    ]
    first = same.index(False)  # by the other model
    assert BEFORE < unheard + first <= unheard + count - AFTER
    assert statuses[first].path == FrameStatus.PATH_KEY  # with a picture of its own, at once
    after = labels_of(other_checkpoint, frames[first:])
    assert all((a == b).all() for a, b in zip(published[first:], after, strict=True))
