"""What the segment node and the video publisher agree on about their topics."""

from rclpy.exceptions import InvalidTopicNameException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rclpy.validate_full_topic_name import validate_full_topic_name
from std_msgs.msg import Header

# Keeps the latest: a status that came before its subscriber still reaches it.
STATUS_QOS = QoSProfile(depth=30, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


def stamp_ns(header: Header) -> int:
    """Return a header's stamp in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def check_topic(name: str, node: str, namespace: str) -> None:
    """Raise ValueError where a node of a namespace can have no topic of that name."""
    try:
        validate_full_topic_name(expand_topic_name(name, node, namespace))
    except (InvalidTopicNameException, ValueError) as error:
        reason = str(error).partition(":\n")[0]
        raise ValueError(f"expected the name of a topic, got {name!r}: {reason}") from error
