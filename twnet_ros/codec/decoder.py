"""Packets in, coded frames out, through FFmpeg."""

from __future__ import annotations

import time
from contextlib import suppress

from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from twnet_ros.codec import mpeg4
from twnet_ros.codec.bitstream import (
    HEADERS_KEPT_BYTES,
    NAMES,
    CodecName,
    Content,
    headers_of,
    inspect_packet,
    is_complete,
    parameter_sets,
)
from twnet_ros.codec.discontinuity import Discontinuity
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.frame import CodedFrame, FrameKind
from twnet_ros.codec.h264_recovery import completed_at_once
from twnet_ros.codec.h264_sequence import H264Sequence
from twnet_ros.codec.limit import NO_FURTHER_LIMIT, Limit
from twnet_ros.codec.motion import read_motion
from twnet_ros.codec.mpeg4_sequence import without_rest
from twnet_ros.codec.picture import CONCEALED, Picture, PictureDecoder
from twnet_ros.codec.plane import color_matrix, is_full_range, read_planes
from twnet_ros.codec.sequence import sequence_of

WAITING = "waiting for a key frame"

# Every key frame of VP9 has in it what headers say elsewhere.
_VP9_HEADERS = b"in the frame"
# Their pictures may have other sizes than those that they are predicted from.
_RESIZING = ("vp9", "av1")


