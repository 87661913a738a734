"""The segment node in this process, with a segmenter that has no network."""

import gc
import threading
import time
import weakref

import pytest
import rclpy
from autoware_internal_debug_msgs.msg import Float64Stamped
from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from twnet_ros.codec import StreamDecoder
from twnet_ros.nodes import output, segment_node
from twnet_ros.nodes.conversion import decode_mask
from twnet_ros.nodes.segment_node import SegmentNode
from twnet_ros.nodes.watch import Fate
from twnet_ros.segment import KeyPolicy

COMES_S = 60  # only a test that fails waits for it

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """What was logged is no news for longer than any test takes."""
    monkeypatch.setattr(segment_node, "THROTTLE_S", 3600.0)


def state_of(node):
    return node._state_machine.current_state[0]


def test_labels_and_masks_of_each_packet_under_its_header(ros, connect, mpeg4_packets):
    camera = connect("labels", "masks", "masks/traffic_light")
    for sec, packet in enumerate(mpeg4_packets, 1):
        camera.send(packet.data, sec)
    received = camera.received
    ros.spin_until(lambda: all(len(messages) == 18 for messages in received.values()))
    decoder = StreamDecoder("mpeg4")
    for i, packet in enumerate(mpeg4_packets):
        expected = decoder.decode(packet.data)[0].y >> 6
        for messages in received.values():
            header = messages[i].header
            assert (header.stamp.sec, header.frame_id) == (i + 1, "front")
        assert (CvBridge().imgmsg_to_cv2(received["labels"][i]) == expected).all()
        lights = CvBridge().imgmsg_to_cv2(received["masks/traffic_light"][i])
        assert (lights == (expected == 2) * 255).all()
        for mask in received["masks"][i].masks:
            assert (decode_mask(mask, *expected.shape) == (expected == mask.class_id)).all()
    assert [status.path for status in received["status"][:7]] == [1, 2, 2, 2, 2, 2, 1]


def test_nothing_without_a_subscriber_is_computed(
    ros, segment, published, connect, monkeypatch, mpeg4_packets, fake_segmenter
):
    def fail(*args):
        raise AssertionError("computed for nobody")

    for name in ("encode_masks", "class_image", "compressed_message", "render_labels"):
        monkeypatch.setattr(output, name, fail)
    camera = connect("labels")
    camera.send(mpeg4_packets[0].data, 1)
    ros.spin_until(lambda: camera.received["labels"])

    monkeypatch.setattr(output, "image_message", fail)
    for subscription in list(camera.subscriptions):
        if subscription.topic_name.endswith("labels"):
            camera.destroy_subscription(subscription)
    ros.spin_until(lambda: not published("labels").get_subscription_count())
    stepped = len(fake_segmenter.stepped)
    camera.send(mpeg4_packets[1].data, 2)
    ros.spin_until(lambda: len(camera.received["status"]) == 2)
    assert "nobody subscribes" in camera.received["status"][1].reason
    assert len(fake_segmenter.stepped) == stepped


def test_frames_that_would_be_late_are_skipped_and_that_is_said(
    ros, segment, connect, mpeg4_packets, busy, capfd
):
    for name, value in (("skip", True), ("max_latency_ms", 0.0)):
        assert segment.set_parameters([Parameter(name, value=value)])[0].successful
    entered, gate = busy
    camera = connect("labels")
    camera.send(mpeg4_packets[0].data, 1)
    ros.spin_until(entered.is_set)
    for sec in range(2, 7):
        camera.send(mpeg4_packets[sec - 1].data, sec)
    ros.spin_until(lambda: segment._pipeline._backlog.pushed == 6)
    gate.set()
    statuses, labels = camera.received["status"], camera.received["labels"]
    ros.spin_until(lambda: len(statuses) == 6 and len(labels) == 2)
    assert [message.header.stamp.sec for message in labels] == [1, 6]
    assert all("max_latency_ms" in status.reason for status in statuses[1:5])
    assert not any(status.waiting for status in statuses)
    assert statuses[-1].frames_skipped == 4
    warnings = [line for line in capfd.readouterr().err.splitlines() if "[WARN]" in line]
    assert len([line for line in warnings if "skipped for a newer frame" in line]) == 1


