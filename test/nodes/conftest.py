"""Clips, a network, a segmenter without one, senders, and where tickets and messages arrive."""

import os
import pathlib
import queue
import re
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
import rclpy
import torch
from ament_index_python import get_package_prefix
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from coded import encode_timed
from twnet_ros.codec import ClipEncoder
from twnet_ros.codec.bitstream import headers_of
from twnet_ros.msg import ClassMasks, FrameStatus
from twnet_ros.net import Config, TWNet, save_checkpoint
from twnet_ros.nodes.segment_node import SegmentNode
from twnet_ros.nodes.topic import STATUS_QOS
from twnet_ros.segment import CITYSCAPES, Evidence, KeyPolicy, Path, Segmentation, Segmenter, Wish

ARRIVES_S = 60  # far more than anything takes; only a test that fails waits for it
QUIET_S = 2  # for nodes to be seen to have gone
HEARD_S = 10  # for a new participant's publisher to be seen, before another one tries
ENDS_S = 60  # the same for a process that is asked to end
CONFIG = pathlib.Path(__file__).parents[2] / "config"


class FakeSegmenter:
    """Labels a frame by its luma; keeps what the streaming engine promises about resets."""

    classes = ("road", "sky", "traffic light", "person")
    colors = np.array([[1, 2, 3], [40, 50, 60], [200, 100, 0], [9, 255, 9]], np.uint8)
    input_size = (64, 48)
    device, precision = "cpu", "fp32"
    label_broken = False
    caveat = ""
    video = None
    warm = False
    label = None  # of every pixel, instead of its luma

    def __init__(self):
        self.waiting = ""
        self.wish, self.policy = Wish(), KeyPolicy()
        self.resets = 0
        self.stepped, self.skipped = [], []
        self.distance = None

    def warm_up(self, video=None):
        self.warm = True

    def reset(self):
        self.resets += 1
        self.waiting = ""
        self.distance = None

    def flush(self):
        return []

    def skip(self, frame):
        self.skipped.append(frame.index)
        return []

    def step(self, frame):
        self.stepped.append(frame.index)
        self.waiting = "" if self.label_broken else frame.fault
        if self.waiting:
            return []
        path = Path.KEY if frame.key or self.distance is None else Path.NONKEY
        self.distance = 0 if path is Path.KEY else self.distance + 1
        times_ms = {"decode": 1.0, "input": 1.0, "network": 2.0, "output": 3.0, "total": 7.0}
        step = round(1 / self.wish.scale)
        labels = np.ascontiguousarray(frame.y[::step, ::step] >> 6)
        if self.label is not None:
            labels[:] = self.label
        seen = self.wish.evidence and Evidence(
            np.full((4, 6, 2), self.distance, np.float32), np.full((4, 6, 3), 10, np.float32)
        )
        return [
            Segmentation(
                labels,
                frame.index,
                frame.pts,
                frame.kind,
                path,
                self.distance,
                times_ms,
                np.full_like(labels, 77) if self.wish.confidence else None,
                seen or None,
            )
        ]


class Sink:
    """Takes tickets from any thread."""

    def __init__(self):
        self._tickets = queue.Queue()

    def __call__(self, ticket):
        self._tickets.put(ticket)

    def take(self, count):
        return [self._tickets.get(timeout=ARRIVES_S) for _ in range(count)]

    def empty(self):
        return self._tickets.empty()


@pytest.fixture
def fake_segmenter():
    return FakeSegmenter()


@pytest.fixture
def busy(fake_segmenter):
    """Hold the network's first step until the gate opens."""
    entered, gate = threading.Event(), threading.Event()
    step = fake_segmenter.step

    def wait(frame):
        entered.set()
        gate.wait()
        return step(frame)

    fake_segmenter.step = wait
    yield entered, gate
    gate.set()


@pytest.fixture
def sink():
    return Sink()


