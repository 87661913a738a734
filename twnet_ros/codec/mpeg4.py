"""What MPEG-4 part 2 headers say about the time of pictures (ISO/IEC 14496-2 clause 6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twnet_ros.codec.bit import BitReader
from twnet_ros.codec.error import CodecError

LAYERS = frozenset(range(0x20, 0x30))  # start codes of video object layers
GROUP = 0xB3
VOP = 0xB6
USER_DATA = b"\x00\x00\x01\xb2"

# Start code excluded; headers longer than this have a modulo_time_base of minutes.
HEADER_BYTES = 64
_EXTENDED_ASPECT_RATIO = 15
_RECTANGULAR, _GRAYSCALE = 0, 3
_SHAPES = ("rectangular", "binary", "binary only", "grayscale")
_STATIC_SPRITE, _GLOBAL_MOTION = 1, 2
_KINDS: tuple[Literal["I", "P", "B", "S"], ...] = ("I", "P", "B", "S")


@dataclass(frozen=True, slots=True)
class Layer:
    """A video object layer: the clock of its pictures."""

    resolution: int  # ticks a second, vop_time_increment_resolution
    step: int | None  # ticks from picture to picture where the rate is fixed
    low_delay: bool | None  # no B-VOPs; None where it is not said
    interlaced: bool  # macroblocks may be predicted field by field
    global_motion: bool  # S(GMC)-VOPs may come, which have no vectors of their own
    pixels: int  # 0 where another shape than a rectangle is refused anyway
    unsupported: str  # '' or what FFmpeg would decode wrongly


@dataclass(frozen=True, slots=True)
class Vop:
    """The head of a video object plane."""

    kind: Literal["I", "P", "B", "S"]
    seconds: int  # modulo_time_base: since the second of the picture it counts from
    increment: int  # ticks, vop_time_increment
    coded: bool


def read_layer(unit: bytes) -> Layer:
    """Read a video object layer (6.2.3) from the byte after its start code."""
    bits = BitReader(unit[:HEADER_BYTES])
    bits.read(9)  # random_accessible_vol, video_object_type_indication
    version = 1
    if bits.flag():
        version = bits.read(4)
        bits.read(3)
    if bits.read(4) == _EXTENDED_ASPECT_RATIO:
        bits.read(16)
    low_delay = None
    if bits.flag():
        bits.read(2)  # chroma_format
        low_delay = bits.flag()
        if bits.flag():
            bits.read(79)  # vbv_parameters
    shape = bits.read(2)
    if shape == _GRAYSCALE and version != 1:
        bits.read(4)
    bits.flag()
    resolution = bits.read(16)
    bits.flag()
    if not resolution:
        raise CodecError("expected a vop_time_increment_resolution of 1 or more, got 0")
    step = bits.read(_increment_bits(resolution)) if bits.flag() else None
    interlaced, sprite, pixels, unsupported = False, 0, 0, ""
    if shape == _RECTANGULAR:
        bits.flag()
        width = bits.read(13)
        bits.flag()
        pixels = _coded(width) * _coded(bits.read(13))
        bits.flag()
        interlaced = bits.flag()
        bits.flag()  # obmc_disable
        sprite = bits.read(1 if version == 1 else 2)
        unsupported = _read_unsupported(bits, sprite)
    else:
        unsupported = f"expected a video object of rectangular shape, got {_SHAPES[shape]}"
    return Layer(
        resolution,
        step or None,
        low_delay,
        interlaced,
        sprite == _GLOBAL_MOTION,
        pixels,
        unsupported,
    )


def read_group(unit: bytes) -> int:
    """Read a group's time code (6.2.4) in seconds, from the byte after its start code."""
    bits = BitReader(unit[:HEADER_BYTES])
    hours, minutes = bits.read(5), bits.read(6)
    bits.flag()
    return 3600 * hours + 60 * minutes + bits.read(6)


def read_vop(unit: bytes, layer: Layer) -> Vop:
    """Read a picture's head (6.2.5) as far as vop_coded, from the byte after its start code."""
    bits = BitReader(unit[:HEADER_BYTES])
    kind = _KINDS[bits.read(2)]
    seconds = 0
    while bits.flag():
        seconds += 1
    bits.flag()
    increment = bits.read(_increment_bits(layer.resolution))
    bits.flag()
    return Vop(kind, seconds, increment, bits.flag())


def _read_unsupported(bits: BitReader, sprite: int) -> str:
    """Read on after sprite_enable; return what FFmpeg would decode wrongly, '' for nothing."""
    if sprite == _STATIC_SPRITE:
        return "expected moving pictures, got a static sprite"
    if sprite == _GLOBAL_MOTION:
        bits.read(8)  # warping points and their accuracy
        if bits.flag():
            return "expected global motion without, got one with changes of brightness"
    if bits.flag():
        return "expected 8 bits a sample (not_8_bit 0), got another number"
    return ""


def _coded(side: int) -> int:
    """Return a side in whole macroblocks, in pixels."""
    return -(-side // 16) * 16


def _increment_bits(resolution: int) -> int:
    """Return how many bits an increment takes (6.3.5): enough for 0 to resolution - 1."""
    return max(1, (resolution - 1).bit_length())
