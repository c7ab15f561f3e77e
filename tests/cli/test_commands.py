"""Every command does what it says; --json is JSON and nothing else."""

import json
import unicodedata

import pytest

import gyebo
from gyebo.models.family import FAMILIES
from gyebo.text.tokenizer import Tokenizer
from tests.cli.conftest import TINY


def test_version(cli):
    assert cli("--version").out == f"gyebo {gyebo.__version__}\n"


def test_families(cli):
    shown = cli("families").out
    for family in FAMILIES.values():
        assert family.title in shown and family.paper in shown and all(size in shown for size in family.sizes)
    rows = json.loads(cli("families", "--json").out)
    assert [row["name"] for row in rows] == list(FAMILIES)
    assert next(row for row in rows if row["name"] == "gpt")["sizes"]["base"] == 116_534_784


def test_world(cli):
    plain = cli("world", "--count", "3", "--language", "ko").out.splitlines()
    assert len(plain) == 3
    rows = [json.loads(line) for line in cli("world", "--count", "3", "--language", "ko", "--json").out.splitlines()]
    assert [row["text"] for row in rows] == plain and all(row["log_probability"] < 0 for row in rows)
    shown = cli("world", "--sample", "--count", "1", "--language", "ko").out
    assert plain[0] in shown and f"{rows[0]['bits_per_byte']:.4f} bits per byte" in shown