def encode(codec, count):
    """Packets of a small moving pattern with a key frame every sixth."""
    encoder = ClipEncoder(codec, 64, 48, gop=6, fps=10.0)
    pattern = np.random.default_rng(0).integers(0, 256, (12, 16 + count, 3), np.uint8)
    picture = pattern.repeat(4, axis=0).repeat(4, axis=1)
    packets = []
    for i in range(count):
        packets += encoder.encode(np.ascontiguousarray(picture[:, 2 * i : 2 * i + 64]))
    return packets + encoder.flush()


def save_untrained(path, layer, seed):
    """A network that has learnt nothing but to tell some picture from another."""
    torch.manual_seed(seed)
    colors = tuple(tuple(int(level) for level in color) for color in CITYSCAPES.colors)
    model = TWNet(Config("mobilenetv1", layer, tuple(CITYSCAPES.names), colors, (128, 96)))
    with torch.no_grad():
        for _ in range(20):  # the batch norms settle
            logits, _ = model.train().key(torch.randn(2, 3, 96, 128))
        classifier = model.keyframe.tail.classifier
        classifier.bias -= logits.mean((0, 2, 3))  # so that no class outweighs the others
    model.copy_key_parts()
    save_checkpoint(path, model)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_untrained(tmp_path_factory.mktemp("model") / "untrained.safetensors", 1, 4)


@pytest.fixture(scope="module")
def other_checkpoint(tmp_path_factory):
    """Of another layer."""
    return save_untrained(tmp_path_factory.mktemp("model") / "other.safetensors", 2, 5)


@pytest.fixture(scope="session")
def long_packets():
    """Packets of MPEG-4 that a model can be swapped under."""
    return encode("mpeg4", 150)


@pytest.fixture(scope="session")
def mpeg4_packets():
    return encode("mpeg4", 18)


@pytest.fixture(scope="session")
def h264_packets():
    return encode("h264", 18)


@pytest.fixture(params=["mpeg4", "h264"])
def headers_once(request):
    """A codec, and data of packets with headers in the first one only."""
    codec = request.param
    packets = [packet.data for packet in request.getfixturevalue(f"{codec}_packets")]
    headers = headers_of(codec, packets[6])
    bare = [data.replace(headers, b"") for data in packets]
    assert headers and bare[6] != packets[6]
    return codec, [packets[0], *bare[1:]]


def reorder(count, parameters):
    """Packets of H.264 with B-frames, in decoding order: (time, data)."""
    plane = np.random.default_rng(0).integers(0, 256, (72, 64), np.uint8)
    return encode_timed("h264", [plane] * count, {"x264-params": parameters})


@pytest.fixture(scope="session")
def reordered_packets():
    """Two B-frames in a row."""
    return reorder(24, "keyint=12:bframes=2:b-adapt=0:scenecut=0")


@pytest.fixture(scope="session")
def reordered_packets_as():
    """Make packets as x264's parameters say."""
    return reorder


@pytest.fixture(scope="session")
def reordered_packets_of():
    """Make packets with as many B-frames in a row."""
    return lambda count: reorder(60, f"keyint=60:bframes={count}:b-adapt=0:scenecut=0")


def wait_while(condition, limit_s=QUIET_S):
    """Wait for what takes a moment, and need not come at all."""
    deadline = time.monotonic() + limit_s
    while condition() and time.monotonic() < deadline:
        time.sleep(0.01)


class Ros:
    """Spins nodes of this process until what a test waits for has come."""

    def __init__(self):
        self._executor = SingleThreadedExecutor()
        self._nodes = []

    def add(self, node):
        self._nodes.append(node)
        self._executor.add_node(node)
        return node

    def sees(self, name, topic):
        """Say whether its nodes see that a node of that name publishes a topic beside them."""
        wanted = name, self.namespace
        found = (n.get_publishers_info_by_topic(n.resolve_topic_name(topic)) for n in self._nodes)
        return all(wanted in {(p.node_name, p.node_namespace) for p in one} for one in found)

    def spin_until(self, condition):
        deadline = time.monotonic() + ARRIVES_S
        while not condition():
            assert time.monotonic() < deadline, "what the test waits for did not come"
            self._executor.spin_once(timeout_sec=0.05)

    def destroy(self):
        for node in self._nodes:
            self._executor.remove_node(node)
        self._executor.shutdown()
        # The last one takes the participant with it: when it no longer hears of others (Contexts).
        while self._nodes:
            node = self._nodes.pop(0)
            if not self._nodes and rclpy.ok():
                wait_while(partial(node.count_publishers, "video"))
            node.destroy_node()


