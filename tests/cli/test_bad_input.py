"""What a user can get wrong: one line on stderr that names it, says what was found and what to do; exit 2; no traceback."""

import json
import os
import pickle
import shutil

import pytest

from gyebo.models.family import FAMILIES
from tests.cli.conftest import TINY


@pytest.fixture
def start(refused, corpus, tmp_path):
    """`gyebo pretrain gpt2 CORPUS -o tmp/r --steps 2` with something wrong; it leaves no directory."""

    def run(*words, corpus=corpus, out="r"):
        line = refused("pretrain", "gpt2", corpus, "-o", tmp_path / out, *words)
        assert not (tmp_path / "r").exists()
        return line

    return run


# -- corpora ---------------------------------------------------------------------------------------------------------------


def test_missing_path(start, refused, trained, tmp_path):
    line = start("--steps", "2", *TINY, corpus="no/such.txt")
    assert "no/such.txt: no such file or folder" in line and "a corpus is a path, a glob, hf:NAME, world: or -" in line
    assert "no/such.txt: no such file" in refused("evaluate", trained, "no/such.txt")
    assert "no/such.txt: no such file" in refused("tokenizer", "train", "no/such.txt", "-o", tmp_path / "t")
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("content", ["", "\n \n\t\n"])
def test_empty_corpus(start, refused, trained, tokenizer_folder, tmp_path, content):
    path = tmp_path / "empty.txt"
    path.write_text(content)
    assert f"{path}: no training text in it" in start("--steps", "2", *TINY, corpus=path)
    line = start("--steps", "2", "--tokenizer", tokenizer_folder, *TINY, corpus=path)
    assert f"{path} contains no text" in line
    assert f"{path} contains no text" in refused("evaluate", trained, path)
    assert f"{path}: no training text" in refused("tokenizer", "train", path, "-o", tmp_path / "t")


