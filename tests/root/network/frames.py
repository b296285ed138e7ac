# Frames between a test and an interface: frames.py tap NAME | packet NAME. Lines of hexadecimal digits to it are sent, lines from
# it were received; the first line says that it is open. `mac ADDRESS` gives the tap itself another address.
import fcntl, os, socket, struct, sys, threading

kind, name = sys.argv[1:]
if kind == "tap":
    # TUNSETIFF: IFF_TAP, IFF_NO_PI, IFF_VNET_HDR.
    wire = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(wire, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0002 | 0x1000 | 0x4000))
    head = bytes(10)
    read, write = lambda: os.read(wire, 70000)[10:], lambda frame: os.write(wire, head + frame)
else:
    # ETH_P_ALL.
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((name, 0))
    read, write = lambda: wire.recv(70000), wire.send


def say(line):
    # At once, so that no line comes into another.
    os.write(1, line.encode() + b"\n")


def receive():
    while True:
        say(read().hex())


threading.Thread(target=receive, daemon=True).start()
say("open")
for line in sys.stdin:
    if line.startswith("mac "):
        # SIOCSIFHWADDR, of ARPHRD_ETHER.
        request = struct.pack("16sH6s16x", name.encode(), 1, bytes.fromhex(line[4:].strip()))
        fcntl.ioctl(wire, 0x8924, request)
    else:
        write(bytes.fromhex(line.strip()))
    say("done")
# Threads that read end with the process.
os._exit(0)
