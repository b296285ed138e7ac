"""A FUSE server that never writes back what the kernel has of a file. Mounts itself in a namespace of its own."""
import ctypes, os, signal, struct, sys

# Whoever started it may be waiting for it, and so cannot end it.
signal.alarm(100)
libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


folder = sys.argv[1]
check(libc.unshare(0x00020000))  # CLONE_NEWNS
check(libc.mount(b"none", b"/", None, 0x44000, None))  # MS_REC, MS_PRIVATE
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
check(libc.mount(b"banger-test", folder.encode(), b"fuse", 0, options.encode()))
print("mounted", flush=True)

LOOKUP, GETATTR, SETATTR, OPEN, READ, WRITE, RELEASE, INIT = 1, 3, 4, 14, 15, 16, 18, 26
WRITEBACK_CACHE = 1 << 16
SIZE = 1 << 20


def attributes(node):
    mode, size = (0o40755, 0) if node == 1 else (0o100666, SIZE)
    return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


while True:
    request = os.read(fuse, 1 << 18)
    length, what, unique, node = struct.unpack_from("<IIQQ", request)
    if what == INIT:
        answer = struct.pack("<4IHHII2H8I", 7, 31, 4096, WRITEBACK_CACHE, 16, 12, 1 << 17, 1, 0, 0, *[0] * 8)[:64]
    elif what == LOOKUP:
        # A node of its own for each name, so that each file waits for itself.
        number = 2 + int(request[40:].rstrip(b"\0"))
        answer = struct.pack("<4Q2I", number, 0, 1000, 1000, 0, 0) + attributes(number)
    elif what in (GETATTR, SETATTR):
        answer = struct.pack("<Q2I", 1000, 0, 0) + attributes(node)
    elif what == OPEN:
        answer = struct.pack("<Q2I", 7, 0, 0)
    elif what == READ:
        answer = bytes(4096)
    elif what == RELEASE:
        answer = b""
    elif what == WRITE:
        continue
    else:
        os.write(fuse, struct.pack("<IiQ", 16, -38, unique))  # ENOSYS
        continue
    os.write(fuse, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
