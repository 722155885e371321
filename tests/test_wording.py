"""How figures are written."""

import pytest

from training.wording import measurement


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (13.04, 0.1, "13.0 ± 0.1"),
        (0.0062, 3e-05, "0.00620 ± 0.00003"),
        (0.99997, 4e-05, "0.99997 ± 0.00004"),
        (36.86, 0.096, "36.9 ± 0.1"),
        (-2.25e-05, 4e-04, "0.0000 ± 0.0004"),
        (162.4, 2.3, "162 ± 2"),
        (4162.4, 23.0, "4,162 ± 23"),
        (0.0, 0.0, "0 ± 0"),
        (0.12345, None, "0.1235"),
    ],
)
def test_a_figure_ends_where_its_spread_begins(value, spread, text):
    assert measurement(value, spread) == text
