"""What arrives on /diagnostics, and that it is as diagnostic_updater would have published it."""

import mmap
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rosgraph_msgs.msg import Clock

from twnet_ros.codec import FrameKind
from twnet_ros.nodes.conversion import status_message
from twnet_ros.nodes.diagnostic import TABLE, Diagnostics, diagnostic_message, resident_bytes
from twnet_ros.nodes.health import DeviceState, Level, Status
from twnet_ros.nodes.parameter import Parameters
from twnet_ros.nodes.ticket import Fate, Ticket
from twnet_ros.segment import Path, Segmentation

DEVICE = DeviceState("cuda:0", "fp16", "streets", used_bytes=3 << 20, reserved_bytes=5 << 20)
VALUES = {row.name: row.default for row in TABLE} | {"skip": True, "max_latency_ms": 200.0}
QUICK = VALUES | {"diagnostic_period": 0.1}


@pytest.fixture
def node(ros):
    """A node whose /diagnostics is this test's own."""
    arguments = ["--ros-args", "-r", "/diagnostics:=diagnostics"]
    return ros.add(Node("segment", cli_args=arguments))


@pytest.fixture
def start(node):
    started = []

    def start(device=lambda: DEVICE, values=QUICK):
        started.append(Diagnostics(node, "/front/video", device, values))
        return started[-1]

    yield start
    for diagnostics in started:
        diagnostics.close()


@pytest.fixture
def arrays(ros):
    received = []
    ros.add(Node("listener")).create_subscription(
        DiagnosticArray, "diagnostics", received.append, 10
    )
    return received


def hand_in(diagnostics, **fields):
    diagnostics.arrive()
    ticket = Ticket(None, 0, time.monotonic(), **fields)
    diagnostics.take(ticket, status_message(ticket, 0, time.monotonic()))


def by_task(array):
    return {status.name.rpartition(": ")[2]: status for status in array.status}


def test_levels_are_those_of_the_message():
    for level in Level:
        message = diagnostic_message((Status("task", level, "", {}),), "/segment", "none")
        assert message.status[0].level == getattr(DiagnosticStatus, level.name)
    assert len(Level) == 4


@pytest.mark.parametrize(
    ("node_name", "expected"),
    [("/segment", "segment: load"), ("/car/front/segment", "car/front/segment: load")],
)
def test_names_are_node_and_task_without_a_slash_in_front(node_name, expected):
    status = Status("load", Level.WARN, "too much", {"a (ms)": "1.5", "b": ""})
    (made,) = diagnostic_message((status,), node_name, "/video").status
    assert (made.name, made.message, made.hardware_id) == (expected, "too much", "/video")
    assert [(pair.key, pair.value) for pair in made.values] == [("a (ms)", "1.5"), ("b", "")]


def test_one_message_a_period_holds_all_of_a_node(ros, start, arrays, namespace):
    start()
    ros.spin_until(lambda: len(arrays) == 3)
    for array in arrays:
        assert [status.name for status in array.status] == [
            f"{namespace[1:]}/segment: {task}" for task in ("stream", "load", "device")
        ]
        assert {status.hardware_id for status in array.status} == {"/front/video"}
        assert len({pair.key for pair in array.status[0].values}) == len(array.status[0].values)
    stamps = [array.header.stamp.sec + array.header.stamp.nanosec / 1e9 for array in arrays]
    assert time.time() - 60 < stamps[0] < stamps[1] < stamps[2]


def test_the_topic_is_global(ros):
    diagnostics = Diagnostics(ros.add(Node("other")), "/video", lambda: DEVICE, VALUES)
    assert diagnostics._reports._publisher.topic_name == "/diagnostics"
    diagnostics.close()


def test_what_becomes_of_packets_arrives(ros, start, arrays):
    diagnostics = start()
    labels = np.zeros((2, 2), np.uint8)
    times_ms = {"input": 1.0, "network": 2.0, "output": 3.0}
    segmentation = Segmentation(labels, 0, 0, FrameKind.P, Path.NONKEY, 4, times_ms)
    labelled = {"segmentation": segmentation, "fate": Fate.LABELLED, "kind": FrameKind.P}
    hand_in(diagnostics, intact=True, decode_ms=1.5, **labelled)
    hand_in(diagnostics, reason="the network failed: it", fate=Fate.FAILED, intact=True)
    ros.spin_until(lambda: arrays)
    tasks = by_task(arrays[-1])
    values = {pair.key: pair.value for status in tasks.values() for pair in status.values}
    assert values["frames since the last key step"] == "4"
    assert values["decoding, p95 (ms)"] == "1.5"
    assert values["inference, p50 (ms)"] == "6.0"
    assert values["latency bound (ms)"] == "200.0"
    assert (values["device memory in use (MiB)"], values["model"]) == ("3", "streets")
    assert int(values["process memory (MiB)"]) > 20
    assert tasks["device"].level == DiagnosticStatus.ERROR
    assert tasks["device"].message == "1 frames failed: the network failed: it"
    assert tasks["load"].level == DiagnosticStatus.OK


