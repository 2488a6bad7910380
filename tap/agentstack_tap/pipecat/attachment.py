"""One line in a Pipecat app: a pipeline becomes a session of the exporter."""

import logging
import ssl
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from pipecat.observers import user_bot_latency_observer as latency

from agentstack_tap import shared
from agentstack_tap.pipecat.observer import TapObserver

log: Final = logging.getLogger("agentstack_tap")


def attach(
    worker: Any,
    url: str,
    *,
    agent: str | None = None,
    session_id: str | None = None,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    texts: bool = False,
    enable_metrics: bool = False,
) -> TapObserver:
    """Send what happens in a pipeline to the exporter at ``url``. Call it before the pipeline runs.

    ``worker`` is the ``PipelineWorker``, in older versions the ``PipelineTask``. ``agent`` is the label of the metrics. The session is
    named ``session_id``, else as the worker's ``conversation_id``. Pipelines of a process with the same ``url``, ``token`` and ``tls``
    share a connection. With ``texts``, what is said is sent too. ``enable_metrics`` switches on Pipecat's metrics, without which it
    measures no service: it is the same as ``PipelineParams(enable_metrics=True, enable_usage_metrics=True)``.

    Raises ``ValueError`` for a URL that is no WebSocket's, and for ``tls`` without ``wss://``.
    """
    tap = shared.borrow(url, token=token, tls=tls, framework="pipecat", framework_version=_version())
    observer = TapObserver(
        tap, session=session_id or _conversation_id(worker), agent=agent, texts=texts, on_end=lambda: shared.give_back(tap)
    )
    try:
        _check_metrics(worker, enable=enable_metrics)
        worker.add_observer(observer)
        _add_breakdown(worker, observer)
        tap.open()  # not with the session's first event
    except Exception:
        shared.give_back(tap)
        raise
    return observer


def _add_breakdown(worker: Any, observer: TapObserver) -> None:
    """Let Pipecat take the caller's waits apart, where it can name their parts (from 1.9 on)."""
    if "contributions" in latency.LatencyBreakdown.model_fields:
        parts = latency.UserBotLatencyObserver()
        parts.add_event_handler("on_latency_breakdown", observer.on_latency_breakdown)
        worker.add_observer(parts)


@lru_cache(maxsize=1)
def _version() -> str | None:
    """The version of Pipecat. To read it from the disk takes milliseconds."""
    try:
        return version("pipecat-ai")
    except PackageNotFoundError:
        return None


def _conversation_id(worker: Any) -> str | None:
    """The worker's ``conversation_id``, which no version of Pipecat tells under a public name."""
    found = getattr(worker, "conversation_id", None) or getattr(worker, "_conversation_id", None)
    return str(found) if found else None


def _check_metrics(worker: Any, *, enable: bool) -> None:
    params = getattr(worker, "params", None)
    if params is None:
        return
    if enable:
        params.enable_metrics = params.enable_usage_metrics = True
    elif not (params.enable_metrics and params.enable_usage_metrics):
        log.warning(
            "Pipecat's metrics are off: the latencies and the usage of services will be missing. "
            "Set PipelineParams(enable_metrics=True, enable_usage_metrics=True)."
        )
