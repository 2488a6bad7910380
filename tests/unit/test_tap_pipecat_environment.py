"""The variables of the Pipecat tap that comes without a change of code."""

import pytest

from agentstack_tap.pipecat.environment import arguments, faults


def test_variables_stand_for_arguments() -> None:
    """Each one is an argument of attach, whose default counts if it is not set."""
    nothing = {"url": "ws://127.0.0.1:8790/ws", "agent": None, "token": None, "texts": False, "enable_metrics": False}
    assert arguments({}) == arguments({"AGENTSTACK_TAP_URL": "", "AGENTSTACK_TAP_TEXTS": ""}) == nothing
    assert arguments(
        {
            "AGENTSTACK_TAP_URL": "wss://exporter/ws",
            "AGENTSTACK_TAP_AGENT": "support",
            "AGENTSTACK_TAP_TOKEN": "t",
            "AGENTSTACK_TAP_TEXTS": " Yes ",
            "AGENTSTACK_TAP_ENABLE_METRICS": "1",
        }
    ) == {"url": "wss://exporter/ws", "agent": "support", "token": "t", "texts": True, "enable_metrics": True}


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("AGENTSTACK_TAP_UR", "x", "AGENTSTACK_TAP_UR: unknown environment variable; did you mean AGENTSTACK_TAP_URL?"),
        (
            "AGENTSTACK_TAP_ENABLE_METRIC",
            "1",
            "AGENTSTACK_TAP_ENABLE_METRIC: unknown environment variable; did you mean AGENTSTACK_TAP_ENABLE_METRICS?",
        ),
        ("AGENTSTACK_TAP_TEXTS", "maybe", "AGENTSTACK_TAP_TEXTS: 'maybe' is neither true nor false; false is used"),
    ],
)
def test_faults_are_named(name: str, value: str, fault: str) -> None:
    """A misspelled name or an unclear flag is named, with what was probably meant."""
    assert list(faults({name: value})) == [fault]


def test_what_is_no_fault() -> None:
    """Variables that Kubernetes sets for a Service are not the tap's, and flags may be off."""
    service = {
        "AGENTSTACK_TAP_SERVICE_HOST": "10.0.0.1",
        "AGENTSTACK_TAP_PORT": "tcp://10.0.0.1:80",
        "AGENTSTACK_TAP_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert list(faults(service | {"AGENTSTACK_TAP_TEXTS": "off", "AGENTSTACK_TAP_ENABLE_METRICS": "False", "PATH": "x"})) == []
