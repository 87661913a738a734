"""Key pictures get the latest headers in front where they come without any."""

import pytest

from twnet_ros.codec.bitstream import headers_of, inspect_packet, units
from twnet_ros.codec.completion import RawPacket, with_headers

CODECS = ["mpeg4", "h264"]


@pytest.mark.parametrize("codec", CODECS)
def test_a_bare_key_picture_gets_the_headers_of_the_last_one_that_had_any(codec, pan, encode):
    sent, expected = [], []
    for width, height in ((176, 144), (96, 80)):
        first, second = encode(codec, pan(2, width=width, height=height), gop=1)
        headers = headers_of(codec, first.data)
        bare = second.data.replace(headers, b"")
        sent += [first.data, bare]
        expected += [first.data, headers + bare]
    found = list(with_headers(codec, [RawPacket(data, n, False) for n, data in enumerate(sent)]))
    assert [packet.data for packet in found] == expected
    assert [(packet.pts_ns, packet.key) for packet in found] == [(n, True) for n in range(4)]


@pytest.mark.parametrize("codec", CODECS)
def test_the_sources_own_headers_stand_in_front_of_the_first(codec, pan, encode):
    first, second = encode(codec, pan(2))
    headers = headers_of(codec, first.data)
    wrong = codec == "mpeg4"  # what is no key picture stays none, whatever its source says
    bare = first.data.replace(headers, b"")
    sent = [RawPacket(bare, 0, True), RawPacket(second.data, 1, wrong)]
    found = list(with_headers(codec, sent, headers))
    assert [packet.data for packet in found] == [headers + bare, second.data]
    assert [packet.key for packet in found] == [True, False]


def test_a_recovery_point_is_a_key_picture_where_its_source_says_so(pan, encode_reordered):
    packets = encode_reordered("h264", pan(24, dx=1))
    headers = headers_of("h264", packets[0])
    point = next(data for data in packets[1:] if headers in data)  # what x264 calls a key frame
    assert not inspect_packet("h264", point).key
    bare = point.replace(headers, b"")
    sent = [RawPacket(packets[0], 0, True), RawPacket(bare, 1, True), RawPacket(bare, 2, False)]
    first, marked, unmarked = with_headers("h264", sent)
    assert (first.data, first.key) == (packets[0], True)
    assert (marked.data, marked.key) == (headers + bare, True)
    assert (unmarked.data, unmarked.key) == (bare, False)


def test_headers_alone_are_no_key_picture_and_serve_the_next_one(pan, encode):
    (packet,) = encode("h264", pan(1))
    headers = headers_of("h264", packet.data)
    bare = packet.data.replace(headers, b"")
    first, second = with_headers("h264", [RawPacket(headers, 0, True), RawPacket(bare, 1, True)])
    assert (first.data, first.key) == (headers, False)
    assert (second.data, second.key) == (headers + bare, True)


def test_of_parameter_sets_that_come_apart_the_latest_are_in_force(pan, encode):
    (packet,) = encode("h264", pan(1))
    headers = headers_of("h264", packet.data)
    bare = packet.data.replace(headers, b"")
    second = [offset for offset, unit in units(headers) if unit & 0x1F == 8][0]
    first, rest, other = headers[:second], headers[second:], b"\0\0\1\x67other sequence"
    sent = [first + rest, other, first, bare, *(other + b"%d" % n for n in range(5000)), bare]
    found = list(with_headers("h264", [RawPacket(data, 0, True) for data in sent]))
    assert found[3].data == rest + other + first + bare
    assert found[-1].data.startswith(other) and found[-1].key


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0"])
def test_what_is_no_packet_is_handed_on_as_it_is(data):
    (packet,) = with_headers("h264", [RawPacket(data, 7, True)], b"\0\0\0\1\x67")
    assert (packet.data, packet.pts_ns, packet.key) == (data, 7, False)
