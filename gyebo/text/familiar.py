"""What users of `transformers` type on a tokenizer, under the same names and with the same results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class Role:
    """The string or the id of a special token; None where a tokenizer has not that one."""

    def __init__(self, role: str, field: str) -> None:
        self.role, self.field = role, field
        self.__doc__ = f"{'The id' if field == 'role_ids' else 'The string'} of the {role} token, None where there is none."

    def __get__(self, tokenizer: Any, kind: type | None = None) -> Any:
        return self if tokenizer is None else getattr(tokenizer, self.field).get(self.role)


class Familiar:
    """Mixed into `Tokenizer`."""

    pad_token, pad_token_id = Role("pad", "role_tokens"), Role("pad", "role_ids")
    bos_token, bos_token_id = Role("bos", "role_tokens"), Role("bos", "role_ids")
    eos_token, eos_token_id = Role("eos", "role_tokens"), Role("eos", "role_ids")
    unk_token, unk_token_id = Role("unk", "role_tokens"), Role("unk", "role_ids")
    cls_token, cls_token_id = Role("cls", "role_tokens"), Role("cls", "role_ids")
    sep_token, sep_token_id = Role("sep", "role_tokens"), Role("sep", "role_ids")
    mask_token, mask_token_id = Role("mask", "role_tokens"), Role("mask", "role_ids")

    @classmethod
    def from_pretrained(cls: Any, name: str | Path) -> Any:
        """`Tokenizer.load`: of a directory."""
        return cls.load(name)

    def save_pretrained(self: Any, directory: str | Path) -> None:
        """`Tokenizer.save`: what `AutoTokenizer` opens."""
        self.save(directory)

    def tokenize(self: Any, text: str) -> list[str]:
        """The tokens of a text, as they stand in the vocabulary, without special ones."""
        return [self.token(id) for id in self.encode(text)]

    def convert_ids_to_tokens(self: Any, ids: int | Iterable[int]) -> str | list[str]:
        """The token of an id, or those of several; ValueError for an unknown one."""
        tokens: list[str] = [self.token(int(id)) for id in ([ids] if isinstance(ids, int) else ids)]
        return tokens[0] if isinstance(ids, int) else tokens

    def convert_tokens_to_ids(self: Any, tokens: str | Sequence[str]) -> Any:
        """The id of a token, or those of several; that of the unknown token, or None, for one that there is not."""
        known = self.get_vocab()
        unknown = self.role_ids.get("unk")
        return known.get(tokens, unknown) if isinstance(tokens, str) else [known.get(each, unknown) for each in tokens]

    def get_vocab(self: Any) -> dict[str, int]:
        """token -> id."""
        return {self.token(id): id for id in self.known_ids}

    def batch_decode(self: Any, rows: Iterable[Iterable[int]], **options: bool) -> list[str]:
        """`decode` of each row of ids."""
        return [self.decode(row, **options) for row in rows]

    @property
    def all_special_ids(self: Any) -> list[int]:
        """The ids of all special tokens."""
        return sorted(self.all_role_ids)

    @property
    def all_special_tokens(self: Any) -> list[str]:
        """The strings of all special tokens, in the order of their ids."""
        return [self.token(id) for id in self.all_special_ids]
