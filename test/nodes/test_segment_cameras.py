"""Segment nodes of several cameras in one process: each as if alone, with the weights shared."""

import signal

import numpy as np
import pytest
from cv_bridge import CvBridge
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from twnet_ros.codec import read_packets, write_clip
from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.segment_node import SegmentNode, run
from twnet_ros.nodes.topic import STATUS_QOS

FRAMES = 12
GOPS = (6, 4)  # of the two clips
# For every camera; each of them labels every frame, however late.
SETTINGS = """
/**/segment:
  ros__parameters: {{model: {model}, device: cpu, precision: fp32, key_policy: codec,
                    skip: false, queue_size: 1000}}
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory, pan_over):
    """Two clips whose key frames lie elsewhere, as packets: (codec, [data])."""
    folder, made = tmp_path_factory.mktemp("clips"), []
    for seed, (codec, gop) in enumerate(zip(("h264", "mpeg4"), GOPS, strict=True)):
        frames = pan_over(FRAMES, width=128, height=96, square=8, blur=4, seed=seed)
        write_clip(folder / f"{codec}.mp4", frames, codec=codec, gop=gop, fps=10.0)
        made.append((codec, [packet.data for packet in read_packets(folder / f"{codec}.mp4")[1]]))
    return made


class Camera(Node):
    """Sends packets of a camera and keeps what its node answers."""

    def __init__(self, name):
        super().__init__(f"{name}_camera")
        self.labels, self.statuses = [], []
        self._video = self.create_publisher(
            CompressedImage, f"{name}/image/compressed", QoSProfile(depth=100)
        )
        topic = f"{name}/segment"
        self._images = self.create_subscription(
            Image, f"{topic}/labels", self.labels.append, QoSProfile(depth=100)
        )
        self.create_subscription(FrameStatus, f"{topic}/status", self.statuses.append, STATUS_QOS)

    @property
    def connected(self):
        return self._video.get_subscription_count() and self._images.get_publisher_count()

    def send(self, codec, data):
        message = CompressedImage(header=Header(frame_id="camera"), format=codec)
        message.data.frombytes(data)
        self._video.publish(message)

    @property
    def images(self):
        return [CvBridge().imgmsg_to_cv2(message) for message in self.labels]


@pytest.fixture
def start_cameras(start, checkpoint, tmp_path):
    """Start the process for cameras; ``parameters`` are of nodes by name, as YAML has them."""

    def start_cameras(*names, parameters=""):
        inputs = ", ".join(f"{name}: image/compressed" for name in names)
        file = tmp_path / "cameras.yaml"
        file.write_text(
            f"/**/cameras:\n  ros__parameters:\n    input: {{{inputs}}}\n"
            + SETTINGS.format(model=checkpoint)
            + parameters
        )
        return start("segment_cameras", "--params-file", str(file))

    return start_cameras


@pytest.fixture
def start_single(start, checkpoint, tmp_path):
    """Start a node in a process of its own, in the namespace that a camera's has."""

    def start_single(name):
        file = tmp_path / "single.yaml"
        file.write_text(SETTINGS.format(model=checkpoint))
        remap = "video:=image/compressed"
        return start("segment_node", "-r", remap, "--params-file", str(file), within=f"/{name}")

    return start_single


@pytest.fixture
def cameras(ros):
    """Make cameras and wait until their nodes are there and see who wants labels."""

    def cameras(*names, clips):
        made = [ros.add(Camera(name)) for name in names]
        for camera, (codec, data), gop in zip(made, clips, GOPS * 2, strict=False):
            ros.spin_until(lambda camera=camera: camera.connected)
            labelled = 0
            while not labelled:
                count = len(camera.statuses) + 2
                assert count < 50, "the node does not see who wants its labels"
                for key in data[0], data[gop]:  # one that comes again at once is left out
                    camera.send(codec, key)
                ros.spin_until(lambda c=camera, n=count: len(c.statuses) == n)
                labelled = sum(s.path == s.PATH_KEY for s in camera.statuses)
            ros.spin_until(lambda c=camera, n=labelled: len(c.labels) == n)
            camera.labels.clear()
            camera.statuses.clear()
        return made

    return cameras


def test_each_camera_is_labelled_as_by_a_node_of_its_own(
    ros, start_cameras, start_single, cameras, clips
):
    start_cameras("front", "rear")
    for name in ("front_alone", "rear_alone"):
        start_single(name)
    found = cameras("front", "rear", "front_alone", "rear_alone", clips=clips * 2)
    for packets in zip(*(data for _, data in clips * 2), strict=True):
        for camera, (codec, _), data in zip(found, clips * 2, packets, strict=True):
            camera.send(codec, data)
    ros.spin_until(lambda: all(len(one.labels) == FRAMES for one in found))
    front, rear, *alone = [one.images for one in found]
    for together, single in zip((front, rear), alone, strict=True):
        assert len(np.unique(single)) > 3  # a picture of one class would prove nothing
        assert np.array_equal(together, single)
    ros.spin_until(lambda: all(len(one.statuses) == FRAMES for one in found))
    keys = [[n for n, s in enumerate(one.statuses) if s.path == s.PATH_KEY] for one in found[:2]]
    assert keys == [[0, 6], [0, 4, 8]]
    assert not any(status.reason for one in found for status in one.statuses)


