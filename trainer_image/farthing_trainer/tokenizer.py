"""Byte-level BPE: trained on the corpus or loaded from a folder, saved so that AutoTokenizer loads it. No torch."""

import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from farthing.contract.runconfig import TokenizerConfig
from farthing_trainer.errors import BadInput
from farthing_trainer.storage import Folder

END_OF_TEXT = "<|endoftext|>"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
FOLDER_FILES = (TOKENIZER_FILE, CONFIG_FILE)


@dataclass(frozen=True, slots=True)
class TextCodec:
    """A tokenizer with its end-of-text id (None: documents are joined without a separator) and the text of its two files."""

    tokenizer: Tokenizer
    end_of_text: int | None
    config_text: str

    @property
    def vocabulary(self) -> int:
        """One more than the largest id."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def digest(self) -> str:
        """SHA-256 of tokenizer.json, hexadecimal."""
        return hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()

    @property
    def dtype(self) -> np.dtype:
        """The narrowest little-endian type that holds every id."""
        return np.dtype("<u2") if self.vocabulary <= 1 << 16 else np.dtype("<u4")

    def encode(self, texts: list[str]) -> np.ndarray:
        """All documents as one stream of ids, each closed by the end-of-text id. Shape (tokens,)."""
        closing = [] if self.end_of_text is None else [self.end_of_text]
        encodings = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = [np.array(encoding.ids + closing, dtype=self.dtype) for encoding in encodings]
        return np.concatenate(ids) if ids else np.zeros(0, self.dtype)

    def save(self, folder: Folder) -> None:
        """Write the files that AutoTokenizer loads."""
        folder.make()
        folder.write(TOKENIZER_FILE, self.tokenizer.to_str(pretty=True).encode())
        folder.write(CONFIG_FILE, self.config_text.encode())


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> TextCodec:
    """A byte-level BPE of at most `vocabulary_size` tokens, end-of-text (id 0) and the 256 bytes included. Deterministic."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END_OF_TEXT, "clean_up_tokenization_spaces": False}
    return TextCodec(tokenizer, tokenizer.token_to_id(END_OF_TEXT), json.dumps(settings, indent=2))


def load_tokenizer(folder: Folder) -> TextCodec:
    """The tokenizer in a folder with tokenizer.json and tokenizer_config.json. Raises BadInput."""
    try:
        config_text = folder.read(CONFIG_FILE).decode()
        settings = json.loads(config_text)
        with tempfile.TemporaryDirectory() as scratch:
            tokenizer = _from_file(folder, folder.fetch(TOKENIZER_FILE, Path(scratch)))
    except (OSError, ValueError) as error:
        raise BadInput(folder.field, folder.uri, f"{TOKENIZER_FILE} or {CONFIG_FILE} cannot be read ({error})") from error
    return TextCodec(tokenizer, _end_of_text(tokenizer, settings), config_text)


def _from_file(folder: Folder, path: Path) -> Tokenizer:
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        remedy = f"{TOKENIZER_FILE} is no tokenizer ({error}); save it with Tokenizer.save or save_pretrained"
        raise BadInput(folder.field, folder.uri, remedy) from error


def _end_of_text(tokenizer: Tokenizer, settings: dict[str, object]) -> int | None:
    """The id of `eos_token`, which older folders write as a mapping with its content."""
    named = settings.get("eos_token")
    text = named.get("content") if isinstance(named, dict) else named
    return tokenizer.token_to_id(text) if isinstance(text, str) else None


def check_tokenizer(config: TokenizerConfig) -> None:
    """Raise BadInput unless exactly one way to a tokenizer is named."""
    if (config.uri is None) == (config.vocabulary_size is None):
        raise BadInput("data.tokenizer", config.to_json(), "give exactly one of vocabularySize and uri")


def open_tokenizer(config: TokenizerConfig, texts: Iterable[str]) -> TextCodec:
    """Load or train, as the config says. `texts` is only read for training. Raises BadInput."""
    if config.uri is not None:
        return load_tokenizer(Folder(config.uri, "data.tokenizer.uri"))
    assert config.vocabulary_size is not None
    return train_tokenizer(texts, config.vocabulary_size)