def test_corpus_shorter_than_a_batch(start, tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("".join(f"line number {n}\n" for n in range(60)))
    line = start("--steps", "2", "--vocab-size", "300", *TINY, "--batch-tokens", "99999", corpus=path)
    assert f"{path}: " in line and "rows of 32 tokens, less than one batch of 3125" in line and "lower --batch-tokens" in line


def test_nothing_held_out(start, tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("only one line\n")
    line = start("--steps", "2", "--vocab-size", "300", corpus=path)
    assert f"{path}: nothing was held out of 1 documents" in line and "--valid" in line


def test_invalid_utf8(start, refused, trained, tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("좋다\n".encode() + b"caf\xe9\n")
    for line in (start("--steps", "2", corpus=path), refused("evaluate", trained, path)):
        assert (
            f"{path}: byte 10 (0xe9) is not UTF-8: convert the file, name its --encoding, or pass --bad-bytes replace" in line
        )


def test_bad_bytes_are_replaced_where_asked(cli, trained, tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9\n")
    found = cli("evaluate", trained, path, "--bad-bytes", "replace", "--json")
    told = json.loads(found.out)
    assert found.code == 0 and told["bytes"] == 6 and f"{path}: 1 character could not be read and became U+FFFD" in told["note"]


def test_a_file_of_korean_windows_is_named_with_a_sample_and_read(cli, refused, trained, tmp_path):
    path = tmp_path / "windows.txt"
    path.write_bytes("오늘은 날씨가 좋다.\r\n내일도 좋다.\r\n".encode("cp949"))
    line = refused("evaluate", trained, path)
    assert f"{path}: byte 0 (0xbf) is not UTF-8, but read as CP949 it says '오늘은 날씨가 좋다. 내일도 좋다.'" in line
    assert "pass --encoding cp949" in line
    found = cli("evaluate", trained, path, "--encoding", "cp949", "--json")
    assert found.code == 0 and json.loads(found.out)["bytes"] == len("오늘은 날씨가 좋다.내일도 좋다.".encode())


def test_invalid_utf8_on_stdin(cli, trained):
    for words in (["generate", trained], ["evaluate", trained, "-"]):
        found = cli(*words, stdin="좋다\n".encode() + b"caf\xe9\n")
        assert found.code == 2 and "byte 10 (0xe9) is not UTF-8" in found.err and "stdin" in found.err


# -- options ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["--steps", "zero"], ["'--steps'", "a whole number from 1 on", "'zero'"]),
        (["--steps", "-5"], ["'--steps'", "'-5'"]),
        (["--steps", "1.5"], ["'--steps'", "'1.5'"]),
        (["--tokens", "many"], ["'--tokens'", "must be a number", "'many'"]),
        (["--tokens", "nan"], ["'--tokens'", "'nan'"]),
        (["--minutes", "-1"], ["--minutes must be greater than 0, but is -1.0 instead"]),
        (["--steps", "2", "--seed", "-1"], ["'--seed'", "'-1'"]),
        (["--steps", "2", "--precision", "float64"], ["--precision must be 'auto', 'float32' or 'bfloat16'", "'float64'"]),
        (["--steps", "2", "--documents", "page"], ["--documents must be 'line', 'blank' or 'file', but is 'page'"]),
        (["--steps", "2", "--device", "tpu"], ["--device must be 'auto', 'cpu', 'cuda' or 'mps', but is 'tpu'"]),
        (["--steps", "2", "--keep", "1"], ["--keep must be greater than or equal to 2, but is 1"]),
        (["--steps", "2", "--valid-last", "3"], ["--valid-last must be less than 1, but is 3.0"]),
        (["--steps", "2", "--context", "1"], ["--context must be greater than 1"]),
        (["--steps", "2", "--size", "minni"], ["unknown size 'minni' of gpt2; did you mean mini?", "There is: tiny"]),
        (["--steps", "2", "--set", "optim.learning_rate=1"], ["unknown option 'optim.learning_rate'; did you mean optim.lr"]),
        (["--steps", "2", "--set", "optim.lr=x"], ["--set optim.lr must be a valid number", "'x'"]),
        (["--steps", "2", "--set", "lr"], ["--set needs section.field=value, but got 'lr'"]),
        (["--steps", "2", "--set", "model.widht=32"], ["unknown option 'model.widht'; did you mean width?"]),
        (["--steps", "2", "--set", "model.width=wide"], ["model.width must be a whole number, but is 'wide'"]),
        (["--steps", "2", "--set", "model.heads=3"], ["width must be a multiple of heads"]),
        (["--steps", "2", "--vocab-size", "20"], ["vocab_size: 20 is too small for kind 'bpe'; it needs at least 272"]),
        (["--setps", "2"], ["no such option: --setps", "--steps", "see: gyebo pretrain --help"]),
        (["--max-steps", "2"], ["no such option: --max-steps; did you mean --steps? (see: gyebo pretrain --help)"]),
        (["--learning_rate", "1e-3"], ["no such option: --learning_rate; did you mean --lr?"]),
        (["--output-dir", "x"], ["no such option: --output-dir; did you mean --out?"]),
        (["--batch_tokens", "9"], ["no such option: --batch_tokens; did you mean --batch-tokens?"]),
        (["--model_name_or_path", "x"], ["did you mean --from?"]),
        (["--train-file", "x"], ["did you mean CORPUS, without a flag?"]),
        (["--weight-decay", "0.1"], ["did you mean --set optim.weight_decay=...?"]),
        (["--steps"], ["'--steps' requires an argument"]),
        # options that contradict each other
        ([], ["the budget needs exactly one of --steps, --tokens, --flops, --minutes, --epochs; found none"]),
        (["--steps", "2", "--minutes", "1"], ["exactly one of", "found --steps and --minutes"]),
        (["--steps", "2", "--valid-last", "0.1", "--valid-share", "0.1"], ["--valid-last and --valid-share exclude each"]),
        (["--steps", "2", "--tokenizer", "tok", "--vocab-size", "300"], ["--vocab-size has no effect with --tokenizer"]),
        (["--steps", "2", "--from", "x", "--vocab-size", "300"], ["--vocab-size has no effect with --from"]),
        (["--steps", "2", "--from", "x", "--size", "tiny"], ["--size tiny contradicts --from"]),
        (["--steps", "2", "--dry-run", "--resume"], ["--dry-run and --resume or --overwrite exclude each other"]),
        (["--steps", "2", "--resume", "--overwrite"], ["--resume and --overwrite exclude each other"]),
        (["--steps", "2", "--text-field", "body"], ["--text-field body has no effect on", "small.txt"]),
        (["--steps", "2", "--tokenizer", "no/tok"], ["no/tok"]),
    ],
    ids=lambda value: " ".join(value)[:60],
)
def test_wrong_options(start, words, lines):
    found = start(*words)
    assert all(line in found for line in lines), found


def test_what_is_missing_or_too_much_is_told_with_what_it_is(refused):
    assert "missing argument 'FILE': one text per line (.txt, or - for stdin)" in refused("predict", "m")
    assert "missing option '--text': " in refused("draw", "m", "빨간 집", "-o", "x.png")
    assert "argument(s) (오늘): a text stands after --prompt (see: " in refused("generate", "m", "오늘")
    assert "no such option: --input; did you mean FILE, without a flag?" in refused("predict", "m", "--input", "x")
    assert "no such option: --prompt; did you mean --text?" in refused("draw", "m", "--prompt", "x", "-o", "y.png")
    for words in (["predict", "m", "정말 좋다"], ["embed", "m", "정말 좋다", "-o", "x.npy"]):
        assert f"정말 좋다: no such file; a text is piped: echo TEXT | gyebo {words[0]} MODEL -" in refused(*words)
    assert "정말 좋다: no such file; a sentence stands after --text" in refused("translate", "m", "정말 좋다")
    assert "did you mean tagging, on your own file? Available: " in refused("finetune", "linear", "NER", "-o", "x")


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_cuda_where_there_is_none(start):
    line = start("--steps", "2", "--device", "cuda")
    assert "--device cuda: not available on this machine; available: " in line and "cpu" in line


def test_options_without_effect_are_refused(start, refused, trained, corpus, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "가"}\n')
    assert "--documents file has no effect on" in start("--steps", "2", "--documents", "file", corpus=rows)
    assert "--bad-bytes replace has no effect on world:10" in start("--steps", "2", "--bad-bytes", "replace", corpus="world:10")
    assert "--documents has no effect without a CORPUS" in refused("evaluate", trained, "--documents", "file")
    assert "--text-field x has no effect on" in refused("evaluate", trained, corpus, "--text-field", "x")
    for words, message in [
        (["--kind", "byte", "--vocab-size", "300"], "kind 'byte' always has 272 ids"),
        (["--kind", "unigram", "--min-frequency", "3"], "min_frequency has no effect on kind 'unigram'"),
        (["--kind", "char", "--morphemes"], "morphemes has no effect on kind 'char'"),
        (["--kind", "word"], "tokenizer kind 'word'; did you mean wordpiece? choose one of bpe"),
        (["--normalize", "nfkc"], "choose 'nfc' or 'none'"),
    ]:
        assert message in refused("tokenizer", "train", corpus, "-o", tmp_path / "t", *words)
        assert not (tmp_path / "t").exists()
    assert "--sample and --json exclude each other" in refused("world", "--sample", "--json")
    assert "--size is about pictures and has no effect without --pictures DIR" in refused("world", "--size", "32")
    assert "--unseen is about pictures" in refused("world", "--unseen")
    assert "keep one" in refused("world", "--pictures", tmp_path / "w", "--sample")
    assert "exists already: name a new folder" in refused("world", "--pictures", tmp_path)
    assert "style: found 'cubist'" in refused("world", "--pictures", tmp_path / "w", "--style", "cubist")
    assert "16 to 512 pixels a side, not 8" in refused("world", "--pictures", tmp_path / "v", "--size", "8")
    assert not (tmp_path / "v").exists() and not (tmp_path / "w").exists()
    for words, message in [
        (["--greedy", "--beams", "2"], "greedy and beams=2"),
        (["--greedy", "--top-p", "0.5"], "top_p=0.5 has no effect with greedy"),
        (["--length-penalty", "2"], "length_penalty=2.0 has no effect without beams"),
        (["--temperature", "0"], "temperature must be"),
        (["--rank", "20", "--greedy"], "rank=20 has no effect with greedy"),
        (["--no-repeat-turn", "5"], "no_repeat_turn=5 has no effect without rank"),
        (["--top-k", "x"], "'--top-k': must be a whole number, but is 'x'"),
    ]:
        assert message in refused("generate", trained, "--prompt", "가", *words)


def test_unknown_family_and_command(refused, corpus, tmp_path):
    line = refused("pretrain", "gpt3", corpus, "-o", tmp_path / "r", "--steps", "2")
    assert "unknown family 'gpt3'; did you mean gpt" in line and f"There is: {', '.join(FAMILIES)}" in line
    assert "no such command 'pretrian'. Did you mean 'pretrain'?" in refused("pretrian")
    assert "missing argument 'FAMILY'" in refused("pretrain")
    assert "missing command" in refused("tokenizer") and "gyebo tokenizer --help" in refused("tokenizer")
    assert "-o is missing" in refused("pretrain", "gpt2", corpus, "--steps", "2")
    small = ["--steps", "2", "--vocab-size", "300", *TINY, "--batch-tokens", "10"]
    line = refused("pretrain", "gpt2", corpus, "-o", tmp_path / "r", *small)
    assert "--batch-tokens 10 is less than one row of 32 tokens: give at least 32, or a shorter --context" in line
    assert "--language must be one of ko, en, both, but is 'de'" in refused("world", "--language", "de")


# -- models and runs -------------------------------------------------------------------------------------------------------


def test_no_such_model(refused):
    for words in (["generate", "--prompt", "가"], ["evaluate"]):
        line = refused(words[0], "no-such-model", *words[1:])
        assert "no-such-model: neither a directory here nor in the cache of the Hugging Face hub" in line
        assert "no/such/dir: no such directory" in refused(words[0], "no/such/dir", *words[1:])
    assert "no-such-run: not a run of gyebo" in refused("verify", "no-such-run")


def test_prompt_longer_than_the_context(refused, trained):
    line = refused("generate", trained, "--prompt", "나무 " * 40)
    assert "tokens, but this model's context is 32: shorten it" in line
    assert "prompt 2 has" in refused("generate", trained, "--prompt", "가", "--prompt", "나무 " * 40)


def test_context_longer_than_the_models(refused, trained):
    assert "--context must be from 2 to the model's 32, but is 64" in refused("evaluate", trained, "--context", "64")


@pytest.mark.parametrize("command", ["generate", "evaluate"])
def test_wrong_precision(refused, trained, command):
    more = ["--prompt", "가"] if command == "generate" else []
    line = refused(command, trained, "--precision", "float64", *more)
    assert "--precision must be one of float32, bfloat16, but is 'float64'" in line


def test_a_tokenizer_of_another_model(refused, trained, corpus, cli, tmp_path):
    shutil.copytree(trained, tmp_path / "mixed")
    assert cli("tokenizer", "train", corpus, "-o", tmp_path / "tok", "--vocab-size", "450").code == 0
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "tok" / name, tmp_path / "mixed" / name)
    for words in (["generate", "--prompt", "가"], ["evaluate"]):
        line = refused(words[0], tmp_path / "mixed", *words[1:])
        assert "ids, but the model's embedding has 400 rows: they do not belong together" in line and "mixed" in line


@pytest.mark.parametrize("damage", ["cut short", "no safetensors", "other sizes"])
def test_corrupt_weights(refused, trained, tmp_path, damage):
    shutil.copytree(trained, tmp_path / "bad")
    path = tmp_path / "bad" / "model.safetensors"
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "no safetensors":
        path.write_bytes(b"\xff" * 1000)
    else:
        config = json.loads((tmp_path / "bad" / "config.json").read_text())
        (tmp_path / "bad" / "config.json").write_text(json.dumps(config | {"n_embd": 64}))
    for words in (["generate", "--prompt", "가"], ["evaluate"]):
        assert str(path) in refused(words[0], tmp_path / "bad", *words[1:])


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def test_a_run_of_pickles_runs_nothing(refused, trained, corpus, tmp_path):
    hostile = pickle.dumps(Hostile(tmp_path / "executed"))
    for spared in ([], ["config.json"], ["run.toml"], ["config.json", "run.toml"]):
        run = tmp_path / "-".join(["hostile", *spared])
        shutil.copytree(trained, run)
        for path in run.rglob("*"):
            if path.is_file() and path.name not in spared:
                path.write_bytes(hostile)
        (run / "pytorch_model.bin").write_bytes(hostile)
        for words in (["generate", run, "--prompt", "가"], ["evaluate", run], ["evaluate", run, corpus]):
            assert str(run) in refused(*words)
        refused("pretrain", "gpt2", corpus, "-o", tmp_path / "new", "--steps", "1", "--from", run)
    run = tmp_path / "hostile"
    assert str(run) in refused("verify", run)
    assert str(run) in refused("pretrain", "gpt2", corpus, "-o", run, "--steps", "1", "--resume")
    (run / "model.safetensors").unlink()  # now the pickle that torch would read is the only file of weights
    shutil.copy(trained / "config.json", run)
    assert "pytorch_model.bin" in refused("generate", run, "--prompt", "가")
    assert not (tmp_path / "executed").exists()
    pickle.loads(hostile)
    assert (tmp_path / "executed").exists()  # it would have shown


def test_an_existing_directory(refused, trained, corpus, tokenizer_folder, tmp_path):
    line = refused("pretrain", "gpt2", corpus, "-o", trained, "--steps", "2")
    assert f"{trained} exists already: pass --resume to continue or --overwrite to start again" in line
    again = ["--resume", "--tokenizer", tokenizer_folder, *TINY]
    line = refused("pretrain", "gpt2", corpus, "-o", trained, "--steps", "4", "--seed", "5", *again)
    assert "can't be resumed with other options: seed: 0 stored, 5 given" in line
    assert "has trained 4 steps" in refused("pretrain", "gpt2", corpus, "-o", trained, "--steps", "3", *again)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").touch()
    for how in ("--overwrite", "--resume"):
        assert "not written by gyebo" in refused("pretrain", "gpt2", corpus, "-o", other, "--steps", "2", how)
    line = refused("tokenizer", "train", corpus, "-o", trained, "--overwrite")
    assert f"{trained} holds README.md, which gyebo did not write there" in line
    assert "pass --overwrite to start again" in refused("tokenizer", "train", corpus, "-o", tokenizer_folder)
    (tmp_path / "file").touch()
    assert "is a file" in refused("pretrain", "gpt2", corpus, "-o", tmp_path / "file", "--steps", "2")


def test_a_recipe_that_is_none(refused, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text("title = [")
    assert f"{recipe}: not valid TOML" in refused("compare", recipe, "-o", tmp_path / "c")
    recipe.write_bytes(pickle.dumps(Hostile(tmp_path / "executed")))
    assert f"{recipe}: not valid TOML" in refused("compare", recipe, "-o", tmp_path / "c")
    assert "no.toml: no such file" in refused("compare", tmp_path / "no.toml", "-o", tmp_path / "c")
    assert not (tmp_path / "executed").exists()


# -- exit codes and tracebacks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["first", "last"])
def test_debug_shows_the_traceback(cli, place):
    words = ["evaluate", "no/such/dir"]
    found = cli(*(["--debug", *words] if place == "first" else [*words, "--debug"]))
    assert found.code == 2 and "Traceback (most recent call last)" in found.err
    assert found.err.splitlines()[-1] == "gyebo: no/such/dir: no such directory"


def test_work_that_fails_exits_with_1(refused, corpus, tokenizer_folder, tmp_path):
    words = ["pretrain", "gpt2", corpus, "-o", tmp_path / "r", "--steps", "60", "--tokenizer", tokenizer_folder, *TINY]
    settings = ["optim.lr=1e30", "optim.clip=0", "optim.warmup=0", "optim.schedule=constant"]
    line = refused(*words, *(word for setting in settings for word in ("--set", setting)), code=1)
    assert "the loss is not finite" in line and "the last good checkpoint is" in line


def test_an_error_of_ours_exits_with_1_and_names_its_kind(refused, trained, monkeypatch):
    def broken(*arguments, **options):
        raise KeyError("oops")

    monkeypatch.setattr("gyebo.jobs.evaluate.evaluate", broken)
    assert refused("evaluate", trained, code=1) == "gyebo: KeyError: 'oops' (--debug shows where)"


def test_interrupted_exits_with_1(refused, trained, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("gyebo.jobs.evaluate.evaluate", interrupted)
    assert refused("evaluate", trained, code=1) == "gyebo: interrupted"
