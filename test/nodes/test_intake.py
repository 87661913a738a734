"""Three message types in: what each brings, which one is taken, and what is said where none is."""

import sys
from functools import partial

import pytest
from ffmpeg_image_transport_msgs.msg import FFMPEGPacket
from foxglove_msgs.msg import CompressedVideo
from lifecycle_msgs.msg import State
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from twnet_ros.msg import FrameStatus
from twnet_ros.nodes import intake
from twnet_ros.nodes.intake import (
    INPUT_TYPES,
    Intake,
    accepted_types,
    find_type,
    offered_reliability,
)
from twnet_ros.nodes.segment_node import SegmentNode
from twnet_ros.nodes.succession import Succession
from twnet_ros.nodes.topic import STATUS_QOS
from twnet_ros.segment import Segmenter

COMPRESSED_IMAGE, FFMPEG, FOXGLOVE = INPUT_TYPES
RELIABLE, BEST_EFFORT = QoSReliabilityPolicy.RELIABLE, QoSReliabilityPolicy.BEST_EFFORT
CLASSES = {
    "compressed_image": CompressedImage,
    "ffmpeg": FFMPEGPacket,
    "foxglove": CompressedVideo,
}
PACKAGES = {
    "ffmpeg": ("ffmpeg_image_transport_msgs", "ffmpeg-image-transport-msgs"),
    "foxglove": ("foxglove_msgs", "foxglove-msgs"),
}


# What the messages hold


