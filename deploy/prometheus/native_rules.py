"""Writes native/recording.rules.yml from recording.rules.yml, for ``make docs``: the same records, from native histograms.

Only recording rules read histograms, so alerts and thresholds are the same for both. Each rule that reads a histogram is rewritten by
:data:`REWRITES`; a classic suffix that is left over is an error.
"""

import re
import sys
from pathlib import Path
from typing import Final

RULES: Final = Path(__file__).parent
SOURCE: Final = RULES / "recording.rules.yml"
TARGET: Final = RULES / "native" / "recording.rules.yml"

HEAD: Final = """\
# Written by `make docs` from ../recording.rules.yml: the same records, from native histograms. Load one of the two files.
# docs/native-histograms.md says what Prometheus needs and how to change over.
#
# The objective: 95 % of all caller turns are answered within 2 s. 2 s is a power of two, where buckets of every resolution end, so the
# ratio is exact; a turn that got no answer is a miss, an interrupted turn that has a latency counts, and calls that a machine answered
# are left out. With a bound that is no power of two, the turns in the bucket that holds it are estimated: it is 2 % wide.
"""
_RATE: Final = r"sum by (\g<by>) (rate(\g<name>{\g<labels>}\g<window>))"
_WITHIN: Final = rf"histogram_fraction(-Inf, \g<bound>, {_RATE})\n            * (histogram_count({_RATE}) > 0)"
REWRITES: Final = (
    # A quantile of buckets by `le` → of native histograms.
    (r"sum by \((?P<by>[^)]+), le\) \(rate\((?P<name>\w+)_bucket", r"sum by (\g<by>) (rate(\g<name>"),
    # How many measurements there were.
    (
        r"sum by \((?P<by>[^)]+)\) \(increase\((?P<name>\w+)_count(?P<rest>[^)]*)\)\)",
        r"histogram_count(sum by (\g<by>) (increase(\g<name>\g<rest>)))",
    ),
    # How many measurements were within a bound: the share that was, of how many there were. Of none it is no number.
    (
        r"sum by \((?P<by>[^)]+)\) \(rate\((?P<name>\w+)_bucket\{(?P<labels>[^}]*), le=\"(?P<bound>[\d.]+)\"\}(?P<window>[^)]*)\)\)",
        _WITHIN,
    ),
)


def rendered() -> str:
    """The native rules. Raises ``ValueError`` if a classic series is left in them."""
    text = SOURCE.read_text(encoding="utf-8").partition("\ngroups:\n")[2]
    for pattern, native in REWRITES:
        text = re.sub(pattern, native, text)
    if left := re.findall(r"agentstack_\w+_(?:bucket|count|sum)\b", text):
        raise ValueError(f"native rules still read classic series: {', '.join(sorted(set(left)))}")
    return f"{HEAD}groups:\n{text}"


if __name__ == "__main__":
    sys.stdout.write(rendered())
