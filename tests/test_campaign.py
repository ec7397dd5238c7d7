"""The campaigns of faults in bounded form; in full they are `make campaign`."""

from collections import Counter
from pathlib import Path

import pytest

from tests.campaign import Campaign, attempts, table
from tests.exact_campaign import ExactCampaign
from tests.exact_campaign import attempts as harm_some


@pytest.mark.slow
@pytest.mark.timeout(180)  # many faults
def test_a_fault_of_each_kind_loses_nothing(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, seed=0, quick=True)
    try:
        violated = {kind: what for kind, what in attempts(campaign, 10) if what}
    finally:
        campaign.close()
    assert violated == {}


@pytest.mark.slow
@pytest.mark.timeout(400)  # trainings
def test_trainings_that_are_harmed_end_as_those_that_are_not(tmp_path: Path) -> None:
    campaign = ExactCampaign(tmp_path, seed=4, threads="all")
    try:
        assert [what for _, what in harm_some(campaign, 6) if what] == []
    finally:
        campaign.close()


def test_its_table_counts_tries_and_violations() -> None:
    written = table(Counter({"worker killed": 2, "socket removed": 1}), Counter({"worker killed": 1}))
    assert written.splitlines()[2:] == [
        "| socket removed | 1 | 0 |",
        "| worker killed | 2 | 1 |",
        "| **all** | **3** | **1** |",
    ]
