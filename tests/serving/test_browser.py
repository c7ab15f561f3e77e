"""The page in a real browser, by keyboard only: two raters, Korean and hostile text, going back, skipping, and coming again."""

import csv
import io
import urllib.parse
import urllib.request

import pytest

from gyebo.ssa.ratings import log_of, read_log
from gyebo.ssa.sheet import order_of, read_sheets
from tests.serving.browser import browser, command
from tests.serving.conftest import HOSTILE
from tests.serving.test_annotation import served  # noqa: F401

pytestmark = pytest.mark.slow


@pytest.fixture
def tab(tmp_path):
    command()
    with browser(tmp_path / "profile", "--lang=ko-KR", "--accept-lang=ko-KR") as opener:
        yield opener


def sign_in(page, address, rater):
    page.open(address)
    page.until("document.activeElement.id === 'name'")
    page.write(rater)
    page.press("Enter")
    page.until("!document.getElementById('panel').hidden")


def rated(page):
    return page.ask("document.getElementById('progress').value")


def response(page):
    return page.text(".judged p")


def answers(sheet):
    return {who: (r.sensible, r.specific) for who, r in read_log(log_of(sheet), read_sheets([sheet])).items()}


def test_two_people_rate_a_sheet_by_keyboard(tab, served, sheet):  # noqa: F811
    address = served[1]
    order = order_of(read_sheets([sheet]), "민수")
    page, other = tab(), tab()
    sign_in(page, address, "민수")
    sign_in(other, address, "Kim & Lee")
    assert page.text("#question") == "말이 되는 대답인가요?" and rated(page) == 0
    assert [page.ask(f"document.querySelectorAll('.turn p')[{n}].textContent") for n in range(len(order[0].context))] == list(
        order[0].context
    )

    page.press("y")  # sensible; then specific
    assert "구체적인" in page.text("#question") and answers(sheet) == {}
    page.press("b")  # back to the first question
    assert page.text("#question") == "말이 되는 대답인가요?"
    page.press("1")
    page.press("2")
    page.until("document.getElementById('progress').value === 1")
    assert answers(sheet) == {(order[0].id, "민수"): (True, False)}

    other.press("n")  # the second rater meanwhile, another order and no sign of the first one
    other.until("document.getElementById('progress').value === 1")
    assert rated(page) == 1 and len(answers(sheet)) == 2

    page.press("ㅜ", code="KeyN")  # the key of n on a keyboard that writes Hangul
    page.until("document.getElementById('progress').value === 2")
    assert answers(sheet)[order[1].id, "민수"] == (False, None)

    third = response(page)
    page.press("s")
    assert response(page) != third and rated(page) == 2
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    assert "말이 안 됨" in page.text("#before")  # the second one, answered before
    page.press("y")
    page.press("y")
    page.until("document.getElementById('before').innerText === ''")
    assert answers(sheet)[order[1].id, "민수"] == (True, True) and rated(page) == 2 and response(page) == third

    page.open(address)  # loaded again: the name is known, and it goes on
    page.until("document.getElementById('progress').value === 2")
    assert response(page) == third
    for done in (3, 4, 5):
        page.press("n")
        page.until(f"document.getElementById('progress').value === {done}")
    page.until("!document.getElementById('done').hidden")
    assert sorted(who[0] for who in answers(sheet) if who[1] == "민수") == sorted(item.id for item in order)
    page.press("b")  # from the end back to the last one
    page.until("document.getElementById('done').hidden")

    export = page.ask("document.getElementById('export').href")
    assert urllib.parse.quote("민수") in export
    with urllib.request.urlopen(export, timeout=10) as file:
        rows = list(csv.DictReader(io.StringIO(file.read().decode())))
    assert len(rows) == 5 and {row["rater"] for row in rows} == {"민수"}
    assert all(urllib.parse.urlparse(url).netloc in ("", urllib.parse.urlparse(address).netloc) for url in page.loaded)


def test_hostile_text_is_shown_and_not_run(tab, served, sheet):  # noqa: F811
    page = tab()
    sign_in(page, served[1], "민수")
    place = [item.response for item in order_of(read_sheets([sheet]), "민수")].index(HOSTILE)
    for done in range(place):
        page.press("n")
        page.until(f"document.getElementById('progress').value === {done + 1}")
    assert response(page) == HOSTILE and page.ask("document.title") == "SSA"
    assert page.ask("document.querySelectorAll('main script, main img').length") == 0


def test_a_held_key_and_other_shortcuts_answer_nothing(tab, served, sheet):  # noqa: F811
    page = tab()
    sign_in(page, served[1], "민수")
    page.press("y")
    held = {"type": "keyDown", "key": "y", "code": "KeyY", "text": "y", "windowsVirtualKeyCode": 89}
    page.call("Input.dispatchKeyEvent", autoRepeat=True, **held)
    page.call("Input.dispatchKeyEvent", modifiers=2, **held)
    assert "구체적인" in page.text("#question") and rated(page) == 0 and answers(sheet) == {}


def test_a_server_that_is_gone_is_said_and_the_answer_can_be_given_again(tab, served, sheet):  # noqa: F811
    process, address = served
    page = tab()
    sign_in(page, address, "민수")
    process.kill()
    process.wait()
    shown = response(page)
    page.press("n")
    page.until("!document.getElementById('trouble').hidden")
    assert "저장되지 않았습니다" in page.text("#trouble") and response(page) == shown and rated(page) == 0
