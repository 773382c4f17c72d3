"""Who may see the page: tokens, names, origins, and what hostile requests get."""

import http.client
import json
import stat
from contextlib import closing, suppress

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from edge_fairmot.errors import SinkError
from edge_fairmot.service.web import WebConfig
from edge_fairmot.service.web.token import take_token

DRAWING = json.dumps({"revision": 1, "line": [], "zone": []})
JSON = {"content_type": "application/json"}


@pytest.fixture
def locked(serve, tmp_path):
    """A page with a token."""
    run = serve(WebConfig(token_file=tmp_path / "folder" / "token"))
    run.token = (tmp_path / "folder" / "token").read_text().strip()
    run.show(1)
    return run


def watch(run, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return connect(f"ws://127.0.0.1:{run.port}/ws", additional_headers=named, proxy=None)


def refused(run, **headers):
    with pytest.raises(InvalidStatus) as raised, watch(run, **headers):
        pass
    return raised.value.response.status_code


def test_the_token_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "deep" / "token"
    token, made = take_token(path)
    assert made
    assert len(token) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert take_token(path) == (token, False)
    assert take_token(tmp_path / "another")[0] != token


@pytest.mark.parametrize("text", ["", "short", "   \n", "é" * 40, "two words\nand a line, long enough"])
def test_a_file_without_a_token_is_refused(tmp_path, text):
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SinkError, match="token"):
        take_token(path)


def test_a_token_that_others_can_read_is_refused(tmp_path):
    take_token(tmp_path / "token")
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(SinkError, match="chmod 600"):
        take_token(tmp_path / "token")


def test_off_this_device_there_is_always_a_token(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    run = serve(WebConfig(host="0.0.0.0"))
    token = (tmp_path / "edge-fairmot" / "web-token").read_text().strip()
    assert run.web.invitation == f"{run.web.address}?token={token}"
    assert "0.0.0.0" not in run.web.address
    assert run.ask("GET", "/api/status")[0] == 401
    assert run.ask("GET", "/api/status", authorization=f"Bearer {token}")[0] == 200
    assert serve(WebConfig(host="0.0.0.0")).web.invitation is None  # printed once


def test_a_first_visit_leaves_a_cookie_and_takes_the_token_out_of_the_address(locked):
    status, headers, _ = locked.ask("GET", f"/?token={locked.token}")
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert locked.token not in cookie
    given = cookie.split(";")[0]
    assert locked.ask("GET", "/", cookie=given)[0] == 200
    assert locked.ask("GET", "/api/tracks", cookie=given)[0] == 200
    with watch(locked, cookie=given) as socket:
        assert socket.recv(timeout=10)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer wrong-wrong-wrong-wrong"},
        {"authorization": "Bearer é"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"cookie": "edge_fairmot_0=wrong"},
        {"cookie": "edge_fairmot_0="},
        {"cookie": "edge_fairmot_0=\xe9\xff"},
    ],
)
def test_without_the_token_there_is_nothing_to_see(locked, headers):
    for path in ("/api/status", "/api/tracks", "/api/snapshot.jpg", "/api/counting", "/metrics", "/page.js"):
        assert locked.ask("GET", path, **headers)[0] == 401
    assert locked.ask("PUT", "/api/counting", DRAWING, **JSON, **headers)[0] == 401
    assert refused(locked, **headers) == 401
    status, answered, page = locked.ask("GET", "/", **headers)
    assert status == 401
    assert b"<form" in page
    assert answered["content-security-policy"].startswith("default-src 'none'")
    assert locked.ask("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("token", ["", "wrong", "%00", "%ff%fe", "a" * 2000])
def test_a_wrong_token_opens_nothing(locked, token):
    status, headers, _ = locked.ask("GET", f"/?token={token}")
    assert status == 401
    assert headers["set-cookie"] is None
    assert locked.ask("GET", f"/api/tracks?token={token}")[0] == 401


def test_the_token_in_an_address_opens_the_page_alone(locked):
    assert locked.ask("GET", f"/api/tracks?token={locked.token}")[0] == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "192.168.1.7:8080", "localhost.evil.example", "[::2]", "", "["]
)
def test_a_foreign_name_is_refused_where_there_is_no_token(open_page, host):
    assert open_page.ask("GET", "/api/tracks", host=host)[0] == 403
    if host:
        assert refused(open_page, host=host) in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "localhost:99", "127.0.0.1", "127.1.2.3:80", "[::1]:8080"])
def test_this_device_goes_by_many_names(open_page, host):
    assert open_page.ask("GET", "/api/tracks", host=host)[0] == 200


ORIGINS = [
    "http://evil.example",
    "null",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "file://",
    "",
    "127.0.0.1:{port}",
]


@pytest.mark.parametrize("origin", ORIGINS)
def test_another_sites_page_changes_and_watches_nothing(serve, locked, origin):
    for run, secret in ((serve(), {}), (locked, {"authorization": f"Bearer {locked.token}"})):
        came = origin.format(port=run.port)
        status, *_ = run.ask("PUT", "/api/counting", DRAWING, origin=came, **JSON, **secret)
        assert status == 403
        assert refused(run, origin=came, **secret) == 403
        assert json.loads(run.ask("GET", "/api/counting", **secret)[2])["revision"] == 1