def test_what_is_no_video_is_reported_and_the_node_stays_up(
    ros, connect, mpeg4_packets, capfd, namespace
):
    camera = connect("labels")
    camera.send(b"\xff\xd8\xff\xe0", 1, format="jpeg")
    camera.send(b"", 2)
    camera.send(mpeg4_packets[0].data, 3)
    camera.send(mpeg4_packets[1].data[:-30], 4)
    camera.send(mpeg4_packets[2].data, 5)
    camera.send(mpeg4_packets[6].data, 6)
    statuses, labels = camera.received["status"], camera.received["labels"]
    ros.spin_until(lambda: len(statuses) == 6 and len(labels) == 2)
    assert [message.header.stamp.sec for message in labels] == [3, 6]
    assert (
        "expected format 'h264', 'mpeg4', 'hevc', 'vp9', 'av1', got 'jpeg'" in statuses[0].reason
    )
    assert "empty" in statuses[1].reason
    assert all(status.waiting and status.reason for status in (*statuses[:2], *statuses[3:5]))
    camera.send(mpeg4_packets[7].data[:-30], 7)  # another number of bytes: the same fault
    ros.spin_until(lambda: len(statuses) == 7)
    errors = [line for line in capfd.readouterr().err.splitlines() if "[ERROR]" in line]
    assert len(errors) == 3
    assert (
        f"{namespace}/video: expected format 'h264', 'mpeg4', 'hevc', 'vp9', 'av1', got 'jpeg'"
        in errors[0]
    )
    assert "empty packet" in errors[1]
    assert "decode error" in errors[2]


def test_a_fault_that_comes_again_after_a_while_is_said_again(ros, connect, monkeypatch, capfd):
    monkeypatch.setattr(segment_node, "THROTTLE_S", 0.0)
    camera = connect("labels")
    for sec in (1, 2):
        camera.send(b"", sec)
    lines = []

    def said():
        lines.extend(line for line in capfd.readouterr().err.splitlines() if "[ERROR]" in line)
        return len(lines) == 2

    ros.spin_until(said)
    assert all("empty packet" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("model", "/nowhere.safetensors", "model: expected a checkpoint file"),
        ("model", __file__, "expected a safetensors file"),
        ("mask_classes", ["moon"], "among the classes"),
    ],
)
def test_a_wrong_setting_is_named_and_can_be_mended(
    name, value, expected, ros, monkeypatch, capfd, fake_segmenter
):
    if name != "model":
        monkeypatch.setattr(segment_node.Segmenter, "load", lambda *args, **kwargs: fake_segmenter)
    segment = ros.add(SegmentNode())
    segment.set_parameters([Parameter(name, value=value)])
    segment.start()
    assert state_of(segment) == State.PRIMARY_STATE_UNCONFIGURED
    errors = [line for line in capfd.readouterr().err.splitlines() if "[ERROR]" in line]
    assert len(errors) == 1 and expected in errors[0]
    monkeypatch.setattr(segment_node.Segmenter, "load", lambda *args, **kwargs: fake_segmenter)
    mended = ["road"] if name == "mask_classes" else "mended"
    assert segment.set_parameters([Parameter("use_sim_time", value=False)])[0].successful
    assert state_of(segment) == State.PRIMARY_STATE_UNCONFIGURED  # that is none of its own
    assert segment.set_parameters([Parameter(name, value=mended)])[0].successful
    assert state_of(segment) == State.PRIMARY_STATE_ACTIVE


def test_what_still_fails_is_tried_again_until_it_is_mended(segment, capfd):
    segment.set_parameters([Parameter("mask_classes", value=["moon"])])
    segment.start()
    segment.set_parameters([Parameter("mask_classes", value=["sun"])])
    assert state_of(segment) == State.PRIMARY_STATE_UNCONFIGURED
    errors = [line for line in capfd.readouterr().err.splitlines() if "[ERROR]" in line]
    assert ["got moon" in line or "got sun" in line for line in errors] == [True, True]
    segment.set_parameters([Parameter("mask_classes", value=["sky"])])
    assert state_of(segment) == State.PRIMARY_STATE_ACTIVE


