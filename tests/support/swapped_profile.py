"""A color profile that is easy to tell from sRGB: red is green in it, and green is red."""

from PIL import ImageCms

_TAG_COUNT, _TAGS, _TAG_BYTES = 128, 132, 12
"""Bytes of an ICC profile at which its table of tags begins, and of each entry (ICC.1:2022, 7.3)."""


def swapped_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[_TAG_COUNT:_TAGS], "big")
    places = {bytes(profile[at : at + 4]): at for at in range(_TAGS, _TAGS + count * _TAG_BYTES, _TAG_BYTES)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)
