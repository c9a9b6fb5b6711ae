"""Who may look at the page, and the bounds that hold whoever asks."""

from __future__ import annotations

import http.client
import re
import socket
import time
from urllib.parse import quote

import pytest
from fixtures_page import TOKEN, get, port_of, quiet, raw
from test_sinks import RUN

from bioxedge import SinkError
from bioxedge.runtime.events import Event
from bioxedge.runtime.page import PageSink, make_page
from bioxedge.runtime.page.access import parse_address
from bioxedge.runtime.page.server import CLIENTS, FOLLOWERS, HEAD

# -- who asks ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page():
    page, _ = quiet()
    with page:
        yield page


@pytest.mark.parametrize(
    "path", ["/", "/page.css", "/page.js", "/plots.js", "/panels.js", "/icon.svg"]
)
def test_the_pages_own_files_are_served_and_nothing_from_elsewhere(page, path):
    status, headers, body = get(page, path)
    assert status == 200 and body
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers
    foreign = [one for one in re.findall(r"https?://[^\"' )]*", body) if "www.w3.org" not in one]
    assert not foreign
    assert get(page, path, If_None_Match=headers["ETag"])[0] == 304
    head = get(page, path, method="HEAD")
    assert head[0] == 200 and head[2] == "" and head[1]["Content-Length"] == str(len(body.encode()))


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/page.py",
        "//etc/passwd",
        "/page.py",
        "/page.html",
        "/page.css/",
        "/./page.css",
        "/page.css%00",
        "/..\\page.css",
        "/favicon.ico",
    ],
)
def test_no_path_reaches_a_file_that_is_not_named(page, path):
    status, _, body = get(page, path)
    assert status == 404 and body.count("\n") == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
def test_nothing_but_reading_is_answered(page, method):
    status, _, body = get(page, "/state", method=method)
    assert status == 501 and body == "only GET and HEAD are answered\n"


def test_a_name_that_was_made_to_point_here_is_refused(page):
    for host in ("evil.example", "evil.example:8765", "", "a@localhost", "localhost.evil.example"):
        assert get(page, "/state", Host=host)[0] == 421
    for host in ("localhost", "localhost:9000", "127.0.0.1:1", "[::1]:8765", "192.168.1.7:8765"):
        assert get(page, "/state", Host=host)[0] == 200


def test_another_sites_page_may_not_ask(page):
    asked = {"Sec_Fetch_Site": "cross-site"}
    assert get(page, "/state", **asked, Sec_Fetch_Mode="no-cors")[0] == 403
    assert get(page, "/", **asked, Sec_Fetch_Mode="navigate")[0] == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * HEAD + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 3000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 300 + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET http://[/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /?" + b"&".join([b"a=1"] * 50) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 421),
        (b"GET /\r\n\r\n", 421),
    ],
)
def test_what_is_no_decent_request_gets_one_line_or_nothing(page, sent, status):
    try:
        answer = raw(page, sent)
    except ConnectionResetError:  # it was refused before all of it was read
        return
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert answer.partition("\r\n\r\n")[2].count("\n") == 1


def test_half_a_request_is_not_waited_for(page, monkeypatch):
    monkeypatch.setattr("bioxedge.runtime.page.server.PATIENCE", 0.2)
    assert raw(page, b"GET / HTTP/1.1\r\nHost: loc").startswith("HTTP/1.1 408 ")


def test_there_is_room_for_so_many_and_no_more():
    page, _ = quiet()
    with page:
        port = port_of(page)
        idle = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(CLIENTS)]
        limit = time.monotonic() + 20
        while page._server.clients < CLIENTS and time.monotonic() < limit:
            pass
        assert raw(page, b"").startswith("HTTP/1.1 503 ")
        for one in idle:
            one.close()
        while page._server.clients and time.monotonic() < limit:
            pass
        assert get(page, "/state")[0] == 200
        following = []
        for _ in range(FOLLOWERS):
            one = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            one.request("GET", "/events")
            following.append((one, one.getresponse()))
        status, headers, body = get(page, "/events")
        assert status == 503 and headers["Retry-After"] == "5" and "too many" in body
        for one, answer in following:
            answer.close()
            one.close()