def test_a_node_that_is_mended_by_its_parameter_service_starts(ros, segment):
    segment.set_parameters([Parameter("mask_classes", value=["moon"])])
    segment.start()
    client = AsyncParameterClient(ros.add(Node("client")), segment.get_fully_qualified_name())
    ros.spin_until(client.services_are_ready)
    future = client.set_parameters([Parameter("mask_classes", value=["sky"])])
    ros.spin_until(future.done)
    assert future.result().results[0].successful
    assert state_of(segment) == State.PRIMARY_STATE_ACTIVE


@pytest.mark.parametrize("autostart", [True, False])
def test_what_somebody_else_configures_or_ends_does_not_start_itself(segment, autostart):
    wrong, right = (Parameter("mask_classes", value=[name]) for name in ("moon", "sky"))
    segment.set_parameters([wrong])
    segment.start()
    segment.set_parameters([Parameter("autostart", value=False), right])
    assert state_of(segment) == State.PRIMARY_STATE_UNCONFIGURED
    assert segment.trigger_configure() == segment.trigger_cleanup() == SUCCESS
    segment.set_parameters([Parameter("autostart", value=autostart)])
    assert state_of(segment) == State.PRIMARY_STATE_UNCONFIGURED
    segment.set_parameters([wrong])
    segment.start()
    assert segment.trigger_shutdown() == SUCCESS
    segment.set_parameters([right])
    assert state_of(segment) == State.PRIMARY_STATE_FINALIZED


@pytest.mark.parametrize("size", [[512], [-1, 32], [0, 32], [512, 256, 3]])
def test_an_input_size_that_is_none_is_refused_at_once(segment, size):
    (result,) = segment.set_parameters([Parameter("input_size", value=size)])
    assert not result.successful
    assert result.reason == f"expected input_size [width, height] or [0, 0], got {size}"
    assert segment.set_parameters([Parameter("input_size", value=[512, 256])])[0].successful


def outputs_of(node):
    return {p.topic_name for p in node.publishers if "/segment/" in p.topic_name}


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("road", "2 wheels"), "'2 wheels'"),
        (("road", "*"), "'*'"),
        (("traffic light", "traffic-light"), "'traffic light' and 'traffic-light'"),
    ],
)
def test_classes_that_name_no_topic_are_refused_unless_left_out(
    classes, expected, segment, fake_segmenter, capfd
):
    fake_segmenter.classes = classes
    assert segment.trigger_configure() == FAILURE
    assert expected in capfd.readouterr().err
    assert segment.set_parameters([Parameter("mask_classes", value=[classes[0]])])[0].successful
    assert segment.trigger_configure() == SUCCESS


def test_a_failed_configuration_says_why_and_leaves_nothing(segment, fake_segmenter, capfd):
    def fail(kind, topic, *args, **kwargs):
        if topic == "~/masks":
            raise RuntimeError("no more handles")
        return create(kind, topic, *args, **kwargs)

    segment.create_publisher, create = fail, segment.create_publisher
    assert segment.trigger_configure() == FAILURE
    assert "RuntimeError: no more handles" in capfd.readouterr().err
    assert state_of(segment) == State.PRIMARY_STATE_UNCONFIGURED
    assert not outputs_of(segment)
    assert segment.set_parameters([Parameter("queue_size", value=7)])[0].successful
    segment.create_publisher = create
    assert segment.trigger_configure() == SUCCESS
    assert segment.trigger_activate() == SUCCESS


def test_what_keeps_a_node_from_work_is_on_diagnostics_until_it_works(ros, segment):
    seen = []

    def take(array):
        seen.extend(s for s in array.status if s.name.endswith("/segment: stream"))

    watcher = ros.add(Node("watcher"))
    watcher.create_subscription(DiagnosticArray, "/diagnostics", take, 10)
    segment.set_parameters([Parameter("mask_classes", value=["moon"])])
    segment.start()
    ros.spin_until(lambda: seen)
    assert seen[-1].level == DiagnosticStatus.ERROR
    assert "cannot configure" in seen[-1].message and "got moon" in seen[-1].message
    segment.set_parameters([Parameter("mask_classes", value=["sky"])])
    assert state_of(segment) == State.PRIMARY_STATE_ACTIVE
    ros.spin_until(lambda: "waiting for the first packet" in seen[-1].message)
    assert [p.topic_name for p in segment.publishers].count("/diagnostics") == 1


