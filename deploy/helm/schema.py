"""The parts of the chart's values.schema.json that the exporter decides: its settings and the variables of OpenTelemetry."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from exporter.config.declare import Setting
from exporter.config.otel import read_otel
from exporter.config.setting_types import Number, OneOf, Switch, Whole
from exporter.config.settings import SETTINGS

BY_OTHER_VALUES: Final = frozenset(
    {
        *("listen", "telemetry_listen", "insecure_telemetry"),  # ports, telemetry
        *("auth_tokens", "auth_token_file", "path_secrets", "plivo_auth_tokens"),  # auth
        *("tls_cert", "tls_key", "tls_client_ca", "web_config"),  # tls, telemetry
        *("upstream", "prices"),
        "ready_file",  # probes ask the telemetry listener
    }
)
"""Settings that the chart makes of other values."""


def with_settings(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, with these parts as they are now."""
    settings = {setting.key: _value(setting) for setting in SETTINGS if setting.name not in BY_OTHER_VALUES}
    variables = {name: {"type": ["string", "number", "boolean"]} for name in sorted(otel_variables())}
    return schema | {"$defs": schema["$defs"] | {"settings": _strict(settings), "otel": _strict(variables)}}


def otel_variables() -> frozenset[str]:
    """The variables of OpenTelemetry that the exporter reads, whatever the others say."""
    names: set[str] = set()
    for given in ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}):
        environ = _Recording(given | {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"})
        read_otel(environ)
        names |= environ.asked
    return frozenset(names)


class _Recording(Mapping[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _strict(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(setting: Setting) -> dict[str, Any]:
    """What the value of a setting may be."""
    found = _single(setting)
    if setting.about.repeatable:
        found = {"type": "array", "items": found}
    return {"description": setting.help} | found


def _single(setting: Setting) -> dict[str, Any]:
    match setting.about.kind:
        case Switch():
            return {"type": "boolean"}
        case Whole() as whole:
            return {"type": "integer", "minimum": whole.least, "maximum": whole.most}
        case Number() as number:
            return {"type": "number", "minimum": number.min, "maximum": number.max}
        case OneOf() as choice:
            return {"enum": list(choice.choices)}
        case _:
            return {"type": "string"}
