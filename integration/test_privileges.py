"""--user: the server gives up root and still does all it is for."""

import os
import pwd
import signal

import pytest

from cache import make_cold
from client import fetch, fetch_checked
from matrix import SOUND, every
from requirements import requires

pytestmark = [pytest.mark.quick, requires("root")]


def identity(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return {line.split(":")[0]: line.split(":")[1].split() for line in status}


@pytest.mark.parametrize("way", every(ways=[SOUND[0], SOUND[2]]))
def test_files_of_root_are_served_by_nobody(pollux, own_files, way):
    server = pollux(own_files.root, user="nobody", **way)
    readable, private = own_files.new((5 << 20) + 1), own_files.new(5000)
    os.chmod(readable.path, 0o644)
    os.chmod(private.path, 0o600)
    make_cold(readable.path)
    # Cold, then cached: residency is judged without write permission on the file.
    fetch_checked(server.port, readable)
    fetch_checked(server.port, readable)
    fetch_checked(server.port, readable, offset=4097, length=300_000)
    answer = fetch(server.port, "/" + private.name)
    assert answer.status == 403 and b"\0\0" not in answer.body


def test_nothing_of_root_is_left(pollux, files):
    server = pollux(files.root, user="nobody", backend="auto", coordination="masked")
    file = files.get((5 << 20) + 1)
    make_cold(file.path)
    fetch_checked(server.port, file)  # helper and workers exist now
    nobody = pwd.getpwnam("nobody")
    pid = server.process.pid
    for task in os.listdir(f"/proc/{pid}/task"):
        status = identity(f"{pid}/task/{task}")
        assert set(status["Uid"]) == {str(nobody.pw_uid)}
        assert set(status["Gid"]) == {str(nobody.pw_gid)}
        assert "0" not in status["Groups"]
        assert int(status["CapEff"][0], 16) == 0 and int(status["CapPrm"][0], 16) == 0


def test_a_folder_nobody_may_search(pollux, own_files):
    os.makedirs(os.path.join(own_files.root, "closed"), mode=0o700)
    own_files.new(10, "closed/file")
    server = pollux(own_files.root, user="nobody")
    assert fetch(server.port, "/closed/file").status == 403
    assert fetch(server.port, "/closed").status in (301, 403)


def test_the_access_log_is_opened_before_root_is_gone(pollux, own_files, files):
    """A log that only root can create keeps working; as with other servers, its owner is told
    apart from the one who writes."""
    log = os.path.join(own_files.root, "log")
    server = pollux(files.root, user="nobody", access_log=log)
    assert fetch(server.port, "/missing").status == 404
    server.stop()
    with open(log, encoding="ascii") as file:
        assert " 404 " in file.read()


def test_a_log_that_the_user_cannot_reopen_says_what_to_do(pollux, own_files, files):
    folder = os.path.join(own_files.root, "logs")
    os.mkdir(folder, mode=0o755)
    log = os.path.join(folder, "log")
    server = pollux(files.root, user="nobody", access_log=log)
    os.rename(log, log + ".1")
    server.signal(signal.SIGHUP)
    while "reopening the access log" not in server.stderr():
        assert fetch(server.port, "/missing").status == 404
    line, = [text for text in server.stderr().splitlines() if "reopening" in text]
    assert "EACCES" in line and "the folder" in line and "must be writable for" in line
    assert "--user" in line
    # With that done, the next one succeeds.
    os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    server.signal(signal.SIGHUP)
    while not os.path.exists(log):
        assert fetch(server.port, "/missing").status == 404
