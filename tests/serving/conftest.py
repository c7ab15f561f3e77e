"""A sheet with Korean, hostile and empty text, and the page's server."""

import json

import pytest

HOSTILE = '<script>document.title = "taken"</script><img src=x onerror="document.title=\'taken\'">&amp;'
RESPONSES = ["저도 거기서 살아 봤어요. 바다가 가까워서 좋았죠.", "몰라요.", HOSTILE, "I saw it twice last week!", ""]


@pytest.fixture
def sheet(tmp_path):
    """Five responses of two bots, whose ids and conversations tell the bot, as a careless sheet does."""
    rows = [
        {
            "id": f"secretbot-{n}",
            "bot": f"secretbot{n % 2}",
            "conversation": f"secretbot-context-{n}",
            "context": ["안녕하세요!", "안녕하세요, 어디 사세요?", f"저는 부산에 살아요. {n}"][n % 3 :],
            "response": response,
        }
        for n, response in enumerate(RESPONSES)
    ]
    path = tmp_path / "sheet.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
