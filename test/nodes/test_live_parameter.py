"""Parameters that change while the node runs: between two frames, whole or not at all."""

import json
import random
import threading

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from twnet_ros.nodes.diagnostic import Reports
from twnet_ros.nodes.setting import TABLE
from twnet_ros.segment import KeyPolicy, Segmenter, SegmentError

ARRIVES_S = 60  # far more than it takes; only a test that fails waits for it


@pytest.fixture
def engines(monkeypatch, fake_segmenter):
    """What is loaded after the first engine: one that calls everything class 1, or an error."""
    loaded = []

    def load(model, device, precision, **others):
        loaded.append((model, device, others["input_size"]))
        if model == "gone":
            raise SegmentError("model: expected a checkpoint file, got 'gone'")
        if len(loaded) == 1:
            return fake_segmenter
        other = type(fake_segmenter)()
        other.classes = ("sky", "lawn")
        other.colors = np.array([[1, 1, 1], [2, 2, 2]], np.uint8)
        other.label = 1
        return other

    monkeypatch.setattr(Segmenter, "load", load)
    return loaded


def set_all(node, **values):
    return node.set_parameters_atomically([Parameter(n, value=v) for n, v in values.items()])


def test_a_dump_of_the_parameters_can_be_loaded_into_the_running_node(ros, segment):
    segment.start()
    client = AsyncParameterClient(ros.add(Node("client")), segment.get_fully_qualified_name())
    ros.spin_until(client.services_are_ready)
    dumped = client.get_parameters([row.name for row in TABLE])
    ros.spin_until(dumped.done)
    values = zip(TABLE, dumped.result().values, strict=True)
    given = [Parameter.from_parameter_msg(_named(row.name, value)) for row, value in values]
    loaded = client.set_parameters(given)
    ros.spin_until(loaded.done)
    assert all(result.successful for result in loaded.result().results)


def _named(name, value):
    message = Parameter(name, value=0).to_parameter_msg()
    message.value = value
    return message


def test_key_policy_and_latency_take_effect(segment, fake_segmenter):
    segment.start()
    assert set_all(segment, key_policy="interval", key_interval=7, key_intra=0.25).successful
    assert fake_segmenter.policy == KeyPolicy(interval=7, intra=0.25)
    assert set_all(segment, key_policy="codec").successful
    assert fake_segmenter.policy == KeyPolicy()
    assert set_all(segment, skip=True, max_latency_ms=50.0).successful
    assert segment._pipeline.max_latency_ms == 50.0
    assert set_all(segment, skip=False).successful
    assert segment._pipeline.max_latency_ms is None


def test_bounds_of_diagnostics_take_effect(ros, segment, connect, mpeg4_packets):
    assert set_all(segment, diagnostic_stale_s=60.0).successful  # nothing is forgotten meanwhile
    camera, loads = connect("labels"), []
    for sec in (1, 2):
        camera.send(mpeg4_packets[sec - 1].data, sec)
    ros.spin_until(lambda: len(camera.received["status"]) == 2)  # the first is counted by then
    assert set_all(segment, diagnostic_latency_warn_ms=0.0, diagnostic_period=0.1).successful

    def take(array):
        name = f"{segment.get_fully_qualified_name()[1:]}: load"
        loads.extend(status for status in array.status if status.name == name)

    camera.create_subscription(DiagnosticArray, "/diagnostics", take, 10)
    ros.spin_until(lambda: loads)
    assert loads[0].level == DiagnosticStatus.WARN
    assert "from packet to labels" in loads[0].message


def test_another_model_is_swapped_in_between_two_frames(
    ros, segment, fake_segmenter, engines, connect, mpeg4_packets
):
    camera = connect("labels", "masks")
    for sec in (1, 2, 3):
        camera.send(mpeg4_packets[sec - 1].data, sec)
    ros.spin_until(lambda: len(camera.received["status"]) == 3)
    assert set_all(segment, model="other", mask_classes=["lawn"]).successful
    for sec in (4, 5):
        camera.send(mpeg4_packets[sec - 1].data, sec)
    ros.spin_until(lambda: all(len(messages) == 5 for messages in camera.received.values()))
    paths = [status.path for status in camera.received["status"]]
    assert paths == [1, 2, 2, 1, 2]  # the new one begins with a key step at once, on a P-frame
    assert [s.frames_skipped for s in camera.received["status"]] == [0] * 5
    classes = [[mask.class_name for mask in m.masks] for m in camera.received["masks"]]
    assert "lawn" not in sum(classes[:3], []) and set(sum(classes[3:], [])) == {"lawn"}
    assert engines == [("camvid-mobilenetv1-layer1", "auto", None), ("other", "auto", None)]
    assert fake_segmenter.warm and segment._segmenter.warm


def test_video_is_taken_and_labelled_while_a_model_loads(
    ros, segment, monkeypatch, fake_segmenter, connect, mpeg4_packets
):
    camera = connect("labels")
    camera.send(mpeg4_packets[0].data, 1)
    ros.spin_until(lambda: len(camera.received["status"]) == 1)
    labelled = threading.Event()
    step = fake_segmenter.step

    def step_on(frame):
        labelled.set()
        return step(frame)

    def load(*args, **others):
        camera.send(mpeg4_packets[1].data, 2)
        assert labelled.wait(ARRIVES_S)
        return type(fake_segmenter)()

    fake_segmenter.step = step_on
    monkeypatch.setattr(Segmenter, "load", load)
    assert set_all(segment, model="slow").successful
    camera.send(mpeg4_packets[2].data, 3)
    ros.spin_until(lambda: all(len(messages) == 3 for messages in camera.received.values()))
    assert [status.path for status in camera.received["status"]] == [1, 2, 1]