@pytest.mark.parametrize("kind", INPUT_TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("text", ["h264", "libx264;yuv420p;bgr8;bgr8", ""])
def test_data_codec_and_header_of_each_type(kind, text, message_of):
    message = message_of(kind.name, b"\x00\x00\x01\xb6 data", text, 5)
    data, format, header = kind.read(message)
    assert (data, format) == (b"\x00\x00\x01\xb6 data", text)
    assert type(data) is bytes
    expected = Header(frame_id="front")
    expected.stamp.sec = 5
    assert header == expected


def test_each_value_of_the_parameter_accepts_its_type_and_auto_accepts_all():
    for kind in INPUT_TYPES:
        assert accepted_types(kind.name) == (kind,)
        assert kind.load() is CLASSES[kind.name]
        message = kind.load()()
        assert kind.type_name == f"{message.__module__.split('.')[0]}/msg/{type(message).__name__}"
    assert accepted_types("auto") == INPUT_TYPES


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_not_installed_is_named_only_where_it_is_needed(name, monkeypatch):
    package, debian = PACKAGES[name]
    monkeypatch.setitem(sys.modules, f"{package}.msg", None)
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    with pytest.raises(ImportError, match=f"apt-get install ros-kilted-{debian}$"):
        accepted_types(name)
    assert accepted_types("auto") == INPUT_TYPES
    monkeypatch.delenv("ROS_DISTRO")
    with pytest.raises(ImportError, match=rf"ros-\$ROS_DISTRO-{debian}$"):
        accepted_types(name)


def test_a_package_that_is_too_old_is_named_too(monkeypatch):
    monkeypatch.delattr("foxglove_msgs.msg.CompressedVideo")
    with pytest.raises(ImportError, match=r"foxglove_msgs/msg/CompressedVideo.*-foxglove-msgs$"):
        FOXGLOVE.load()


@pytest.mark.parametrize(
    ("published", "accepted", "expected"),
    [
        ([], INPUT_TYPES, None),
        ([], (FFMPEG,), None),
        ([FOXGLOVE.type_name], INPUT_TYPES, FOXGLOVE),
        ([COMPRESSED_IMAGE.type_name], INPUT_TYPES, COMPRESSED_IMAGE),
        (["sensor_msgs/msg/Image", FFMPEG.type_name], INPUT_TYPES, FFMPEG),
        ([COMPRESSED_IMAGE.type_name, FFMPEG.type_name], (FFMPEG,), FFMPEG),
    ],
)
def test_the_type_that_is_published_is_found(published, accepted, expected):
    assert find_type(published, accepted) is expected


@pytest.mark.parametrize(
    ("published", "accepted", "expected"),
    [
        (["sensor_msgs/msg/Image"], INPUT_TYPES, "CompressedVideo, got sensor_msgs/msg/Image"),
        ([FOXGLOVE.type_name], (FFMPEG,), "/FFMPEGPacket, got foxglove_msgs/msg/Compr"),
        ([FOXGLOVE.type_name, FFMPEG.type_name], INPUT_TYPES, "one type of video.*set input_type"),
    ],
)
def test_other_types_and_more_than_one_are_errors(published, accepted, expected):
    with pytest.raises(ValueError, match=expected):
        find_type(published, accepted)


# The node


@pytest.fixture
def labels(ros):
    """The labels that arrive."""
    labels = []
    node = ros.add(Node("listener"))
    node.create_subscription(Image, "segment/labels", labels.append, QoSProfile(depth=1000))
    return labels


@pytest.fixture
def begin(ros, segment, labels, published):
    """Start the node, and wait until it knows who takes its labels."""

    def begin():
        segment.start()
        ros.spin_until(published("labels").get_subscription_count)

    return begin


@pytest.fixture
def said(capfd):
    """What the log has said so far, lines about the video only."""
    lines = []

    def said():
        lines.extend(capfd.readouterr().err.splitlines())
        return [line.split("]: ", 1)[1] for line in lines if "/video" in line and "]: " in line]

    return said


def is_active(node):
    return node._state_machine.current_state[0] == State.PRIMARY_STATE_ACTIVE


def set_parameter(node, name, value):
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert result.successful


def seconds(labels):
    return [message.header.stamp.sec for message in labels]


@pytest.mark.parametrize("use_sim_time", [False, True])
def test_auto_waits_for_a_publisher_and_follows_its_type(
    use_sim_time, ros, segment, begin, sender_of, labels, said, h264_packets, message_of
):
    set_parameter(segment, "use_sim_time", use_sim_time)  # and no /clock
    begin()
    assert is_active(segment)
    assert not [s for s in segment.subscriptions if s.topic_name.endswith("/video")]
    sec = 0
    for name in ("foxglove", "compressed_image", "ffmpeg", "ffmpeg"):
        video = sender_of(CLASSES[name])
        ros.spin_until(video.has_subscriber)
        for packet in h264_packets:
            sec += 1
            video.send(message_of(name, packet.data, "h264", sec))
        ros.spin_until(lambda count=sec: len(labels) == count)
        video.leave()
    assert seconds(labels) == list(range(1, sec + 1))
    assert all(message.header.frame_id == "front" for message in labels)
    lines = said()
    assert "waiting for a publisher" in lines[0] and "foxglove_msgs" in lines[0]
    found = [line.partition("comes as ")[2] for line in lines if "comes as" in line]
    kinds = (FOXGLOVE, COMPRESSED_IMAGE, FFMPEG)
    assert found[:3] == [f"{kind.type_name}, reliable" for kind in kinds]


def test_another_type_on_the_topic_starts_at_a_key_frame(
    ros, begin, sender_of, labels, said, mpeg4_packets, message_of
):
    begin()
    for name, first, expected in (("ffmpeg", 0, [0, 1, 2]), ("foxglove", 3, [6, 7])):
        labels.clear()
        video = sender_of(CLASSES[name])
        ros.spin_until(video.has_subscriber)
        for sec in range(first, expected[-1] + 1):
            video.send(message_of(name, mpeg4_packets[sec].data, "mpeg4", sec + 1))
        wanted = [sec + 1 for sec in expected]
        ros.spin_until(lambda wanted=wanted: seconds(labels) == wanted)
        video.leave()
    waits = [line for line in said() if "waiting for a key frame" in line]
    assert len(waits) == 1 and "the video became foxglove_msgs/msg/CompressedVideo" in waits[0]


@pytest.mark.parametrize("name", CLASSES)
def test_a_type_that_is_set_is_subscribed_at_once(
    name, ros, segment, sender_of, labels, h264_packets
):
    set_parameter(segment, "input_type", name)
    segment.start()
    topics = [s for s in segment.subscriptions if s.topic_name.endswith("/video")]
    assert [s.msg_type for s in topics] == [CLASSES[name]]


def test_a_publisher_of_another_type_is_named_once_and_the_right_one_is_taken(
    ros, segment, begin, sender_of, labels, said, h264_packets, message_of
):
    sender_of(Image)
    ros.spin_until(lambda: segment.count_publishers("video"))
    begin()
    assert is_active(segment)
    segment._intake._look()
    (line,) = said()
    assert "/video: expected sensor_msgs/msg/CompressedImage or " in line
    assert line.endswith("got sensor_msgs/msg/Image")
    video = sender_of(FFMPEGPacket)
    ros.spin_until(video.has_subscriber)
    video.send(message_of("ffmpeg", h264_packets[0].data, "h264", 1))
    ros.spin_until(lambda: labels)


def test_a_publisher_of_another_type_than_the_one_set_is_named_once(ros, segment, sender_of, said):
    sender_of(CompressedImage)
    ros.spin_until(lambda: segment.count_publishers("video"))
    set_parameter(segment, "input_type", "foxglove")
    segment.start()
    segment._intake._look()
    (line,) = said()
    assert "expected foxglove_msgs/msg/CompressedVideo, got sensor_msgs/msg/Compr" in line
    video = sender_of(CompressedVideo)
    ros.spin_until(video.has_subscriber)
    ros.spin_until(lambda: any("comes as foxglove_msgs" in line for line in said()))


def test_a_type_that_is_set_and_not_installed_keeps_the_node_unconfigured(
    segment, monkeypatch, capfd
):
    monkeypatch.setitem(sys.modules, "foxglove_msgs.msg", None)
    set_parameter(segment, "input_type", "foxglove")
    segment.start()
    assert segment._state_machine.current_state[0] == State.PRIMARY_STATE_UNCONFIGURED
    (error,) = [line for line in capfd.readouterr().err.splitlines() if "[ERROR]" in line]
    assert "cannot configure" in error and "-foxglove-msgs" in error
    set_parameter(segment, "input_type", "ffmpeg")
    assert is_active(segment)


def test_a_published_type_that_is_not_installed_is_named_once_and_the_node_stays_up(
    ros, segment, begin, sender_of, labels, monkeypatch, said, h264_packets, message_of
):
    video = sender_of(CompressedVideo)
    ros.spin_until(lambda: segment.count_publishers("video"))
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "foxglove_msgs.msg", None)
        begin()
        assert is_active(segment)
        segment._intake._look()
        (line,) = said()
        assert "foxglove_msgs/msg/CompressedVideo" in line and "apt-get install" in line
    ros.spin_until(video.has_subscriber)  # it is there now
    video.send(message_of("foxglove", h264_packets[0].data, "h264", 1))
    ros.spin_until(lambda: labels)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_a_byte_stream_in_pieces_is_labelled_under_the_header_its_pictures_begin_with(
    name, codec, ros, segment, begin, sender_of, labels, request, message_of
):
    packets = [packet.data for packet in request.getfixturevalue(f"{codec}_packets")]
    stream, size = b"".join(packets), 300
    set_parameter(segment, "input_type", name)
    set_parameter(segment, "parse", True)
    set_parameter(segment, "queue_size", 1000)  # so many may come at once
    begin()
    video = sender_of(CLASSES[name])
    ros.spin_until(video.has_subscriber)
    for sec, place in enumerate(range(0, len(stream), size)):
        video.send(message_of(name, stream[place : place + size], codec, sec))
    starts = [data.index(b"\0\0\1") for data in packets[:-1]]
    begins = [len(b"".join(packets[:i])) + start for i, start in enumerate(starts)]
    ros.spin_until(lambda: len(labels) == len(begins))  # the last one never ends
    assert seconds(labels) == [begin // size for begin in begins]


def test_pieces_of_what_is_no_video_are_reported(
    ros, segment, sender_of, labels, said, message_of
):
    set_parameter(segment, "input_type", "compressed_image")
    set_parameter(segment, "parse", True)
    segment.start()
    video = sender_of(CompressedImage)
    ros.spin_until(video.has_subscriber)
    video.send(message_of("compressed_image", b"\xff\xd8\xff\xe0", "jpeg", 1))
    ros.spin_until(lambda: any("got 'jpeg'" in line for line in said()))


def test_the_codec_of_a_byte_stream_may_change(
    ros, segment, begin, sender_of, labels, h264_packets, mpeg4_packets, message_of
):
    set_parameter(segment, "input_type", "ffmpeg")
    set_parameter(segment, "parse", True)
    set_parameter(segment, "queue_size", 1000)
    begin()
    video = sender_of(FFMPEGPacket)
    ros.spin_until(video.has_subscriber)
    sec = 0
    for codec, packets in (("h264", h264_packets), ("mpeg4", mpeg4_packets)):
        for packet in packets:
            sec += 1
            video.send(message_of("ffmpeg", packet.data, codec, sec))
    ros.spin_until(lambda: len(labels) == sec - 1)
    assert seconds(labels) == list(range(1, sec))


def test_a_subscription_that_fails_is_reported_and_tried_again(
    ros, segment, sender_of, monkeypatch, said
):
    def fail(kind, topic, *args, **kwargs):
        if topic == "video":
            raise RuntimeError("no more handles")
        return create(kind, topic, *args, **kwargs)

    create = segment.create_subscription
    video = sender_of(FFMPEGPacket)
    ros.spin_until(lambda: segment.count_publishers("video"))
    with monkeypatch.context() as patched:
        patched.setattr(segment, "create_subscription", fail)
        segment.start()
        assert is_active(segment)
        assert any("no more handles" in line for line in said())
    ros.spin_until(video.has_subscriber)


# What the middleware knows of losses and publishers


@pytest.fixture
def heard(ros):
    """An intake of its own: make it, and what it has told and taken."""
    told, node = [], ros.add(Node("hears"))
    made = []

    def make(parse=False):
        made.append(
            Intake(
                node,
                accepted_types("compressed_image"),
                "auto",
                30,
                parse,
                lambda data, format, header, stamp_ns: told.append(data),
                lambda reason: told.append(f"changed: {reason}"),
                lambda reason: told.append(f"lost: {reason}"),
            )
        )
        return made[-1]

    yield make, told
    for one in made:
        one.stop()


def info_of(number, publisher=b"a"):
    return {"publication_sequence_number": number, "publisher_gid": {"data": publisher}}


OTHER = "changed: another publisher sends it"


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (info_of(6), []),
        (info_of(9), ["lost: the middleware lost 3 messages"]),
        (info_of(6, b"b"), [OTHER]),
        (info_of(1), [OTHER]),
        ({"publication_sequence_number": None}, []),
    ],
)
def test_what_the_middleware_tells_comes_before_the_packet(info, expected, heard, message_of):
    make, told = heard
    hears = make()
    for data, one in ((b"one", info_of(5)), (b"two", info)):
        hears._receive(COMPRESSED_IMAGE, message_of("compressed_image", data, "mpeg4", 1), one)
    assert told == [b"one", *expected, b"two"]


