"""No path leaves the root; nothing but regular files is served."""

import os
import socket
import threading

import pytest

from client import fetch, fetch_checked

pytestmark = pytest.mark.quick
SECRET = b"not for the network"


@pytest.fixture
def tree(own_files):
    """parent/secret, and parent/root which is served."""
    parent = own_files.root
    with open(os.path.join(parent, "secret"), "wb") as file:
        file.write(SECRET)
    own_files.root = os.path.join(parent, "root")
    os.makedirs(os.path.join(own_files.root, "sub"))
    return own_files


ESCAPES = ["/../secret", "/sub/../../secret", "/%2e%2e/secret", "/%2E%2e/secret", "/..%2fsecret",
           "/sub/..%2f..%2fsecret", "/.%2e/secret", "/..%5csecret", "/..\\secret", "/..;/secret",
           "/%252e%252e/secret", "/%c0%ae%c0%ae/secret", "/%u002e%u002e/secret", "//../secret",
           "/./.././secret", "/sub/%2e%2e/%2e%2e/secret", "/../../../../../../etc/passwd"]


@pytest.mark.parametrize("target", ESCAPES)
def test_dots_in_any_disguise(pollux, tree, target):
    server = pollux(tree.root)
    answer = fetch(server.port, target)
    assert answer.status in (400, 403, 404)
    assert SECRET not in answer.body and b"root:" not in answer.body


def test_dot_segments_inside_are_removed(pollux, tree):
    server = pollux(tree.root)
    file = tree.new(100)
    for target in (f"/sub/../{file.name}", f"/./{file.name}", f"/sub/%2e%2e/{file.name}"):
        fetch_checked(server.port, file, target=target)


@pytest.mark.parametrize("destination", ["../secret", "../../{parent}/secret", "{absolute}",
                                         "/etc/passwd", "/proc/self/root/etc/passwd", "up"])
def test_symbolic_links_that_leave(pollux, tree, destination):
    parent = os.path.dirname(tree.root)
    server = pollux(tree.root)
    os.symlink("..", os.path.join(tree.root, "up"))
    if destination != "up":
        os.symlink(destination.format(parent=os.path.basename(parent),
                                      absolute=os.path.join(parent, "secret")),
                   os.path.join(tree.root, "link"))
    target = "/up/secret" if destination == "up" else "/link"
    answer = fetch(server.port, target)
    assert answer.status in (403, 404)
    assert SECRET not in answer.body and b"root:" not in answer.body


def test_symbolic_links_that_stay(pollux, tree):
    server = pollux(tree.root)
    file = tree.new(5000)
    os.symlink(f"../{file.name}", os.path.join(tree.root, "sub", "link"))
    fetch_checked(server.port, file, target="/sub/link")


def test_a_link_swapped_all_the_time_never_leads_out(pollux, tree):
    """`door` is now a folder's link, now one that leads out; each answer is the file or an error."""
    server = pollux(tree.root)
    inside = tree.new(50, "sub/secret")
    good, bad = os.path.join(tree.root, "good"), os.path.join(tree.root, "bad")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for name, destination in ((good, "sub"), (bad, "..")):
                os.symlink(destination, name)
                os.rename(name, os.path.join(tree.root, "door"))

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        seen = set()
        for _ in range(500):
            answer = fetch(server.port, "/door/secret")
            assert SECRET not in answer.body
            if answer.status == 200:
                inside.check(answer.body)
            seen.add(answer.status)
    finally:
        stop.set()
        thread.join()
    assert seen <= {200, 403, 404, 503}


# What each link gets from --symlinks inside, follow, none.
@pytest.mark.parametrize("destination,target,statuses", [
    ("sub/file", "/link", (200, 200, 403)),
    ("sub", "/link/file", (200, 200, 403)),
    ("../secret", "/link", (403, 200, 403)),
    ("..", "/link/secret", (403, 200, 403)),
    ("{root}/sub/file", "/link", (403, 200, 403)),
    ("/proc/self/root/etc/passwd", "/link", (403, 403, 403)),
    ("link", "/link", (403, 403, 403)),
    ("nothing", "/link", (404, 404, 403)),
])
def test_symlinks(pollux, tree, destination, target, statuses):
    tree.new(70, "sub/file")
    os.symlink(destination.format(root=tree.root), os.path.join(tree.root, "link"))
    for symlinks, status in zip(("inside", "follow", "none"), statuses):
        server = pollux(tree.root, symlinks=symlinks)
        answer = fetch(server.port, target)
        assert answer.status == status, symlinks
        assert (SECRET in answer.body) == (status == 200 and "secret" in destination + target)
        assert fetch(server.port, "/sub/file").status == 200


def test_magic_links(pollux):
    server = pollux("/proc/self")
    for target in ("/root/etc/passwd", "/fd/0", "/cwd/"):
        answer = fetch(server.port, target)
        assert answer.status in (403, 404) and b"root:" not in answer.body


def test_what_is_no_regular_file_is_refused_at_once(pollux, tree):
    server = pollux(tree.root)
    os.mkfifo(os.path.join(tree.root, "fifo"))
    with socket.socket(socket.AF_UNIX) as listener:
        # sun_path holds 107 bytes: bound through the folder's descriptor.
        folder = os.open(tree.root, os.O_PATH)
        listener.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        if os.geteuid() == 0:
            os.mknod(os.path.join(tree.root, "null"), 0o666 | 0o020000, os.makedev(1, 3))
        for name in ("fifo", "socket", "null"):
            if os.path.lexists(os.path.join(tree.root, name)):
                assert fetch(server.port, "/" + name).status == 403
    # A blocked loop would not answer this.
    fetch_checked(server.port, tree.new(10))


def test_a_fifo_with_a_writer_is_refused_too(pollux, tree):
    server = pollux(tree.root)
    path = os.path.join(tree.root, "fifo")
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    try:
        os.write(both, SECRET)
        assert fetch(server.port, "/fifo").status == 403
    finally:
        os.close(both)
