"""Access to the page: the token on every interface, names, origins, and hostile requests."""

import http.client
import json
import logging
import math
import socket
import stat
from contextlib import closing, suppress

import pytest
from websockets.exceptions import InvalidStatus

from edge_fairmot.errors import SinkError
from edge_fairmot.service.web import WebConfig
from edge_fairmot.service.web.auth import read_token

DRAWING = json.dumps({"revision": 1, "line": [], "zone": []})
JSON = {"content_type": "application/json"}


@pytest.fixture(scope="module")
def open_page(tmp_path_factory):
    """A page with open access."""
    from .conftest import served

    config = WebConfig(open_access=True, drawing_file=tmp_path_factory.mktemp("state") / "drawing.json")
    with served(config) as run:
        run.show(1)
        yield run


def refused(run, **headers):
    with pytest.raises(InvalidStatus) as raised, run.watch(**headers):
        pass
    return raised.value.response.status_code


def test_the_token_is_made_once_for_its_owner_only(tmp_path):
    path = tmp_path / "deep" / "token"
    token = read_token(path)
    assert len(token) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_token(path) == token
    assert read_token(tmp_path / "another") != token


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        *((text, 0o600, "token") for text in ("", "short", "   \n", "é" * 40, "two\nlines, long enough")),
        ("a" * 40, 0o640, "chmod 600"),
    ],
)
def test_a_bad_token_file_is_refused(tmp_path, text, mode, reason):
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(SinkError, match=reason):
        read_token(path)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_every_interface_needs_the_token(serve, state, host, caplog):
    caplog.set_level(logging.DEBUG)
    run = serve(WebConfig(host=host))
    token = (state / "web-token").read_text().strip()
    assert run.web.login_address == f"{run.web.address}?token={token}"
    assert "0.0.0.0" not in run.web.address
    assert run.ask("GET", "/api/status", login=False)[0] == 401
    assert run.ask("GET", "/api/status", authorization=f"Bearer {token}")[0] == 200
    assert serve(WebConfig(host=host)).token == token  # the next run has the same one
    assert token not in caplog.text


def test_a_reverse_proxy_opens_nothing(page):
    for host in ("localhost", "127.0.0.1", f"127.0.0.1:{page.port}", "cameras.example"):
        assert page.ask("GET", "/api/tracks", login=False, host=host)[0] == 401
        assert refused(page, login=False, host=host) in (400, 401)
        assert page.ask("GET", "/api/tracks", host=host)[0] == 200


def test_open_access_needs_no_token_and_warns(serve, state, caplog):
    run = serve(WebConfig(open_access=True))
    assert run.web.login_address is None
    assert "the page needs no token: everyone who can reach" in caplog.text
    assert run.ask("GET", "/api/status", login=False)[0] == 200
    assert not (state / "web-token").exists()


def test_the_first_visit_sets_a_cookie_and_removes_the_token_from_the_address(page):
    status, headers, _ = page.ask("GET", f"/?token={page.token}", login=False)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert page.token not in cookie
    given = cookie.split(";")[0]
    assert given.startswith(f"edge_fairmot_{page.port}=")
    for path in ("/", "/api/tracks"):
        assert page.ask("GET", path, login=False, cookie=given)[0] == 200
    with page.watch(login=False, cookie=given) as client:
        assert client.recv(timeout=10)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer wrong-wrong-wrong-wrong"},
        {"authorization": "Bearer é"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"cookie": "edge_fairmot_{port}=wrong"},
        {"cookie": "edge_fairmot_{port}="},
        {"cookie": "edge_fairmot_{port}=\xe9\xff"},
    ],
)
def test_nothing_is_shown_without_the_token(page, headers):
    headers = {name: value.replace("{port}", str(page.port)) for name, value in headers.items()}
    for path in ("/api/status", "/api/tracks", "/api/snapshot.jpg", "/api/counting", "/metrics", "/page.js"):
        assert page.ask("GET", path, login=False, **headers)[0] == 401
    assert page.ask("PUT", "/api/counting", DRAWING, login=False, **JSON, **headers)[0] == 401
    assert refused(page, login=False, **headers) == 401
    status, answered, body = page.ask("GET", "/", login=False, **headers)
    assert status == 401
    assert b"<form" in body
    assert answered["content-security-policy"].startswith("default-src 'none'")
    assert page.ask("GET", "/healthz", login=False)[0] == 200


@pytest.mark.parametrize("token", ["", "wrong", "%00", "%ff%fe", "a" * 2000])
def test_a_wrong_token_opens_nothing(page, token):
    status, headers, _ = page.ask("GET", f"/?token={token}", login=False)
    assert (status, headers["set-cookie"]) == (401, None)
    assert page.ask("GET", f"/api/tracks?token={page.token}", login=False)[0] == 401  # the front page only


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "{own}.evil.example", "", "["])
def test_open_access_refuses_names_of_other_sites(open_page, host):
    host = host.replace("{own}", socket.gethostname())
    assert open_page.ask("GET", "/api/tracks", host=host)[0] == 403
    if host:
        assert refused(open_page, host=host) in (400, 403)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:99", "127.0.0.1", "192.168.1.7:80", "[::1]:8080", socket.gethostname()]
)
def test_open_access_takes_addresses_and_names_of_this_device(open_page, host):
    assert open_page.ask("GET", "/api/tracks", host=host)[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "file://", ""),
        "127.0.0.1:{port}",
    ],
)
def test_pages_of_other_sites_change_and_watch_nothing(page, open_page, origin):
    for run in (open_page, page):
        came = origin.format(port=run.port)
        assert run.ask("PUT", "/api/counting", DRAWING, origin=came, **JSON)[0] == 403
        assert refused(run, origin=came) == 403
        assert run.revision == 1