def test_a_node_that_cannot_be_activated_is_tried_again(segment, monkeypatch, capfd):
    segment.set_parameters([Parameter("input_type", value="compressed_image")])
    with monkeypatch.context() as patched:
        patched.setattr(segment_node, "Intake", None)
        segment.start()
    assert state_of(segment) == State.PRIMARY_STATE_INACTIVE
    assert "cannot activate: TypeError" in capfd.readouterr().err
    segment.set_parameters([Parameter("overlay_opacity", value=0.25)])
    assert state_of(segment) == State.PRIMARY_STATE_ACTIVE
    assert segment._outputs._look.opacity == 0.25


def test_a_node_that_is_cleaned_up_waits_for_who_did_it(segment, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(segment_node, "Intake", None)
        segment.start()
    assert segment.trigger_cleanup() == SUCCESS
    for name, value in {"queue_size": 7, "parse": True}.items():
        assert segment.set_parameters([Parameter(name, value=value)])[0].successful
    assert state_of(segment) == State.PRIMARY_STATE_UNCONFIGURED


@pytest.fixture
def engine(segment, monkeypatch, fake_segmenter):
    """A reference to the engine that the node loads, which nobody else holds."""
    made = []

    def load(*args, **kwargs):
        engine = type(fake_segmenter)()
        made.append(weakref.ref(engine))
        return engine

    monkeypatch.setattr(segment_node.Segmenter, "load", load)

    def engine():
        gc.collect()
        return made[-1]()

    return engine


def test_a_failed_configuration_gives_the_model_back(segment, engine):
    segment.set_parameters([Parameter("mask_classes", value=["moon"])])
    assert segment.trigger_configure() == FAILURE
    assert engine() is None


@pytest.mark.parametrize("active", [False, True])
def test_a_node_that_is_shut_down_gives_model_and_publishers_back(segment, engine, active):
    assert segment.trigger_configure() == SUCCESS
    if active:
        assert segment.trigger_activate() == SUCCESS
    assert outputs_of(segment) and engine() is not None
    assert segment.trigger_shutdown() == SUCCESS
    assert state_of(segment) == State.PRIMARY_STATE_FINALIZED
    assert not outputs_of(segment)
    assert engine() is None


def test_a_node_that_was_active_is_cleaned_up_whole(segment, engine):
    segment.start()
    assert engine() is not None
    assert segment.trigger_deactivate() == segment.trigger_cleanup() == SUCCESS
    assert engine() is None and not outputs_of(segment)


def test_a_node_may_be_shut_down_before_it_is_configured(segment):
    assert segment.trigger_shutdown() == SUCCESS
    assert state_of(segment) == State.PRIMARY_STATE_FINALIZED


def test_whatever_the_model_raises_is_logged(segment, monkeypatch, capfd):
    def fail(*args, **kwargs):
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(segment_node.Segmenter, "load", fail)
    segment.start()
    assert state_of(segment) == State.PRIMARY_STATE_UNCONFIGURED
    assert "RuntimeError: the device is gone" in capfd.readouterr().err
    assert segment.set_parameters([Parameter("queue_size", value=7)])[0].successful


def test_a_failed_activation_says_why_and_does_not_listen(segment, monkeypatch, capfd):
    def fail(*args, **kwargs):
        raise RuntimeError("no more threads")

    with monkeypatch.context() as patched:
        patched.setattr(segment_node, "Pipeline", fail)
        segment.start()
    assert state_of(segment) == State.PRIMARY_STATE_INACTIVE
    assert "cannot activate: RuntimeError: no more threads" in capfd.readouterr().err
    assert not [s for s in segment.subscriptions if s.topic_name.endswith("/video")]
    assert segment.trigger_activate() == SUCCESS


def test_the_engine_is_made_as_the_parameters_say(segment, monkeypatch, fake_segmenter):
    seen = {}
    monkeypatch.setattr(
        segment_node.Segmenter,
        "load",
        lambda *args, **kwargs: seen.update(kwargs, args=args) or fake_segmenter,
    )
    values = {
        "model": "m",
        "device": "cpu",
        "precision": "bf16",
        "input_size": [320, 160],
        "motion": "flow",
        "label_broken": True,
        "key_policy": "interval",
        "key_interval": 7,
        "key_intra": 0.25,
    }
    for name, value in values.items():
        assert segment.set_parameters([Parameter(name, value=value)])[0].successful
    assert segment.trigger_configure() == SUCCESS
    assert seen == {
        "args": ("m", "cpu", "bf16"),
        "input_size": (320, 160),
        "motion": "flow",
        "label_broken": True,
        "policy": KeyPolicy(interval=7, intra=0.25),
    }


@pytest.mark.parametrize(
    ("name", "bound", "expected"),
    [
        ("max_packet_bytes", 1024, "at most 1024 bytes a packet"),
        ("max_pixels", 1024, "at most 1024 px, got 3072 px"),
    ],
)
def test_what_is_too_large_is_dropped_and_that_is_said(
    ros, segment, connect, name, bound, expected, mpeg4_packets, capfd
):
    assert segment.set_parameters([Parameter(name, value=bound)])[0].successful
    camera = connect("labels")
    for sec in (1, 2):
        camera.send(mpeg4_packets[0].data, sec)
    statuses = camera.received["status"]
    ros.spin_until(lambda: len(statuses) == 2)  # the first is logged by then
    assert statuses[0].packets_dropped == 1 and expected in statuses[0].reason
    assert expected in capfd.readouterr().err


def test_a_broken_chain_is_labelled_on_request_and_that_is_said(
    ros, segment, connect, mpeg4_packets, fake_segmenter, capfd
):
    fake_segmenter.label_broken = True
    camera = connect("labels")
    for sec in (1, 2, 3, 5, 6):  # the fourth is lost
        camera.send(mpeg4_packets[sec - 1].data, sec)
    statuses, labels = camera.received["status"], camera.received["labels"]
    ros.spin_until(lambda: len(statuses) == len(labels) == 5)
    assert [status.chain_intact for status in statuses] == [True] * 3 + [False] * 2
    assert not any(status.waiting for status in statuses)
    assert all("lost packets" in status.reason for status in statuses[3:])
    warnings = [line for line in capfd.readouterr().err.splitlines() if "[WARN]" in line]
    assert len([line for line in warnings if "although the reference chain" in line]) == 1


def test_a_frame_that_cannot_be_published_has_its_status_and_the_next_is_served(
    ros, segment, connect, mpeg4_packets, monkeypatch, capfd
):
    camera = connect("labels")
    statuses, labels = camera.received["status"], camera.received["labels"]

    def fail(*_):
        raise RuntimeError("no memory for it")

    with monkeypatch.context() as patched:
        patched.setattr(segment._outputs, "publish", fail)
        for sec in (1, 2):
            camera.send(mpeg4_packets[sec - 1].data, sec)
        ros.spin_until(lambda: len(statuses) == 2)
    camera.send(mpeg4_packets[2].data, 3)
    ros.spin_until(lambda: len(statuses) == 3 and labels)
    assert [status.header.stamp.sec for status in statuses] == [1, 2, 3]
    assert ["RuntimeError: no memory for it" in status.reason for status in statuses] == [
        *[True] * 2,
        False,
    ]
    assert [message.header.stamp.sec for message in labels] == [3]
    assert segment._diagnostics._watch.snapshot(time.monotonic()).fates[Fate.FAILED] == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if "[ERROR]" in line]
    assert len(errors) == 1 and "not all was published: RuntimeError" in errors[0]


