#!/usr/bin/python3
"""Stands in for QEMU: control socket, an sshd that greets, a console; no guest."""
import fcntl, json, os, re, signal, socket, struct, sys, threading, time

# What it does beyond the ordinary stands in the file "mode" beside it.
mode = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "mode")).read().split()
line = " ".join(sys.argv)
if "--version" in line:
    print("QEMU emulator version 7.2.0 (fake)")
    sys.exit(1 if "broken" in mode else 0)
if "-netdev help" in line:
    print("Available netdev backend types:\nuser\nstream")
    sys.exit(0)
if "isa-debug-exit" in line:
    sys.exit(1)  # the probe for KVM: it does not work here
if "ends-at-once" in mode:
    print("qemu: the fake was told to end", file=sys.stderr)
    sys.exit(1)
tried = None
if "probe" in mode:
    # Before anything is opened here: what is open was inherited.
    import probe
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "targets")) as targets:
        targets = json.load(targets)
    tried = probe.attempts(targets)

path, log = re.search(r"id=console,logappend=on,path=(\S+),logfile=(\S+)", line).groups()
console = open(log, "a")
rootfs = re.search(r"node-name=root,\S*file\.filename=(\S+)", line).group(1)
if rootfs.startswith("/dev/"):
    held = open(rootfs, "rb+", buffering=0)  # for as long as it lives, as QEMU does
say = lambda text: (console.write(text + "\n"), console.flush())
if "silent" not in mode:
    say("fake guest boots from " + rootfs)
words = os.path.join(os.path.dirname(os.path.abspath(__file__)), "console")
if os.path.exists(words):
    say(open(words).read())
if tried:
    say("tried: " + json.dumps(tried))
stopping = threading.Event()

def end(words):
    say(words)
    os._exit(0)

def ssh(port):
    if "no-ssh" in mode:
        return
    time.sleep(0.3 if "slow" in mode else 0)
    listener = socket.create_server(("127.0.0.1", port), backlog=16)
    while True:
        peer, _ = listener.accept()
        peer.sendall(b"SSH-2.0-fake\r\n")
        time.sleep(0.05)
        peer.close()

def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF

def tap(descriptor, mac):
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

def control():
    listener = socket.socket(fileno=int(re.search(r"id=control,fd=(\d+)", line).group(1)))
    listener.setblocking(True)
    while True:
        peer, _ = listener.accept()
        stream = peer.makefile("rw")
        tell = lambda value: (stream.write(json.dumps(value) + "\n"), stream.flush())
        try:
            tell({"QMP": {"version": {}, "capabilities": []}})
            for text in stream:
                command = json.loads(text)["execute"]
                tell({"return": {"status": "running"} if command == "query-status" else {}})
                if command == "quit":
                    end("quit")
                if command in ("system_powerdown", "send-key") and "deaf" not in mode:
                    tell({"event": "POWERDOWN", "timestamp": {}})
                    time.sleep(0.5 if "slow" in mode else 0)
                    end("reboot: Power down")
        except (OSError, ValueError):
            pass

def typed():
    pipe = os.open(path + ".in", os.O_RDWR)
    while "reads-nothing" not in mode:
        text = os.read(pipe, 4096).decode()
        say("".join("<%s>" % c for c in text.split()))

threading.Thread(target=typed, daemon=True).start()
others = [int(port) for port in re.findall(r"hostfwd=tcp:[\d.]+:(\d+)-:(?!22\b)", line)]
published = [socket.create_server(("127.0.0.1", port)) for port in others]
if "-netdev" not in line and "no-ssh" not in mode:
    say("banger-ready: the guest has booted")
forward = re.search(r"hostfwd=tcp:127\.0\.0\.1:(\d+)-:22", line)
if forward:
    threading.Thread(target=ssh, args=(int(forward.group(1)),), daemon=True).start()
wire = re.search(r"-netdev tap,id=net,fd=(\d+)", line)
if wire:
    mac = bytes.fromhex(re.search(r"netdev=net,mac=([0-9a-f:]+)", line).group(1).replace(":", ""))
    threading.Thread(target=tap, args=(int(wire.group(1)), mac), daemon=True).start()
threading.Thread(target=control, daemon=True).start()
if "banger-doctor" in line:
    time.sleep(0.5)
    end("nothing" if "mute" in mode else "banger: a guest runs")
if "panics" in mode:
    time.sleep(0.2)
    end("Kernel panic - not syncing: told to")
if "dies" in mode:
    time.sleep(0.2)
    print("qemu: the fake was told to die", file=sys.stderr)
    os._exit(1)
if "powers-off" in mode:
    time.sleep(1.0)
    end("reboot: Power down")
signal.pause()
