"""Every setting of the daemon, each declared once.

From an entry follow its flag, its environment variable, its key in the settings file, ``--help``, ``check-config`` and
``docs/configuration.md``. To add a setting, add one field to :class:`Settings`; what it must agree on with others goes to
:func:`contradictions`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

import msgspec

from exporter.config.addresses import Address
from exporter.config.declare import About, Setting
from exporter.config.kinds import FileName, LabelValue, LabelValues, ListenAddress, OneOf, Seconds, Switch, UrlPath, Whole

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator has chosen. Durations are in seconds, sizes in bytes; built directly, values are not checked."""

    listen: Annotated[
        Address,
        About(
            ListenAddress(),
            "Listening",
            "Address on which calls' events are received. One that other machines can reach is refused without --insecure-listen.",
        ),
    ] = Address("127.0.0.1", 8790)

    insecure_listen: Annotated[
        bool,
        About(
            Switch(),
            "Listening",
            "Let --listen be reachable from other machines although connections to it are not authenticated: whoever reaches it "
            "can feed events.",
        ),
    ] = False

    path: Annotated[str, About(UrlPath(), "Listening", "Path of the WebSocket on the --listen address.")] = "/ws"

    max_connections: Annotated[
        int,
        About(
            Whole(1, 1_000_000),
            "Listening",
            "Connections to --listen open at once; further ones are turned away.",
            "connections",
        ),
    ] = 10_000

    telemetry_listen: Annotated[
        Address,
        About(
            ListenAddress(),
            "Listening",
            "Address of /metrics, /-/healthy and /-/ready. One that other machines can reach is refused without --expose-telemetry.",
        ),
    ] = Address("127.0.0.1", 8791)

    expose_telemetry: Annotated[
        bool,
        About(
            Switch(),
            "Listening",
            "Let --telemetry-listen be reachable from other machines, as a Prometheus elsewhere needs: whoever reaches it can "
            "read the metrics. They hold agent, provider and model names, never phone numbers or what was said.",
        ),
    ] = False

    subscribe: Annotated[
        bool,
        About(
            Switch(),
            "Calls",
            "Ask the platform for the metrics events when a call connects. Turn it off where the agent already asks for them.",
        ),
    ] = True

    session_resume: Annotated[
        float,
        About(
            Seconds(0, 3600),
            "Calls",
            "How long a call whose connection dropped may come back and go on; after that it has ended as disconnected.",
            "seconds",
        ),
    ] = 30.0

    session_linger: Annotated[
        float,
        About(
            Seconds(0, 3600),
            "Calls",
            "How long a call is kept after session.ended, since its last metrics may come late.",
            "seconds",
        ),
    ] = 30.0

    turn_wait: Annotated[
        float,
        About(
            Seconds(0, 600),
            "Calls",
            "How long turn.completed waits for its turn.metrics; after that the turn counts without them.",
            "seconds",
        ),
    ] = 10.0

    idle_timeout: Annotated[
        float,
        About(Seconds(1, 604_800), "Calls", "How long a call may send nothing; after that it has ended as idle.", "seconds"),
    ] = 3600.0

    max_frame_bytes: Annotated[
        int,
        About(
            Whole(1024, 16_777_216),
            "Limits",
            "Largest event that is read. A larger one is counted as too_large and skipped; the connection stays.",
            "bytes",
        ),
    ] = 65_536

    max_agents: Annotated[
        int, About(Whole(1, 10_000), "Limits", "Values of the label agent; further ones become _other.", "values")
    ] = 50

    max_pairs: Annotated[
        int,
        About(
            Whole(1, 10_000),
            "Limits",
            "Pairs of provider and model for each component (LLM, STT, TTS, …); further ones become _other.",
            "pairs",
        ),
    ] = 100

    max_label_values: Annotated[
        int,
        About(Whole(1, 10_000), "Limits", "Values of any other label that events fill; further ones become _other.", "values"),
    ] = 30

    max_series: Annotated[
        int,
        About(
            Whole(1000, 10_000_000),
            "Limits",
            "Time series in all; once they are reached, new combinations of label values become _other.",
            "series",
        ),
    ] = 50_000

    label_allow: Annotated[
        tuple[LabelValue, ...],
        About(LabelValues(), "Limits", "A label value that always fits, whatever the limits, as model=gpt-4.1.", repeatable=True),
    ] = ()

    otlp_queue_dir: Annotated[
        Path | None,
        About(
            FileName(),
            "Traces",
            "Directory in which spans wait for the collector, so that they survive a kill; without it they wait in memory. It must be "
            "this process's own.",
        ),
    ] = None

    trace_per_turn: Annotated[
        bool,
        About(
            Switch(),
            "Traces",
            "Give each turn a trace of its own, linked by gen_ai.conversation.id, instead of one trace for the whole call.",
        ),
    ] = False

    keep_slow_turns: Annotated[
        float,
        About(
            Seconds(0, 120),
            "Traces",
            "Export turns whose caller waited longer than this although OTEL_TRACES_SAMPLER leaves them out; 0 keeps none for it.",
            "seconds",
        ),
    ] = 0.0

    keep_interrupted_turns: Annotated[
        bool,
        About(Switch(), "Traces", "Export interrupted turns although OTEL_TRACES_SAMPLER leaves them out."),
    ] = False

    keep_failed_turns: Annotated[
        bool,
        About(Switch(), "Traces", "Export turns in which a stage failed although OTEL_TRACES_SAMPLER leaves them out."),
    ] = False

    proposed_attributes: Annotated[
        bool,
        About(
            Switch(),
            "Traces",
            "Write attributes of the GenAI conventions that are only proposals, such as audio tokens, under their proposed names.",
        ),
    ] = False

    drain_timeout: Annotated[
        float,
        About(
            Seconds(0, 600),
            "Stopping",
            "How long open connections are read on after SIGTERM; each is closed as soon as it has been quiet for 0.25 s.",
            "seconds",
        ),
    ] = 2.0

    linger: Annotated[
        bool,
        About(
            Switch(),
            "Stopping",
            "After the drain keep /metrics up until it has been scraped once more, so that the last calls are not lost. The "
            "process then stops up to --linger-timeout later; the platform's grace period must allow for it.",
        ),
    ] = False

    linger_timeout: Annotated[float, About(Seconds(0, 3600), "Stopping", "How long --linger waits for that scrape.", "seconds")] = 60.0

    ready_file: Annotated[
        Path | None,
        About(FileName(), "Stopping", "File that exists while the exporter is ready, for supervisors that cannot ask /-/ready."),
    ] = None

    log_level: Annotated[
        LogLevel,
        About(OneOf(("debug", "info", "warning", "error")), "Logging", "Least severe log lines that are written."),
    ] = "info"

    log_format: Annotated[
        LogFormat, About(OneOf(("text", "json")), "Logging", "Form of the log on stderr; one line a record either way.")
    ] = "text"


def _declared() -> Iterator[Setting]:
    hints = get_type_hints(Settings, include_extras=True)
    for info in msgspec.structs.fields(Settings):
        [about] = hints[info.name].__metadata__
        yield Setting(info.name, info.default, about)


SETTINGS: tuple[Setting, ...] = tuple(_declared())


def contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each setting that cannot stand with the others, and why."""
    listen, telemetry = settings.listen, settings.telemetry_listen
    if not listen.is_loopback and not settings.insecure_listen:
        remedy = f"use a loopback address such as 127.0.0.1:{listen.port}, or allow it with --insecure-listen"
        yield "listen", f"{listen} can be reached from other machines, and connections are not authenticated; {remedy}"
    if not telemetry.is_loopback and not settings.expose_telemetry:
        remedy = f"use a loopback address such as 127.0.0.1:{telemetry.port}, or allow it with --expose-telemetry"
        yield "telemetry_listen", f"{telemetry} can be reached from other machines; {remedy}"
    if telemetry.overlaps(listen):
        yield "telemetry_listen", f"{telemetry} is taken by --listen {listen}; the two listeners need addresses of their own"
