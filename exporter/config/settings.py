"""Every setting of the daemon, each declared once.

The flag, the environment variable, the key in the settings file, ``--help``, ``check-config`` and ``docs/configuration.md`` are derived
from the declaration. To add a setting, add one field to :class:`Settings`. Conflicts with other settings go to :func:`contradictions`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec

from exporter.config.addresses import Address
from exporter.config.declare import About, Setting
from exporter.config.setting_types import (
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
    UrlTemplate,
    Whole,
)
from exporter.exporters.prometheus.native_buckets import MOST_BUCKETS
from exporter.exporters.prometheus.protobuf_exposition import Histograms
from exporter.logs import LogFormat, LogLevel

GenAiMetrics = Literal["operation", "inference", "none"]
"""Which names the metrics of the GenAI conventions have, if there are any."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of an operator. Durations are in seconds, sizes in bytes. The constructor does not check values."""

    listen: Annotated[
        Address,
        About(
            ListenAddress(),
            "Listening",
            "Address that receives the events of calls. An address that other machines can reach requires authentication: "
            "--auth-tokens, --auth-token-file, --path-secrets, --plivo-auth-tokens or --tls-client-ca.",
        ),
    ] = Address("127.0.0.1", 8790)

    insecure: Annotated[
        bool,
        About(
            Switch(),
            "Listening",
            "Allow --listen to be reachable from other machines without authentication. Anyone who reaches it can send events.",
        ),
    ] = False

    path: Annotated[str, About(UrlPath(), "Listening", "Path of the WebSocket on the --listen address.")] = "/ws"

    max_connections: Annotated[
        int,
        About(
            Whole(1, 1_000_000),
            "Listening",
            "Open connections to --listen. Further connections are refused.",
            "connections",
        ),
    ] = 10_000

    telemetry_listen: Annotated[
        Address,
        About(
            ListenAddress(),
            "Listening",
            "Address of /metrics, /-/healthy and /-/ready. An address that other machines can reach requires a --web-config "
            "with users or client certificates, or --insecure-telemetry.",
        ),
    ] = Address("127.0.0.1", 8791)

    insecure_telemetry: Annotated[
        bool,
        About(
            Switch(),
            "Listening",
            "Allow --telemetry-listen to be reachable from other machines without authentication. Anyone who reaches it can "
            "read the metrics. They contain agent, provider and model names, never phone numbers or what was said.",
        ),
    ] = False

    auth_tokens: Annotated[
        tuple[Secret, ...],
        About(
            Secrets("a token of visible ASCII without commas", 16),
            "Access",
            "Bearer token that authenticates connections to --listen. If several are set, each one is accepted, so that "
            "tokens can be rotated. If one is set, it is required on loopback too. Set it in the environment rather than as a "
            "flag, which every user of the machine can see.",
            repeatable=True,
        ),
    ] = ()

    auth_token_file: Annotated[
        Path | None,
        About(
            FileName(),
            "Access",
            "File with bearer tokens, one per line, as for --auth-tokens. It is reloaded when it changes. Empty lines and "
            "lines that begin with # are ignored.",
        ),
    ] = None

    path_secrets: Annotated[
        tuple[Secret, ...],
        About(
            Secrets("a path segment (letters, digits, . _ ~ -)", 16, "[A-Za-z0-9._~-]"),
            "Access",
            "Secret that authenticates connections to --listen as the last segment of the path, wss://host/ws/SECRET, for "
            "platforms that accept only a URL. If several are set, each one is accepted. The exporter never shows it, but "
            "proxies in between may log it.",
            repeatable=True,
        ),
    ] = ()

    plivo_auth_tokens: Annotated[
        tuple[Secret, ...],
        About(
            Secrets("a Plivo auth token", 16),
            "Access",
            "Auth token of a Plivo account. A connection with a V3 signature made with it is accepted. Each signature is "
            "accepted once.",
            repeatable=True,
        ),
    ] = ()

    public_url: Annotated[
        str | None,
        About(
            Url("wss", "ws", "https", "http"),
            "Access",
            "URL under which the platform reaches --listen. The platform signs this URL. By default it is built from the Host "
            "header. If the URL has a path, it replaces the path of the request.",
        ),
    ] = None

    allow_origin: Annotated[
        tuple[str, ...],
        About(
            Origin(),
            "Access",
            "Origin from which a browser may connect to --listen. All others are refused. The platform sends no Origin.",
            repeatable=True,
        ),
    ] = ()

    tls_cert: Annotated[
        Path | None,
        About(
            FileName(),
            "Access",
            "Certificate (PEM, with its chain) for TLS on --listen. It is reloaded when it changes, as are --tls-key and "
            "--tls-client-ca.",
        ),
    ] = None

    tls_key: Annotated[Path | None, About(FileName(), "Access", "Private key (PEM) of --tls-cert.")] = None

    tls_client_ca: Annotated[
        Path | None,
        About(
            FileName(),
            "Access",
            "Certificates (PEM) of the authorities that sign client certificates. Every client of --listen must then present "
            "a certificate. If no other credentials are set, the certificate is sufficient.",
        ),
    ] = None

    web_config: Annotated[
        Path | None,
        About(
            FileName(),
            "Access",
            "File with TLS and users of --telemetry-listen, in the format of Prometheus's web configuration file. It is "
            "reloaded when it changes. /-/healthy and /-/ready require no user.",
        ),
    ] = None

    upstream: Annotated[
        str | None,
        About(
            Url("ws", "wss"),
            "Relay",
            "URL of your app. Connections to --listen are forwarded to it and measured. A URL without a path keeps the path "
            "of the request, and --path has no effect; a URL with a path replaces it. The query is kept. With wss:// the Host "
            "header is the app's own name.",
        ),
    ] = None

    upstream_ca: Annotated[
        Path | None,
        About(
            FileName(),
            "Relay",
            "Certificates (PEM) of the authorities that may sign the app's certificate, for wss://. By default those of the system.",
        ),
    ] = None

    upstream_timeout: Annotated[
        float,
        About(
            Seconds(0.1, 600),
            "Relay",
            "Timeout for connecting to the app and for its answer. After it the platform gets 504.",
            "seconds",
        ),
    ] = 10.0

    observe_without_upstream: Annotated[
        bool,
        About(
            Switch(),
            "Relay",
            "Accept connections although the app cannot be reached, and only measure them. Otherwise the platform gets 502 or 504.",
        ),
    ] = False

    subscribe: Annotated[
        bool,
        About(
            Switch(),
            "Calls",
            "Ask the platform for the metrics events when a call connects. Turn it off if the agent already requests them.",
        ),
    ] = True

    session_resume: Annotated[
        float,
        About(
            Seconds(0, 3600),
            "Calls",
            "How long a call whose connection dropped may resume. After that it counts as ended, with the reason disconnected.",
            "seconds",
        ),
    ] = 30.0

    session_linger: Annotated[
        float,
        About(
            Seconds(0, 3600),
            "Calls",
            "How long a call is kept after session.ended, because its last metrics may arrive late.",
            "seconds",
        ),
    ] = 30.0

    turn_wait: Annotated[
        float,
        About(
            Seconds(0, 600),
            "Calls",
            "How long turn.completed waits for its turn.metrics. After that the turn counts without them.",
            "seconds",
        ),
    ] = 10.0

    idle_timeout: Annotated[
        float,
        About(
            Seconds(1, 604_800),
            "Calls",
            "How long a call may send nothing. After that it counts as ended, with the reason idle.",
            "seconds",
        ),
    ] = 3600.0

    handshake_timeout: Annotated[
        float,
        About(
            Seconds(0.1, 600),
            "Limits",
            "Timeout for the TLS handshake and for each request to either listener. After it the connection is closed.",
            "seconds",
        ),
    ] = 10.0

    max_silence: Annotated[
        float,
        About(
            Seconds(0, 604_800),
            "Limits",
            "Close a connection that has sent no message for this long, although it still answers pings. 0 disables the "
            "limit. It does not apply with --upstream, where the app decides.",
            "seconds",
        ),
    ] = 0.0

    max_message_rate: Annotated[
        float,
        About(
            Number(0, 1_000_000),
            "Limits",
            "Messages per second read from one connection. A burst of one second's messages is allowed; messages above it are "
            "counted as too_fast and skipped. Control frames and fragments have a limit of the same size, above which they wait. "
            "0 disables the limit. It does not apply with --upstream, where everything is forwarded.",
            "messages a second",
        ),
    ] = 0.0

    slow_turn: Annotated[
        float,
        About(
            Seconds(0, 120),
            "Calls",
            "A turn is slow if the caller waited longer than this. Slow turns are counted in agentstack_slow_turns_total, and "
            "--keep-slow-turns keeps their spans.",
            "seconds",
        ),
    ] = 1.5

    genai_metrics: Annotated[
        GenAiMetrics,
        About(
            OneOf(get_args(GenAiMetrics)),
            "Calls",
            "Names of the metrics of the OpenTelemetry GenAI conventions. With operation, they are gen_ai.client.operation.duration, "
            "gen_ai.client.token.usage and so on, which dashboards for GenAI read. With inference, they are the later names "
            "gen_ai.client.inference.duration and so on. With none, there are no metrics of these conventions. docs/semconv.md lists "
            "them.",
        ),
    ] = "operation"

    prices: Annotated[
        Path | None,
        About(
            FileName(),
            "Calls",
            "File (TOML) with the prices of providers, from which agentstack_cost_usd_total is calculated. Without it no "
            "costs are exported. docs/cost.md describes the format. It is reloaded when it changes.",
        ),
    ] = None

    live: Annotated[
        bool,
        About(
            Switch(),
            "Live",
            "Serve /live and /api/v1 on --telemetry-listen: what each call is doing now. They show ids of calls and their turns, and "
            "never phone numbers or what was said. Turn it off where --telemetry-listen requires no authentication and others can "
            "reach it.",
        ),
    ] = True

    live_memory: Annotated[
        int,
        About(
            Whole(65_536, 1 << 40),
            "Live",
            "Memory for what /live keeps of calls, of those now and of the last 200 that ended. When it is full, the oldest "
            "ended calls are dropped first, then the beginnings of long calls.",
            "bytes",
        ),
    ] = 33_554_432

    live_content: Annotated[
        bool,
        About(
            Switch(),
            "Live",
            "Show on /live what was said in turns. It requires a --web-config with users or client certificates.",
        ),
    ] = False

    trace_url: Annotated[
        str | None,
        About(
            UrlTemplate("{trace_id}"),
            "Live",
            "URL of a trace, to which /live links, such as https://tempo.example.com/trace/{trace_id}.",
        ),
    ] = None

    max_frame_bytes: Annotated[
        int,
        About(
            Whole(1024, 16_777_216),
            "Limits",
            "Longest event that is read in full. Of a longer one the type, ids, reasons and numbers are read and long texts and "
            "lists are skipped while it arrives; it is counted in agentstack_exporter_frames_truncated_total. A longer event that is "
            "also above 512 KiB is too_large.",
            "bytes",
        ),
    ] = 65_536

    max_agents: Annotated[
        int, About(Whole(1, 10_000), "Limits", "Values of the label agent. Further ones become _other.", "values")
    ] = 50

    max_pairs: Annotated[
        int,
        About(
            Whole(1, 10_000),
            "Limits",
            "Pairs of provider and model for each component (LLM, STT, TTS, …). Further ones become _other.",
            "pairs",
        ),
    ] = 100

    max_label_values: Annotated[
        int,
        About(Whole(1, 10_000), "Limits", "Values of any other label that events fill. Further ones become _other.", "values"),
    ] = 30

    max_series: Annotated[
        int,
        About(
            Whole(1000, 10_000_000),
            "Limits",
            "Time series in total. Once the limit is reached, new combinations of label values become _other.",
            "series",
        ),
    ] = 50_000

    label_allow: Annotated[
        tuple[LabelValue, ...],
        About(LabelValues(), "Limits", "Label value that is always kept and never masked, such as model=gpt-4.1.", repeatable=True),
    ] = ()

    histograms: Annotated[
        Histograms,
        About(
            OneOf(get_args(Histograms)),
            "Metrics",
            "Buckets that histograms have for a Prometheus that asks for protobuf. Text always has the classic ones. "
            "docs/native-histograms.md says what Prometheus needs, and how to change over.",
        ),
    ] = "both"

    native_histogram_buckets: Annotated[
        int,
        About(
            Whole(16, 100_000),
            "Metrics",
            "Populated buckets of a native histogram. A histogram with more is written with half the resolution.",
            "buckets",
        ),
    ] = MOST_BUCKETS

    otlp_queue_dir: Annotated[
        Path | None,
        About(
            FileName(),
            "Traces",
            "Directory in which spans wait for the collector, so that they survive a kill. By default they wait in memory. No "
            "other process may use the directory.",
        ),
    ] = None

    otlp_proxy: Annotated[
        bool,
        About(
            Switch(),
            "Traces",
            "Send spans and metrics through the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name. The relay never "
            "uses a proxy.",
        ),
    ] = True

    trace_per_turn: Annotated[
        bool,
        About(
            Switch(),
            "Traces",
            "Give each turn its own trace, linked by gen_ai.conversation.id, instead of one trace for the whole call.",
        ),
    ] = False

    keep_slow_turns: Annotated[
        bool,
        About(Switch(), "Traces", "Export turns slower than --slow-turn even if OTEL_TRACES_SAMPLER drops them."),
    ] = False

    keep_interrupted_turns: Annotated[
        bool,
        About(Switch(), "Traces", "Export interrupted turns even if OTEL_TRACES_SAMPLER drops them."),
    ] = False

    keep_failed_turns: Annotated[
        bool,
        About(Switch(), "Traces", "Export turns in which a stage failed even if OTEL_TRACES_SAMPLER drops them."),
    ] = False

    proposed_attributes: Annotated[
        bool,
        About(
            Switch(),
            "Traces",
            "Write attributes that the GenAI conventions only propose, such as the language of speech, under their proposed names.",
        ),
    ] = False

    drain_timeout: Annotated[
        float | None,
        About(
            Seconds(0, 600),
            "Stopping",
            "How long open connections are read after SIGTERM. The default is 2 seconds, and a connection is closed as soon "
            "as it has been quiet for 0.25 s. With --upstream the default is 25 seconds, and calls go on until they end by "
            "themselves.",
        ),
    ] = None

    linger: Annotated[
        bool,
        About(
            Switch(),
            "Stopping",
            "After the drain, serve /metrics until it was scraped once more, so that the last calls are not lost. The process "
            "then stops up to --linger-timeout later; the platform's grace period must allow for it.",
        ),
    ] = False

    linger_timeout: Annotated[float, About(Seconds(0, 3600), "Stopping", "How long --linger waits for the scrape.", "seconds")] = 60.0

    ready_file: Annotated[
        Path | None,
        About(FileName(), "Stopping", "File that exists while the exporter is ready, for supervisors that cannot query /-/ready."),
    ] = None

    log_level: Annotated[
        LogLevel,
        About(OneOf(get_args(LogLevel)), "Logging", "Least severe log lines that are written."),
    ] = "info"

    log_format: Annotated[
        LogFormat, About(OneOf(get_args(LogFormat)), "Logging", "Format of the log on stderr. A record is one line in both formats.")
    ] = "text"

    log_peers: Annotated[
        bool,
        About(Switch(), "Logging", "Write the address of a refused peer into the log. An address can be personal data."),
    ] = True


