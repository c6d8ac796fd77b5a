from __future__ import annotations

import re
from pathlib import Path

from bench.records import RunDirectory
from bench.report import write_markdown
from tests.report.synthetic import HOSTILE_NAMES, write_named_run


def test_it_is_verdicts_one_table_and_folded_details(synthetic: RunDirectory) -> None:
    run = synthetic

    text = write_markdown(run.path)

    assert "- **minilm**: ship onnx-int8: 2." in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.count("|") for line in rows] == [7] * (2 + 4) + [14] * (2 + 19)
    assert "| minilm | SHIP onnx-int8 | 2." in text
    assert "| basic&#95;pitch | KEEP saved&#95;model | " in text
    assert sum("**faster, best**" in line for line in rows) == 3
    head, details = text.split("<details>")
    assert "flags" not in head
    assert "noisy-contention" in details
    assert "basic&#95;pitch onnx-int8 failed in build: ValueError: opset 99 is not supported. Next: choose" in details
    assert run.manifest.run_id in details


def test_hostile_names_make_no_markup_no_link_and_no_mention(tmp_path: Path) -> None:
    text = write_markdown(write_named_run(tmp_path, HOSTILE_NAMES).path)

    ours = re.sub(r"</?(details|summary)>", "", text)
    assert not re.search(
        r"[<>`\[\]@]|https?://|(?<!&)#\d|\x1b|\0", re.sub(r"\[[\d.]+–[\d.]+\]|\[[-+±\d.]+, [-+±\d.]+\]", "", ours)
    )
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {7, 14}
    assert "&#60;script&#62;alert(1)&#60;&#47;script&#62;" in text
    assert "&#64;&#8203;someone" in text