@pytest.mark.parametrize("info", [info_of(9), info_of(6, b"b")])
def test_half_a_picture_is_dropped_where_the_rest_does_not_come(
    info, heard, message_of, mpeg4_packets
):
    make, told = heard
    hears = make(parse=True)
    first, second, third, fourth = (packet.data for packet in mpeg4_packets[:4])
    pieces = ((first + second[:20], info_of(5)), (third + fourth, info))
    for data, one in pieces:
        hears._receive(COMPRESSED_IMAGE, message_of("compressed_image", data, "mpeg4", 1), one)
    assert [first, third] == [one for one in told if isinstance(one, bytes)]
    assert len(told) == 3 and isinstance(told[1], str)


def test_what_the_reader_loses_is_waited_out_though_the_stream_does_not_show_it(
    ros, segment, begin, sender_of, labels, h264_packets, message_of
):
    set_parameter(segment, "input_type", "compressed_image")
    set_parameter(segment, "queue_size", 3)
    statuses = []
    ros.add(Node("status")).create_subscription(
        FrameStatus, "segment/status", statuses.append, STATUS_QOS
    )
    begin()
    video = sender_of(CompressedImage)
    ros.spin_until(video.has_subscriber)

    def send(numbers):
        for number in numbers:
            data = h264_packets[number].data
            video.send(message_of("compressed_image", data, "h264", number + 1))
        assert video.wait_until_received()

    send([0, 1])
    ros.spin_until(lambda: len(statuses) == 2)
    # The node is busy, and the last three are kept. They are numbered as those that would follow.
    send(range(2, 11))
    ros.spin_until(lambda: len(statuses) == 5)
    send([11, 12])
    ros.spin_until(lambda: len(statuses) == 7 and len(labels) == 3)
    assert seconds(labels) == [1, 2, 13]
    assert all("the middleware lost 6 messages" in one.reason for one in statuses[2:6])


