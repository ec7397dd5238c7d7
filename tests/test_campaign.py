"""The campaign of faults in bounded form; in full it is `make campaign`."""

from collections import Counter
from pathlib import Path

import pytest

from tests.campaign import Campaign, attempts, table


@pytest.mark.slow
@pytest.mark.timeout(180)  # many faults
def test_a_fault_of_each_kind_loses_nothing(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, seed=0, quick=True)
    try:
        violated = {kind: what for kind, what in attempts(campaign, 10) if what}
    finally:
        campaign.close()
    assert violated == {}


def test_its_table_counts_tries_and_violations() -> None:
    written = table(Counter({"worker killed": 2, "socket removed": 1}), Counter({"worker killed": 1}))
    assert written.splitlines()[2:] == [
        "| socket removed | 1 | 0 |",
        "| worker killed | 2 | 1 |",
        "| **all** | **3** | **1** |",
    ]
