"""The video topic in, whichever of the message types it has: coded data under its header."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import (
    QoSRequestedIncompatibleQoSInfo,
    QoSSubscriptionMatchedInfo,
    SubscriptionEventCallbacks,
)
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from std_msgs.msg import Header

from twnet_ros.codec import CodecError, codec_of_format
from twnet_ros.codec.bitstream import WITHOUT_START_CODES, CodecName
from twnet_ros.codec.payload import Assembler
from twnet_ros.nodes.context import is_up
from twnet_ros.nodes.message import load_message
from twnet_ros.nodes.succession import Succession
from twnet_ros.nodes.topic import stamp_ns

TOPIC = "video"
AUTO = "auto"
LOOK_S = 1.0  # between looks at who publishes, as long as nobody is matched
RELIABILITIES = (AUTO, "reliable", "best_effort")

Severity = Literal["info", "warning", "error"]
# Coded data, the text that names its codec, the header of its picture, and the stamp of that.
Take = Callable[[bytes, str, Header, int], None]


@dataclass(frozen=True, slots=True)
class InputType:
    """A message type that carries video, and where what counts of it stands."""

    name: str  # as a value of the parameter input_type
    package: str
    message: str
    read: Callable[[Any], tuple[bytes, str, Header]]  # coded data, text that names the codec

    @property
    def type_name(self) -> str:
        """As the ROS graph has it."""
        return f"{self.package}/msg/{self.message}"

    def load(self) -> type:
        """Return the message class; ImportError says which package to install."""
        return load_message(self.package, self.message)


def _read_compressed_image(message: Any) -> tuple[bytes, str, Header]:
    return bytes(message.data), message.format, message.header


def _read_ffmpeg(message: Any) -> tuple[bytes, str, Header]:
    # flags and pts are whatever the sender made them: the stream itself says what it holds.
    return bytes(message.data), message.encoding, message.header


def _read_foxglove(message: Any) -> tuple[bytes, str, Header]:
    header = Header(stamp=message.timestamp, frame_id=message.frame_id)
    return bytes(message.data), message.format, header


INPUT_TYPES = (
    InputType("compressed_image", "sensor_msgs", "CompressedImage", _read_compressed_image),
    InputType("ffmpeg", "ffmpeg_image_transport_msgs", "FFMPEGPacket", _read_ffmpeg),
    InputType("foxglove", "foxglove_msgs", "CompressedVideo", _read_foxglove),
)


def accepted_types(input_type: str) -> tuple[InputType, ...]:
    """Return what a value of the parameter accepts; ImportError where that is not installed.

    For ``auto``, what is not installed is an error only when somebody publishes it.
    """
    if input_type == AUTO:
        return INPUT_TYPES
    (accepted,) = (kind for kind in INPUT_TYPES if kind.name == input_type)
    accepted.load()
    return (accepted,)


def find_type(published: Collection[str], accepted: Collection[InputType]) -> InputType | None:
    """Return the accepted one of the types that are published on a topic, None without any.

    ValueError if none of them is accepted, or more than one.
    """
    found = [kind for kind in accepted if kind.type_name in published]
    if len(found) > 1:
        raise ValueError(
            f"expected one type of video, got {' and '.join(kind.type_name for kind in found)}: "
            "set input_type"
        )
    if published and not found:
        raise ValueError(
            f"expected {' or '.join(kind.type_name for kind in accepted)}, "
            f"got {' and '.join(sorted(set(published)))}"
        )
    return found[0] if found else None


def offered_reliability(offered: Collection[QoSReliabilityPolicy]) -> QoSReliabilityPolicy:
    """Return the reliability that matches all of the publishers', the better where both do."""
    if QoSReliabilityPolicy.BEST_EFFORT in offered:
        return QoSReliabilityPolicy.BEST_EFFORT
    return QoSReliabilityPolicy.RELIABLE