@pytest.mark.parametrize("leaves_first", [True, False])
def test_another_publisher_of_the_same_type_starts_at_a_key_frame(
    leaves_first, ros, segment, begin, sender_of, labels, h264_packets, message_of
):
    begin()
    statuses = []
    ros.add(Node("status")).create_subscription(
        FrameStatus, "segment/status", statuses.append, STATUS_QOS
    )

    def send(video, *numbers):
        ros.spin_until(video.has_subscriber)
        count = len(statuses) + len(numbers)
        for number in numbers:
            data = h264_packets[number].data
            video.send(message_of("compressed_image", data, "h264", number + 1))
        ros.spin_until(lambda: len(statuses) == count)

    before = sender_of(CompressedImage)
    send(before, 0, 1, 2)
    if leaves_first:
        before.leave()
        ros.spin_until(lambda: not segment.count_publishers("video"))
    send(sender_of(CompressedImage), 3, 4, 6)
    assert all("another publisher sends it" in one.reason for one in statuses[3:5])
    ros.spin_until(lambda: len(labels) == 4)
    assert seconds(labels) == [1, 2, 3, 7]


def test_a_publisher_that_leaves_ends_its_stream_where_none_is_told_from_another(
    ros, segment, begin, sender_of, labels, mpeg4_packets, message_of, monkeypatch
):
    follow = Succession.follow
    monkeypatch.setattr(Succession, "follow", lambda self, info: follow(self, {}))
    begin()
    ended = []
    monkeypatch.setattr(segment._intake, "_changed", ended.append)
    video = sender_of(CompressedImage)
    ros.spin_until(video.has_subscriber)
    video.send(message_of("compressed_image", mpeg4_packets[0].data, "mpeg4", 1))
    ros.spin_until(lambda: labels)
    assert not ended
    video.leave()
    ros.spin_until(lambda: ended)
    assert ended == ["its publisher left"]