def test_the_page_itself_and_programs_may_change_and_watch(serve):
    run = serve()
    own = f"http://127.0.0.1:{run.port}"
    assert run.ask("PUT", "/api/counting", DRAWING, origin=own, **JSON)[0] == 200
    again = DRAWING.replace('"revision": 1', '"revision": 2')
    assert run.ask("PUT", "/api/counting", again, **JSON)[0] == 200
    assert run.ask("PUT", "/api/counting", again, sec_fetch_site="cross-site", **JSON)[0] == 403
    with run.watch(origin=own) as client:
        assert client.recv(timeout=10)


@pytest.mark.parametrize(
    ("method", "path", "kind", "status"),
    [
        *(("GET", path, "", status) for path, status in (("/", 200), ("/metrics", 200), ("/nowhere", 404))),
        *(
            (method, "/api/counting", "application/json", 405)
            for method in ("POST", "DELETE", "OPTIONS", "BREW")
        ),
        *(("PUT", "/api/counting", kind, 415) for kind in ("text/plain", "multipart/form-data")),
    ],
)
def test_other_requests_do_nothing_and_have_security_headers(page, method, path, kind, status):
    found, headers, _ = page.ask(method, path, DRAWING, content_type=kind)
    assert (found, page.revision) == (status, 1)
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert (headers["server"], headers["access-control-allow-origin"]) == (None, None)


def polygon(count):
    """Corners on a circle."""
    angles = (2 * math.pi * n / count for n in range(count))
    return [[0.5 + 0.4 * math.cos(angle), 0.5 + 0.4 * math.sin(angle)] for angle in angles]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not JSON"),
        ("\x00\xff", "not JSON"),
        ("[" * 50_000, "not JSON"),
        ("[]", "not an object"),
        ("null", "not an object"),
        ('{"line": [{"name": "a", "start": [NaN, 0], "end": [1, 1]}]}', "NaN is not a number"),
        ('{"line": [{"name": "a", "start": [1e999, 0], "end": [1, 1]}]}', "'a'"),
        (f'{{"line": [{{"name": "a", "start": [{"9" * 4000}, 0], "end": [1, 1]}}]}}', "'a'"),
        (f'{{"revision": {"9" * 5000}}}', "not JSON"),
        ('{"revision": 1, "line": [{"name": "a", "start": [true, 0], "end": [1, 1]}]}', "'a'"),
        ('{"revision": 1, "line": [{"name": "a", "start": [0, 0], "end": [0, 0]}]}', "starts where it ends"),
        ('{"revision": 1, "line": [{"name": "a"}]}', "lacks 'end'"),
        ('{"revision": 1, "line": 7}', "line"),
        ('{"revision": 1, "counting": {"memory_s": 0}}', "only lines and zones"),
        ('{"revision": 1, "__proto__": {}}', "__proto__"),
        (json.dumps({"revision": 1, "zone": [{"name": "z", "polygon": polygon(1000)}]}), "1000 corners"),
        (json.dumps({"revision": 1, "zone": [{"name": "z" * 61, "polygon": polygon(3)}]}), "is not a name"),
        (json.dumps({"zone": [{"name": "a\x1b[2J", "polygon": polygon(3)}]}), "control characters"),
        (json.dumps({"zone": [{"name": str(n), "polygon": polygon(3)} for n in range(33)]}), "too many"),
        (json.dumps({"zone": [{"name": "z", "polygon": polygon(3)}] * 2}), "two zones are called"),
    ],
)
def test_a_bad_drawing_changes_nothing_and_gets_the_reason(page, body, reason):
    status, _, answer = page.ask("PUT", "/api/counting", body.encode("latin-1"), **JSON)
    error = json.loads(answer)["error"]
    assert (status, reason in error) == (422, True), error
    assert "\n" not in error.split(": line")[0]
    assert page.revision == 1
    assert page.counter._drawn.lines == page.counter._drawn.zones == ()


def pour(run, method, path, headers):
    """Send a body without an end."""
    with closing(http.client.HTTPConnection("127.0.0.1", run.port, timeout=10)) as connection:
        connection.putrequest(method, path)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        for _ in range(10_000):  # 640 MB, if the server read them
            connection.send(b"10000\r\n" + b"[" * 65_536 + b"\r\n")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/counting"), ("GET", "/page.css"), ("PUT", "/nowhere")]
)
@pytest.mark.parametrize("login", [True, False])
def test_a_body_without_an_end_is_not_read(page, method, path, login):
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        pour(page, method, path, page.headers(login))
    assert page.ask("GET", "/healthz")[0] == 200


def test_huge_bodies_and_headers_are_refused(page):
    with suppress(BrokenPipeError, ConnectionResetError):
        assert page.ask("PUT", "/api/counting", b" " * 70_000, **JSON)[0] == 413
    with suppress(BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
        assert page.ask("GET", "/", x_long="a" * 200_000)[0] >= 400
    assert page.ask("GET", "/healthz")[0] == 200