class StreamDecoder:
    """Decode one stream, packet by packet, in order; each packet is one access unit.

    Without B-frames every packet gives its frame at once. The picture type is read from the
    stream; the caller's pts is carried along and never interpreted. A frame is intact from a key
    picture on, until a packet cannot be decoded without concealment, the size changes without
    one, or a packet does not follow the one before (see the sequence of its codec). Damage that
    still decodes cannot be noticed here: ``lose`` tells of it. A fault ends in MPEG-4 with any I
    picture, in H.264 where nothing refers to what is missing (see Recovery): with an IDR picture
    or a completed recovery point, which may be a P picture; in HEVC, VP9 and AV1 with what
    decoding can begin with.

    A frame comes without motion where FFmpeg gives no vectors (HEVC, VP9, AV1, B pictures of
    MPEG-4 and what is held back at its end), and where they would not mean what BlockMotion says:
    interlaced and GMC pictures, H.264 that is cropped at the left or top or refers past the
    picture before (see References). ``caveat`` tells of it, and of what is approximate. What
    FFmpeg would decode wrongly is refused, as is what is beyond the limit: packets before they are
    looked at, and pictures before they are decoded.

    Pictures held back for reordering come out with later packets, the last ones with ``flush``; B
    pictures not before the later one that they may be predicted from, which may be damaged.
    Where a fault ends without a key picture, FFmpeg may have put out nothing since it began: the
    first frame after one says that it does not follow the frame that came out before. While a
    recovery point is under way, frames come out that are not intact.

    With ``keep_broken``, the pictures after a fault come out, too, as far as FFmpeg makes
    something of them and marked as not intact, once a stream has begun with a key picture.

    Planes and colours are those of the stream (see plane.py).
    """

    def __init__(
        self, codec: str, keep_broken: bool = False, limit: Limit = NO_FURTHER_LIMIT
    ) -> None:
        if codec not in NAMES:
            raise CodecError(f"expected a codec of {', '.join(NAMES)}, got {codec!r}")
        self._codec: CodecName = codec
        self._keep_broken = keep_broken
        self._limit = limit
        self._index = 0
        self._newest = -1  # the packet of the I or P picture that came out last
        self._pictures = PictureDecoder(self._codec, self._limit)
        self._sequence = sequence_of(self._codec)
        self._fault = WAITING
        self._follows = False  # nothing that counts was lost since the last frame came out
        self._notice, self._left_out = "", False
        self._configured = codec == "vp9"  # headers have come; VP9 has none
        self._headers = b""  # that wait for the next picture
        self._known_headers = b""  # those of the last key picture, b'' after a fault
        self._size: tuple[int, int] | None = None
        self._reformatter = VideoReformatter()
        self._stale = False  # FFmpeg holds pictures from before a fault
        # An intact frame has come since the stream began, or since ``lose`` or ``flush``.
        self._begun = False
        self._rescued: list[CodedFrame] = []  # from before a packet that could not be decoded
        self._since = 0.0  # time.perf_counter(), when the next frame's share of the time began
        self._damaged: int | None = None  # the first packet whose picture FFmpeg had to conceal

    @property
    def codec(self) -> CodecName:
        """The codec this decoder was made for."""
        return self._codec

    @property
    def fault(self) -> str:
        """Why the reference chain is broken now; '' when the next frame will be intact."""
        return self._fault

    @property
    def notice(self) -> str:
        """What the last packet told about those before it; '' when it follows them.

        It need not be a fault: repeated packets (but IDR pictures), and late ones that nothing
        refers to, are left out, and nothing refers to what was lost before a key frame.
        """
        return self._notice

    @property
    def left_out(self) -> bool:
        """Whether the last packet was not decoded, for what ``notice`` says."""
        return self._left_out

    @property
    def recovers(self) -> bool:
        """Whether a picture that ends the fault is held back."""
        return self._pictures.awaits_whole()

    @property
    def caveat(self) -> str:
        """What of this stream is only approximate or costs more, for a person; '' if nothing.

        It tells of what has come so far, and anew after other headers.
        """
        return self._sequence.caveat

    @property
    def keeps(self) -> bool:
        """Whether pictures of a broken chain come out."""
        return self._keep_broken and self._begun

    @property
    def configured(self) -> bool:
        """Whether headers have come, without which no picture can be decoded."""
        return self._configured

    def decode(self, data: bytes, pts: int | None = None) -> list[CodedFrame]:
        """Decode one packet and return the frames that are ready, in display order.

        CodecError for a packet that is empty, of another format, broken, truncated or not
        supported, or where a picture comes out that was; the chain is then broken until the next
        key frame. Packets before the first headers give nothing, nor do those that repeat another
        (``notice``), nor what FFmpeg refuses for want of a key frame that is waited for. When
        packets are missing before this one, or the last one was broken, the frames held back from
        before come first.
        """
        self._since = time.perf_counter()
        self._notice, self._left_out, self._damaged = "", False, None
        sent = self._pictures.count
        frames, self._rescued = self._rescued, []
        try:
            self._decode(data, pts, sent, frames)
        except CodecError as error:
            self._fail(str(error), frames, sent)
            raise
        return frames

    def flush(self) -> list[CodedFrame]:
        """Return the frames still held back; the next packet must be a key frame's.

        CodecError where one of them cannot be decoded; those before it come with the next call.
        """
        self._since = time.perf_counter()
        try:
            self._collect(self._pictures.rest(), self._rescued)
        except CodecError as error:
            self._lose(str(error))
            raise
        self._lose(WAITING)
        frames, self._rescued = self._rescued, []
        return frames

    def lose(self, reason: str, headers: bytes = b"") -> None:
        """Wait for the next key frame: packets were lost before the next one, for this reason.

        Pictures held back are lost with them. Headers are kept, so that a key frame without any
        will do; ``headers`` are those found in what was lost.
        """
        self._lose(f"{WAITING}: {reason}")
        self._configured = self._configured or bool(headers)
        self._headers = (self._headers + headers)[-HEADERS_KEPT_BYTES:]

    def miss(self, reason: str) -> None:
        """Go on as after a broken packet: some were lost before the next one, for this reason.

        Other than with ``lose``, pictures of the broken chain come out where they are kept.
        """
        self._damaged = None
        self._since = time.perf_counter()
        self._fail(reason, self._rescued, self._pictures.count)

    def _decode(self, data: bytes, pts: int | None, sent: int, frames: list[CodedFrame]) -> None:
        """Decode a packet, the one after ``sent`` others; add the frames that are ready."""
        content = inspect_packet(self._codec, data, self._limit.packet_bytes)
        if self._codec == "mpeg4" and content.picture >= 0:
            data = without_rest(data)
        own = self._own_headers(data, content)
        if own and content.picture >= 0:
            self._headers = b""  # kept from packets without a picture, maybe damaged ones
        headers = own if content.key else b""
        goes_on = headers == self._known_headers
        if headers and not goes_on:
            self._drain(frames)
            data = self._begin(headers) + data
        if self._headers:
            data, self._headers = self._headers + data, b""
        if not headers and (content.header or mpeg4.USER_DATA in data):
            self._known_headers = b""  # FFmpeg takes over what others say, too
        self._configured = self._configured or content.header
        if content.picture < 0:
            # A recovery point among them may be of a picture that was cut off behind it.
            self._headers = parameter_sets(self._codec, data)[-HEADERS_KEPT_BYTES:]
            return
        if not self._configured:
            return
        if content.key and self._pictures.holds and self._begins_frame():
            # All before it is shown before it, and what is damaged there is not to show later.
            self._drain(frames)
            self._forget()
        gap = self._sequence.follow(data)
        if self._sequence.pixels > self._limit.pixels:
            raise CodecError(
                f"expected pictures of at most {self._limit.pixels} px, "
                f"got {self._sequence.pixels} px"
            )
        if gap is not None:
            self._heed(gap, frames)
            if gap.superfluous:
                self._left_out = True
                return
        self._renew(content, frames)
        stranded = self._is_stranded(content)
        try:
            self._collect(self._send(data, pts), frames)
            return
        except CodecError as error:
            if stranded:
                self._forget()
                return
            if not (headers and goes_on):
                raise
            self._notice = str(error)
        # It needs nothing from before, so that what is left of it in FFmpeg was the reason.
        frames += self._rescue(sent)
        data = self._begin(headers) + data
        self._sequence.follow(data)
        self._collect(self._send(data, pts), frames)

    def _fail(self, reason: str, frames: list[CodedFrame], sent: int) -> None:
        """Break the chain; ``frames``, and what FFmpeg had of ``sent`` packets, come out next."""
        fault = f"{WAITING}: {reason}"
        if self._codec == "h264" and self._hopeless and not self._pictures.drained:
            # FFmpeg keeps its references: a recovery point does without I pictures, not
            # without the pictures after it.
            self._rescued = frames
            self._sequence.forget()
            self._fault, self._follows = fault, False
            self._stale = True
            self._known_headers = b""
        else:
            self._rescued = frames + self._rescue(sent)
            self._break(fault)

    def _own_headers(self, data: bytes, content: Content) -> bytes:
        """Return a packet's headers where it needs no others; else b''."""
        if self._codec == "vp9":
            return _VP9_HEADERS if content.key else b""
        headers = headers_of(self._codec, data) if content.header else b""
        return headers if is_complete(self._codec, headers) else b""

    def _renew(self, content: Content, frames: list[CodedFrame]) -> None:
        """Begin anew with an I picture that ends a fault; add the broken frames to be kept."""
        traits = self._sequence.traits
        ends = content.key or (traits.whole and traits.kind is FrameKind.I)
        if self._stale and ends:
            if self._keep_broken:
                self._drain(frames)
            self._forget()

    def _is_stranded(self, content: Content) -> bool:
        """Tell whether a picture lacks what it is predicted from, and FFmpeg makes nothing up.

        Where broken pictures are kept, what it has goes on from those: one that fails is damaged.
        """
        if self._codec in CONCEALED or content.key or self.keeps:
            return False
        return self._hopeless

    def _begins_frame(self) -> bool:
        """Tell whether the next key picture is one of H.264, and no second field."""
        return isinstance(self._sequence, H264Sequence) and not self._sequence.half

    @property
    def _hopeless(self) -> bool:
        """Whether nothing that is held back ends the fault."""
        return bool(self._fault) and not self.recovers

    def _begin(self, headers: bytes) -> bytes:
        """Have the key picture with these headers decoded as if it were the first.

        Returns what has to stand in front of it: H.264's parameter sets from before, where it does
        not repeat all.

        FFmpeg's decoders keep more than references and parameter sets: after errors, or user data
        of another MPEG-4 encoder, sound pictures were refused, or came out with wrong samples. So
        this follows a fault, other headers, or a key picture that cannot be decoded otherwise.
        """
        self._pictures.restart()
        self._sequence.forget()
        self._stale = False
        self._known_headers = headers
        if isinstance(self._sequence, H264Sequence):
            return self._sequence.sets_beside(headers)
        return b""

    def _drain(self, frames: list[CodedFrame]) -> None:
        """Add the frames held back; broken ones are no reason to refuse the next picture."""
        with suppress(CodecError):
            self._collect(self._pictures.rest(), frames)

    def _rescue(self, sent: int) -> list[CodedFrame]:
        """Return frames held back of the first ``sent`` packets; MPEG-4's are not told apart."""
        if self._codec == "mpeg4" or self.keeps:
            return []
        frames: list[CodedFrame] = []
        with suppress(CodecError):  # the packet's own error is the one to tell
            pictures = self._pictures.rest()
            # What was decoded after a picture that is damaged, or that FFmpeg keeps to itself
            # now, may be predicted from it.
            doubtful = _concealed(pictures)
            if self._codec == "h264":
                doubtful += self._pictures.missing
            if self._damaged is not None:
                doubtful.append(self._damaged)
            end = min([sent, *doubtful])
            whole = [one for one in pictures if 0 <= one.number < end]
            self._collect(whole, frames)
        return frames

    def _heed(self, gap: Discontinuity, frames: list[CodedFrame]) -> None:
        """Break the chain where the gap does; add the frames from before it."""
        self._notice = gap.reason
        if not gap.breaks:
            return
        # A gap in H.264 shows at once; in MPEG-4 what the decoder still holds may lie behind it.
        # In AV1 it holds none; the others have no gap that breaks the chain. And what is kept of a
        # broken chain goes on from what FFmpeg has, which is not to be drained then.
        if self._codec == "h264" and not self.keeps:
            self._collect(self._pictures.rest(), frames)
        self._interrupt(self._fault or f"{WAITING}: {gap.reason}")

    def _send(self, data: bytes, pts: int | None) -> list[Picture]:
        traits = self._sequence.traits
        if self._fault and traits.announces:
            data = completed_at_once(data)
        return self._pictures.send(data, pts, traits)

    def _collect(self, pictures: list[Picture], frames: list[CodedFrame]) -> None:
        """Add the pictures' frames up to one that is refused, for which there is a CodecError."""
        concealed = _concealed(pictures)
        self._damaged = min(concealed, default=self._damaged)
        spoiled = False  # what FFmpeg held when a picture was damaged does not end that fault
        for picture in pictures:
            follows, self._follows = self._follows, False  # until this one has come out
            if picture.type is PictureType.NONE and self._fault:
                continue  # made up by the decoder in place of a missing one
            kind, sent = picture.kind, picture.sent
            if kind is None:
                raise CodecError(
                    f"decode error: expected an I, P or B picture, got {picture.type.name}"
                )
            # What was decoded after such a picture may be predicted from it.
            damaged = picture.concealed or (bool(concealed) and picture.number > min(concealed))
            if damaged:
                error = (
                    f"decode error: expected a whole {kind.value} picture, "
                    "got one that the decoder had to conceal"
                )
                if not self.keeps:
                    raise CodecError(error)
                self._break(f"{WAITING}: {error}")
                spoiled = True
            image, codec = picture.image, self._codec
            matrix, full_range = color_matrix(image, codec), is_full_range(image)
            y, u, v = read_planes(image, matrix, full_range, self._reformatter)
            key = kind is FrameKind.I
            may_change = key or bool(self._fault) or codec in _RESIZING
            if not spoiled and sent.traits.whole:
                self._fault = ""
            self._check_size((y.shape[0], y.shape[1]), may_change=may_change)
            self._begun = self._begun or not self._fault
            # A P picture shown after one that was coded later refers past that.
            passed = kind is not FrameKind.B and picture.number < self._newest
            if kind is not FrameKind.B:
                self._newest = picture.number
            has_motion = sent.traits.motion and not (key or passed)
            motion = read_motion(image, codec) if has_motion else None
            now = time.perf_counter()
            frames.append(
                CodedFrame(
                    index=self._index,
                    pts=sent.pts,
                    kind=kind,
                    y=y,
                    u=u,
                    v=v,
                    color_matrix=matrix,
                    full_range=full_range,
                    motion=motion,
                    fault=self._fault,
                    follows=follows,
                    decode_ms=(now - self._since) * 1e3,
                )
            )
            self._index += 1
            self._follows = True
            self._since = now

    def _check_size(self, size: tuple[int, int], *, may_change: bool) -> None:
        """Break the chain where the size (height, width) changes and may not."""
        if self._size not in (None, size) and not may_change:
            self._fault = (
                f"expected {self._size[1]}x{self._size[0]} px up to the next key frame, "
                f"got {size[1]}x{size[0]}"
            )
            self._sequence.forget()
        self._size = size

    def _break(self, reason: str) -> None:
        self._sequence.forget()
        self._interrupt(reason)

    def _interrupt(self, reason: str) -> None:
        self._fault, self._follows = reason, False
        self._known_headers = b""
        if self.keeps and not self._pictures.drained:
            self._stale = True
            # An I picture from before the fault, or a damaged one, does not end it.
            self._pictures.mark(whole=False)
        else:
            self._forget()

    def _lose(self, reason: str) -> None:
        """Break the chain where there is nothing to go on from."""
        self._begun = False
        self._break(reason)

    def _forget(self) -> None:
        self._pictures.forget()
        self._stale = False


def _concealed(pictures: list[Picture]) -> list[int]:
    """Return the numbers of those that FFmpeg made up a part of."""
    return [one.number for one in pictures if one.concealed and one.number >= 0]
