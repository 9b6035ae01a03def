"""What rank 0 says when it ends: the last word, cut to what Kubernetes keeps of it."""

import logging

from farthing.contract.progress import MAX_LAST_WORD_BYTES, LastWord, Progress
from farthing_trainer.last_word import write_last_word

log = logging.getLogger(__name__)

_MESSAGE_LENGTHS = (1024, 256)


def fit_last_word(exit_code: int, reason: str, message: str, progress: Progress, output_uri: str | None = None) -> str:
    """JSON of at most MAX_LAST_WORD_BYTES: the message and the list of older checkpoints give way first."""
    for shown in (len(progress.checkpoints), 5, 1, 0):
        for length in _MESSAGE_LENGTHS:
            kept = progress.model_copy(update={"checkpoints": progress.checkpoints[len(progress.checkpoints) - shown :]})
            word = LastWord(
                exit_code=exit_code, reason=reason[:64], message=message[:length], progress=kept, output_uri=output_uri
            )
            if len(word.to_json().encode()) <= MAX_LAST_WORD_BYTES:
                return word.to_json()
    return LastWord(exit_code=exit_code, reason=reason[:64], message=message[:256]).to_json()


def say_last_word(exit_code: int, reason: str, message: str, progress: Progress, output_uri: str | None = None) -> None:
    """Log it and write it to the termination message's file."""
    log.info("leaving with %d (%s) %s", exit_code, reason, message)
    write_last_word(fit_last_word(exit_code, reason, message, progress, output_uri))