@pytest.fixture
def namespace(request):
    """A namespace of this test alone, so that tests at the same time do not meet."""
    token = re.sub(r"\W+", "_", request.node.name)
    return f"/test_{os.getpid()}_{token}"


@pytest.fixture
def ros(namespace):
    rclpy.init(args=["--ros-args", "-r", f"__ns:={namespace}"])
    ros = Ros()
    ros.namespace = namespace
    yield ros
    ros.destroy()
    rclpy.try_shutdown()


KINDS = {"masks": ClassMasks, "overlay/compressed": CompressedImage}  # all others are Images


class Camera(Node):
    """Sends packets and collects what the segment node makes of them."""

    def __init__(self, *topics):
        super().__init__("camera")
        self.received = {}
        self.video = self.create_publisher(CompressedImage, "video", QoSProfile(depth=100))
        self.listen("status", FrameStatus, STATUS_QOS)
        for topic in topics:
            self.listen(topic, KINDS.get(topic, Image), QoSProfile(depth=100))

    def listen(self, topic, type, qos):
        received = self.received[topic] = []
        self.create_subscription(type, f"segment/{topic}", received.append, qos)

    def send(self, data, sec, format="mpeg4", frame_id="front"):
        message = CompressedImage(format=format)
        message.header.stamp.sec, message.header.frame_id = sec, frame_id
        message.data.frombytes(data)
        self.video.publish(message)


@pytest.fixture
def segment(ros, monkeypatch, fake_segmenter):
    """A segment node with the fake segmenter, not started."""
    monkeypatch.setattr(Segmenter, "load", lambda *args, **kwargs: fake_segmenter)
    made = ros.add(SegmentNode())
    assert made.set_parameters([Parameter("skip", value=False)])[0].successful
    return made


@pytest.fixture
def camera_of(ros):
    """Make a camera that listens to topics of the segment node."""
    return lambda *topics: ros.add(Camera(*topics))


@pytest.fixture
def published(segment):
    """Find the segment node's publisher of a topic, by its name below the node's."""

    def find(topic):
        (found,) = (p for p in segment.publishers if p.topic_name.endswith(f"/segment/{topic}"))
        return found

    return find


@pytest.fixture
def connect(ros, segment, published, camera_of):
    """Start the node and a camera, and wait until each has found the other."""

    def connect(*topics):
        segment.start()
        camera = camera_of(*topics)
        ros.spin_until(lambda: camera.video.get_subscription_count())
        for topic in topics:
            ros.spin_until(published(topic).get_subscription_count)
        return camera

    return connect


