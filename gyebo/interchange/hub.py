"""Models of the Hugging Face hub, through `huggingface_hub` and its cache."""

from __future__ import annotations

from pathlib import Path

_SMALL = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_VOCABULARIES = ("vocab.json", "merges.txt", "vocab.txt", "added_tokens.json", "*.model", "*.spm", "target_tokenizer.json")
_SAFETENSORS = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json")


def snapshot(name: str, revision: str | None) -> Path:
    """The directory of a hub id in the local cache, fetched where needed: safetensors, or else `pytorch_model*.bin`.

    Raises FileNotFoundError where there is no such model or it cannot be reached, in one line that says what to do.
    """
    directory = _fetch(name, revision, (*_SMALL, *_VOCABULARIES, *_SAFETENSORS))
    if not any(next(directory.glob(pattern), None) for pattern in _SAFETENSORS):
        directory = _fetch(name, revision, (*_SMALL, *_VOCABULARIES, *_PICKLES))
    return directory


def _fetch(name: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    neither = f"{name}: neither a directory here nor"
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError as error:
        raise FileNotFoundError(f"{name}: accept this model's terms on huggingface.co, then: hf auth login") from error
    except RevisionNotFoundError as error:
        raise FileNotFoundError(f"{name}: has no revision {revision!r} on the Hugging Face hub") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise FileNotFoundError(f"{neither} a public model on the Hugging Face hub (a private one: hf auth login)") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise FileNotFoundError(
            f"{neither} in the cache of the Hugging Face hub, which cannot be reached: check the name, go online, or give a "
            "directory"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise FileNotFoundError(f"{neither} could the Hugging Face hub give it ({reason}): try again") from error
