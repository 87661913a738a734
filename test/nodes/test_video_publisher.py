"""The video publisher: packets unchanged, stamps that go forward, and back with their clock."""

import re
import signal
import threading
from itertools import count

import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage

from twnet_ros.codec import read_packets
from twnet_ros.msg import FrameStatus
from twnet_ros.nodes import video_publisher
from twnet_ros.nodes.topic import STATUS_QOS, stamp_ns
from twnet_ros.nodes.video_publisher import VideoPublisher

ENDS_S = 60  # far more than it takes; only a test that fails waits for it


@pytest.fixture
def clip(tmp_path, mpeg4_packets):
    path = tmp_path / "clip.m4v"  # an elementary stream is a file, too
    path.write_bytes(b"".join(packet.data for packet in mpeg4_packets))
    return path


@pytest.fixture
def play(ros, clip):
    """Play the clip on a thread of its own, to a subscriber, up to some number of packets."""
    threads, publishers = [], []

    def start(**parameters):
        given = {"file": str(clip), "rate": 1000.0, **parameters}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        received = []
        listener = ros.add(Node("listener"))
        listener.create_subscription(
            CompressedImage, "video", received.append, QoSProfile(depth=1000)
        )
        publishers.append(ros.add(VideoPublisher(parameter_overrides=overrides)))
        thread = threading.Thread(target=publishers[-1].play, daemon=True)
        thread.start()
        threads.append(thread)
        return received, thread

    def play(wanted, **parameters):
        received, thread = start(**parameters)
        ros.spin_until(lambda: len(received) >= wanted)
        return received[:wanted], thread

    play.start, play.publishers = start, publishers
    yield play
    rclpy.shutdown()  # ends what plays on
    for thread in threads:
        thread.join()


def test_packets_are_the_files_own(play, clip, ros):
    received, thread = play(18)
    ros.spin_until(lambda: not thread.is_alive())
    info, packets = read_packets(clip)
    assert [bytes(message.data) for message in received] == [packet.data for packet in packets]
    assert {message.format for message in received} == {info.codec}
    assert {message.header.frame_id for message in received} == {"camera"}


def test_own_timestamps_are_kept(play, clip):
    received, _ = play(4, rate=0.0)
    _, packets = read_packets(clip)
    times_ns = [packet.pts_ns for packet in packets]
    stamps = [stamp_ns(message.header) for message in received]
    assert [stamp - stamps[0] for stamp in stamps] == [t - times_ns[0] for t in times_ns[:4]]


