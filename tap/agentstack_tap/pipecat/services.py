"""Which service reports a number: what kind it is, who provides it, and its model."""

from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["stt", "llm", "tts"]
_BASES: Final[dict[str, Kind]] = {"STTService": "stt", "LLMService": "llm", "TTSService": "tts"}
"""Pipecat's base classes of services."""
_PACKAGE: Final = "pipecat.services."
_NOT_PROVIDERS: Final = frozenset({"ai_service", "image_service", "llm_service", "stt_service", "tts_service", "vision_service"})


@dataclass(frozen=True)
class Service:
    """A service of the pipeline. ``label`` is the name of its processor, as in ``OpenAILLMService#0``."""

    label: str
    kind: Kind | None
    provider: str | None


def service_of(processor: Any) -> Service:
    """Describe a processor. Only services have a kind."""
    bases = type(processor).__mro__
    kind = next((_BASES[base.__name__] for base in bases if base.__name__ in _BASES), None)
    return Service(str(processor.name), kind, None if kind is None else _provider(bases))


def service_named(label: str) -> Service:
    """Describe a service of which only the name of its processor is known, as of one in another worker."""
    class_name = label.partition("#")[0]
    kind = next((kind for base, kind in _BASES.items() if class_name.endswith(base)), None)
    return Service(label, kind, None if kind is None else _from_class(class_name))


def _provider(bases: tuple[type, ...]) -> str | None:
    """The provider's package in Pipecat. A service of the app's own is named by its class, as in Pipecat's own traces."""
    for base in bases:
        if base.__module__.startswith(_PACKAGE):
            package = base.__module__[len(_PACKAGE) :].partition(".")[0]
            if package not in _NOT_PROVIDERS:
                return package
    return _from_class(bases[0].__name__)


def _from_class(name: str) -> str | None:
    for suffix in (*_BASES, "Service"):
        if name.endswith(suffix):
            return name[: -len(suffix)].lower() or None
    return name.lower()
