"""Documents over a packet socket between a runner and its workers. What is too large for a packet travels as a descriptor.

Never as a path: whoever got it would read, and delete, what the other one names.
"""

from __future__ import annotations

import array
import os
import socket
import stat

# A packet must fit the socket's buffer with room to spare.
PACKET_BYTES = 64 * 1024
# What a document may have: many times what the outputs of a step may.
DOCUMENT_BYTES = 16 * 1024 * 1024
# For one descriptor.
_ROOM = socket.CMSG_SPACE(array.array("i").itemsize)
# As a number: the enumeration takes longer to combine than the packet to receive.
_CLOSED_BY_EXEC = int(socket.MSG_CMSG_CLOEXEC)


class TooLarge(ValueError):
    """A document is larger than it may be."""


def send(end: socket.socket, document: bytes, number: int = 0) -> None:
    """Send one document.

    Args:
        end: the socket.
        document: the bytes to send.
        number: stands at the head of its packet, when the document travels beside it.

    Raises:
        TooLarge: it has more than DOCUMENT_BYTES.
        BlockingIOError: the socket does not wait, and has no room.
    """
    if len(document) <= PACKET_BYTES:
        end.send(document)
        return
    if len(document) > DOCUMENT_BYTES:
        raise TooLarge(f"{len(document)} bytes of JSON are more than the limit of {DOCUMENT_BYTES}")
    memory = os.memfd_create("kaon-document", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(memory), "wb") as file:
            file.write(document)
        socket.send_fds(end, [b'{"id":%d,"beside":true}' % number], [memory])
    finally:
        os.close(memory)


def receive(end: socket.socket, flags: int = 0) -> bytes:
    """Receive the next document; empty when the other end is closed.

    Raises:
        ValueError: what came beside a packet is no memory, or too large.
        BlockingIOError: there is none, and the socket or `flags` say not to wait.
    """
    # Not `socket.recv_fds`, which forgets the flags.
    packet, beside, _, _ = end.recvmsg(2 * PACKET_BYTES, _ROOM, _CLOSED_BY_EXEC | flags)
    if not beside:
        return packet
    descriptors = array.array("i")
    for level, kind, data in beside:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if not descriptors:
        return packet
    try:
        return _content(descriptors[0])
    finally:
        for each in descriptors:
            os.close(each)


def _content(descriptor: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > DOCUMENT_BYTES:
        raise TooLarge(
            f"what came beside a packet is no document of at most {DOCUMENT_BYTES} bytes"
        )
    parts, place = [], 0
    while place < status.st_size and (part := os.pread(descriptor, status.st_size - place, place)):
        parts.append(part)
        place += len(part)
    return b"".join(parts)