def test_with_a_rate_b_frames_have_the_stamps_at_which_they_are_shown(play, reordered_clip, ros):
    received, thread = play(13, file=str(reordered_clip), rate=500.0)
    ros.spin_until(lambda: not thread.is_alive())
    stamps = [stamp_ns(message.header) for message in received]
    _, packets = read_packets(reordered_clip)
    times_ns = [packet.pts_ns for packet in packets]
    assert times_ns != sorted(times_ns)
    # At 10 pictures a second in the file.
    steps = [(time - times_ns[0]) // 50 for time in times_ns]
    assert [stamp - stamps[0] for stamp in stamps] == steps


def test_simulated_time_is_waited_for(play, ros, capfd):
    clock = ros.add(Node("clock")).create_publisher(Clock, "/clock", 1)
    received, _ = play.start(use_sim_time=True)
    lines = []

    def waits():
        lines.extend(capfd.readouterr().err.splitlines())
        return received or any("waiting for /clock" in line for line in lines)

    ros.spin_until(waits)
    assert not received

    seconds = count(77)

    def arrived():
        message = Clock()
        message.clock.sec = next(seconds)
        clock.publish(message)
        return received

    ros.spin_until(arrived)
    assert received[0].header.stamp.sec >= 77


def test_packets_wait_for_their_time(play, ros):
    """By a clock that creeps, a nanosecond each time, until it is moved: what has come was due."""
    clock = ros.add(Node("clock")).create_publisher(Clock, "/clock", 1)
    received, _ = play.start(use_sim_time=True, rate=10.0)
    creep = count()
    for now_ms, wanted in ((0, 1), (250, 3), (350, 4), (1000, 11)):
        rounds = count()

        def arrived(now_ms=now_ms, wanted=wanted, rounds=rounds):
            sec, nanosec = divmod(100 * 10**9 + now_ms * 10**6 + next(creep), 10**9)
            clock.publish(Clock(clock=Time(sec=sec, nanosec=nanosec)))
            return len(received) >= wanted and next(rounds) == 20  # what is early comes in them

        ros.spin_until(arrived)
        stamps_ms = [stamp_ns(message.header) // 10**6 - 100_000 for message in received]
        assert stamps_ms == [100 * n for n in range(wanted)]


def test_stamps_go_back_with_the_clock(play, ros, capfd):
    """As where a recording that brings the clock is played in a loop."""
    clock = ros.add(Node("clock")).create_publisher(Clock, "/clock", 1)
    received, _ = play.start(use_sim_time=True, rate=10.0, loop=True)
    (publisher,) = play.publishers
    for now_s, wanted in ((100.0, 1), (101.0, 11), (50.0, 11), (50.5, 16)):
        step = count()

        def arrived(now_s=now_s, wanted=wanted, step=step):
            sec, nanosec = divmod(round(now_s * 1e9) + next(step), 10**9)
            clock.publish(Clock(clock=Time(sec=sec, nanosec=nanosec)))
            read = len(received) >= wanted and publisher._read_ns // 10**8 == round(now_s * 10)
            return read and next(step) > 40

        ros.spin_until(arrived)
    stamps_ms = [stamp_ns(message.header) / 1e6 for message in received]
    back = [100_000 + 100 * n for n in range(11)] + [50_000 + 100 * n for n in range(1, 6)]
    assert stamps_ms == pytest.approx(back, abs=1)  # the clock creeps
    assert capfd.readouterr().err.count("the clock went back by 51.000 s") == 1


def test_a_clock_that_goes_back_to_0_leaves_b_frames_a_stamp(play, ros, reordered_clip):
    clock = ros.add(Node("clock")).create_publisher(Clock, "/clock", 1)
    given = {"file": str(reordered_clip), "rate": 10.0, "loop": True}
    received, thread = play.start(use_sim_time=True, **given)
    for begin_s, wanted in ((100.0, 5), (0.001, 40)):
        step = count()

        def arrived(begin_s=begin_s, wanted=wanted, step=step):
            sec, nanosec = divmod(round((begin_s + next(step) / 50) * 1e9), 10**9)
            clock.publish(Clock(clock=Time(sec=sec, nanosec=nanosec)))
            return len(received) >= wanted or not thread.is_alive()

        ros.spin_until(arrived)
    assert thread.is_alive() and all(stamp_ns(message.header) > 0 for message in received)


def test_a_clock_that_jitters_hurries_nothing(ros, clip, monkeypatch):
    publisher = ros.add(VideoPublisher([Parameter("file", value=str(clip))]))
    times_s = [100.0, 100.5, 100.1, 100.6, 100.2, 101.0, 50.0, 50.4, 50.1, 50.5]
    elapsed_s = [0.0, 0.5, 0.5, 0.6, 0.6, 1.0, 1.0, 1.4, 1.4, 1.5]
    read = iter(times_s)
    monkeypatch.setattr(publisher, "_now_ns", lambda: round(next(read) * 1e9))
    publisher._start_ns = publisher._read_ns = 100 * 10**9
    assert [publisher._elapsed_ns() / 1e9 for _ in times_s] == pytest.approx(elapsed_s)


@pytest.mark.parametrize("signal", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_while_a_packet_waits_for_its_time(ros, run, clip, signal):
    received = []
    ros.add(Node("listener")).create_subscription(CompressedImage, "video", received.append, 10)
    process = run("video_publisher", file=clip, rate=0.01)
    ros.spin_until(lambda: received)
    process.send_signal(signal)
    out, err = process.communicate(timeout=ENDS_S)
    assert process.returncode == 0 and len(received) == 1
    assert not re.search("Traceback|Failed", out + err)


def test_nothing_is_kept_for_statuses_that_nobody_waits_for(play, ros):
    _, thread = play(18)
    ros.spin_until(lambda: not thread.is_alive())
    assert not play.publishers[0]._unanswered


def test_missing_statuses_are_counted_in_the_log(play, ros, monkeypatch, capfd):
    monkeypatch.setattr(video_publisher, "ANSWER_S", 0.1)
    ros.add(Node("silent")).create_publisher(FrameStatus, "status", STATUS_QOS)
    play(3, pace="status", window=3)
    lines = []

    def warned():
        lines.extend(capfd.readouterr().err.splitlines())
        return sum("3 packets still without a status on" in line for line in lines) >= 2

    ros.spin_until(warned)


def test_no_more_than_the_status_topic_keeps_may_be_unanswered(ros, clip):
    with pytest.raises(InvalidParameterValueException, match="window"):
        given = {"file": str(clip), "window": STATUS_QOS.depth + 1}
        VideoPublisher([Parameter(name, value=value) for name, value in given.items()])


def test_stamps_go_on_when_the_file_begins_again(play):
    received, _ = play(40, loop=True, rate=500.0)
    stamps = [stamp_ns(message.header) for message in received]
    steps = {after - before for before, after in zip(stamps, stamps[1:], strict=False)}
    assert steps == {2_000_000}
    assert bytes(received[18].data) == bytes(received[0].data)
