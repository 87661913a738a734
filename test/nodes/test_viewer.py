"""``twnet view`` of a node: the pictures of a frame found together, and shown as four panes."""

import itertools
import os
import signal
import threading

import av
import cv2
import numpy as np
import pytest
import rclpy
from cv_bridge import CvBridge
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from twnet_ros.cli import main
from twnet_ros.codec import StreamDecoder
from twnet_ros.nodes import viewer
from twnet_ros.nodes.viewer import PANES, Viewer, watch
from twnet_ros.segment import CITYSCAPES, to_rgb

ARRIVES_S = 60  # far more than anything takes; only a test that fails waits for it
SIZE = (64, 32)  # width, height
# In four_panes, where the middle of a pane is as (row, column), by its name.
WIDTH, HEADING, MARGIN = 640, 22, 8
ROWS = {
    name: HEADING + 160 + (number // 2) * (HEADING + 320 + MARGIN)
    for number, name in enumerate(PANES.values())
}
COLUMNS = {
    name: MARGIN + 320 + (number % 2) * (WIDTH + MARGIN)
    for number, name in enumerate(PANES.values())
}
COLOR = {
    "overlay": (200, 40, 90),
    "motion": (10, 250, 30),
    "residual": (7, 7, 7),
    "labels": (128, 64, 128),
}


def middle(panes, name):
    return panes[ROWS[name], COLUMNS[name]].astype(int)


class FakeSegment:
    """Publishes pictures of one colour as a segment node called ``name`` would."""

    def __init__(self, name):
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = Node("fake", context=self._context)
        self._publishers = {
            pane: self._node.create_publisher(
                CompressedImage if topic.endswith("/compressed") else Image, f"{name}/{topic}", 10
            )
            for topic, pane in PANES.items()
        }
        self._bridge = CvBridge()

    def watched(self):
        return all(p.get_subscription_count() for p in self._publishers.values())

    def publish(self, sec, panes=tuple(COLOR)):
        header = Header(frame_id="camera")
        header.stamp.sec = sec
        for pane in panes:
            picture = np.full((SIZE[1], SIZE[0], 3), COLOR[pane], np.uint8)
            if pane == "overlay":
                _, data = cv2.imencode(".jpg", picture[..., ::-1])
                message = CompressedImage(format="jpeg", data=data.tobytes())
            elif pane == "residual":
                message = self._bridge.cv2_to_imgmsg(picture[..., 0].copy(), "mono8")
            else:
                message = self._bridge.cv2_to_imgmsg(picture, "rgb8")
            message.header = header
            self.publish_message(pane, message)

    def publish_message(self, pane, message):
        self._publishers[pane].publish(message)

    def leave(self):
        self._node.destroy_node()
        self._context.try_shutdown()


@pytest.fixture
def segment(namespace):
    """Make a fake node that publishes frame after frame while it is watched."""
    name = f"{namespace}/segment"
    fake, done = FakeSegment(name), threading.Event()

    def publish():
        while not fake.watched():
            if done.wait(0.02):
                return
        for sec in itertools.count(1):
            fake.publish(sec)
            if done.wait(0.02):
                return

    thread = threading.Thread(target=publish)
    thread.start()
    late = threading.Timer(ARRIVES_S, os.kill, (os.getpid(), signal.SIGTERM))  # ends who watches
    late.start()
    yield name
    late.cancel()
    done.set()
    thread.join()
    fake.leave()


@pytest.fixture
def viewing(ros, namespace):
    """Make a viewer and a fake node that are spun by hand."""
    node = ros.add(Viewer(f"{namespace}/segment"))
    fake = FakeSegment(f"{namespace}/segment")
    ros.spin_until(fake.watched)
    yield node, fake
    fake.leave()


def test_a_frame_is_ready_when_all_its_pictures_are_there(ros, viewing):
    node, fake = viewing
    fake.publish(5)
    ros.spin_until(lambda: node.ready)
    ((stamp, panes),) = node.ready
    assert stamp == 5_000_000_000
    for name, color in COLOR.items():
        assert np.abs(middle(panes, name) - color).max() <= 3, name  # JPEG


def test_a_frame_without_motion_is_shown_with_the_next(ros, viewing):
    node, fake = viewing
    fake.publish(1, ["overlay", "labels"])  # a key frame, maybe
    fake.publish(2)
    ros.spin_until(lambda: len(node.ready) == 2)
    (first, partly), (second, whole) = node.ready
    assert (first, second) == (1_000_000_000, 2_000_000_000)
    for name in ("motion", "residual"):
        assert (middle(partly, name) == 255).all() and not (middle(whole, name) == 255).all()
    assert np.abs(middle(partly, "labels") - COLOR["labels"]).max() == 0


def test_with_pictures_that_never_come_it_goes_on_behind(ros, viewing, monkeypatch):
    monkeypatch.setattr(viewer, "WAITING", 3)
    node, fake = viewing
    for sec in range(1, 6):
        fake.publish(sec, ["overlay"])
    ros.spin_until(lambda: len(node.ready) == 2)
    assert [stamp for stamp, _ in node.ready] == [1_000_000_000, 2_000_000_000]


def test_frames_of_one_stamp_are_told_apart_by_what_comes_twice(ros, viewing):
    node, fake = viewing
    fake.publish(0, ["overlay", "labels", "residual"])  # its motion was lost
    ros.spin_until(lambda: len(node._frames.get(0, ())) == 3)
    for count in (2, 3):
        fake.publish(0)
        ros.spin_until(lambda count=count: len(node.ready) == count)
    blank = [(middle(panes, "motion") == 255).all() for _, panes in node.ready]
    assert blank == [True, False, False] and not node._frames


def test_stamps_may_go_back(ros, viewing):
    node, fake = viewing
    for count, sec in enumerate((8, 9, 1), 1):  # a bag that is looped
        fake.publish(sec)
        ros.spin_until(lambda count=count: len(node.ready) == count)
    assert [stamp // 10**9 for stamp, _ in node.ready] == [8, 9, 1]


@pytest.mark.parametrize(
    "pane, message, said",
    [
        ("overlay", CompressedImage(format="jpeg", data=b"no JPEG"), "got 7 other bytes"),
        ("overlay", CompressedImage(format="jpeg"), "got 0 other bytes"),
        (
            "labels",
            Image(encoding="rgb8", height=9, width=9, step=27, data=b"short"),
            "got 5 bytes",
        ),
        (
            "labels",
            Image(encoding="rgb8", height=1, width=9, step=9, data=b"too short"),
            "rgb8 of 9x1 in rows of 9 bytes, got 9 bytes",
        ),
        ("motion", Image(encoding="16UC1", height=1, width=1, step=2, data=b"10"), "got '16UC1'"),
    ],
)
def test_a_picture_that_cannot_be_read_is_said_and_left_out(
    ros, viewing, caplog, pane, message, said
):
    node, fake = viewing
    fake.publish_message(pane, message)
    ros.spin_until(lambda: caplog.messages)
    assert caplog.messages[0].startswith(f"{pane}: ") and said in caplog.messages[0]
    fake.publish(3)
    ros.spin_until(lambda: node.ready)
    assert [stamp for stamp, _ in node.ready] == [3_000_000_000]


def test_view_writes_a_video_at_the_rate_of_the_stamps(segment, tmp_path):
    file = tmp_path / "view.mp4"
    assert main(["view", segment, "-o", str(file), "--frames", "12"]) == 0
    with av.open(str(file)) as video:
        stream = video.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(stream)]
        assert stream.average_rate == 1  # a frame a second, by their stamps
    assert len(frames) == 12
    assert np.abs(middle(frames[0], "labels") - COLOR["labels"]).max() < 12


def test_view_keeps_the_newest_picture(segment, tmp_path):
    file = tmp_path / "now.png"
    assert main(["view", segment, "-o", str(file), "--frames", "3"]) == 0
    panes = cv2.imread(str(file))[..., ::-1]
    assert np.abs(middle(panes, "labels") - COLOR["labels"]).max() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["now.png"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_what_was_seen_is_kept(segment, number):
    before = signal.getsignal(number)
    seen = []
    for stamp, _ in watch(segment, lambda: True, {}):
        seen.append(stamp)
        if len(seen) == 3:
            os.kill(os.getpid(), number)
    assert len(seen) >= 3
    assert signal.getsignal(number) is before
    assert not rclpy.ok()


def test_it_says_what_nobody_publishes(namespace, monkeypatch, caplog):
    monkeypatch.setattr(viewer, "SILENCE_S", 0.0)
    said = lambda: bool(caplog.text)  # noqa: E731
    assert list(watch(f"{namespace}/nobody", lambda: not said(), {})) == []
    assert all(f"{namespace}/nobody/{topic}" in caplog.text for topic in PANES)


@pytest.fixture
def video(namespace, mpeg4_packets):
    """Publish a topic of video, over and over."""
    context, done = rclpy.Context(), threading.Event()
    rclpy.init(context=context)
    node = Node("camera", context=context)
    publisher = node.create_publisher(CompressedImage, f"{namespace}/video", 10)

    def publish():
        for sec in itertools.count(1):
            message = CompressedImage(format="mpeg4")
            message.header.stamp.sec = sec
            message.data.frombytes(mpeg4_packets[(sec - 1) % 18].data)
            publisher.publish(message)
            if done.wait(0.05):
                return

    thread = threading.Thread(target=publish)
    thread.start()
    late = threading.Timer(ARRIVES_S, os.kill, (os.getpid(), signal.SIGTERM))
    late.start()
    yield publisher.topic_name, node
    late.cancel()
    done.set()
    thread.join()
    node.destroy_node()
    context.try_shutdown()


def test_a_topic_of_video_is_labelled(video, checkpoint, mpeg4_packets):
    topic, graph = video
    engine = {"model": str(checkpoint), "device": "cpu", "precision": "fp32"}
    seen, diagnosed = [], []
    for stamp, panes in watch(topic, lambda: len(seen) < 5, engine):
        seen.append((stamp // 10**9, panes))
        diagnosed += graph.get_publishers_info_by_topic("/diagnostics")
    assert len(seen) >= 5
    assert not diagnosed  # which are the robot's
    decoder = StreamDecoder("mpeg4")
    frames = [decoder.decode(packet.data)[0] for packet in mpeg4_packets]
    for sec, panes in seen:
        left, top = MARGIN, HEADING
        pane = panes[top : top + 480, left : left + 640].astype(int)
        picture = cv2.resize(to_rgb(frames[(sec - 1) % 18]), (640, 480))
        assert np.abs(pane - picture).mean() < 20  # JPEG, and how it was enlarged
        labels = panes[-440:-40, COLUMNS["labels"] - 300 : COLUMNS["labels"] + 300]
        assert {tuple(color) for color in labels.reshape(-1, 3)} <= set(CITYSCAPES.colors)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["--model", "nothing.safetensors"], "expected a segment node for the topic, got none"),
        (["--precision", "half"], "expected precision to be one of auto, fp32, bf16"),
        (["--topic", "/front"], "--topic: expected a bag, got"),
    ],
)
def test_what_a_topic_cannot_be_labelled_by_is_said(video, settings, expected, capsys):
    assert main(["view", video[0], "-o", "view.png", *settings]) == 1
    assert expected in capsys.readouterr().err


def test_a_name_that_is_no_node_s_is_taken_for_a_file(capsys):
    assert main(["view", "/no/such/file.mp4", "-o", "view.png"]) == 1
    assert "/no/such/file.mp4" in capsys.readouterr().err
