# Decides on the system calls of containers: mkdir gives ENOMEDIUM, everything else goes on.
# What it is sent is written to FOLDER/N.json, N from 0.
import fcntl, json, os, socket, struct, sys

RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1
MKDIR = (83, 258)
ENOMEDIUM = 123


def decide(listener):
    while True:
        notice = bytearray(80)
        fcntl.ioctl(listener, RECEIVE, notice)
        number, call = struct.unpack_from("Q", notice)[0], struct.unpack_from("i", notice, 16)[0]
        error, flags = (-ENOMEDIUM, 0) if call in MKDIR else (0, CONTINUE)
        try:
            fcntl.ioctl(listener, SEND, struct.pack("QqiI", number, 0, error, flags))
        except FileNotFoundError:
            pass  # The process is gone.


def whole(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


folder = sys.argv[1]
server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(folder + "/socket")
server.listen()
print("listening", flush=True)
count = 0
while True:
    connection, _ = server.accept()
    text, descriptors, _, _ = socket.recv_fds(connection, 65536, 4)
    # Not to the connection's end: not every runtime closes it as it should.
    while not whole(text):
        text += connection.recv(65536)
    with open(f"{folder}/{count}.new", "wb") as file:
        file.write(text)
    os.rename(f"{folder}/{count}.new", f"{folder}/{count}.json")
    count += 1
    if os.fork() == 0:
        decide(descriptors[0])
    os.close(descriptors[0])
