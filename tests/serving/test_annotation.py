"""The page's server: what it shows and hides, and that each answer is kept."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from gyebo.serving.annotation import annotation
from gyebo.ssa.ratings import log_of, read_log
from gyebo.ssa.sheet import read_sheets
from tests.refusals import option_error
from tests.serving.conftest import HOSTILE, RESPONSES

testclient = pytest.importorskip("fastapi.testclient")


def client_of(sheet, **hosts):
    return testclient.TestClient(annotation(sheet, **hosts), base_url="http://127.0.0.1")


@pytest.fixture
def client(sheet):
    return client_of(sheet)


def items(client, rater="민수"):
    return client.get("/api/items", params={"rater": rater}).json()["items"]


def rate(client, key, sensible, specific=None, rater="민수"):
    return client.post("/api/ratings", json={"rater": rater, "item": key, "sensible": sensible, "specific": specific})


def test_the_page_is_complete_and_loads_nothing_from_elsewhere(client):
    for address, media in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        found = client.get(address)
        assert found.status_code == 200 and found.headers["content-type"].startswith(media)
        assert "http://" not in found.text and "https://" not in found.text and "//cdn" not in found.text
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert client.get("/?text=<script>").text == client.get("/").text  # nothing of an address gets into the page
    assert all(client.get(address).status_code == 404 for address in ("/docs", "/redoc", "/openapi.json", "/annotation.py"))


def test_the_page_puts_text_in_as_text(client):
    script = client.get("/page.js").text
    assert not any(word in script for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("))


def test_neither_bots_nor_ids_nor_other_raters_are_shown(client):
    everything = client.get("/api/items", params={"rater": "민수"})
    rate(client, everything.json()["items"][0]["key"], True, True, rater="지영")
    rate(client, everything.json()["items"][1]["key"], True, False)
    again = client.get("/api/items", params={"rater": "민수"})
    export = client.get("/api/export", params={"rater": "민수"})
    for found in (everything, again, export):
        assert "secret" not in found.text and "지영" not in found.text
    assert [item["answer"] for item in again.json()["items"]].count(None) == 4
    assert export.headers["content-disposition"].startswith("attachment") and len(export.text.splitlines()) == 2


def test_hostile_text_arrives_as_it_is(client):
    shown = client.get("/api/items", params={"rater": "민수"})
    assert shown.headers["content-type"] == "application/json" and shown.headers["x-content-type-options"] == "nosniff"
    assert sorted(item["response"] for item in shown.json()["items"]) == sorted(RESPONSES) and HOSTILE in RESPONSES


def test_one_goes_on_where_one_stopped(sheet):
    client = client_of(sheet)
    keys = [item["key"] for item in items(client)]
    rate(client, keys[0], True, False)
    rate(client, keys[1], False)
    rate(client, keys[0], True, True)  # gone back, and changed
    again = items(client_of(sheet), " 민수 ")  # another start of the server, and a careless name
    assert [item["key"] for item in again] == keys
    assert [item["answer"] for item in again[:3]] == [
        {"sensible": True, "specific": True},
        {"sensible": False, "specific": None},
        None,
    ]
    assert all(item["answer"] is None for item in items(client, "지영")) and [i["key"] for i in items(client, "지영")] != keys


def test_an_answer_is_on_the_disk_before_it_is_confirmed(client, sheet, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(log_of(sheet).read_text(encoding="utf-8")))
    key = items(client)[0]["key"]
    assert rate(client, key, True, False).json() == {"saved": True}
    row = json.loads(synced[0])
    assert (row["rater"], row["sensible"], row["specific"]) == ("민수", True, False) and row["item"].startswith("secretbot-")


def test_raters_at_the_same_time_lose_nothing(sheet):
    first, second = client_of(sheet), client_of(sheet)  # two servers of one sheet

    def work(client, rater):
        for item in items(client, rater):
            assert rate(client, item["key"], True, False, rater=rater).status_code == 200

    people = [(first, "민수"), (first, "지영"), (second, "하늘"), (second, "바다")]
    threads = [threading.Thread(target=work, args=person) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_log(log_of(sheet), read_sheets([sheet]))
    assert len(found) == 20 and all(item["answer"] for _, name in people for item in items(first, name))


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"specific": None}, 422, "specific must be answered"),
        ({"sensible": False}, 422, "specific must be answered"),
        ({"item": "0000"}, 404, "not in the sheet any more"),
        ({"rater": " "}, 422, "a rater's name"),
        ({"sensible": "yes"}, 422, "bool"),
        ({"more": 1}, 422, "extra"),
    ],
)
def test_what_is_no_answer(client, sheet, change, status, told):
    answer = {"rater": "민수", "item": items(client)[0]["key"], "sensible": True, "specific": True}
    found = client.post("/api/ratings", json=answer | change)
    assert found.status_code == status and told in found.text and not log_of(sheet).exists()
    assert client.get("/api/items", params={"rater": ""}).status_code == 422


def test_a_full_disk_is_said_and_nothing_is_confirmed(client, monkeypatch):
    key = items(client)[0]["key"]

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    found = rate(client, key, True, True)
    assert found.status_code == 507 and "No space left" in found.json()["detail"]


def test_only_this_machine_is_answered_by_default(sheet):
    """A page from elsewhere whose name is made to point here sends its own name."""
    client = client_of(sheet)
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"host": "localhost:8000"}).status_code == 200
    assert client_of(sheet, hosts=None).get("/", headers={"host": "lab-3.example"}).status_code == 200


def test_another_page_cannot_send_answers(client):
    """Without asking, a browser sends only forms and plain text to another server."""
    body = json.dumps({"rater": "민수", "item": items(client)[0]["key"], "sensible": True, "specific": True})
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert client.post("/api/ratings", content=body, headers={"content-type": kind}).status_code == 422
    asked = client.options("/api/ratings", headers={"origin": "http://evil.example", "access-control-request-method": "POST"})
    assert "access-control-allow-origin" not in asked.headers


def test_a_wrong_log_is_said_at_the_start(sheet):
    log_of(sheet).write_text('{"item": "other", "rater": "A", "sensible": true}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"sheet.ratings.jsonl: line 1: item 'other' is not in the sheet"):
        annotation(sheet)


# ---- as a process


@pytest.fixture
def served(sheet):
    """`gyebo ssa serve` of the sheet on a free port: the process, and its address."""
    command = [sys.executable, "-m", "gyebo", "ssa", "serve", str(sheet), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, process.stderr.read()
        yield process, line.split(" at ")[1].split()[0]
        process.kill()


def test_the_command_serves_until_it_is_stopped(served, sheet):
    import urllib.request

    process, address = served
    with urllib.request.urlopen(address, timeout=10) as page:
        assert b"page.js" in page.read()
    again = [sys.executable, "-m", "gyebo", "ssa", "serve", str(sheet), "--port", address.rpartition(":")[2]]
    refused = subprocess.run(again, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and "--port" in refused.stderr and refused.stderr.count("\n") == 1
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0 and process.stderr.read() == ""


def test_an_address_that_cannot_be_used(sheet):
    from gyebo.serving.annotation import serve

    with option_error("port"):
        serve(sheet, port=70_000)
