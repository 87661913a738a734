"""Packets in, pictures out, through FFmpeg: each with what is known of its packet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import av
from av.video.frame import PictureType, VideoFrame

from twnet_ros.codec.bitstream import CodecName
from twnet_ros.codec.context import open_context
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.frame import FrameKind
from twnet_ros.codec.limit import Limit
from twnet_ros.codec.trait import Traits

_KINDS = {
    PictureType.I: FrameKind.I,
    PictureType.P: FrameKind.P,
    PictureType.B: FrameKind.B,
    PictureType.S: FrameKind.P,  # of MPEG-4, with global motion
    PictureType.SP: FrameKind.P,  # of AV1: a switch frame
}
# More than any decoder holds back (16 reference pictures), so no live entry is ever dropped.
_SENT_KEPT = 64
# Of these FFmpeg makes up what is missing of a picture.
CONCEALED = ("h264", "mpeg4")


@dataclass(frozen=True, slots=True)
class Sent:
    """What is kept of a packet while its picture is in the decoder."""

    pts: int | None
    traits: Traits

    def marked(self, **traits: Any) -> Sent:
        """Return it with these traits changed."""
        return replace(self, traits=replace(self.traits, **traits))


# Of a picture of no packet that is known: the second one of an AV1 or VP9 packet, for one.
_UNKNOWN = Sent(None, Traits(whole=False, motion=False))


@dataclass(frozen=True, slots=True)
class Picture:
    """What came out of FFmpeg, and what is known of its packet."""

    image: VideoFrame
    number: int  # of the packet, in the order sent; -1 for a picture of none
    sent: Sent

    @property
    def type(self) -> PictureType:
        """What FFmpeg takes it for; NONE where it made the picture up for a missing one."""
        return PictureType(self.image.pict_type)

    @property
    def kind(self) -> FrameKind | None:
        """Its kind, by the stream where that tells; None if it is none that can be dealt with."""
        return (self.sent.traits.kind or _KINDS[self.type]) if self.type in _KINDS else None

    @property
    def concealed(self) -> bool:
        """Whether FFmpeg made up a part of it."""
        return bool(self.image.is_corrupt)


class PictureDecoder:
    """Decode the packets of one stream, in order.

    B pictures are held back until what they may be predicted from is out, too: that FFmpeg had to
    conceal a part of a picture shows only when that comes out.
    """

    def __init__(self, codec: CodecName, limit: Limit) -> None:
        self._codec, self._limit = codec, limit
        self._sent: dict[int, Sent] = {}  # by number, those whose pictures are in FFmpeg
        self._held: list[Picture] = []  # B pictures, whose later reference may be damaged
        self.count = 0  # packets sent so far
        self.drained = False  # FFmpeg has given all it had, and takes no more
        self.restart()

    def restart(self) -> None:
        """Go on as if the next packet were the first: parameter sets are forgotten, too."""
        self._context = open_context(self._codec, self._limit)
        self.drained = False
        self._sent.clear()
        self._held.clear()

    def forget(self) -> None:
        """Have FFmpeg forget all pictures, that none leaks into others; parameter sets stay."""
        self._context.flush_buffers()
        self.drained = False
        self._sent.clear()
        self._held.clear()

    def mark(self, **traits: bool) -> None:
        """Change these traits of all pictures that have not come out."""
        self._sent = {number: sent.marked(**traits) for number, sent in self._sent.items()}
        self._held = [replace(one, sent=one.sent.marked(**traits)) for one in self._held]

    @property
    def holds(self) -> bool:
        """Whether pictures are held back, here or by FFmpeg."""
        return bool(self._held or self._sent)

    @property
    def missing(self) -> list[int]:
        """Numbers of the packets whose pictures have not come out of FFmpeg."""
        return list(self._sent)

    def awaits_whole(self) -> bool:
        """Tell whether a picture that has not come out ends a fault."""
        waiting = [*self._sent.values(), *(picture.sent for picture in self._held)]
        return any(sent.traits.whole for sent in waiting)

    def send(self, data: bytes, pts: int | None, traits: Traits) -> list[Picture]:
        """Decode a packet and return the pictures that are ready, in display order.

        CodecError where FFmpeg refuses it.
        """
        # Packet(bytes) would borrow the bytes without the zeroed padding that FFmpeg's bit
        # readers run into, and sound packets would then fail at random.
        packet = av.Packet(len(data))
        packet.update(data)
        packet.pts = packet.dts = self.count
        if not traits.second:  # such a picture is that of the packet before
            self._sent[self.count] = Sent(pts, traits)
        self.count += 1
        if len(self._sent) > _SENT_KEPT:
            del self._sent[next(iter(self._sent))]
        pictures, self._held = self._held + self._receive(packet), []
        while pictures and self._is_early(pictures[-1]):
            self._held.insert(0, pictures.pop())
        return pictures

    def rest(self) -> list[Picture]:
        """Return all pictures that are held back, here and by FFmpeg; CodecError as above.

        Before the next packet the decoder has to ``forget`` or to ``restart``.
        """
        self.drained = True
        if self._codec == "mpeg4":  # what FFmpeg has held back comes without vectors
            self.mark(motion=False)
        held, self._held = self._held, []
        return held + self._receive(None)

    def _receive(self, packet: av.Packet[Any] | None) -> list[Picture]:
        try:
            return [self._picture(image) for image in self._context.decode(packet)]
        except av.FFmpegError as error:
            size = "the end of the stream" if packet is None else f"{packet.size} bytes"
            raise CodecError(
                f"decode error: expected a whole {self._codec} picture, "
                f"got {size}: {error.strerror}"
            ) from error

    def _picture(self, image: VideoFrame) -> Picture:
        number = -1 if image.pts is None else image.pts
        picture = Picture(image, number, self._sent.get(number, _UNKNOWN))
        if picture.type is not PictureType.NONE:  # the packet's own picture is yet to come
            self._sent.pop(number, None)
        return picture

    def _is_early(self, picture: Picture) -> bool:
        """Tell whether it is a B picture, and one that was decoded before it is not yet out."""
        if self._codec not in CONCEALED or picture.kind is not FrameKind.B:
            return False
        return any(number < picture.number for number in self._sent)
