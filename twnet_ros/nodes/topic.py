"""What the segment node and the video publisher agree on about their topics."""

from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from std_msgs.msg import Header

# Keeps the latest: a status that came before its subscriber still reaches it.
STATUS_QOS = QoSProfile(depth=30, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


def stamp_ns(header: Header) -> int:
    """Return a header's stamp in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)
