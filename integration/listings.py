"""Reading what --listing sends, from a raw socket."""

import json

from client import Connection


def read_listing(connection, method="GET"):
    """(head, content) of one answer in the chunked coding, which must be complete."""
    head = connection.read_head()
    assert head.status == 200 and head["transfer-encoding"] == "chunked"
    assert "content-length" not in head.fields
    content = []
    while method == "GET":
        line = connection.read_line()
        size = int(line, 16)
        content.append(connection.read_body(size))
        assert connection.read_body(2) == b"\r\n"
        if size == 0:
            break
    return head, b"".join(content)


def listing(server, path, **fields):
    with Connection(server.port) as connection:
        connection.ask(path, **fields)
        return read_listing(connection)


def entries(server, path):
    head, content = listing(server, path, Accept="application/json")
    assert head["content-type"] == "application/json"
    return json.loads(content)