def test_publishers_of_the_video_are_counted(ros, node, start, arrays):
    made = [node.create_publisher(Clock, "/front/video", 1) for _ in range(2)]
    start()
    ros.spin_until(lambda: arrays)
    assert "2 publishers on /front/video" in by_task(arrays[-1])["stream"].message
    for publisher in made:
        node.destroy_publisher(publisher)


def test_a_stream_without_packets_goes_stale(ros, start, arrays):
    start(values=QUICK | {"diagnostic_stale_s": 0.3})
    ros.spin_until(lambda: arrays and by_task(arrays[-1])["stream"].level != DiagnosticStatus.OK)
    stream = by_task(arrays[-1])["stream"]
    assert stream.level == DiagnosticStatus.STALE and "/front/video" in stream.message


def test_limits_and_period_may_change(ros, start, arrays):
    diagnostics = start(values=VALUES | {"diagnostic_period": 3600.0})
    diagnostics.use(QUICK | {"diagnostic_latency_warn_ms": 0.0, "skip": False})
    labels = np.zeros((2, 2), np.uint8)
    times_ms = {"input": 1.0, "network": 2.0, "output": 3.0}
    segmentation = Segmentation(labels, 0, 0, FrameKind.I, Path.KEY, 0, times_ms)
    hand_in(diagnostics, segmentation=segmentation, fate=Fate.LABELLED, intact=True)
    ros.spin_until(lambda: arrays)
    load = by_task(arrays[-1])["load"]
    assert load.level == DiagnosticStatus.WARN
    assert {pair.key: pair.value for pair in load.values}["latency bound (ms)"] == "inf"


def test_a_device_that_does_not_answer_is_an_error_and_no_end(ros, start, arrays):
    def fail():
        raise RuntimeError("CUDA error")

    start(fail)
    ros.spin_until(lambda: len(arrays) == 2)
    device = by_task(arrays[-1])["device"]
    assert device.level == DiagnosticStatus.ERROR
    assert device.message == "the device does not answer: RuntimeError: CUDA error"


def test_nothing_is_made_for_nobody(start):
    asked = []
    start(lambda: asked.append(1) or DEVICE)._reports._publish()
    assert not asked


def test_stamps_are_of_the_nodes_clock_and_the_period_is_not(ros, node, start, arrays):
    node.set_parameters([RosParameter("use_sim_time", value=True)])
    clock = ros.add(Node("clock")).create_publisher(Clock, "/clock", 1)
    start()

    def arrived():
        message = Clock()
        message.clock.sec = 77  # and stands still
        clock.publish(message)
        return len([array for array in arrays if array.header.stamp.sec == 77]) >= 2

    ros.spin_until(arrived)


def test_it_leaves_nothing_behind_when_it_is_closed(ros, node, arrays):
    timers, publishers = len(list(node.timers)), len(list(node.publishers))
    for count in range(1, 6):
        diagnostics = Diagnostics(node, "/video", lambda: DEVICE, QUICK)
        ros.spin_until(lambda count=count: len(arrays) >= count)
        diagnostics.close()
        assert (len(list(node.timers)), len(list(node.publishers))) == (timers, publishers)


def test_the_table_is_one_of_parameters_with_ranges(node):
    assert len({row.name for row in TABLE}) == len(TABLE)
    for row in TABLE:
        assert row.name.startswith("diagnostic_")
        assert row.description.endswith(".") and isinstance(row.default, float)
        low, high = row.range
        assert low <= row.default <= high
    assert Parameters(node, TABLE).values() == {row.name: row.default for row in TABLE}


def test_the_processes_memory_is_what_it_grows_by():
    before = resident_bytes()
    with mmap.mmap(-1, 256 << 20) as block:
        for _ in range(256):  # not at once: what that takes may not be given back
            block.write(b"\1" * (1 << 20))
        assert 240 << 20 < resident_bytes() - before < 320 << 20