def test_world_writes_pictures(cli, tmp_path):
    out = tmp_path / "scenes"
    said = json.loads(cli("world", "--pictures", str(out), "--count", "3", "--size", "32", "--language", "ko", "--json").out)
    assert said["pictures"] == 3 and said["out"] == str(out)
    rows = [json.loads(line) for line in (out / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == said["texts"] and {row["file_name"] for row in rows} == {f"00000{n}.png" for n in range(3)}
    assert sorted(path.name for path in out.glob("*.png")) == sorted({row["file_name"] for row in rows})


def test_env(cli, monkeypatch):
    monkeypatch.setattr("gyebo.jobs.env.matmul_rate", lambda device, precision: 5e9)
    facts = json.loads(cli("env", "--json").out)
    assert facts["gyebo"] == gyebo.__version__ and facts["float32 products"].startswith("5 GFLOP/s")
    assert all(name in cli("env").out for name in facts)


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram", "char", "byte"])
def test_tokenizer_train(cli, corpus, tmp_path, kind):
    out = tmp_path / "tok"
    size = [] if kind in ("char", "byte") else ["--vocab-size", "600"]
    result = json.loads(cli("tokenizer", "train", corpus, "--kind", kind, *size, "-o", out, "--json").out)
    tokenizer = gyebo.Tokenizer.load(out)
    assert tokenizer.kind == kind and tokenizer.vocab_size == result["vocab_size"]
    assert result["vocab_size"] == 272 if kind == "byte" else True
    assert {path.name for path in out.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    assert "".join(result["sample"]) in corpus.read_text(encoding="utf-8")
    again = cli("tokenizer", "train", corpus, "--kind", kind, *size, "-o", out, "--overwrite")
    assert again.code == 0 and f"{result['vocab_size']:,} ids" in again.out


def test_pretrain_speaks_and_ends_with_what_to_type_next(cli, corpus, tokenizer_folder, tmp_path):
    found = cli("pretrain", "gpt", corpus, "-o", tmp_path / "r", "--steps", "2", "--tokenizer", tokenizer_folder, *TINY)
    assert found.code == 0 and found.err == ""
    assert "documents for training" in found.out and "a document is a line" in found.out
    assert "GPT tiny: " in found.out and "2 steps of" in found.out
    assert f"Next: gyebo generate {tmp_path / 'r'} --prompt" in found.out.splitlines()[-1]


def test_pretrain_trains_a_tokenizer_where_none_is_given_and_says_so(cli, corpus, tmp_path):
    found = cli("pretrain", "gpt2", corpus, "-o", tmp_path / "r", "--steps", "1", "--vocab-size", "400", *TINY)
    assert "no tokenizer given: training a byte-level BPE with 400 ids" in found.out
    assert "the corpus gives" not in found.out and gyebo.load(tmp_path / "r")[0].config.vocab_size == 400
    found = cli("pretrain", "GPT-2", corpus, "-o", tmp_path / "s", "--steps", "1", *TINY)
    size = gyebo.load(tmp_path / "s")[0].config.vocab_size
    assert "of tokens that occur at least 5 times, up to 16,000," in found.out
    assert f"the corpus gives {size:,} ids (another number: --vocab-size)" in found.out


def test_pretrain_json_is_the_stored_result(cli, corpus, tokenizer_folder, tmp_path):
    from gyebo.config import toml

    words = ["pretrain", "gpt2", corpus, "-o", tmp_path / "r", "--steps", "2", "--tokenizer", tokenizer_folder, *TINY]
    result = json.loads(cli(*words, "--json").out)
    stored = toml.read(tmp_path / "r" / "run.toml")["result"]
    assert result["steps"] == 2 and result["valid"]["bits_per_byte"] == stored["valid"]["bits_per_byte"]
    assert json.loads(cli(*words, "--json", "--resume").out)["seconds"] == result["seconds"]  # finished: nothing is done again
    assert json.loads(cli(*words, "--json", "--overwrite").out)["steps"] == 2


def test_dry_run_writes_nothing(cli, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("gyebo.jobs.pretraining.planning.MEASURE_SECONDS", 0.05)
    words = ["pretrain", "gpt2", corpus, "--steps", "100", "--vocab-size", "400", *TINY, "--dry-run"]
    found = cli(*words, "-o", tmp_path / "r")
    for word in ("parameters", "tokens", "epochs", "memory", "expected time"):
        assert word in found.out
    assert found.code == 0 and not list(tmp_path.iterdir())
    plan = json.loads(cli(*words, "--json").out)  # -o may be left out
    assert plan["steps"] == 100 and plan["memory_bytes"] > 1e6 and plan["seconds_per_step"] > 0


def test_a_corpus_from_stdin_can_be_read_again_later(cli, corpus, tokenizer_folder, tmp_path):
    out = tmp_path / "r"
    words = ["-o", out, "--steps", "2", "--tokenizer", tokenizer_folder, *TINY]
    assert cli("pretrain", "gpt2", "-", *words, stdin=corpus.read_text(encoding="utf-8")).code == 0
    assert cli("evaluate", out).code == 0 and cli("verify", out).code == 0
    assert cli("pretrain", "gpt2", "-", *words, "--resume", stdin=corpus.read_text(encoding="utf-8")).code == 0
    other = cli("pretrain", "gpt2", "-", *words, "--resume", stdin="another\n" * 900)
    assert other.code == 2 and "the corpus has changed" in other.err


def test_evaluate(cli, trained, tmp_path):
    own = json.loads(cli("evaluate", trained, "--json").out)
    shown = cli("evaluate", trained).out
    assert f"{own['bits_per_byte']:.4f}" in shown and "bits per byte" in shown
    other = tmp_path / "other.txt"
    other.write_text("하늘 정말 나무\nthe film\n", encoding="utf-8")
    found = json.loads(cli("evaluate", trained, other, "--json").out)
    assert found["bytes"] == 28 and found["documents"] == 2
    whole = json.loads(cli("evaluate", trained, other, "--json", "--documents", "file").out)
    assert whole["bytes"] == 30 and whole["documents"] == 1
    shorter = json.loads(cli("evaluate", trained, other, "--json", "--context", "4").out)
    assert shorter["tokens"] == found["tokens"] and shorter["bits_per_byte"] != found["bits_per_byte"]


def test_generate_streams_one_answer(cli, trained):
    words = ["generate", trained, "--prompt", "나무 정말", "--max-new-tokens", "12", "--seed", "3"]
    streamed = cli(*words)
    answer = json.loads(cli(*words, "--json").out)
    assert streamed.out == answer["prompt"] + answer["text"] + "\n" and answer["prompt"] == "나무 정말"
    assert answer["reason"] in ("eos", "length") and 1 <= len(answer["ids"]) <= 12 and answer["log_probability"] < 0
    assert cli(*words).out == streamed.out
    assert cli(*words[:-1], "4").out != streamed.out


def test_generate_several_prompts_in_order(cli, trained):
    words = ["generate", trained, "--prompt", "나무", "--prompt", "정말 아주 다시", "--greedy", "--max-new-tokens", "5"]
    rows = [json.loads(line) for line in cli(*words, "--json").out.splitlines()]
    assert [row["prompt"] for row in rows] == ["나무", "정말 아주 다시"]
    assert cli(*words).out == "".join(f"{row['prompt']}{row['text']}\n\n" for row in rows)
    alone = json.loads(cli("generate", trained, "--prompt", "나무", "--greedy", "--max-new-tokens", "5", "--json").out)
    assert alone["text"] == rows[0]["text"]


def test_generate_samples_and_beams(cli, trained):
    three = cli("generate", trained, "--prompt", "나무", "--samples", "3", "--max-new-tokens", "5", "--json").out.splitlines()
    assert len(three) == 3 and len({json.loads(line)["text"] for line in three}) > 1
    assert cli("generate", trained, "--prompt", "나무", "--beams", "2", "--max-new-tokens", "5").out.startswith("나무")


def test_generate_ranks_candidates(cli, trained):
    words = ["generate", trained, "--prompt", "나무", "--rank", "6", "--temperature", "0.88", "--max-new-tokens", "4"]
    answer = json.loads(cli(*words, "--json").out)
    scores = [each["score"] for each in answer["candidates"]]
    assert scores == sorted(scores, reverse=True) and 1 < len(scores) <= 6 and answer["score"] == scores[0]
    for each in answer["candidates"]:
        assert each["score"] == pytest.approx(each["log_probability"] / len(each["ids"])) and each["repeats"] is False
    assert answer["text"] == answer["candidates"][0]["text"]
    assert cli(*words).out == f"나무{answer['text']}\n\n"
    sums = json.loads(cli(*words, "--length-penalty", "0", "--json").out)
    assert sums["score"] == sums["log_probability"] == max(each["log_probability"] for each in answer["candidates"])


def test_generate_says_where_all_candidates_repeat(cli, trained):
    words = ["generate", trained, "--rank", "2", "--top-k", "1", "--max-new-tokens", "8", "--json"]
    text = json.loads(cli(*words, "--prompt", "나무").out)["text"]
    again = [*words, "--prompt", f"{text.strip()}\n나무", "--no-repeat-turn", "1"]
    found = cli(*again)
    assert [each["repeats"] for each in json.loads(found.out)["candidates"]] == [True]
    assert found.err == "all candidates for prompt 1 repeat one of its lines; the most probable one was kept\n"


def test_generate_reads_prompts_from_a_pipe(cli, trained):
    words = ["generate", trained, "--greedy", "--max-new-tokens", "4", "--json"]
    rows = [json.loads(line) for line in cli(*words, stdin="나무\n하늘 바다\n").out.splitlines()]
    assert [row["prompt"] for row in rows] == ["나무", "하늘 바다"]
    nothing = json.loads(cli(*words, stdin="").out)
    assert nothing["prompt"] == "" and nothing["ids"]


def test_verify(cli, trained, tmp_path):
    found = cli("verify", trained)
    assert found.code == 0 and "to the bit" in found.out
    path = trained / "metrics.jsonl"
    told = path.read_text()
    try:
        path.write_text(told.replace('{"step": 4, "loss": ', '{"step": 4, "loss": 1'))
        wrong = cli("verify", trained)
    finally:
        path.write_text(told)
    assert wrong.code == 1 and "step 4: the log says 1" in wrong.out and wrong.err == ""


def test_lines_are_not_broken_in_a_pipe(cli, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    said = cli("verify", trained).out.splitlines()
    assert said[0] == f"{trained}/checkpoints/step-4: all digests match"


def test_evaluate_can_name_the_column_of_pictures_that_its_message_advises(cli, trained, tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    picture = pyarrow.array([{"bytes": b"x", "path": None}])
    parquet.write_table(pyarrow.table({"a": picture, "b": picture, "text": ["나무"]}), tmp_path / "a.parquet")
    found = cli("evaluate", trained, tmp_path / "a.parquet")
    assert found.code == 2 and "--picture-field NAME" in found.err
    asked = {}
    monkeypatch.setattr("gyebo.jobs.evaluate.evaluate", lambda *words, data, **rest: asked.update(data) or {"loss": 1.0})
    assert cli("evaluate", trained, tmp_path / "a.parquet", "--picture-field", "b").code == 0
    assert asked["picture_field"] == "b"


def test_tokens_of_texts_are_shown_with_their_ids(cli, tokenizer_folder, refused, tmp_path):
    tokenizer = Tokenizer.load(tokenizer_folder)
    texts = ["나무 영화 뷁\n", unicodedata.normalize("NFD", "한글")]
    words = ["tokenizer", "show", tokenizer_folder, "--text", texts[0], "--text", texts[1]]
    found = json.loads(cli(*words, "--json").out)
    for text, one in zip(texts, found, strict=True):
        assert "".join(one["tokens"]) == unicodedata.normalize("NFC", text)  # whole characters, nothing lost
        assert [id for ids in one["ids"] for id in ids] == tokenizer.encode(text) and one["count"] == len(
            tokenizer.encode(text)
        )
    assert found[0]["bytes_per_token"] == len(texts[0].encode()) / found[0]["count"]
    first, told = cli(*words).out.splitlines()[:2]
    assert first.count(" | ") == len(found[0]["tokens"]) - 1 and all(str(id) in first for id in tokenizer.encode(texts[0]))
    assert told == f"  {found[0]['count']} tokens, {found[0]['bytes_per_token']:.2f} bytes per token" and "\\n" in first
    assert "no tokenizer here" in refused("tokenizer", "show", tmp_path, "--text", "x")
