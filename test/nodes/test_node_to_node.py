"""Video publisher and segment node as processes of their own, over DDS, paced by the status."""

import signal

import numpy as np
import pytest
import torch
from cv_bridge import CvBridge
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from twnet_ros.codec import StreamDecoder, read_packets, write_clip
from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.intake import INPUT_TYPES
from twnet_ros.nodes.topic import STATUS_QOS
from twnet_ros.segment import Segmenter
from twnet_ros.segment.chaos import damage

FRAMES = 14
ENDS_S = 60  # far more than it takes; only a test that fails waits for it
FORMATS = ("H.264", "libx264;yuv420p;bgr8;bgr8", "h264")  # of the types in their order
SETTINGS = {"device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (12, 24, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    frames = [np.ascontiguousarray(picture[:, 3 * i : 3 * i + 128]) for i in range(FRAMES)]
    paths = [folder / "clip_mpeg4.avi", folder / "clip_h264.mp4"]
    for path, codec in zip(paths, ("mpeg4", "h264"), strict=True):
        write_clip(path, frames, codec=codec, gop=6, fps=17.0)
    return paths


class Collector(Node):
    """Keeps the labels and statuses that arrive."""

    def __init__(self):
        super().__init__("collector")
        self.labels, self.statuses = [], []
        self.images = self.create_subscription(
            Image, "segment/labels", self.labels.append, QoSProfile(depth=100)
        )
        self.create_subscription(FrameStatus, "segment/status", self.statuses.append, STATUS_QOS)


def segment_directly(checkpoint, clip):
    """Labels and presentation times of the same clip without ROS."""
    info, packets = read_packets(clip)
    decoder, segmenter = StreamDecoder(info.codec), Segmenter.load(checkpoint, **SETTINGS)
    packets = list(packets)
    frames = [frame for packet in packets for frame in decoder.decode(packet.data)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the node's: another order of sums decides ties otherwise
    labels = [result.labels for frame in frames for result in segmenter.step(frame)]
    torch.set_num_threads(threads)
    return labels, [packet.pts_ns - packets[0].pts_ns for packet in packets]


def nanoseconds(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_every_frame_comes_back_labelled_as_without_ros(ros, run, checkpoint, clips):
    segment = run("segment_node", model=checkpoint, key_policy="codec", **SETTINGS)
    collector = ros.add(Collector())
    ros.spin_until(lambda: segment.poll() is not None or collector.images.get_publisher_count())
    for clip in clips:
        collector.labels.clear()
        collector.statuses.clear()
        publisher = run("video_publisher", file=clip, pace="status", frame_id="front")
        ros.spin_until(lambda process=publisher: process.poll() is not None)
        assert publisher.returncode == 0, publisher.communicate()
        ros.spin_until(lambda: len(collector.labels) == len(collector.statuses) == FRAMES)

        expected, times_ns = segment_directly(checkpoint, clip)
        assert len(np.unique(expected)) > 3  # a picture of one class would prove nothing
        for message, labels in zip(collector.labels, expected, strict=True):
            assert (CvBridge().imgmsg_to_cv2(message) == labels).all()
            assert message.header.frame_id == "front"
        stamps = [nanoseconds(message) for message in collector.labels]
        assert [stamp - stamps[0] for stamp in stamps] == times_ns
        assert [nanoseconds(status) for status in collector.statuses] == stamps
        paths = [status.path for status in collector.statuses]
        gop = [FrameStatus.PATH_KEY] + [FrameStatus.PATH_NONKEY] * 5
        assert paths == (gop * 3)[:FRAMES]
        last = collector.statuses[-1]
        assert (last.frames_skipped, last.packets_dropped) == (0, 0)
        assert last.chain_intact and last.inference_ms > 0 and last.total_ms > last.inference_ms
    segment.send_signal(signal.SIGINT)
    _, stderr = segment.communicate()
    assert segment.returncode == 0 and "Traceback" not in stderr, stderr


def until_wanted(ros, collector, send):
    """Send a key frame, under the next second, until the node has seen who wants its labels."""
    while not collector.labels:
        count = len(collector.statuses) + 1
        assert count < 50, "the node does not see who wants its labels"
        send(count)
        ros.spin_until(lambda count=count: len(collector.statuses) == count)
        if collector.statuses[-1].path != FrameStatus.PATH_NONE:
            ros.spin_until(lambda: collector.labels)
    return len(collector.statuses)


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_what_a_bad_network_leaves_is_labelled_as_without_it_or_not_at_all(
    ros, run, sender_of, message_of, checkpoint, tmp_path, codec
):
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (12, 60, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    frames = [np.ascontiguousarray(picture[:, 3 * i : 3 * i + 128]) for i in range(96)]
    write_clip(tmp_path / "clip.mp4", frames, codec=codec, gop=6, fps=17.0)
    expected, _ = segment_directly(checkpoint, tmp_path / "clip.mp4")
    whole = [(packet.data, packet.key) for packet in read_packets(tmp_path / "clip.mp4")[1]]
    faults = dict.fromkeys(("loss", "duplicate", "reorder", "truncate"), 0.05)
    sent = [one for one in damage(whole, faults, seed=5) if not one.lost]
    assert {name for one in sent for name in one.faults} == set(faults) - {"loss"}
    assert len({one.number for one in sent}) < len(whole)

    run("segment_node", model=checkpoint, skip=False, queue_size=1000, **SETTINGS)
    collector = ros.add(Collector())
    sender = sender_of(CompressedImage)
    ros.spin_until(collector.images.get_publisher_count)
    ros.spin_until(sender.has_subscriber)
    keys = [data for data, key in whole if key]  # one that comes again at once is left out
    begin = until_wanted(
        ros,
        collector,
        lambda sec: sender.send(message_of("compressed_image", keys[sec % 2], codec, sec)),
    )
    collector.labels.clear()
    for one in sent:
        sender.send(message_of("compressed_image", one.data, codec, begin + 1 + one.number))
    ros.spin_until(lambda: len(collector.statuses) == begin + len(sent))
    labelled = [s for s in collector.statuses[begin:] if s.path != FrameStatus.PATH_NONE]
    ros.spin_until(lambda: len(collector.labels) == len(labelled))
    numbers = [message.header.stamp.sec - begin - 1 for message in collector.labels]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > len(whole) // 3
    for number, message in zip(numbers, collector.labels, strict=True):
        assert (CvBridge().imgmsg_to_cv2(message) == expected[number]).all()
    assert all(s.reason for s in collector.statuses[begin:] if s.path == FrameStatus.PATH_NONE)


def test_the_same_clip_as_each_message_type_gives_the_same_labels(
    ros, run, sender_of, message_of, checkpoint, clips
):
    run("segment_node", model=checkpoint, skip=False, **SETTINGS)
    collector = ros.add(Collector())
    ros.spin_until(lambda: collector.images.get_publisher_count())
    _, packets = read_packets(clips[1])
    packets = [packet.data for packet in packets]
    expected, _ = segment_directly(checkpoint, clips[1])
    sec = 0
    for kind, text in zip(INPUT_TYPES, FORMATS, strict=True):
        sender = sender_of(kind.load())
        ros.spin_until(sender.has_subscriber)
        sec = until_wanted(
            ros,
            collector,
            lambda sec, name=kind.name, send=sender.send, text=text: send(
                message_of(name, packets[0], text, sec)
            ),
        )
        collector.labels.clear()
        for data in packets:
            sec += 1
            sender.send(message_of(kind.name, data, text, sec))
        ros.spin_until(lambda count=sec: len(collector.statuses) == count)
        ros.spin_until(lambda: len(collector.labels) == FRAMES)
        for message, labels in zip(collector.labels, expected, strict=True):
            assert (CvBridge().imgmsg_to_cv2(message) == labels).all()
            assert message.header.frame_id == "front"
        stamps = [message.header.stamp.sec for message in collector.labels]
        assert stamps == list(range(sec - FRAMES + 1, sec + 1))
        sender.leave()
        collector.labels.clear()


def test_an_interrupt_in_full_work_ends_the_node(ros, run, checkpoint, clips):
    segment = run("segment_node", model=checkpoint, queue_size=1000, **SETTINGS)
    collector = ros.add(Collector())
    publisher = run("video_publisher", file=clips[0], loop=True, rate=1000.0)
    ros.spin_until(lambda: segment.poll() is not None or collector.labels)
    assert segment.poll() is None
    segment.send_signal(signal.SIGINT)
    # rclpy may end with an error of its own, if it is interrupted while it converts a message.
    segment.communicate(timeout=ENDS_S)
    assert publisher.poll() is None


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"file": "/nowhere.avi"}, "expected a video file, got /nowhere.avi"),
        ({}, "expected the parameter file to name a video file, got none"),
        ({"file": __file__}, "expected a video"),
        ({"pace": "hurry"}, "pace"),
    ],
)
def test_a_file_or_setting_that_is_wrong_ends_the_publisher_with_an_error(
    parameters, expected, run
):
    process = run("video_publisher", **parameters)
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert expected in stderr and "Traceback" not in stderr
