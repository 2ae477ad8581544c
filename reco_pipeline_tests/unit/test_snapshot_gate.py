import pytest

from reco.errors import GateRefused
from reco.snapshot.gate import Check, GatePolicy, SnapshotSummary, judge, mean_overlap, require

POLICY = GatePolicy(max_item_loss=0.3, max_order_loss=0.1, min_overlap=0.5)
LISTS = {"a": ("b", "c"), "b": ("a", "d")}
BEFORE = SnapshotSummary(100, 1000, LISTS)


def verdicts(new, previous=BEFORE):
    return {check.name: check.passed for check in judge(previous, new, POLICY)}


def test_an_equal_snapshot_passes_every_check():
    """Nothing lost and the same lists: nothing to refuse."""
    assert all(verdicts(BEFORE).values())


@pytest.mark.parametrize(
    ("new", "failed"),
    [
        (SnapshotSummary(69, 1000, LISTS), {"items_kept"}),
        (SnapshotSummary(100, 899, LISTS), {"orders_kept"}),
        (SnapshotSummary(100, 1000, {"a": ("b", "x"), "b": ("x", "y")}), {"lists_overlap"}),
        (SnapshotSummary(100, 1000, {}), {"lists_overlap"}),
        (SnapshotSummary(0, 0, {}), {"not_empty", "items_kept", "orders_kept", "lists_overlap"}),
    ],
)
def test_each_rule_refuses_what_it_is_about(new, failed):
    """Items lost, orders lost, lists changed, or nothing at all: each has its own verdict."""
    assert {name for name, passed in verdicts(new).items() if not passed} == failed


def test_a_limit_itself_is_allowed():
    """Exactly the allowed loss and exactly the wanted overlap pass."""
    new = SnapshotSummary(70, 900, {"a": ("b", "x"), "b": ("a", "y")})
    assert all(verdicts(new).values())


def test_growth_is_no_loss():
    """More items and orders than before give a loss of 0."""
    checks = {check.name: check for check in judge(BEFORE, SnapshotSummary(300, 9000, LISTS), POLICY)}
    assert checks["items_kept"].value == checks["orders_kept"].value == 0


def test_without_a_published_snapshot_only_emptiness_refuses():
    """The first publish has nothing to compare with, and its verdicts say so."""
    assert all(verdicts(SnapshotSummary(1, 1), None).values())
    assert verdicts(SnapshotSummary(0, 0), None)["not_empty"] is False


@pytest.mark.parametrize(
    ("previous", "new", "share"),
    [
        ({}, {"a": ["b"]}, None),
        ({"a": []}, {}, None),
        ({"a": ["b", "c"]}, {"a": ["c", "b"]}, 1.0),
        ({"a": ["b", "c"], "d": ["e"]}, {"a": ["c"]}, 0.25),
    ],
)
def test_overlap_is_the_mean_share_of_each_old_list_that_is_kept(previous, new, share):
    """Order inside a list does not count, and a list that is gone counts as nothing kept."""
    assert mean_overlap(previous, new) == share


def test_a_refusal_lists_the_numbers_and_all_verdicts():
    """The message has the figures of what failed, the details have every verdict."""
    with pytest.raises(GateRefused, match=r"50\.0% of items lost \(from 100 to 50\), at most 30\.0% may be") as caught:
        require(judge(BEFORE, SnapshotSummary(50, 1000, LISTS), POLICY))
    assert "--force" in caught.value.hint
    assert [one["passed"] for one in caught.value.details["checks"]] == [True, False, True, True]


def test_a_verdict_from_elsewhere_is_judged_like_our_own():
    """An evaluation that failed refuses as well."""
    require([Check("evaluation", passed=True, value=0.2, limit=0.1, message="hit rate 0.2")])
    with pytest.raises(GateRefused, match="hit rate 0"):
        require([Check("evaluation", passed=False, value=0.05, limit=0.1, message="hit rate 0.05")])
