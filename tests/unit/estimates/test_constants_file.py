"""Fitted constants as TOML: what is written is read back exactly, and what cannot be constants is named."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.estimates.constants_file import ConstantsFile, parsed, written
from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.constants_time import TimeConstants

positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


def some(kind):
    """Constants of the kind with any of them changed."""
    return st.dictionaries(st.sampled_from(sorted(kind.facts())), positive).map(lambda changes: replace(kind(), **changes))


@given(some(MemoryConstants), some(TimeConstants), st.text(), st.lists(st.text()), st.integers(min_value=0))
def test_what_is_written_is_read_back_exactly(memory, time, file, groups, count):
    content = ConstantsFile(memory, time, {"file": file, "source_groups": groups}, {"memory": count, "time": 3})
    try:
        file.encode(), "".join(groups).encode()
    except UnicodeEncodeError:  # lone surrogates are in no UTF-8 file
        return
    assert parsed(written(content)) == content


def test_a_kind_that_was_not_fitted_has_the_shipped_constants():
    content = ConstantsFile(memory=MemoryConstants(norm_bytes=9.0), rows={"memory": 7})
    assert "[time]" not in written(content)
    assert parsed(written(content)) == content
    assert parsed("[memory]\nnorm_bytes = 9").memory.norm_bytes == 9.0
    assert parsed("") == ConstantsFile()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[memory]\nlogit = 1.0", "memory.logit: no such constant"),
        ("[time]\nnorm_bytes = 1.0", "time.norm_bytes: no such constant"),
        ("[loss]\nalpha = 1.0", "loss: unknown"),
        ("memory = 3", "memory: not a table"),
        ("[memory]\nnorm_bytes = inf", "memory.norm_bytes: inf"),
        ("[memory]\nnorm_bytes = nan", "memory.norm_bytes: nan"),
        ("[memory]\nnorm_bytes = 0", "memory.norm_bytes: 0"),
        ("[memory]\nnorm_bytes = true", "memory.norm_bytes: True"),
        ("[time]\nlaunch_eager = '1'", "time.launch_eager: '1'"),
        ("[time]\nrows = 2.5", "time.rows: not a count"),
    ],
)
def test_what_cannot_be_constants_is_named(text, said):
    with pytest.raises(ValueError, match="^" + said):
        parsed(text)