def _declared() -> Iterator[Setting]:
    hints = get_type_hints(Settings, include_extras=True)
    for info in msgspec.structs.fields(Settings):
        [about] = hints[info.name].__metadata__
        yield Setting(info.name, info.default, about)


SETTINGS: tuple[Setting, ...] = tuple(_declared())


def contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each setting that contradicts another one, and why."""
    listen, telemetry = settings.listen, settings.telemetry_listen
    if not listen.is_loopback and not settings.insecure and not authenticates(settings):
        remedy = f"set --auth-tokens, use a loopback address such as 127.0.0.1:{listen.port}, or allow it with --insecure"
        yield "listen", f"{listen} can be reached from other machines and requires no authentication; {remedy}"
    if telemetry.overlaps(listen):
        yield "telemetry_listen", f"{telemetry} is the address of --listen {listen}; each listener needs its own address"
    if settings.upstream is not None and listen.is_reached_by(*host_and_port(settings.upstream)):
        yield "upstream", f"{settings.upstream} is the address of --listen {listen}; the exporter would connect to itself"
    if (settings.tls_cert is None) != (settings.tls_key is None):
        missing, given = ("tls-key", "tls-cert") if settings.tls_key is None else ("tls-cert", "tls-key")
        yield given.replace("-", "_"), f"TLS also needs --{missing}"
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        yield "tls_client_ca", "client certificates need TLS: set --tls-cert and --tls-key"
    if settings.upstream_ca is not None and not (settings.upstream or "").startswith("wss://"):
        yield "upstream_ca", "needs an --upstream that starts with wss://"
    if settings.public_url is not None and not settings.plivo_auth_tokens:
        yield "public_url", "has no effect without --plivo-auth-tokens"
    if settings.live_content and not settings.live:
        yield "live_content", "has no effect with --no-live"


def host_and_port(url: str) -> tuple[str, int]:
    """Where a ``ws://`` or ``wss://`` URL leads."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)


def authenticates(settings: Settings) -> bool:
    """Whether ``--listen`` requires authentication."""
    secrets = (settings.auth_tokens, settings.path_secrets, settings.plivo_auth_tokens)
    return any(secrets) or settings.auth_token_file is not None or settings.tls_client_ca is not None
