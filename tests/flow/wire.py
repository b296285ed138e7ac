"""A guest's end of a tap, for programs that stand in for VMMs."""
import fcntl, os, struct

def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF

def guest(descriptor, mac, say, mode):
    """A guest's end of a tap: ARP, and TCP that greets at port 22 and echoes at every other."""
    request = fcntl.ioctl(descriptor, 0x800454D2, bytes(40))  # TUNGETIFF
    name, flags = request[:16].rstrip(b"\0").decode(), struct.unpack("H", request[16:18])[0]
    say("tap %s %s" % (name, "frames" if flags & 0x5002 == 0x5002 else "odd %x" % flags))
    os.set_blocking(descriptor, True)
    header = 10  # struct virtio_net_hdr: nothing is left to do
    send = lambda to, kind, rest: os.write(
        descriptor, (bytes(header) + to + mac + kind + rest).ljust(header + 60, b"\0"))
    while True:
        frame = os.read(descriptor, 70000)[header:]
        to, peer, kind, packet = frame[:6], frame[6:12], frame[12:14], frame[14:]
        if kind == b"\x08\x06" and packet[6:8] == b"\0\1":
            # Which address is its own it learns by being asked for it: nobody else is on this wire.
            send(peer, kind, packet[:6] + b"\0\2" + mac + packet[24:28] + packet[8:14] + packet[14:18])
            continue
        if kind != b"\x08\0" or len(packet) < 40 or packet[9] != 6:
            continue
        start = (packet[0] & 15) * 4
        segment = packet[start:struct.unpack("!H", packet[2:4])[0]]
        theirs, ours, sequence, acked, offset, bits = struct.unpack("!HHIIBB", segment[:14])
        data = segment[(offset >> 4) * 4:]
        syn, fin, reset = bits & 2, bits & 1, bits & 4
        if reset or "no-ssh" in mode:
            continue
        if ours != 22 and "echo" not in mode:
            answers = [(0x14, 0, b"")]  # nobody listens
        elif syn:
            answers = [(0x12, 1000, b"")]
        else:
            words = b"SSH-2.0-fake\r\n" if ours == 22 and data and acked == 1001 else b""
            if ours != 22:
                words = data
            answers = [(0x18, acked, words)] if words else [(0x10, acked, b"")] if data or fin else []
            if fin:
                answers.append((0x11, acked + len(words), b""))
        for bits, own, words in answers:
            head = struct.pack("!HHIIBBHHH", ours, theirs, own & 0xFFFFFFFF,
                               (sequence + len(data) + bool(syn) + bool(fin)) & 0xFFFFFFFF, 0x50, bits, 65535, 0, 0)
            source, target = packet[16:20], packet[12:16]
            pseudo = source + target + struct.pack("!HH", 6, len(head) + len(words))
            head = head[:16] + struct.pack("!H", checksum(pseudo + head + words)) + head[18:]
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(head) + len(words), 0, 0, 64, 6, 0, source, target)
            ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
            send(peer, kind, ip + head + words)
