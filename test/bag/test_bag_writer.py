"""Bags as others read them: bytes, stamps, types and their hashes, QoS; whole or not at all."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from twnet_ros.bag import BagError, Camera, Shot, Stream, write_bag
from twnet_ros.bag import read_packets as read_packets_of_bag
from twnet_ros.codec import Packet, read_packets
from twnet_ros.nodes.camera_info import camera_info_topic

VIDEO = {
    "compressed_image": ("/camera/image/compressed", "sensor_msgs/msg/CompressedImage"),
    "ffmpeg": ("/camera/image/ffmpeg", "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"),
    "foxglove": ("/camera/image/foxglove", "foxglove_msgs/msg/CompressedVideo"),
}
# As rosidl computes them from upstream's definitions (REP 2011).
HASHES = {
    "sensor_msgs/msg/CompressedImage": (
        "RIHS01_15640771531571185e2efc8a100baf923961a4d15d5569652e6cb6691e8e371a"
    ),
    "sensor_msgs/msg/Image": (
        "RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47"
    ),
    "sensor_msgs/msg/CameraInfo": (
        "RIHS01_b3dfd68ff46c9d56c80fd3bd4ed22c7a4ddce8c8348f2f59c299e73118e7e275"
    ),
    "ffmpeg_image_transport_msgs/msg/FFMPEGPacket": (
        "RIHS01_648d84e0d33cbf76daf54b094d8f06154b8a24800a19c14371754df799fbaf79"
    ),
    "foxglove_msgs/msg/CompressedVideo": (
        "RIHS01_32039eafc3770e589c86c4dabff9c392ce9955ebffd43f5f60763011d43d8d1d"
    ),
}
CAMERA = Camera(
    96,
    64,
    "plumb_bob",
    (0.1, -0.2, 0.0, 0.0, 0.0),
    (50.0, 0.0, 48.0, 0.0, 51.0, 32.0, 0.0, 0.0, 1.0),
    (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    (50.0, 0.0, 48.0, 0.0, 0.0, 51.0, 32.0, 0.0, 0.0, 0.0, 1.0, 0.0),
)
INTERFACES = Path(__file__).parents[1] / "interfaces"


def metadata(bag):
    text = (bag / "metadata.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["rosbag2_bagfile_information"]


def stamp_ns(time):
    return time.sec * 10**9 + time.nanosec


@pytest.mark.parametrize("kind", VIDEO)
def test_an_independent_reader_finds_the_same_packets(bag, shots, read_mcap, kind):
    folder = bag(kind)
    seen, expected = read_mcap(folder / "drive.mcap"), shots()
    assert {(one.topic, one.type) for one in seen} == {VIDEO[kind]}
    assert [bytes(one.message.data) for one in seen] == [s.packet.data for s in expected]
    stamps = [s.packet.pts_ns for s in expected]
    assert [one.recorded_ns for one in seen] == stamps
    if kind == "foxglove":
        assert [stamp_ns(one.message.timestamp) for one in seen] == stamps
        assert {(one.message.frame_id, one.message.format) for one in seen} == {("camera", "h264")}
        return
    assert [stamp_ns(one.message.header.stamp) for one in seen] == stamps
    assert {one.message.header.frame_id for one in seen} == {"camera"}
    if kind == "ffmpeg":
        assert {one.message.encoding for one in seen} == {"h264;yuv420p;bgr8;bgr8"}
        assert {(one.message.width, one.message.height) for one in seen} == {(96, 64)}
        assert [one.message.flags for one in seen] == [1, 0, 0, 1, 0]
        assert len({one.message.pts for one in seen}) == 5
        assert not any(one.message.is_bigendian for one in seen)
    else:
        assert {one.message.format for one in seen} == {"h264"}


def test_sqlite_holds_the_messages_as_cdr_has_them(bag, shots, read_sqlite, compressed_image_cdr):
    folder = bag(storage="sqlite3", codec="mpeg4")
    seen = read_sqlite(folder / "drive.db3")
    assert {(one.topic, one.type) for one in seen} == {VIDEO["compressed_image"]}
    for one, shot in zip(seen, shots(codec="mpeg4"), strict=True):
        packet = shot.packet
        assert one.recorded_ns == packet.pts_ns
        raw = compressed_image_cdr(packet.pts_ns, "camera", "mpeg4", packet.data)
        assert bytes(one.message) == raw


@pytest.mark.parametrize("sign", "#?%")
def test_what_sqlite_would_write_elsewhere_is_refused(bag, tmp_path, sign):
    with pytest.raises(BagError, match="expected a path without #, . and % for a bag of SQLite"):
        bag(storage="sqlite3", name=f"drive{sign}1")
    assert list(tmp_path.iterdir()) == []
    folder = bag(storage="sqlite3")
    folder.rename(tmp_path / f"drive{sign}1")
    for path in (tmp_path / f"drive{sign}1", tmp_path / f"drive{sign}1" / "drive.db3"):
        with pytest.raises(BagError, match="expected a path without #"):
            read_packets_of_bag(path)
    info, _ = read_packets_of_bag(bag(storage="mcap", name=f"mcap{sign}1"))
    assert info.frames == 5


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("kind", VIDEO)
def test_types_have_upstream_s_hashes(bag, kind, storage):
    found = metadata(bag(kind, storage, labels=True, camera=CAMERA))
    assert found["storage_identifier"] == storage
    topics = {one["topic_metadata"]["name"]: one for one in found["topics_with_message_count"]}
    types = {name: one["topic_metadata"]["type"] for name, one in topics.items()}
    topic, type_name = VIDEO[kind]
    assert types == {
        topic: type_name,
        "/camera/labels": "sensor_msgs/msg/Image",
        "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
    }
    for one in topics.values():
        about = one["topic_metadata"]
        assert about["type_description_hash"] == HASHES[about["type"]]
        assert one["message_count"] == 5


@pytest.mark.parametrize("type_name", ["ffmpeg", "foxglove"])
def test_definitions_are_those_the_tests_messages_have(type_name):
    """The .msg files under test/interfaces, which rosidl builds, have the same fields."""
    package, _, name = VIDEO[type_name][1].split("/")
    lines = (INTERFACES / package / "msg" / f"{name}.msg").read_text().splitlines()
    fields = [line.partition("#")[0].split() for line in lines]
    expected = "".join(f"{kind} {field}\n" for kind, field in filter(None, fields))
    assert Stream(type_name, "h264", 96, 64).type.definition == expected


def test_what_is_offered_when_it_is_played(bag):
    """Version 9 of the metadata names the policies; a node that wants reliable gets it."""
    found = metadata(bag())
    assert found["version"] == 9
    (topic,) = found["topics_with_message_count"]
    (profile,) = topic["topic_metadata"]["offered_qos_profiles"]
    assert (profile["reliability"], profile["history"]) == ("reliable", "keep_last")
    assert profile["durability"] == "volatile"
    assert profile["depth"] >= 30
    assert found["starting_time"] == {"nanoseconds_since_epoch": 10**9}
    assert found["duration"] == {"nanoseconds": 4 * 10**8}


def test_labels_and_calibration_have_the_frame_s_stamp(bag, read_mcap):
    seen = read_mcap(bag(labels=True, camera=CAMERA) / "drive.mcap")
    labels = [one.message for one in seen if one.topic == "/camera/labels"]
    infos = [one.message for one in seen if one.topic == "/camera/camera_info"]
    for number, (image, info) in enumerate(zip(labels, infos, strict=True)):
        assert (
            stamp_ns(image.header.stamp) == stamp_ns(info.header.stamp) == 10**9 + number * 10**8
        )
        assert image.header.frame_id == info.header.frame_id == "camera"
        assert (image.encoding, image.step) == ("mono8", 96)
        truth = np.frombuffer(bytes(image.data), np.uint8).reshape(image.height, image.width)
        np.testing.assert_array_equal(truth, np.full((64, 96), number))
        assert (info.width, info.height, info.distortion_model) == (96, 64, "plumb_bob")
        assert tuple(info.d) == CAMERA.d
        assert tuple(info.k) == CAMERA.k
        assert tuple(info.r) == CAMERA.r
        assert tuple(info.p) == CAMERA.p


def test_topics_lie_beside_the_image(shots, tmp_path):
    stream = Stream("ffmpeg", "h264", 96, 64, "/front/image_raw/ffmpeg", "front_optical")
    topics = write_bag(tmp_path / "a", stream, shots(labels=True))
    assert topics == {"/front/labels": 5, "/front/image_raw/ffmpeg": 5}
    stream = Stream("compressed_image", "h264", 96, 64, "/video")
    assert set(write_bag(tmp_path / "b", stream, shots(labels=True))) == {"/labels", "/video"}


@pytest.mark.parametrize("kind", VIDEO)
@pytest.mark.parametrize(
    "topic",
    ["/image/compressed", "/a/image/ffmpeg", "/a/b/image/foxglove", "/compressed", "/a/h264"],
)
def test_topics_lie_where_the_node_looks_for_them(kind, topic):
    stream = Stream(kind, "h264", 96, 64, topic)
    assert stream.beside("camera_info") == camera_info_topic(topic)


def test_b_frames_are_recorded_in_decoding_order(read_mcap, rises, tmp_path):
    times = [0, 3, 1, 2, 6, 4, 5]
    shots = [Shot(Packet(b"\0\0\1\x65" + bytes([n]), 10**9 + n * 10**8, n == 0)) for n in times]
    write_bag(tmp_path / "drive", Stream("ffmpeg", "h264", 96, 64), shots)
    seen = read_mcap(tmp_path / "drive" / "drive.mcap")
    assert [bytes(one.message.data)[-1] for one in seen] == times
    assert [stamp_ns(one.message.header.stamp) for one in seen] == [
        10**9 + n * 10**8 for n in times
    ]
    assert rises([one.recorded_ns for one in seen])
    with pytest.raises(BagError, match="expected video without B-frames"):
        write_bag(tmp_path / "other", Stream("foxglove", "h264", 96, 64), shots)


def test_foxglove_carries_no_mpeg4():
    with pytest.raises(BagError, match=r"carries \(H.264, HEVC, VP9, AV1\), got MPEG-4 part 2"):
        Stream("foxglove", "mpeg4", 96, 64)


def test_packets_of_a_file_are_copied(clip, read_mcap, tmp_path):
    """What was length-prefixed in the file has start codes in the bag."""
    _, packets = read_packets(clip())
    expected = list(packets)
    moved = [Packet(p.data, p.pts_ns + 10**9, p.key) for p in expected]
    write_bag(tmp_path / "b", Stream("foxglove", "h264", 96, 64), map(Shot, moved))
    seen = read_mcap(tmp_path / "b" / "b.mcap")
    assert [bytes(one.message.data) for one in seen] == [p.data for p in expected]
    assert all(bytes(one.message.data).startswith(b"\0\0\0\1") for one in seen)
    assert all(b"\0\0\1\x67" in bytes(one.message.data) for one in seen[::3])


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_is_whole_or_not_there(shots, tmp_path, storage):
    def interrupted():
        yield from shots()
        raise KeyboardInterrupt

    stream = Stream("compressed_image", "h264", 96, 64)
    with pytest.raises(KeyboardInterrupt):
        write_bag(tmp_path / "drive", stream, interrupted(), storage)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BagError, match="expected at least one frame"):
        write_bag(tmp_path / "drive", stream, [], storage)
    assert list(tmp_path.iterdir()) == []
    write_bag(tmp_path / "drive", stream, shots(), storage)
    before = {path: path.read_bytes() for path in (tmp_path / "drive").iterdir()}
    with pytest.raises(BagError, match="expected a new folder"):
        write_bag(tmp_path / "drive", stream, shots(), storage)
    assert [path.name for path in tmp_path.iterdir()] == ["drive"]
    assert {path: path.read_bytes() for path in (tmp_path / "drive").iterdir()} == before


@pytest.mark.parametrize(
    "shot, expected",
    [
        (Shot(Packet(b"1", -1, True)), "expected a time that ROS can stamp"),
        (Shot(Packet(b"1", 2**62, True)), "expected a time that ROS can stamp"),
        (
            Shot(Packet(b"1", 1, True), np.zeros((32, 48), np.uint8)),
            "expected labels of the video's size, 96x64, got 48x32",
        ),
        (
            Shot(Packet(b"1", 1, True), None, Camera(8, 8, "plumb_bob", (), (), (), ())),
            "expected a calibration of the video's size, 96x64, got 8x8",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, shot, expected):
    with pytest.raises(BagError, match=expected):
        write_bag(tmp_path / "b", Stream("compressed_image", "h264", 96, 64), [shot])
    assert list(tmp_path.iterdir()) == []


def test_bad_places(shots, tmp_path):
    stream = Stream("compressed_image", "h264", 96, 64)
    with pytest.raises(BagError, match="expected a storage of mcap, sqlite3, got 'bag'"):
        write_bag(tmp_path / "b", stream, shots(), "bag")
    with pytest.raises(BagError, match="expected an existing folder"):
        write_bag(tmp_path / "none" / "b", stream, shots())


def test_metadata_is_plain_yaml(bag):
    """Readers other than Python's: no tags, numbers as numbers."""
    found = metadata(bag())
    assert json.loads(json.dumps(found)) == found
    assert found["relative_file_paths"] == ["drive.mcap"]
    assert found["message_count"] == 5