def test_the_page_itself_and_programs_may(serve):
    run = serve()
    ours = f"http://127.0.0.1:{run.port}"
    assert run.ask("PUT", "/api/counting", DRAWING, origin=ours, **JSON)[0] == 200
    again = DRAWING.replace('"revision": 1', '"revision": 2')
    assert run.ask("PUT", "/api/counting", again, **JSON)[0] == 200
    assert run.ask("PUT", "/api/counting", again, sec_fetch_site="cross-site", **JSON)[0] == 403
    with watch(run, origin=ours) as socket:
        assert socket.recv(timeout=10)


def test_every_answer_has_its_headers(serve):
    run = serve()
    for method, path in (
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("POST", "/"),
        ("PUT", "/api/counting"),
        ("GET", "/metrics"),
    ):
        headers = run.ask(method, path)[1]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["server"] is None
        assert headers["access-control-allow-origin"] is None


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_do_nothing(open_page, method):
    assert open_page.ask(method, "/api/counting", DRAWING, **JSON)[0] == 405
    assert revision_of(open_page) == 1


def revision_of(run):
    return json.loads(run.ask("GET", "/api/counting")[2])["revision"]


def put(run, body, **headers):
    status, _, answer = run.ask("PUT", "/api/counting", body, **{**JSON, **headers})
    return status, json.loads(answer)["error"] if answer.startswith(b"{") and status == 422 else ""


def polygon(count):
    return [[0.5 + 0.4 * (n % 2), n / count] for n in range(count)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("\x00\xff", "not JSON"),
        ("[" * 50_000, "not JSON"),
        ("[]", "an object is needed"),
        ("null", "an object is needed"),
        ('{"line": [{"name": "a", "start": [NaN, 0], "end": [1, 1]}]}', "NaN is no number"),
        ('{"line": [{"name": "a", "start": [-Infinity, 0], "end": [1, 1]}]}', "no number"),
        ('{"line": [{"name": "a", "start": [1e999, 0], "end": [1, 1]}]}', "outside the picture"),
        (f'{{"line": [{{"name": "a", "start": [{"9" * 4000}, 0], "end": [1, 1]}}]}}', "digits"),
        (f'{{"revision": {"9" * 5000}}}', "not JSON"),
        ('{"revision": 1, "line": [{"name": "a", "start": [true, 0], "end": [1, 1]}]}', "must be a number"),
        ('{"revision": 1, "line": [{"name": "a", "start": "ab", "end": [1, 1]}]}', "a point"),
        ('{"revision": 1, "line": [{"name": "a", "start": [0, 0], "end": [0, 0]}]}', "starts where it ends"),
        ('{"line": [{"name": "a", "start": [0, 0], "end": [5e-324, 0]}]}', "starts where it ends"),
        ('{"revision": 1, "line": [{"name": "a"}]}', "lacks 'end'"),
        ('{"revision": 1, "line": {"name": "a"}}', "line"),
        ('{"revision": 1, "line": 7}', "line"),
        ('{"revision": 1, "counting": {"memory_s": 0}}', "only lines and zones"),
        ('{"revision": 1, "counting": 7}', "must be a table"),
        ('{"revision": 1, "__proto__": {}}', "__proto__"),
        (json.dumps({"revision": 1, "zone": [{"name": "z", "polygon": polygon(1000)}]}), "1000 corners"),
        (json.dumps({"zone": [{"name": "z", "polygon": polygon(2)}]}), "three different corners"),
        (json.dumps({"revision": 1, "zone": [{"name": "z" * 61, "polygon": polygon(3)}]}), "is no name"),
        (json.dumps({"zone": [{"name": "a\x1b[2J", "polygon": polygon(3)}]}), "is no name"),
        (
            json.dumps({"zone": [{"name": str(n), "polygon": polygon(3)} for n in range(33)]}),
            "too many",
        ),
        (json.dumps({"zone": [{"name": "z", "polygon": polygon(3)}] * 2}), "two zones are called"),
    ],
)  # fmt: skip
def test_what_is_no_drawing_changes_nothing_and_says_why(open_page, body, reason):
    status, error = put(open_page, body.encode("latin-1"))
    assert status == 422
    assert reason in error
    assert "\n" not in error.split(": line")[0]
    assert revision_of(open_page) == 1
    open_page.show(open_page.web._number + 1)
    assert open_page.counter.lines == open_page.counter.zones == {}


def test_a_form_cannot_pass_for_a_drawing(serve):
    run = serve()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert run.ask("PUT", "/api/counting", DRAWING, content_type=kind)[0] == 415


def pour(run, method, path):
    """Send a body without an end."""
    connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=10)
    with closing(connection):
        connection.putrequest(method, path)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        for _ in range(10_000):  # 640 MB, if anybody took them
            connection.send(b"10000\r\n" + b"[" * 65_536 + b"\r\n")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/counting"), ("GET", "/page.css"), ("PUT", "/nowhere")]
)
def test_a_body_without_an_end_is_not_read(open_page, locked, method, path):
    for run in (open_page, locked):
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            pour(run, method, path)
        assert run.ask("GET", "/healthz")[0] == 200


def test_a_huge_body_is_refused(serve):
    run = serve()
    with suppress(BrokenPipeError, ConnectionResetError):
        assert put(run, b" " * 70_000)[0] == 413
    assert put(run, DRAWING)[0] == 200


def test_a_huge_header_is_refused(serve):
    run = serve()
    with suppress(BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
        assert run.ask("GET", "/", x_long="a" * 200_000)[0] >= 400
    assert run.ask("GET", "/healthz")[0] == 200