def test_a_caveat_is_said_once(ros, connect, mpeg4_packets, fake_segmenter, capfd):
    fake_segmenter.caveat = "the network runs on the CPU"
    camera = connect("labels")
    for sec in (1, 2, 3):
        camera.send(mpeg4_packets[sec - 1].data, sec)
    ros.spin_until(lambda: len(camera.received["status"]) == 3)  # the second was logged by then
    assert all(status.caveat == fake_segmenter.caveat for status in camera.received["status"])
    warnings = [line for line in capfd.readouterr().err.splitlines() if "[WARN]" in line]
    assert len([line for line in warnings if fake_segmenter.caveat in line]) == 1


def test_debug_times_are_published_with_the_labels(ros, published, connect, mpeg4_packets):
    camera = connect("labels")
    camera.listen("debug/pipeline_latency_ms", Float64Stamped, 1)
    ros.spin_until(published("debug/pipeline_latency_ms").get_subscription_count)
    camera.send(mpeg4_packets[0].data, 1)
    ros.spin_until(lambda: all(camera.received.values()))
    (status,), (latency,) = camera.received["status"], camera.received["debug/pipeline_latency_ms"]
    assert latency.data == pytest.approx(status.age_ms)


def test_unknown_mask_classes_are_refused_with_those_there_are(segment, capfd):
    segment.set_parameters([Parameter("mask_classes", value=["person", "moon"])])
    assert segment.trigger_configure() == FAILURE
    assert "(road, sky, traffic light, person), got moon" in capfd.readouterr().err


