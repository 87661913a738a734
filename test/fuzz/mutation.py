"""Damage that knows the structure of H.264 and MPEG-4 part 2 packets."""

import random
from collections.abc import Callable, Sequence

import syntax
from sample import CODECS
from syntax import START_CODE, TOO_LONG, Field, Tape, escape, split, tape_of, unescape

LONGEST_FIELDS_BYTES = 2048  # of a unit whose fields are taken apart
# Far more than what a picture has, far less than what the transport lets through.
MOST_UNITS = 20_000
MOST_BYTES = 1 << 21

_EXTREMES = [
    *(0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 127, 128, 255, 256, 257),
    *(511, 512, 1023, 4095, 8191, 16383, 65534, 65535, 65536, 1 << 20, (1 << 31) - 1, 1 << 31),
    *((1 << 32) - 2, (1 << 32) - 1, TOO_LONG),
]
_SEI_TYPES = [0, 1, 3, 4, 5, 6, 9, 16, 19, 22, 23, 45, 47, 128, 129, 130, 132, 135, 137, 142]
_SEI_TYPES += [144, 147, 148, 149, 150, 154, 176, 177, 200, 202, 205, 255, 300, 70000]
# Registered user data (ITU-T T.35) that FFmpeg looks into: captions, AFD, HDR10+, LCEVC, ...
_REGISTERED = ["b5003147413934", "b5003144544731", "b5003c00010401", "b5003b00000800", "260004"]
_REGISTERED += ["b400500001", "b5002f03", "b5003147413934ff", "b500314741393403"]
# User data by which FFmpeg tells encoders, and their bugs, apart.
_ENCODERS = ["XviD0001", "DivX412b301p", "DivX503b1393p", "DivX999b999p", "Lavc3.51.1", "ffmpeg"]
_ENCODERS += ["FFmpeg v0.4.9b4588", "FFmpeg0.4.6b4600", "XviD4294967295", "DivX1Build9", "xvidx"]
_STARTS = (START_CODE, b"\x00" + START_CODE)

Donors = dict[str, list[bytes]]  # whole packets of each codec


