"""What is known of the packets of HEVC and VP9, whose motion vectors FFmpeg does not give."""

from __future__ import annotations

from twnet_ros.codec import hevc
from twnet_ros.codec.bitstream import NAMES, CodecName, inspect_packet
from twnet_ros.codec.discontinuity import Discontinuity
from twnet_ros.codec.trait import Traits


class VectorlessSequence:
    """Tells key pictures of HEVC and VP9 apart; the rest is left to their decoders.

    HEVC's pictures name those they refer to (H.265 8.3.2), so that its decoder notices what is
    missing, unless that is all from one IDR picture to the next or so: numbers begin anew with
    each. Those of VP9 refer to places that always hold some picture: a lost packet is not noticed.
    """

    def __init__(self, codec: CodecName) -> None:
        self._codec = codec
        self._data = b""
        self.traits = Traits(motion=False)  # of the last packet's picture
        self.pixels = 0  # their size is left to the decoders, too

    @property
    def caveat(self) -> str:
        """What of the stream is approximate or costs more, as text for a person."""
        without = f"{NAMES[self._codec]}: frames come without motion vectors"
        hidden = "damage" if self._codec == "hevc" else "lost and damaged packets"
        return f"{without}, and {hidden} may not show"

    def forget(self) -> None:
        """Expect nothing of the next picture."""
        self._data = b""

    def follow(self, data: bytes) -> Discontinuity | None:
        """Take in a packet, headers included; None unless it repeats the one before."""
        repeated, self._data = data == self._data, data
        content = inspect_packet(self._codec, data)
        self.traits = Traits(whole=content.key, motion=False)
        # Two still pictures of VP9 may well be the same bytes, and so may IDR pictures of HEVC,
        # which nothing numbers.
        if not repeated or self._codec != "hevc":
            return None
        still = hevc.unit_kind(data[content.picture + 3]) in hevc.IDR_SLICES
        return Discontinuity("repeated packet: expected another picture", superfluous=not still)
