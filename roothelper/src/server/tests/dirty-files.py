"""Connects to a socket as a user, and leaves files in it that nobody else has open, with changes that were not written:
SOCKET FOLDER COUNT UID. The last close of each waits for these to be written, and for nothing else."""
import os, socket, sys, threading

path, folder, count, uid = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def in_flight():
    """An end of a pair of sockets, behind which the file is. Unchanged it is closed without a wait."""
    file = os.open(f"{folder}/0", os.O_RDWR)
    one, other = socket.socketpair()
    socket.send_fds(one, [b"x"], [file])
    one.close()
    os.close(file)
    return other


ready = [in_flight() for _ in range(count)]
changed = os.open(f"{folder}/0", os.O_RDWR)
os.pwrite(changed, b"x" * 4096, 0)
sent, kept = 0, []
for other in ready:
    client = socket.socket(socket.AF_UNIX)
    os.seteuid(uid)
    client.connect(path)
    os.seteuid(0)
    try:
        socket.send_fds(client, [b"x"], [other.fileno()])
        sent += 1
        # Where it is closed over there already, this waits as well.
        threading.Thread(target=other.close, daemon=True).start()
    except BrokenPipeError:
        # Who was told to go before has sent nothing, and would wait for it here.
        kept.append(other)
    client.close()
print(sent, flush=True)
sys.stdin.read()
