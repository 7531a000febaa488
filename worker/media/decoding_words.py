"""How a decoding process and its caller talk: a head in JSON, then samples, the lengths of both before them."""

import struct
from typing import Any

from pydantic import TypeAdapter

from jobs.errors import VideoUndecodable
from worker.media.frames import VideoInfo

HEAD = struct.Struct("<IQ")
"""Bytes of the head and of the payload."""
HEAD_BYTES = 64 * 1024
"""The most that a head is believed to have."""
LENGTH = struct.Struct("<Q")
"""Bytes of the request, which is pickled: it comes from the caller, who is trusted."""
RANGE = struct.Struct("<QQ")
"""First and last frame that are asked for."""
INFO = TypeAdapter(VideoInfo)

Head = dict[str, Any]


def ended_by_force() -> VideoUndecodable:
    return VideoUndecodable(
        "The video could not be decoded within the limits of memory and time: the file is damaged, or made to do harm. "
        "Export it again and use that."
    )
