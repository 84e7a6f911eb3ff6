"""Methods for which tests check more than the contract of a method."""

PAPER_METHODS = (
    *("amf", "au_vmae", "cam", "early_fusion", "late_fusion", "mcm", "mft", "mtut", "resnet_depth", "resnet_thermal"),
    *("resnet_visual", "temt_net"),
)
"""Methods and baselines of the papers.

All have records in the leaderboard. A new method passes the tests without records. Add it here once it has records.
"""
