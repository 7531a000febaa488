"""What `/metrics` says, as Prometheus reads it."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families


def samples_of(text: str) -> Mapping[str, float]:
    """Every sample, by its name and labels in the order of the alphabet: `retint_x_total{code="b",kind="a"}`."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            name = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert name not in found
            found[name] = sample.value
    return found