class Intake:
    """Subscribes to the video and hands on what comes.

    As long as no publisher is matched, or one by best effort that may be reliable, and when one
    was refused or has left, the graph is looked at once a second: for the type that is published,
    for the reliability that is offered where that is asked for (``auto``), or for why nothing
    arrives. What it finds is logged once. With ``parse``, messages are pieces of a byte stream, if
    of a codec with start codes; an access unit has the header of the message in which it begins.
    ``changed`` is called, with the reason, where another type of message replaces one before it,
    or another publisher, and ``lost`` where messages of a publisher did not come: what a
    middleware knows of that, which a stream alone need not show.
    """

    def __init__(
        self,
        node: Node,
        accepted: tuple[InputType, ...],
        reliability: str,
        depth: int,
        parse: bool,
        take: Take,
        changed: Callable[[str], None],
        lost: Callable[[str], None],
    ) -> None:
        self._node, self._accepted, self._depth = node, accepted, depth
        self._wanted = None if reliability == AUTO else QoSReliabilityPolicy[reliability.upper()]
        self._parse, self._take, self._changed, self._lost = parse, take, changed, lost
        self._topic = node.resolve_topic_name(TOPIC)
        self._kind: InputType | None = None
        self._reliability: QoSReliabilityPolicy | None = None  # of the subscription
        self._subscription: Subscription | None = None
        self._succession = Succession()
        self._assembler: Assembler[Header] | None = None
        self._format = ""  # of what the assembler holds
        self._said = ""
        self._refused = False  # by a publisher, since the last look
        if len(accepted) == 1:  # no need to see a publisher first
            self._subscribe(accepted[0], self._wanted or QoSReliabilityPolicy.RELIABLE)
        # Not on the node's clock, which stands still without /clock.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(LOOK_S, self._look, clock=steady)
        self._look()

    def take_waiting(self) -> None:
        """Take what has come by now, for a callback that keeps the executor from it."""
        for _ in range(self._depth):
            if (subscription := self._subscription) is None:
                return
            try:
                with subscription.handle:
                    handle = subscription.handle
                    taken = handle.take_message(subscription.msg_type, subscription.raw)
            except rclpy_implementation.InvalidHandle:  # the process is on its way out
                return
            if taken is None:
                return
            subscription.callback(*taken)

    def stop(self) -> None:
        """Stop listening."""
        self._node.destroy_timer(self._timer)
        self._unsubscribe()

    def _look(self) -> None:
        self._refused = False
        try:
            publishers = self._node.get_publishers_info_by_topic(self._topic)
            published = {publisher.topic_type for publisher in publishers}
            kind = find_type(published, self._accepted)
            if kind is not None:
                offered = {p.qos_profile.reliability for p in publishers}
                reliability = self._wanted or offered_reliability(offered)
                if (kind, reliability) != (self._kind, self._reliability):
                    self._subscribe(kind, reliability)
        except Exception as error:  # the node stays up: another publisher may be the right one
            if is_up(self._node):
                self._say(f"{self._topic}: {error}", "error")
            return
        if not published:
            wanted = " or ".join(kind.type_name for kind in self._accepted)
            self._say(f"waiting for a publisher of video on {self._topic}: {wanted}")

    def _subscribe(self, kind: InputType, reliability: QoSReliabilityPolicy) -> None:
        loaded = kind.load()
        before = self._kind
        self._unsubscribe()
        if before not in (None, kind):
            self._break_off(self._changed, f"the video became {kind.type_name}")
        elif self._succession.blind:  # to what is published between the two
            self._break_off(self._lost, "the subscription was made anew")
        self._subscription = self._node.create_subscription(
            loaded,
            TOPIC,
            partial(self._receive, kind),
            QoSProfile(depth=self._depth, reliability=reliability),
            event_callbacks=SubscriptionEventCallbacks(
                matched=partial(self._match, kind, reliability), incompatible_qos=self._mismatch
            ),
            # Its reliability is the parameter of that name, its depth queue_size.
            qos_overriding_options=QoSOverridingOptions((QoSPolicyKind.HISTORY,)),
        )
        self._kind, self._reliability = kind, reliability

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self._kind = self._reliability = None

    def _match(
        self, kind: InputType, reliability: QoSReliabilityPolicy, info: QoSSubscriptionMatchedInfo
    ) -> None:
        if (kind, reliability) != (self._kind, self._reliability):  # of the subscription before
            return
        if info.current_count:
            if info.current_count_change < 0:  # who is left may offer something better
                self._timer.reset()
            # Events come in no order: there may be one more to look at. And who is heard by best
            # effort may be another than the one that offered no more.
            elif not (self._refused or self._may_gain(reliability)):
                self._timer.cancel()
            how = reliability.name.lower().replace("_", " ")
            text = f"video on {self._topic} comes as {kind.type_name}, {how}"
            if info.current_count > 1:
                text += f", from {info.current_count} publishers: have one alone publish there"
                self._say(text, "warning")
            else:
                self._say(text)
        else:
            self._timer.reset()
            # Its last messages may still wait here; they are told from another's if they can be.
            if self._succession.blind:
                self._break_off(self._changed, "its publisher left")

    def _may_gain(self, reliability: QoSReliabilityPolicy) -> bool:
        return self._wanted is None and reliability is QoSReliabilityPolicy.BEST_EFFORT

    def _mismatch(self, info: QoSRequestedIncompatibleQoSInfo) -> None:
        """Follow a publisher that does not offer what was asked for, or say what to change."""
        if self._wanted is None:
            before = self._subscription
            self._look()
            self._refused = self._subscription is before  # it is not in the graph yet
            self._timer.reset()
            return
        self._say(
            f"a publisher of {self._topic} offers best effort alone, which `reliability: "
            f"{self._wanted.name.lower()}` refuses: set reliability to auto or best_effort",
            "error",
        )

    def _say(self, text: str, severity: Severity = "info") -> None:
        if text == self._said:
            return
        self._said = text
        logger = self._node.get_logger()
        if severity == "error":  # rclpy takes one severity from each line of code
            logger.error(text)
        elif severity == "warning":
            logger.warning(text)
        else:
            logger.info(text)

    def _break_off(self, tell: Callable[[str], None], reason: str) -> None:
        """Have what comes next not go on with what came before."""
        self._succession.forget()
        self._assembler = None
        tell(reason)

    def _receive(self, kind: InputType, message: Any, info: Mapping[str, Any]) -> None:
        other, missing = self._succession.follow(info)
        if other:
            self._assembler = None
            self._changed("another publisher sends it")
        elif missing:
            self._assembler = None
            self._lost(f"the middleware lost {missing} messages")
        data, format, header = kind.read(message)
        if not self._parse:
            self._take(data, format, header, stamp_ns(header))
            return
        codec: CodecName | None
        try:
            codec = codec_of_format(format)
        except CodecError:  # whoever takes it says so, as without ``parse``
            codec = None
        if codec is None or codec in WITHOUT_START_CODES:
            self._take(data, format, header, stamp_ns(header))
            return
        if self._assembler is None or self._assembler.codec != codec:
            self._hand_on(self._assembler.flush() if self._assembler else [])
            self._assembler = Assembler(codec)
        self._format = format
        self._hand_on(self._assembler.push(data, header))

    def _hand_on(self, units: list[tuple[bytes, Header]]) -> None:
        for unit, header in units:
            self._take(unit, self._format, header, stamp_ns(header))