def test_diagnostics_go_on_while_a_model_loads(segment, monkeypatch, fake_segmenter):
    reported = threading.Event()
    publish = Reports._publish
    monkeypatch.setattr(Reports, "_publish", lambda self: (publish(self), reported.set()))
    segment.start()
    assert set_all(segment, diagnostic_period=0.1).successful

    def load(*args, **others):
        for _ in range(3):
            reported.clear()
            assert reported.wait(ARRIVES_S)
        return type(fake_segmenter)()

    monkeypatch.setattr(Segmenter, "load", load)
    assert set_all(segment, model="slow").successful


def test_a_model_that_will_not_do_leaves_the_present_one_at_work(
    ros, segment, engines, connect, mpeg4_packets
):
    assert set_all(segment, mask_classes=["road"]).successful
    camera = connect("labels")
    camera.send(mpeg4_packets[0].data, 1)
    ros.spin_until(lambda: len(camera.received["status"]) == 1)
    refused = set_all(segment, model="gone")
    assert not refused.successful and "expected a checkpoint file" in refused.reason
    refused = set_all(segment, model="other", overlay_opacity=0.9)  # which has no class road
    assert not refused.successful and "(sky, lawn), got road" in refused.reason
    assert segment.get_parameter("model").value == "camvid-mobilenetv1-layer1"
    assert segment.get_parameter("overlay_opacity").value == 0.5
    camera.send(mpeg4_packets[1].data, 2)
    ros.spin_until(lambda: len(camera.received["status"]) == 2)
    assert [status.path for status in camera.received["status"]] == [1, 2]


def test_files_of_the_look_are_read_when_it_changes_alone(segment, engines, tmp_path):
    colors = tmp_path / "colors.json"
    names = ["road", "sky", "traffic light", "person"]
    colors.write_text(json.dumps({"names": names, "colors": [[9, 9, 9]] * 4}))
    assert set_all(segment, colors=str(colors)).successful
    segment.start()
    colors.unlink()
    assert set_all(segment, max_latency_ms=50.0).successful
    refused = set_all(segment, overlay_opacity=0.1)
    assert not refused.successful and "colors.json" in refused.reason


def test_an_inactive_node_takes_changes_too(segment, engines):
    assert set_all(segment, autostart=False).successful
    segment.trigger_configure()
    assert segment._state_machine.current_state[0] == State.PRIMARY_STATE_INACTIVE
    assert set_all(segment, model="other", input_size=[320, 160]).successful
    assert segment._segmenter.classes == ("sky", "lawn")
    assert engines[-1] == ("other", "auto", (320, 160))


@pytest.mark.parametrize("topic", ["a//b", "//camera_info", "{other}/x", "a b", "x" * 260])
def test_what_is_no_topic_is_refused(segment, topic):
    refused = set_all(segment, camera_info=topic)
    assert not refused.successful
    assert f"camera_info: expected the name of a topic, got {topic!r}: " in refused.reason
    assert set_all(segment, camera_info="~/calibration").successful


GOOD, BAD = True, False
STORM = {  # of values that are taken and refused
    "overlay_opacity": {GOOD: (0.0, 0.3, 1.0), BAD: (7.0,)},
    "confidence_threshold": {GOOD: (0.0, 0.5), BAD: (-1.0,)},
    "mask_classes": {GOOD: (["road"], ["all"], ["person", "sky"]), BAD: (["moon"],)},
    "key_policy": {GOOD: ("codec", "interval", "adaptive"), BAD: ("never",)},
    "key_interval": {GOOD: (1, 12, 24), BAD: (0,)},
    "output_scale": {GOOD: (0.5, 1.0), BAD: (1.5,)},
    "max_latency_ms": {GOOD: (0.0, 100.0, 5000.0), BAD: (-5.0,)},
    "queue_size": {GOOD: (30,), BAD: (31,)},  # read-only in use
}


def test_a_storm_of_changes_loses_no_frame(ros, segment, connect, mpeg4_packets):
    """1,000 sets by the node's service, a quarter of them refused, while packets come."""
    client = AsyncParameterClient(ros.add(Node("client")), segment.get_fully_qualified_name())
    camera = connect("labels", "masks")
    rng = random.Random(5)
    ros.spin_until(client.services_are_ready)
    expected = {name: segment.get_parameter(name).value for name in STORM}
    status, sent = camera.received["status"], 0

    for number in range(1000):
        names = rng.sample(sorted(STORM), rng.randint(1, 3))
        good = rng.random() < 0.75
        values = {name: rng.choice(STORM[name][GOOD]) for name in names}
        if not good:
            values[names[0]] = rng.choice(STORM[names[0]][BAD])
        given = client.set_parameters_atomically(
            [Parameter(n, value=v) for n, v in values.items()]
        )
        ros.spin_until(given.done)
        assert given.result().result.successful == good, values
        expected |= values if good else {}
        if number % 10 == 0:
            camera.send(mpeg4_packets[sent % 18].data, 1 + sent)
            sent += 1
    ros.spin_until(lambda: all(len(messages) == sent for messages in camera.received.values()))
    assert {name: segment.get_parameter(name).value for name in STORM} == expected
    assert not any(message.frames_skipped for message in status)
    names = [p.topic_name for p in segment.publishers if "/masks/" in p.topic_name]
    wanted = expected["mask_classes"]
    every = {"road", "sky", "traffic_light", "person"}
    assert {name.rpartition("/")[2] for name in names} == (
        every if wanted == ["all"] else set(wanted)
    )