@pytest.mark.parametrize(
    ("info", "expected"), [({}, ["lost: the subscription was made anew"]), (info_of(5), [])]
)
def test_what_another_subscription_may_have_missed_is_lost_where_nothing_tells(
    info, expected, ros, heard, sender_of, message_of, monkeypatch
):
    follow = Succession.follow
    monkeypatch.setattr(Succession, "follow", lambda self, _: follow(self, info))
    make, told = heard
    make()
    reliable = sender_of(CompressedImage, RELIABLE)
    ros.spin_until(reliable.has_subscriber)
    reliable.send(message_of("compressed_image", b"one", "mpeg4", 1))
    ros.spin_until(lambda: told)
    ros.spin_until(sender_of(CompressedImage, BEST_EFFORT).has_subscriber)
    assert told == [b"one", *expected]


def test_several_publishers_are_warned_of(ros, segment, sender_of, said):
    segment.start()
    first, second = sender_of(CompressedImage), sender_of(CompressedImage)
    ros.spin_until(lambda: any("from 2 publishers: have one alone" in line for line in said()))
    ros.spin_until(lambda: first.has_subscriber() and second.has_subscriber())
    second.leave()
    ros.spin_until(
        lambda: said()[-1].endswith("comes as sensor_msgs/msg/CompressedImage, reliable")
    )


# Quality of service


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ({RELIABLE}, RELIABLE),
        ({BEST_EFFORT}, BEST_EFFORT),
        ({RELIABLE, BEST_EFFORT}, BEST_EFFORT),
        (set(), RELIABLE),
    ],
)
def test_the_reliability_matches_every_publisher(offered, expected):
    assert offered_reliability(offered) is expected


def reliability_of(node):
    found = [s for s in node.subscriptions if s.topic_name.endswith("/video")]
    return [s.qos_profile.reliability for s in found] if found else None


def arrives(video, message, labels):
    """Send it once more; both sides of a best-effort match may not have seen it yet."""
    video.send(message)
    return message.header.stamp.sec in seconds(labels)


@pytest.mark.parametrize("input_type", ["auto", "compressed_image"])
def test_auto_takes_video_from_reliable_and_from_best_effort_publishers(
    input_type, ros, segment, begin, sender_of, labels, said, mpeg4_packets, message_of
):
    set_parameter(segment, "input_type", input_type)
    begin()
    order = (BEST_EFFORT, RELIABLE, BEST_EFFORT)
    for sec, reliability in enumerate(order, 1):
        video = sender_of(CompressedImage, reliability)
        message = message_of("compressed_image", mpeg4_packets[0].data, "mpeg4", sec)
        ros.spin_until(partial(arrives, video, message, labels))
        video.leave()
        ros.spin_until(lambda: not segment.count_publishers("video"))
    found = [line.rpartition(", ")[2] for line in said() if "comes as" in line]
    assert found[0] == "best effort" and set(found) <= {"best effort", "reliable"}