@pytest.fixture
def start(namespace):
    """Start executables of the package; what still runs after the test is asked to end.

    Shared memory of what is killed stays behind when nobody is left to see it.
    """
    processes = []

    def start(executable, *ros_arguments, within=""):
        command = [sys.executable, f"{get_package_prefix('twnet_ros')}/lib/twnet_ros/{executable}"]
        command += ["--ros-args", "-r", f"__ns:={namespace}{within}", *ros_arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.communicate(timeout=ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@pytest.fixture
def run(start):
    """Start executables of the package with their shipped parameters, and others."""

    def run(executable, **parameters):
        config = CONFIG / f"{executable.removesuffix('_node')}.yaml"
        given = [part for one in parameters.items() for part in ("-p", f"{one[0]}:={one[1]}")]
        return start(
            executable, "-r", "status:=segment/status", "--params-file", str(config), *given
        )

    return run


class Contexts:
    """Contexts as other processes would have them, which go from test to test.

    A node in each keeps its participant: where one is destroyed while it still hears of others,
    Fast DDS 3.2 may wait for ever (its issue 6513).
    """

    def __init__(self):
        self._idle, self._keepers = [], []

    def take(self):
        if not self._idle:
            self._idle.append(rclpy.Context())
            rclpy.init(context=self._idle[0])
            name = f"keeper_{os.getpid()}_{len(self._keepers)}"
            self._keepers.append(Node(name, context=self._idle[0]))
        return self._idle.pop()

    def give_back(self, context):
        self._idle.append(context)

    def close(self):
        while self._keepers:
            gone = self._keepers.pop()
            name = gone.get_name()
            gone.destroy_node()
            wait_while(partial(self._see, name))

    def _see(self, name):
        return any(name in keeper.get_node_names() for keeper in self._keepers)


@pytest.fixture(scope="session")
def contexts():
    contexts = Contexts()
    yield contexts
    contexts.close()


class Sender:
    """Publishes the video as a process of its own would.

    In one context, all publishers and subscriptions of a topic have one type (Fast DDS).
    """

    def __init__(self, contexts, ros, name, type, reliability):
        self._contexts = contexts
        qos = QoSProfile(depth=1000, reliability=reliability)
        deadline = time.monotonic() + ARRIVES_S
        while (publisher := self._begin(ros, name, type, qos)) is None:
            assert time.monotonic() < deadline, "the test's nodes do not see the publisher"
            name += "_again"  # the one before may be seen yet
        self.send, self.has_subscriber = publisher.publish, publisher.get_subscription_count
        self.wait_until_received = partial(
            publisher.wait_for_all_acked, Duration(seconds=ARRIVES_S)
        )

    def _begin(self, ros, name, type, qos):
        """Return a publisher, or None where the test's nodes do not see it.

        What is told while two participants get to know each other may be lost for good; that
        participant is then left alone.
        """
        self._context = self._contexts.take()
        self._node = Node(name, context=self._context, namespace=ros.namespace)
        wait_while(lambda: not self._knows_others())
        publisher = self._node.create_publisher(type, "video", qos)
        wait_while(lambda: not ros.sees(name, "video"), HEARD_S)
        if ros.sees(name, "video"):
            return publisher
        self._node.destroy_node()
        return None

    def _knows_others(self):
        """See a node of the test that is no sender."""
        namespace = self._node.get_namespace()
        return any(
            space == namespace and not name.startswith("sender")
            for name, space in self._node.get_node_names_and_namespaces()
        )

    def leave(self):
        if self._context is not None:
            self._node.destroy_node()
            self._contexts.give_back(self._context)
            self._context = None


@pytest.fixture
def sender_of(ros, contexts):
    """Make senders of a message type that leave after the test, if they have not yet."""
    senders = []

    def make(type, reliability=QoSReliabilityPolicy.RELIABLE):
        senders.append(Sender(contexts, ros, f"sender_{len(senders)}", type, reliability))
        return senders[-1]

    yield make
    for sender in senders:
        sender.leave()


@pytest.fixture
def message_of():
    """Make messages of the three types; what the node must not trust in them are lies."""
    # Of test/interfaces: a test that needs them fails without, the others do not.
    from ffmpeg_image_transport_msgs.msg import FFMPEGPacket
    from foxglove_msgs.msg import CompressedVideo

    def make(name, data, text, sec):
        header = Header(frame_id="front")
        header.stamp.sec = sec
        if name == "compressed_image":
            message = CompressedImage(header=header, format=text)
        elif name == "ffmpeg":
            message = FFMPEGPacket(header=header, encoding=text, pts=2**64 - 1, flags=sec % 2)
            message.width, message.height, message.is_bigendian = -1, 7, True
        else:
            message = CompressedVideo(timestamp=header.stamp, frame_id="front", format=text)
        message.data.frombytes(data)
        return message

    return make
