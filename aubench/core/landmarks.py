"""Order of the 49 facial points, and its permutation in a mirrored image.

Left and right are those of the photo. Brows 0-4 and 5-9, bridge of the nose 10-13 and nostrils 14-18 run from left to
right or from above. Eyes 19-24 and 25-30 run clockwise, each from its leftmost corner. The outer lip 31-42 runs
clockwise from the left corner. The inner lip is 43-45 above, from left to right, and 46-48 below, from right to left.
"""

from __future__ import annotations

COUNT = 49

LEFT_EYE, RIGHT_EYE, MOUTH = slice(19, 25), slice(25, 31), slice(31, 49)

OUTER_EYE_CORNERS = (19, 28)
"""The points whose distance is the inter-ocular distance."""

MIRRORED = (
    *(9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
    *(10, 11, 12, 13, 18, 17, 16, 15, 14),
    *(28, 27, 26, 25, 30, 29, 22, 21, 20, 19, 24, 23),
    *(37, 36, 35, 34, 33, 32, 31, 42, 41, 40, 39, 38),
    *(45, 44, 43, 48, 47, 46),
)
"""Point ``i`` of a mirrored face is point ``MIRRORED[i]`` of the face."""