def test_only_the_wanted_classes_have_topics(segment):
    segment.set_parameters([Parameter("mask_classes", value=["person", "traffic light"])])
    assert segment.trigger_configure() == SUCCESS
    topics = {p.topic_name.partition("/segment/")[2] for p in segment.publishers}
    masks = {topic for topic in topics if topic.startswith("masks/")}
    assert masks == {"masks/person", "masks/traffic_light"}


def test_the_parameter_service_refuses_changes_in_use(ros, segment):
    segment.start()
    client = AsyncParameterClient(ros.add(Node("client")), segment.get_fully_qualified_name())
    ros.spin_until(client.services_are_ready)
    future = client.set_parameters([Parameter("queue_size", value=7)])
    ros.spin_until(future.done)
    (result,) = future.result().results
    assert not result.successful and "queue_size is read-only" in result.reason


def test_the_lifecycle_goes_round(ros, segment, published, camera_of, mpeg4_packets):
    segment.set_parameters([Parameter("autostart", value=False)])
    segment.start()
    assert state_of(segment) == State.PRIMARY_STATE_UNCONFIGURED
    camera = camera_of("labels")
    for sec in (1, 2):
        assert segment.trigger_configure() == SUCCESS
        assert segment.trigger_activate() == SUCCESS
        ros.spin_until(lambda: camera.video.get_subscription_count())
        ros.spin_until(published("labels").get_subscription_count)
        camera.send(mpeg4_packets[0].data, sec)
        ros.spin_until(lambda count=sec: len(camera.received["labels"]) == count)
        assert segment.trigger_deactivate() == SUCCESS
        ros.spin_until(lambda: not camera.video.get_subscription_count())
        assert segment.trigger_cleanup() == SUCCESS
        assert segment.set_parameters([Parameter("queue_size", value=7)])[0].successful
    assert not {"decode", "segment"} & {thread.name for thread in threading.enumerate()}


def test_ros_that_is_shut_down_in_full_work_waits_for_no_thread_that_waits_for_it(
    ros, segment, connect, mpeg4_packets, busy, monkeypatch
):
    """rclpy destroys the node under its lock, while a signal may end what the node sends on."""
    entered, gate = busy
    camera = connect("labels")
    camera.send(mpeg4_packets[0].data, 1)
    ros.spin_until(entered.is_set)

    def publish(*_):
        raise rclpy_implementation.RCLError("the context is gone")

    monkeypatch.setattr(segment._outputs, "publish", publish)
    stopping, close = threading.Event(), segment._pipeline._backlog.close
    monkeypatch.setattr(segment._pipeline._backlog, "close", lambda: (close(), stopping.set()))
    ends = threading.Thread(target=rclpy.try_shutdown, daemon=True)
    ends.start()
    assert stopping.wait(COMES_S)
    gate.set()
    ends.join(COMES_S)
    assert not ends.is_alive()
