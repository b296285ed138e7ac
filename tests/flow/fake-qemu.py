#!/usr/bin/python3
"""Stands in for QEMU: control socket, an sshd that greets, a console; no guest."""
import json, os, re, signal, socket, sys, threading, time

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
    while "waits" in mode and not os.path.exists(os.path.join(os.path.dirname(words), "go")):
        time.sleep(0.02)
    listener = socket.create_server(("127.0.0.1", port), backlog=16)
    while True:
        peer, _ = listener.accept()
        peer.sendall(b"SSH-2.0-fake\r\n")
        time.sleep(0.05)
        peer.close()

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
tap = re.search(r"-netdev tap,id=net,fd=(\d+)", line)
if tap:
    import wire
    mac = bytes.fromhex(re.search(r"netdev=net,mac=([0-9a-f:]+)", line).group(1).replace(":", ""))
    threading.Thread(target=wire.guest, args=(int(tap.group(1)), mac, say, mode), daemon=True).start()
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