def test_a_best_effort_publisher_that_joins_a_reliable_one_is_followed(
    ros, segment, begin, sender_of, labels, mpeg4_packets, message_of
):
    begin()
    first = sender_of(CompressedImage, RELIABLE)
    ros.spin_until(first.has_subscriber)
    assert reliability_of(segment) == [RELIABLE]
    second = sender_of(CompressedImage, BEST_EFFORT)
    ros.spin_until(lambda: second.has_subscriber() and first.has_subscriber())
    assert reliability_of(segment) == [BEST_EFFORT]
    message = message_of("compressed_image", mpeg4_packets[0].data, "mpeg4", 1)
    ros.spin_until(partial(arrives, second, message, labels))


def test_a_best_effort_publisher_is_met_without_waiting_for_the_next_look(
    ros, segment, sender_of, monkeypatch
):
    monkeypatch.setattr(intake, "LOOK_S", 3600.0)
    set_parameter(segment, "input_type", "compressed_image")
    segment.start()
    assert reliability_of(segment) == [RELIABLE]
    video = sender_of(CompressedImage, BEST_EFFORT)
    ros.spin_until(video.has_subscriber)
    assert reliability_of(segment) == [BEST_EFFORT]


def test_a_reliable_publisher_that_remains_is_heard_reliably_again(ros, segment, sender_of, said):
    segment.start()
    stays = sender_of(CompressedImage, RELIABLE)
    ros.spin_until(stays.has_subscriber)
    leaves = sender_of(CompressedImage, BEST_EFFORT)
    ros.spin_until(lambda: any("from 2 publishers" in line for line in said()))
    assert reliability_of(segment) == [BEST_EFFORT]
    leaves.leave()
    ros.spin_until(lambda: reliability_of(segment) == [RELIABLE] and stays.has_subscriber())


def test_a_reliable_publisher_that_comes_after_is_heard_reliably(ros, segment, sender_of):
    segment.start()
    before = sender_of(CompressedImage, BEST_EFFORT)
    ros.spin_until(before.has_subscriber)
    before.leave()
    ros.spin_until(lambda: not segment.count_publishers("video"))
    assert reliability_of(segment) == [BEST_EFFORT]
    after = sender_of(CompressedImage, RELIABLE)
    ros.spin_until(lambda: reliability_of(segment) == [RELIABLE] and after.has_subscriber())


def test_a_mismatch_that_cannot_work_says_what_to_change(
    ros, segment, begin, sender_of, labels, said, mpeg4_packets, message_of
):
    set_parameter(segment, "reliability", "reliable")
    begin()
    video = sender_of(CompressedImage, BEST_EFFORT)
    ros.spin_until(
        lambda: any("set reliability to auto or best_effort" in line for line in said())
    )
    assert not video.has_subscriber()
    video.leave()
    video = sender_of(CompressedImage, RELIABLE)
    ros.spin_until(video.has_subscriber)
    video.send(message_of("compressed_image", mpeg4_packets[0].data, "mpeg4", 1))
    ros.spin_until(lambda: len(labels) == 1)


def test_the_depth_of_outputs_can_be_overridden_as_for_any_node(ros, monkeypatch, fake_segmenter):
    monkeypatch.setattr(Segmenter, "load", lambda *args, **kwargs: fake_segmenter)
    name = f"qos_overrides.{ros.namespace}/segment/%s.publisher.depth"
    depths = {"labels": 3, "masks": 4}
    overrides = [Parameter(name % topic, value=depth) for topic, depth in depths.items()]
    segment = ros.add(SegmentNode(parameter_overrides=overrides))
    segment.start()
    found = {p.topic_name.partition("/segment/")[2]: p.qos_profile for p in segment.publishers}
    assert found["labels"].depth == 3
    assert found["masks"].depth == found["masks/road"].depth == 4
    assert found["motion"].depth == 10
    names = segment.get_parameters_by_prefix("qos_overrides")
    assert any(name.endswith("/segment/status.publisher.reliability") for name in names)
    assert any(name.endswith("/camera_info.subscription.reliability") for name in names)
    assert not any(name.endswith("/video.subscription.reliability") for name in names)


def test_the_depth_of_the_video_is_queue_size_anew_after_each_cleanup(segment):
    set_parameter(segment, "input_type", "compressed_image")
    set_parameter(segment, "autostart", False)
    for depth in (5, 7):
        set_parameter(segment, "queue_size", depth)
        assert segment.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert segment.trigger_activate() == TransitionCallbackReturn.SUCCESS
        (video,) = [s for s in segment.subscriptions if s.topic_name.endswith("/video")]
        assert video.qos_profile.depth == depth
        segment.trigger_deactivate()
        segment.trigger_cleanup()