def test_what_one_camera_sends_does_not_disturb_another(
    ros, start_cameras, cameras, clips, namespace
):
    process = start_cameras("front", "rear")
    front, rear = cameras("front", "rear", clips=clips)
    (codec, data), (other, whole) = clips
    rng = np.random.default_rng(0)
    for packet, good in zip(data, whole, strict=True):
        front.send(codec, rng.bytes(len(packet)))
        rear.send(other, good)
    ros.spin_until(lambda: len(front.statuses) == len(rear.labels) == len(whole))
    assert not front.labels and all(status.reason for status in front.statuses)
    ros.spin_until(lambda: len(rear.statuses) == len(whole))
    assert not any(status.reason for status in rear.statuses)
    front.send(codec, data[0])
    ros.spin_until(lambda: len(front.labels) == 1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 0 and "Traceback" not in stderr, stderr


def test_parameters_of_one_camera_and_one_that_cannot_be_configured(
    ros, start_cameras, cameras, clips, namespace
):
    process = start_cameras(
        "front",
        "rear",
        "broken",
        parameters="/**/front/segment:\n  ros__parameters: "
        "{mask_classes: [car], queue_size: 7, camera_info: calibration}\n"
        "/**/broken/segment:\n  ros__parameters: {model: nowhere}\n",
    )
    cameras("front", "rear", clips=clips)
    watcher = ros.add(Node("watcher"))

    def ask(camera, *names):
        client = AsyncParameterClient(watcher, f"{namespace}/{camera}/segment")
        ros.spin_until(client.services_are_ready)
        answer = client.get_parameters(names)
        ros.spin_until(answer.done)
        return [
            Parameter.from_parameter_msg(message(n, v)).value
            for n, v in zip(names, answer.result().values, strict=True)
        ]

    def message(name, value):
        made = Parameter(name, value=0).to_parameter_msg()
        made.value = value
        return made

    assert ask("front", "mask_classes", "queue_size") == [["car"], 7]
    assert ask("rear", "mask_classes", "queue_size") == [["all"], 1000]
    assert ask("broken", "model") == ["nowhere"]
    masks = {name for name, _ in watcher.get_topic_names_and_types() if "/segment/masks/" in name}
    assert f"{namespace}/front/segment/masks/car" in masks
    assert f"{namespace}/front/segment/masks/road" not in masks
    assert f"{namespace}/rear/segment/masks/road" in masks
    for topic in f"{namespace}/front/calibration", f"{namespace}/rear/camera_info":
        ros.spin_until(lambda topic=topic: watcher.count_subscribers(topic) == 1)
    process.terminate()
    _, stderr = process.communicate()
    assert process.returncode == 0 and "Traceback" not in stderr, stderr
    (error,) = (line for line in stderr.splitlines() if "[ERROR]" in line)
    assert "broken.segment]: cannot configure" in error and "'nowhere'" in error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "expected a parameter input.<camera> of"),
        (["input.front.left:=/video"], "got 'front.left'"),
        (["input.front:=5"], "input.front: expected a topic, got 5"),
        (["input.front:=a//b"], "input.front: expected a topic, got 'a//b'"),
        (["input.front:=/video", "queue_size:=0"], "/front/segment: "),
    ],
)
def test_what_is_wrong_with_the_cameras_ends_the_process(arguments, expected, start):
    given = [part for argument in arguments for part in ("-p", argument)]
    process = start("segment_cameras", *given)
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert expected in stderr and "[FATAL]" in stderr and "Traceback" not in stderr


@pytest.fixture
def two_nodes(ros):
    """Two nodes of this process, which ``run`` or the test ends."""
    return [
        SegmentNode(cli_args=["--ros-args", "-r", f"__ns:={ros.namespace}/{name}"])
        for name in ("front", "rear")
    ]


def test_the_weights_are_shared(two_nodes, checkpoint):
    values = {"model": str(checkpoint), "device": "cpu", "precision": "fp32"}
    for node in two_nodes:
        node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        node.start()
    first, second = (node._segmenter for node in two_nodes)
    assert first is not second and first._network is second._network
    for node in two_nodes:
        node.destroy_node()


def test_an_error_of_one_node_ends_all(two_nodes):
    def fail():
        raise ArithmeticError("of the test")

    for node in two_nodes:
        node.set_parameters([Parameter("autostart", value=False)])
    two_nodes[1].create_timer(0.01, fail)
    with pytest.raises(ArithmeticError, match="of the test"):
        run(two_nodes)
