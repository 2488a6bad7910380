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
from exporter.config.kinds import (
    FileName,
    LabelValue,
    LabelValues,
    ListenAddress,
    Number,
    OneOf,
    Origin,
    Seconds,
    Secret,
    Secrets,
    Switch,
    Url,
    UrlPath,
    Whole,
)

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator has chosen. Durations are in seconds, sizes in bytes; built directly, values are not checked."""

    listen: Annotated[
        Address,
        About(
            ListenAddress(),
            "Listening",
            "Address on which calls' events are received. One that other machines can reach needs a way to tell who connects: "
            "--auth-tokens, --auth-token-file, --path-secrets, --plivo-auth-tokens or --tls-client-ca.",
        ),
    ] = Address("127.0.0.1", 8790)

    insecure: Annotated[
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
            "Address of /metrics, /-/healthy and /-/ready. One that other machines can reach needs a --web-config with users or "
            "client certificates, or --insecure-telemetry.",
        ),
    ] = Address("127.0.0.1", 8791)

    insecure_telemetry: Annotated[
        bool,
        About(
            Switch(),
            "Listening",
            "Let --telemetry-listen be reachable from other machines without authentication: whoever reaches it can read the "
            "metrics. They hold agent, provider and model names, never phone numbers or what was said.",
        ),
    ] = False

    auth_tokens: Annotated[
        tuple[Secret, ...],
        About(
            Secrets("a token of visible ASCII without commas", 16),
            "Access",
            "Bearer token that opens --listen; with several any one does, so that they can be exchanged. Once there is one it is asked "
            "for on loopback too. Better given by the environment than as a flag, which every user of the machine can see.",
            repeatable=True,
        ),
    ] = ()

    auth_token_file: Annotated[
        Path | None,
        About(
            FileName(),
            "Access",
            "File with bearer tokens, one a line, as --auth-tokens; read again when it changes. Empty lines and lines that begin with "
            "# are skipped.",
        ),
    ] = None

    path_secrets: Annotated[
        tuple[Secret, ...],
        About(
            Secrets("a path segment (letters, digits, . _ ~ -)", 16, "[A-Za-z0-9._~-]"),
            "Access",
            "Secret that opens --listen as the last segment of the path, wss://host/ws/SECRET, for platforms that can only be given "
            "a URL. With several any one does. It is shown nowhere, but proxies on the way may log it.",
            repeatable=True,
        ),
    ] = ()

    plivo_auth_tokens: Annotated[
        tuple[Secret, ...],
        About(
            Secrets("a Plivo auth token", 16),
            "Access",
            "Auth token of a Plivo account: connections that carry a V3 signature made with it are let in, each signature once.",
            repeatable=True,
        ),
    ] = ()

    public_url: Annotated[
        str | None,
        About(
            Url("wss", "ws", "https", "http"),
            "Access",
            "URL under which the platform reaches --listen, which is what it signs; without it the Host header stands for it. If it "
            "has a path, that is taken instead of the one that arrives here.",
        ),
    ] = None

    allow_origin: Annotated[
        tuple[str, ...],
        About(
            Origin(),
            "Access",
            "Origin from which a browser may connect to --listen. All others are refused; the platform sends none.",
            repeatable=True,
        ),
    ] = ()

    tls_cert: Annotated[
        Path | None,
        About(
            FileName(),
            "Access",
            "Certificate (PEM, with its chain) with which --listen speaks TLS; read again when it changes, as are the next two.",
        ),
    ] = None

    tls_key: Annotated[Path | None, About(FileName(), "Access", "Key (PEM) of --tls-cert.")] = None

    tls_client_ca: Annotated[
        Path | None,
        About(
            FileName(),
            "Access",
            "Certificates (PEM) of those who sign clients' certificates: a client of --listen must have one. Where no other "
            "credentials are set it is enough.",
        ),
    ] = None

    web_config: Annotated[
        Path | None,
        About(
            FileName(),
            "Access",
            "TLS and users of --telemetry-listen, in the format of Prometheus's web configuration file; read again when it changes. "
            "/-/healthy and /-/ready ask for no user.",
        ),
    ] = None

    upstream: Annotated[
        str | None,
        About(
            Url("ws", "wss"),
            "Relay",
            "URL of your app: connections to --listen are passed on to it, and measured on the way. Without a path the request's own "
            "path is kept (and --path means nothing), with one it is replaced; the query is kept. With wss:// the app is called by "
            "its own name.",
        ),
    ] = None

    upstream_ca: Annotated[
        Path | None,
        About(FileName(), "Relay", "Certificates (PEM) of those who may sign the app's certificate, for wss://; else the system's."),
    ] = None

    upstream_timeout: Annotated[
        float,
        About(
            Seconds(0.1, 600),
            "Relay",
            "How long reaching the app and its answer may take; after that the platform gets 504.",
            "seconds",
        ),
    ] = 10.0

    observe_without_upstream: Annotated[
        bool,
        About(
            Switch(),
            "Relay",
            "Accept connections although the app cannot be reached, and only measure them; without it the platform gets 502 or 504.",
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

    handshake_timeout: Annotated[
        float,
        About(
            Seconds(0.1, 600),
            "Limits",
            "How long a new connection to either listener gets to say what it wants, TLS included; after that it is closed.",
            "seconds",
        ),
    ] = 10.0

    max_silence: Annotated[
        float,
        About(
            Seconds(0, 604_800),
            "Limits",
            "Close a connection that has sent nothing for so long, although it still answers pings; 0 never does. Not with --upstream: "
            "the app decides there.",
            "seconds",
        ),
    ] = 0.0

    max_message_rate: Annotated[
        float,
        About(
            Number(0, 1_000_000),
            "Limits",
            "Messages a second that are read of one connection; those above it, beyond a second's worth at once, are counted as "
            "too_fast and skipped. 0 sets no limit. Not with --upstream, where all is passed on.",
            "messages a second",
        ),
    ] = 0.0

    slow_turn: Annotated[
        float,
        About(
            Seconds(0, 120),
            "Calls",
            "A turn whose caller waited longer is slow: it counts in agentstack_slow_turns_total, and --keep-slow-turns keeps its "
            "spans.",
            "seconds",
        ),
    ] = 1.5

    prices: Annotated[
        Path | None,
        About(
            FileName(),
            "Calls",
            "File (TOML) of what providers take, from which agentstack_cost_usd_total is worked out; without it nothing has a price. "
            "docs/cost.md says how it is written.",
        ),
    ] = None

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
        bool,
        About(Switch(), "Traces", "Export turns slower than --slow-turn although OTEL_TRACES_SAMPLER leaves them out."),
    ] = False

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
        float | None,
        About(
            Seconds(0, 600),
            "Stopping",
            "How long open connections are read on after SIGTERM, 2 seconds unless set; each is closed as soon as it has been quiet "
            "for 0.25 s. With --upstream it is 25 seconds unless set, and calls go on until they end by themselves.",
        ),
    ] = None

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
    if not listen.is_loopback and not settings.insecure and not authenticates(settings):
        remedy = f"set --auth-tokens, use a loopback address such as 127.0.0.1:{listen.port}, or allow it with --insecure"
        yield "listen", f"{listen} can be reached from other machines, and connections are not authenticated; {remedy}"
    if telemetry.overlaps(listen):
        yield "telemetry_listen", f"{telemetry} is taken by --listen {listen}; the two listeners need addresses of their own"
    if (settings.tls_cert is None) != (settings.tls_key is None):
        missing, there = ("tls-key", "tls-cert") if settings.tls_key is None else ("tls-cert", "tls-key")
        yield there.replace("-", "_"), f"TLS needs --{missing} as well"
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        yield "tls_client_ca", "client certificates need TLS: set --tls-cert and --tls-key"
    if settings.upstream_ca is not None and not (settings.upstream or "").startswith("wss://"):
        yield "upstream_ca", "is for an --upstream that starts with wss://"
    if settings.public_url is not None and not settings.plivo_auth_tokens:
        yield "public_url", "is for signatures, and there is nothing to check them with; set --plivo-auth-tokens"


def authenticates(settings: Settings) -> bool:
    """Whether ``--listen`` asks who connects."""
    secrets = (settings.auth_tokens, settings.path_secrets, settings.plivo_auth_tokens)
    return any(secrets) or settings.auth_token_file is not None or settings.tls_client_ca is not None