class Mutator:
    """Changes packets of one codec; the same ``draw`` changes them in the same way."""

    def __init__(self, codec: str, draw: random.Random, donors: Donors) -> None:
        self._codec, self._draw, self._donors = codec, draw, donors
        self._sps: dict[int, dict[str, int]] = {}
        self._pps: dict[int, dict[str, int]] = {}
        self._layer: dict[str, int] | None = None

    def learn(self, packets: Sequence[bytes]) -> None:
        """Take in the parameters that later headers refer to."""
        for unit in (unit for packet in packets for unit in split(packet)):
            self._tape(unit)

    def mutate(self, packet: bytes) -> bytes:
        """Change a packet in one to three ways, mostly in its headers' fields."""
        draw = self._draw
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            change = self._fields if draw.random() < 0.45 else draw.choice(self._CHANGES)
            packet = change(self, packet) if change in self._CHANGES else change(packet)
        return packet

    # Fields

    def _tape(self, unit: bytes) -> Tape | None:
        """Take a unit's header apart, from the byte after the one that says what it is."""
        if self._codec == "mpeg4":
            kind, body = unit[0], unit[1:]
            if kind in range(0x20, 0x30):
                tape, layer = tape_of(body, syntax.read_layer)
                self._layer = layer or self._layer
                return tape
            if kind == 0xB6:
                known = self._layer or {"time_bits": 5, "interlaced": 0}
                return tape_of(body, syntax.read_vop, known)[0]
            read = syntax.read_group if kind == 0xB3 else syntax.read_bytes
            return tape_of(body, read)[0]
        kind, body = unit[0] & 0x1F, unescape(unit[1:])
        if kind == 7:
            tape, sps = tape_of(body, syntax.read_sps)
            if sps:
                self._sps[sps["id"]] = sps
            return tape
        if kind == 8:
            tape, pps = tape_of(body, syntax.read_pps)
            if pps:
                self._pps[pps["id"]] = pps
            return tape
        if kind in (1, 2, 5) and self._pps:
            pps = next(reversed(self._pps.values()))
            sps = self._sps.get(pps["sps"])
            return tape_of(body, syntax.read_slice, unit[0], sps, pps)[0] if sps else None
        return tape_of(body, syntax.read_bytes)[0]

    def _fields(self, packet: bytes) -> bytes:
        """Give one to four fields of one unit's header other values."""
        draw = self._draw
        units = split(packet)
        if not units:
            return self._noise(packet)
        # Parameter sets and layers decide most, and there are fewer of them than of pictures.
        weights = [1 if self._is_picture(unit) else 2 for unit in units]
        (at,) = draw.choices(range(len(units)), weights)
        unit = units[at]
        tape = self._tape(unit) if len(unit) <= LONGEST_FIELDS_BYTES else None
        if tape is None or not tape.fields:
            return self._flip(packet)
        for one in draw.choices(tape.fields, k=draw.choice((1, 1, 1, 2, 4))):
            one.value = self._value(one)
        if draw.random() < 0.1:  # what an optional part that is now there is read from
            where = draw.randrange(len(tape.fields) + 1)
            size = draw.choice((1, 3, 8, 33, 200))
            tape.fields.insert(where, Field("inserted", "u", size, draw.getrandbits(size)))
        body = tape.written()
        if self._codec == "h264":
            body = escape(body) if draw.random() < 0.95 else body
        units[at] = unit[:1] + body
        return self._join(units)

    def _value(self, one: Field) -> int:
        draw = self._draw
        if draw.random() < 0.3:
            return one.value + draw.choice((-2, -1, 1, 2))
        if one.kind == "u":
            most = (1 << one.size) - 1
            flipped = one.value ^ 1 << draw.randrange(max(one.size, 1))
            return draw.choice(
                (0, 1, most, most - 1, most // 2 + 1, draw.randint(0, most), flipped)
            )
        value = draw.choice(_EXTREMES)
        return value if one.kind == "ue" or value == TOO_LONG else draw.choice((value, -value))

    def _is_picture(self, unit: bytes) -> bool:
        return unit[0] == 0xB6 if self._codec == "mpeg4" else unit[0] & 0x1F in (1, 2, 5)

    def _join(self, units: Sequence[bytes]) -> bytes:
        return b"".join(b"\x00" + START_CODE + unit for unit in units)

    # Bits and bytes

    def _flip(self, packet: bytes) -> bytes:
        changed = bytearray(packet)
        for _ in range(self._draw.choice((1, 1, 2, 8, 32)) if packet else 0):
            bit = self._draw.randrange(8 * len(changed))
            changed[bit // 8] ^= 0x80 >> bit % 8
        return bytes(changed)

    def _noise(self, packet: bytes) -> bytes:
        draw = self._draw
        at, size = draw.randint(0, len(packet)), draw.choice((1, 2, 4, 16, 64))
        value = draw.choice((draw.randbytes(size), bytes(size), b"\xff" * size, b"\x03" * size))
        return packet[:at] + value + packet[at + draw.choice((0, size)) :]

    def _cut(self, packet: bytes) -> bytes:
        return packet[: self._draw.randint(0, len(packet))]

    def _cut_front(self, packet: bytes) -> bytes:
        return packet[self._draw.randint(0, min(len(packet), 64)) :]

    def _remove(self, packet: bytes) -> bytes:
        at = self._draw.randint(0, len(packet))
        return packet[:at] + packet[at + self._draw.choice((1, 2, 3, 10, 100)) :]

    def _splice(self, packet: bytes) -> bytes:
        other = self._donor()
        draw = self._draw
        return packet[: draw.randint(0, len(packet))] + other[draw.randint(0, len(other)) :]

    def _nothing(self, packet: bytes) -> bytes:
        return b""

    def _large(self, packet: bytes) -> bytes:
        draw = self._draw
        if draw.random() < 0.8:  # most runs should not be about copying bytes
            return packet + bytes(draw.choice((1, 2, 3, 4, 100)))
        size = draw.choice((1 << 12, 1 << 16, MOST_BYTES))
        pattern = draw.choice(
            (b"\x00", b"\xff", b"\x00\x00\x03", b"\x00\x00\x01", b"\x00\x00\x02", b"\x80", None)
        )
        tail = draw.randbytes(size) if pattern is None else pattern * (size // len(pattern))
        return packet + tail

    # Units

    def _remove_unit(self, packet: bytes) -> bytes:
        units = split(packet)
        if units:
            del units[self._draw.randrange(len(units))]
        return self._join(units)

    def _repeat_unit(self, packet: bytes) -> bytes:
        units = split(packet)
        for unit in self._draw.choices(units, k=self._draw.choice((1, 2, 5)) if units else 0):
            units.insert(self._draw.randint(0, len(units)), unit)
        return self._join(units)

    def _shuffle_units(self, packet: bytes) -> bytes:
        units = split(packet)
        self._draw.shuffle(units)
        return self._join(units)

    def _insert_unit(self, packet: bytes) -> bytes:
        units = split(packet)
        codec = self._codec if self._draw.random() < 0.8 else self._draw.choice(CODECS)
        units.insert(
            self._draw.randint(0, len(units)), self._draw.choice(split(self._donor(codec)))
        )
        return self._join(units)

    def _rename_unit(self, packet: bytes) -> bytes:
        units = split(packet)
        if units:
            at = self._draw.randrange(len(units))
            units[at] = bytes([self._draw.randrange(256)]) + units[at][1:]
        return self._join(units)

    def _short_unit(self, packet: bytes) -> bytes:
        units = split(packet)
        if units:
            at = self._draw.randrange(len(units))
            units[at] = units[at][: self._draw.choice((0, 1, 2, 3, 5, 8))]
        return self._join(units)

    def _many_units(self, packet: bytes) -> bytes:
        """Thousands of units of one kind, in front of a packet."""
        draw = self._draw
        unit = draw.choice(split(self._donor()))[: draw.choice((1, 2, 8, 40, 300))]
        kind = bytes([draw.randrange(256)]) if draw.random() < 0.5 else unit[:1]
        count = draw.choice((40, 300, 4000, MOST_UNITS)) if draw.random() < 0.2 else 40
        count = min(count, MOST_BYTES // (len(unit) + 3))
        return (START_CODE + kind + unit[1:]) * count + packet

    def _start_codes(self, packet: bytes) -> bytes:
        """Other start codes: of three bytes or four, with zeros around, at the very end."""
        draw = self._draw
        out = b"".join(
            draw.choice(_STARTS) + unit + bytes(draw.choice((0, 0, 0, 1, 2, 5)))
            for unit in split(packet)
        )
        return out + draw.choice((b"", b"", START_CODE, b"\x00" + START_CODE, b"\x00\x00"))

    def _header_only(self, packet: bytes) -> bytes:
        return self._join([unit for unit in split(packet) if not self._is_picture(unit)])

    def _replace(self, packet: bytes) -> bytes:
        codec = self._codec if self._draw.random() < 0.7 else self._draw.choice(CODECS)
        return self._donor(codec)

    # H.264 alone

    def _length_prefixed(self, packet: bytes) -> bytes:
        """Sizes instead of start codes, some of which are lies."""
        draw = self._draw
        lie = draw.random() < 0.6
        out = b""
        for unit in split(packet):
            size = len(unit)
            if lie and draw.random() < 0.5:
                size = draw.choice(
                    (0, 1, size - 1, size + 1, size + 4, 1 << 31, (1 << 32) - 1, 256)
                )
            out += max(size, 0).to_bytes(4, "big") + unit
        return out

    def _emulation(self, packet: bytes) -> bytes:
        """Emulation prevention bytes where none belong, or none where one belongs."""
        units = split(packet)
        if not units:
            return packet
        draw = self._draw
        at = draw.randrange(len(units))
        unit = units[at]
        if draw.random() < 0.3:
            units[at] = unescape(unit)
        else:
            edge = draw.choice(
                ("000003", "00000300", "0000030000", "00000303", "000002", "000000")
            )
            where = draw.randint(1, len(unit))
            units[at] = unit[:where] + bytes.fromhex(edge) * draw.choice((1, 1, 3)) + unit[where:]
        return self._join(units)

    def _sei(self, packet: bytes) -> bytes:
        """Supplemental information of any kind, whose size may be a lie."""
        draw = self._draw
        body = b""
        for _ in range(draw.choice((1, 1, 2, 20))):
            kind = draw.choice(_SEI_TYPES)
            content = draw.randbytes(draw.choice((0, 1, 2, 7, 16, 40, 300)))
            if kind == 4:
                content = bytes.fromhex(draw.choice(_REGISTERED)) + content
            if kind == 5 and draw.random() < 0.5:
                content = content[:16].ljust(16, b"x") + b"x264 - core %d" % draw.getrandbits(33)
            size = len(content) + (draw.choice((0, 0, 0, -1, 1, 255, 65536)))
            body += _sei_number(kind) + _sei_number(max(size, 0)) + content
        unit = b"\x06" + escape(body + b"\x80")
        units = split(packet)
        units.insert(draw.randint(0, len(units)), unit)
        return self._join(units)

    # MPEG-4 alone

    def _user_data(self, packet: bytes) -> bytes:
        units = split(packet)
        text = self._draw.choice(_ENCODERS).encode()
        units.insert(self._draw.randint(0, len(units)), b"\xb2" + text)
        return self._join(units)

    def _other_mark(self, packet: bytes) -> bytes:
        return self._sei(packet) if self._codec == "h264" else self._user_data(packet)

    def _donor(self, codec: str = "") -> bytes:
        return self._draw.choice(self._donors[codec or self._codec])

    _CHANGES: tuple[Callable[["Mutator", bytes], bytes], ...] = (
        *(_flip, _flip, _noise, _cut, _cut, _cut_front, _remove, _splice, _nothing, _large),
        *(_remove_unit, _repeat_unit, _shuffle_units, _insert_unit, _insert_unit, _rename_unit),
        *(_short_unit, _many_units, _start_codes, _header_only, _replace, _length_prefixed),
        *(_emulation, _other_mark, _other_mark, _other_mark),
    )


def mutate_stretch(packets: list[bytes], mutator: Mutator, draw: random.Random) -> list[bytes]:
    """Change some packets of a stretch, then their order, number and neighbours."""
    changed = [mutator.mutate(packet) if draw.random() < 0.8 else packet for packet in packets]
    for _ in range(draw.choice((0, 0, 1, 2))):
        at, other = draw.randrange(len(changed)), draw.randrange(len(changed))
        operation = draw.randrange(4)
        if operation == 0 and len(changed) > 1:
            del changed[at]
        elif operation == 1:
            changed.insert(at, changed[at])
        elif operation == 2:
            changed[at], changed[other % len(changed)] = changed[other % len(changed)], changed[at]
        else:
            changed.insert(at, changed[at][: len(changed[at]) // 2])
            changed[at + 1] = changed[at + 1][len(changed[at]) :]
    return changed


def _sei_number(value: int) -> bytes:
    return b"\xff" * (value // 255) + bytes([value % 255])