def test_a_client_that_takes_nothing_is_let_go_and_holds_nothing(monkeypatch):
    monkeypatch.setattr("bioxedge.runtime.page.server.STUCK", 0.3)
    page, _ = quiet()
    with page:
        port = port_of(page)
        sink = page.sink()
        sink.open(RUN)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as dead:
            dead.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            limit = time.monotonic() + 30
            while page._server.followers._value == FOLLOWERS and time.monotonic() < limit:
                pass
            while page._server.followers._value < FOLLOWERS and time.monotonic() < limit:
                sink.emit(Event("gap", "x" * 10000))  # never waits
            assert page._server.followers._value == FOLLOWERS
        assert len(page.feed._records) <= 1024
        sink.close()


# -- from elsewhere ----------------------------------------------------------------------------


def test_from_elsewhere_a_token_is_needed_and_kept_as_a_cookie():
    page, said = quiet(TOKEN, "0.0.0.0")
    with page:
        assert "needs its token" in said[0] and TOKEN not in said[0]
        for path in ("/", "/state", "/events", "/metrics", "/healthz", "/page.css", "/nothing"):
            status, headers, body = get(page, path)
            assert status == 401 and body.count("\n") == 1 and "Set-Cookie" not in headers
            assert headers["WWW-Authenticate"].startswith("Bearer")
        for wrong in (TOKEN[:-1], TOKEN + "x", "", "é", "%00"):
            assert get(page, f"/state?token={quote(wrong)}")[0] == 401
            assert (
                get(page, "/state", Authorization=f"Bearer {wrong.encode().decode('latin-1')}")[0]
                == 401
            )
        assert get(page, "/state", Authorization=f"Basic {TOKEN}")[0] == 401
        assert get(page, "/state", Authorization=f"Bearer {TOKEN}")[0] == 200
        status, headers, _ = get(page, f"/?token={TOKEN}")
        assert status == 303 and headers["Location"] == "/"
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
        kept = cookie.partition(";")[0]
        assert get(page, "/", Cookie=kept)[0] == 200
        assert get(page, "/state", Cookie=kept[:-1] + "0x")[0] == 401
        assert get(page, "/state", Cookie='"; = ,;;')[0] == 401


def test_a_token_is_made_and_told_where_none_is_given():
    page, said = quiet(host="0.0.0.0")
    with page:
        token = said[0].partition("?token=")[2]
        assert len(token) >= 20
        assert get(page, "/state")[0] == 401
        assert get(page, f"/state?token={token}")[0] == 200


def test_tokens_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\nmore\n")
    assert make_page("0.0.0.0:0", path).page.access.token == TOKEN
    monkeypatch.setenv("BIOXEDGE_PAGE_TOKEN", "from-the-environment")
    assert make_page("0").page.access.token == "from-the-environment"
    assert make_page("0", path).page.access.token == TOKEN
    path.write_text("short\n")
    with pytest.raises(SinkError, match=r"12 to 256 letters.*got 5"):
        make_page("0", path)
    with pytest.raises(SinkError, match="first line is the token"):
        make_page("0", tmp_path / "none")


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1", "1:2:x", "70000", "-1", ":80", "١"])
def test_an_address_that_is_none_is_one_line(text):
    with pytest.raises(SinkError, match=r"--page takes \[HOST:\]PORT"):
        parse_address(text)


def test_a_port_that_is_taken_and_an_address_of_another_machine_are_one_line_each():
    page, _ = quiet()
    with page:
        port = port_of(page)
        with pytest.raises(SinkError, match=f"port {port} is taken: .* --page {port + 1}"):
            PageSink(port=port).open(RUN)
    with pytest.raises(SinkError, match="no such address"):
        PageSink("192.0.2.1", 0, TOKEN).open(RUN)
