"""What a VMM that a guest has taken over would try. Prints, or returns, what became of each attempt."""
import ctypes, fcntl, json, os, socket, stat, struct, sys

libc = ctypes.CDLL(None, use_errno=True)


def refused(outcome):
    """Runs in a process of its own, so that one attempt does not spoil the next."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = outcome() or "done"
            text = "succeeded: " + str(said)
        except BaseException as error:
            text = "refused: " + repr(error)
        os.write(writer, text.encode()[:400])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read(path):
    with open(path, "rb") as file:
        return "%d bytes" % len(file.read(4096))


def change(path):
    os.close(os.open(path, os.O_RDWR))


def meet(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as peer:
        peer.settimeout(3)
        peer.connect(address)


def trace(pid):
    check(libc.ptrace(16, pid, 0, 0))  # PTRACE_ATTACH
    os.waitpid(pid, 0x40000000)
    check(libc.ptrace(17, pid, 0, 0))  # PTRACE_DETACH


def memory(pid):
    with open("/proc/%d/maps" % pid) as maps:
        start = int(maps.readline().split("-")[0], 16)
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as mem:
        mem.seek(start)
        return "%d bytes" % len(mem.read(16))


def seen(marker):
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/cmdline" % entry, "rb") as line:
                    if marker.encode() in line.read():
                        return entry
            except OSError:
                pass
    raise LookupError("not among the processes")


def more_privileges():
    if libc.prctl(39, 0, 0, 0, 0) == 1:  # PR_GET_NO_NEW_PRIVS
        raise PermissionError("no_new_privs")


def own_users():
    check(libc.unshare(0x10000000))  # CLONE_NEWUSER


def mount():
    check(libc.unshare(0x10000000 | 0x00020000))  # CLONE_NEWUSER | CLONE_NEWNS
    check(libc.mount(b"none", b"/tmp" if os.path.isdir("/tmp") else b"/dev", b"tmpfs", 0, None))


def usr():
    if os.statvfs("/usr").f_flag & os.ST_RDONLY:
        raise PermissionError("/usr is mounted read-only")


def tap(name):
    with open("/dev/net/tun", "rb+", buffering=0) as tun:
        # TUNSETIFF with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR.
        fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x5002))


def descriptors(first=5):
    """Descriptors beyond the standard three, the control socket and the network's."""
    found = []
    for number in range(first, 256):
        try:
            found.append("%d (%o)" % (number, stat.S_IFMT(os.fstat(number).st_mode)))
        except OSError:
            pass
    return found


def attempts(targets):
    found = descriptors()
    results = {"inherit descriptors": "succeeded: " + ", ".join(found) if found else "refused: none"}
    for what, path in targets["read"].items():
        results["read " + what] = refused(lambda: read(path))
    for what, path in targets["change"].items():
        results["change " + what] = refused(lambda: change(path))
    # Behind bubblewrap it has another name.
    kernel = "/vm/kernel" if os.path.exists("/vm/kernel") else targets["kernel"]
    pid = targets["pid"]
    results.update({
        "change its own kernel": refused(lambda: change(kernel)),
        "reach bangerd": refused(lambda: meet(socket.AF_UNIX, targets["socket"])),
        "reach an abstract socket": refused(lambda: meet(socket.AF_UNIX, "\0" + targets["abstract"])),
        "reach the host's loopback": refused(lambda: meet(socket.AF_INET, ("127.0.0.1", targets["port"]))),
        "trace a process": refused(lambda: trace(pid)),
        "read a process's memory": refused(lambda: memory(pid)),
        "signal a process": refused(lambda: os.kill(pid, 0)),
        "see a process": refused(lambda: seen(targets["marker"])),
        "change /usr": refused(usr),
        "gain privileges": refused(more_privileges),
        "make a user namespace": refused(own_users),
        "mount": refused(mount),
    })
    if "tap" in targets:
        results["attach another tap"] = refused(lambda: tap(targets["tap"]))
        results["make a socket of the kernel's"] = refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close())
    return results


if __name__ == "__main__":
    print(json.dumps(attempts(json.load(open(sys.argv[1])))))
