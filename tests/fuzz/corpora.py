"""Corpora: each format, compressed or not, in other encodings, and with pictures."""

import gzip
import io
import json
import lzma
import tarfile

import pytest

from gyebo.config.run import DataOptions
from gyebo.data import documents, sources
from tests.fuzz.reader import Reader

TEXTS = [f'글 {i}: 오늘은 "날씨"가, 좋다\t{i * 7919 % 101}.' for i in range(20)]
ROWS = [
    {"text": text, "label": "긍부"[i % 2], "n": i, "doc": {"body": text, "more": [1, None]}} for i, text in enumerate(TEXTS)
]


def plain() -> bytes:
    return "\n".join([*TEXTS, "", "  ", *TEXTS[:3]]).encode()


def table(sign: str) -> bytes:
    def field(value: object) -> str:
        return '"' + str(value).replace('"', '""') + '"' if sign == "," else str(value).replace("\t", " ")

    lines = [sign.join(["n", "text", "label"]), *(sign.join(map(field, (r["n"], r["text"], r["label"]))) for r in ROWS)]
    return "\r\n".join(lines).encode()


def json_lines() -> bytes:
    return "".join(json.dumps(row, ensure_ascii=bool(row["n"] % 2)) + "\n" for row in ROWS).encode()


def json_list() -> bytes:
    return json.dumps(ROWS, ensure_ascii=False, indent=1).encode()


def parquet(**columns: object) -> bytes:
    pa, writer = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    writer.write_table(pa.table(columns) if columns else pa.Table.from_pylist(ROWS), file, row_group_size=8)
    return file.getvalue()


def zst(raw: bytes) -> bytes:
    return pytest.importorskip("zstandard").ZstdCompressor().compress(raw)


def png() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(file, "png")
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as whole:
        members = {"a.png": png(), "a.txt": "빨강\n하나".encode(), "b.png": png(), "b.json": b'{"text": "red", "objects": []}'}
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            whole.addfile(info, io.BytesIO(raw))
    return file.getvalue()


def captions() -> dict[str, bytes]:
    rows = [{"file_name": "a.png", "text": ["하나", "one"]}, {"file_name": "a.png", "text": "둘", "kind": "false"}]
    return {"captions.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}


def coco() -> bytes:
    images = [{"id": 1, "file_name": "coco.json"}]  # a file that is there; records are not decoded here
    return json.dumps({"images": images, "annotations": [{"image_id": 1, "caption": "하나"}]}).encode()


def reading(**options):
    """A function that reads a file as a corpus with these options."""

    def read(folder, path):
        data = DataOptions(corpus=[str(path)], **options)
        found = sources.resolve([str(path)], folder / "spool", data)
        return [documents.read(chunk, data)[0] for chunk in documents.chunks(found, data)]

    return read


def _captions(folder, path):
    (folder / "a.png").write_bytes(png())
    return reading()(folder, path)


def replaceable() -> dict[str, bytes]:
    return {"a.txt": plain(), "a.jsonl": json_lines(), "a.csv": table(",")}


def parquets() -> dict[str, bytes]:
    return {"a.parquet": parquet(), "b.parquet": parquet(text=[text.encode() for text in TEXTS])}


READERS = (
    Reader("corpus lines", lambda: {"a.txt": plain(), "b.md": plain()}, reading()),
    Reader("corpus blocks", lambda: {"a.txt": plain().replace(b"\n", b"\r\n\r\n")}, reading(documents="blank")),
    Reader("corpus files", lambda: {"a.log": plain()}, reading(documents="file")),
    Reader("corpus replaced", replaceable, reading(bad_bytes="replace")),
    Reader("corpus cp949", lambda: {"a.txt": plain().decode().encode("cp949")}, reading(encoding="cp949")),
    Reader("corpus utf-16", lambda: {"a.txt": plain().decode().encode("utf-16")}, reading()),
    Reader("corpus tables", lambda: {"a.csv": table(","), "a.tsv": table("\t")}, reading()),
    Reader("corpus json", lambda: {"a.jsonl": json_lines(), "a.json": json_list()}, reading()),
    Reader("corpus nested", lambda: {"a.jsonl": json_lines(), "a.parquet": parquet()}, reading(text_field="doc.body")),
    Reader("corpus parquet", parquets, reading()),
    Reader("corpus gz", lambda: {"a.txt.gz": gzip.compress(plain()), "a.csv.gz": gzip.compress(table(","))}, reading()),
    Reader("corpus xz", lambda: {"a.txt.xz": lzma.compress(plain()), "a.jsonl.xz": lzma.compress(json_lines())}, reading()),
    Reader("corpus zst", lambda: {"a.txt.zst": zst(plain()), "a.json.zst": zst(json_list())}, reading()),
    Reader("corpus tar", lambda: {"a.tar": tar()}, reading()),
    Reader("corpus captions", captions, _captions),
    Reader("corpus coco", lambda: {"coco.json": coco()}, reading()),
)
