#!/usr/bin/python3
"""Stands in for Firecracker: its control socket, a console; no guest."""
import fcntl, json, os, socket, struct, sys, threading, time

# What it does beyond the ordinary stands in the file "mode" beside it.
mode = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "mode")).read().split()
version = next((word[8:] for word in mode if word.startswith("version=")), "1.16.1")
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if "--version" in sys.argv:
    print("Firecracker v%s\n" % version)
    sys.exit(0)
inherited = []
if "probe" in mode:
    import probe
    inherited = probe.descriptors(3)
log = open(words["--log-path"], "a")
if "ends-at-once" in mode:
    print("Error: the fake was told to end", file=sys.stderr)
    sys.exit(1)
told = json.load(open(words["--config-file"]))
boot = told["boot-source"]
if open(boot["kernel_image_path"], "rb").read(4) != b"\x7fELF":
    print("Error: Kernel Loader: failed to load ELF kernel image", file=sys.stderr)
    sys.exit(1)
drives = [open(drive["path_on_host"], "rb+", buffering=0) for drive in told["drives"]]
say = lambda text: (sys.stdout.write(text + "\r\n"), sys.stdout.flush())
say("fake guest boots with " + boot["boot_args"])
if "initrd_path" in boot:
    content = open(boot["initrd_path"], "rb").read()
    say("fake guest has %s of %d bytes, with %s" % (boot["initrd_path"], len(content),
        " ".join(word for word in ("virtio_mmio.ko", "banger-init") if word.encode() in content)))
for card in told["network-interfaces"]:
    import wire
    tap = os.open("/dev/net/tun", os.O_RDWR)
    # TUNSETIFF with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR: it is there, and its owner may open it.
    fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", card["host_dev_name"].encode(), 0x5002))
    mac = bytes.fromhex(card["guest_mac"].replace(":", ""))
    threading.Thread(target=wire.guest, args=(tap, mac, say, mode), daemon=True).start()

if "probe" in mode:
    # It is taken over: its tap is attached, as it would be.
    tried = probe.attempts(json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "targets"))))
    tried["inherit descriptors"] = "succeeded: " + ", ".join(inherited) if inherited else "refused: none"
    say("tried: " + json.dumps(tried))

def answer(method, path, body):
    if (method, path) == ("GET", "/"):
        about = {"id": words["--id"], "state": "Running", "vmm_version": version, "app_name": "Firecracker"}
        return 200, about
    if (method, path) == ("PUT", "/actions"):
        try:
            action = json.loads(body)["action_type"]
        except (ValueError, KeyError) as wrong:
            return 400, {"fault_message": "An error occurred when deserializing the json body of a request: %s." % wrong}
        if action == "SendCtrlAltDel":
            if "deaf" not in mode:
                threading.Timer(0.5 if "slow" in mode else 0.02, lambda: (say("reboot: Restarting system"), os._exit(0))).start()
            return 204, None
        return 400, {"fault_message": "The requested operation is not supported after starting the microVM."}
    return 400, {"fault_message": "Invalid request method and/or path: %s %s." % (method.title(), path.lstrip("/"))}

def serve(peer):
    text = b""
    while True:
        while b"\r\n\r\n" not in text:
            piece = peer.recv(4096)
            if not piece:
                return
            text += piece
        head, _, text = text.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        method, path, _ = lines[0].split(" ")
        fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        length = int(fields.get("content-length", 0))
        while len(text) < length:
            text += peer.recv(4096)
        body, text = text[:length], text[length:]
        status, value = answer(method, path, body)
        reply = "HTTP/1.1 %d \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n" % status
        content = "" if value is None else json.dumps(value, separators=(",", ":"))
        if content:
            reply += "Content-Type: application/json\r\nContent-Length: %d\r\n" % len(content)
        peer.sendall((reply + "\r\n" + content).encode())

def api():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(words["--api-sock"])
    listener.listen(8)
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=serve, args=(peer,), daemon=True).start()

if "silent" not in mode:
    threading.Thread(target=api, daemon=True).start()
    say("banger-ready: the guest has booted")
while True:
    try:
        typed = os.read(0, 4096)
        say("".join("<%s>" % word for word in typed.decode().split()))
    except BlockingIOError:
        time.sleep(0.02)
