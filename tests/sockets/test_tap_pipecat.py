"""The tap on the real Pipecat: audio frames flow through its own pipeline, and /metrics and the spans equal what really happened."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.daemon import Samples, daemon_process, killed, total
from tests.support.house_rules import ROOT
from tests.support.otlp_daemon import address_of, attributes_of, by_session, environment, exporting, kind_of, spans_of
from tests.support.otlp_receiver import otlp_receiver
from tests.support.peers import python_with, versions
from tests.support.waiting import eventually, patience, seconds

WITHIN = 0.05
WAIT_WITHIN = 0.1
"""Seconds by which a latency, and the caller's wait, may be off the truth."""
SILENCE = 0.2
"""Seconds that the scripted detector of voice activity takes to be sure of silence."""
CALLS = ROOT / "tests" / "support" / "pipecat_calls.py"
pytestmark = [pytest.mark.alone(waits=True), pytest.mark.xdist_group("pipecat"), pytest.mark.timeout(180)]


@dataclass
class Outcome:
    """What the calls were, and what the exporter made of them."""

    told: dict[str, Any]
    samples: Samples
    before_kill: Samples
    after_kill: Samples
    spans: list[Span]
    log: str

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series of that name and those labels, in the exporter that ran all the time."""
        return total(self.samples, f"agentstack_{name}", **labels)

    def both(self, name: str, **labels: str) -> float:
        """The sum over the exporter that was killed and the one that came after it."""
        return sum(total(samples, f"agentstack_{name}", agent="restarted", **labels) for samples in (self.before_kill, self.after_kill))

    def session(self, name: str) -> Span:
        """The span of a session, which has no parent."""
        (found,) = (
            span for span in self.spans if not span.parent_span_id and attributes_of(span).get("gen_ai.conversation.id") == name
        )
        return found

    def turns(self, session: str) -> list[Span]:
        """The turns of a session, in order."""
        root = self.session(session).span_id
        found = [span for span in self.spans if span.parent_span_id == root and kind_of(span) == "invoke_agent"]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def below(self, turn: Span) -> dict[str, Span]:
        """The stages of a turn, by their kinds."""
        return {kind_of(span): span for span in self.spans if span.parent_span_id == turn.span_id}


@contextlib.asynccontextmanager
async def calls(python: str, urls: dict[str, str], folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process that makes the calls; its output is in files of ``folder``."""
    paths = {"PYTHONPATH": f"{ROOT / 'tap'}:{ROOT / 'examples' / 'pipecat'}", "PYTHONUNBUFFERED": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTSTACK_", "PIPECAT_"))}
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            python, str(CALLS), json.dumps(urls), stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=err, env=kept | paths, cwd=folder
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def play(python: str, folder: Path) -> Outcome:
    """Run all calls beside an exporter that runs all the time, and one that is killed and started again."""
    folders = [folder / name for name in ("killed", "anew", "calls")]
    for each in folders:
        each.mkdir()
    async with (
        otlp_receiver("http/protobuf") as site,
        exporting(environment(address_of(site), "http/protobuf")) as running,
        daemon_process(folders[0]) as first,
    ):
        urls = {"exporter": running.endpoints.ws, "restarted": first.endpoints.ws, "absent": "ws://127.0.0.1:9/ws"}
        async with calls(python, urls, folders[2]) as made:
            await first.endpoints.reaches("agentstack_turns_total", 2, within=60.0, agent="restarted")
            before = await killed(first)
            async with daemon_process(folders[1], "--listen", first.endpoints.listen) as again:
                assert await asyncio.wait_for(made.wait(), patience(90)) == 0, (folders[2] / "stderr").read_text(encoding="utf-8")
                after = await again.endpoints.scrape()
        samples = await running.endpoints.scrape()
        found = spans_of(site.receiver)
        await eventually(lambda: len(by_session(spans_of(site.receiver))) >= 6, because="the spans of all sessions")
        found = spans_of(site.receiver)
        told = json.loads((folders[2] / "stdout").read_text(encoding="utf-8"))
        return Outcome(told, samples, before, after, found, (folders[2] / "stderr").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=versions("pipecat"))
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The calls with one version of Pipecat."""
    return asyncio.run(play(python_with(request.param), tmp_path_factory.mktemp(request.param)))


def close(found: list[float], truth: list[float], within: float = WITHIN) -> bool:
    """Whether all values are as near as they have to be."""
    return len(found) == len(truth) and all(abs(one - other) <= seconds(within) for one, other in zip(found, truth, strict=True))


def length(span: Span) -> float:
    """Seconds that a span lasted."""
    return (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9


def waits(truth: dict[str, Any], moments: str) -> list[float]:
    """The seconds from each end of the caller's speech to the first of the moments after it."""
    return [min(moment for moment in truth[moments] if moment > stopped) - stopped for stopped in truth["caller_stopped"]]


def test_each_latency_is_true(outcome: Outcome) -> None:
    """Each turn's spans last as long as the stand-ins took, by their own clocks."""
    truth = outcome.told["measured"]
    greeting, *turns = (outcome.below(turn) for turn in outcome.turns("measured"))
    assert close([length(turn["speech_to_text"]) for turn in turns], waits(truth, "transcribed"))
    assert close([length(turn["turn_detection"]) for turn in turns], waits(truth, "asked"))
    assert close([first_output(turn["chat"]) for turn in turns], truth["first_tokens"])
    assert close([first_output(turn["text_to_speech"]) for turn in (greeting, *turns)], truth["first_audio"])


def first_output(span: Span) -> float:
    """Seconds to the first token or audio of a span."""
    (event,) = span.events
    return (event.time_unix_nano - span.start_time_unix_nano) / 1e9


def test_each_wait_is_true(outcome: Outcome) -> None:
    """Each caller's wait is the time from the last frame of speech to the first frame of the answer."""
    truth = outcome.told["measured"]
    found = [attributes_of(turn)["agentstack.turn.user_perceived_latency"] for turn in outcome.turns("measured")[1:]]
    assert close(found, waits(truth, "agent_began"), WAIT_WITHIN)


@pytest.mark.parametrize(
    ("metric", "moments"),
    [
        ("stt_delay", "transcribed"),
        ("turn_decision", "asked"),
        ("llm_time_to_first_token", "first_tokens"),
        ("tts_time_to_first_byte", "first_audio"),
        ("user_perceived_latency", "agent_began"),
    ],
)
def test_metrics_are_true(outcome: Outcome, metric: str, moments: str) -> None:
    """On /metrics each latency was observed once a turn, and together they are as long as the stand-ins took."""
    truth = outcome.told["measured"]
    true = truth[moments] if moments.startswith("first_") else waits(truth, moments)
    assert outcome.total(f"{metric}_seconds_count", agent="measured") == len(true)
    within = WAIT_WITHIN if metric == "user_perceived_latency" else WITHIN
    assert abs(outcome.total(f"{metric}_seconds_sum", agent="measured") - sum(true)) <= seconds(within) * len(true)


def test_contributions_are_the_wait(outcome: Outcome) -> None:
    """Where Pipecat names the parts of the caller's wait, they add up to it, and each is owned by something."""
    parts = outcome.total("turn_contribution_seconds_total", agent="measured")
    if tuple(map(int, outcome.told["version"].split(".")))[:2] < (1, 9):
        assert parts == 0
        return
    assert abs(parts - outcome.total("user_perceived_latency_seconds_sum", agent="measured")) < seconds(0.05)
    assert outcome.total("turn_contribution_seconds_total", agent="measured", contribution="function_handler") >= 0.15
    by_owner = [outcome.total("turn_contribution_seconds_total", agent="measured", owner_kind=kind) for kind in ("service", "setting")]
    assert min(by_owner) > 0.5
    named = [event for turn in outcome.turns("measured")[1:] for event in turn.events if event.name == "turn.contribution"]
    assert len(named) >= 15


def test_counts_are_exact(outcome: Outcome) -> None:
    """Turns, interruptions, functions, errors and sessions count as often as there were any."""
    total = outcome.total
    assert total("sessions_total") == total("sessions_ended_total") == 6
    assert [total("turns_total", agent="measured", initiator=who) for who in ("agent", "user")] == [1, 3]
    assert total("turns_total", agent="measured", interrupted="true") == total("interruptions_total") == 1
    assert total("barge_in_reaction_seconds_count", agent="measured") == 1
    assert total("tool_executions_total", tool="find_prescription", outcome="ok") == len(outcome.told["measured"]["tools"]) == 1
    assert total("caller_turns_total", agent="measured", outcome="answered") == 3
    assert total("transcriptions_total", agent="measured", final="true") == 3


def test_amounts_are_exact(outcome: Outcome) -> None:
    """Tokens and characters of all calls are those that the stand-ins used, by turn and by session."""
    calls = [outcome.told[name] for name in ("measured", "rude", "failing", "broken", "by-setup-file")]
    for ours, usage, true in (
        ("llm_prompt_tokens_total", "usage_input_tokens_total", "prompt_tokens"),
        ("llm_completion_tokens_total", "usage_output_tokens_total", "completion_tokens"),
        ("tts_characters_total", "usage_characters_total", "characters"),
    ):
        assert (
            outcome.total(ours, provider="scripted") == outcome.total(usage, provider="scripted") == sum(call[true] for call in calls)
        )
    assert outcome.total("usage_cached_input_tokens_total") == 40 * outcome.total("usage_input_tokens_total", provider="scripted") / 100


def test_speech_to_speech(outcome: Outcome) -> None:
    """Turns of a speech-to-speech model have its time to first audio, its tokens, their wait and one span for the model."""
    truth, turns = outcome.told["realtime"], outcome.turns("realtime")
    assert outcome.total("turns_total", agent="realtime", pipeline="s2s") == len(turns) == 3
    assert outcome.total("realtime_time_to_first_token_seconds_count") == len(truth["first_tokens"]) == 3
    assert close([first_output(outcome.below(turn)["realtime_inference"]) for turn in turns], truth["first_tokens"])
    found = [attributes_of(turn)["agentstack.turn.user_perceived_latency"] for turn in turns[1:]]
    assert close(found, waits(truth, "agent_began"), WAIT_WITHIN)
    assert outcome.total("realtime_input_tokens_total") == truth["prompt_tokens"] == 180
    assert outcome.total("realtime_output_tokens_total") == truth["completion_tokens"] == 60
    assert outcome.total("realtime_input_audio_tokens_total") == (0 if outcome.told["version"].startswith("1.0.") else 150)
    assert not {"chat", "text_to_speech"} & {kind for turn in turns for kind in outcome.below(turn)}


def test_the_span_tree(outcome: Outcome) -> None:
    """A call is one trace: the session, its turns, and below each the stages that there were."""
    turns = outcome.turns("measured")
    stages = {"user_speech", "speech_to_text", "turn_detection", "chat", "text_to_speech", "agent_speech"}
    assert [outcome.below(turn).keys() for turn in turns] == [
        {"text_to_speech", "agent_speech"},
        stages | {"execute_tool"},
        stages,
        stages,
    ]
    assert {attributes_of(turn)["agentstack.timeline"] for turn in turns} == {"platform"}
    for turn in turns:
        assert all(turn.start_time_unix_nano <= span.start_time_unix_nano for span in outcome.below(turn).values())
    assert [attributes_of(turn)["agentstack.turn.interrupted"] for turn in turns] == [False, False, True, False]


def test_provenance(outcome: Outcome) -> None:
    """The framework and its version feed an info metric and the session's span."""
    named = {"framework": "pipecat", "framework_version": outcome.told["version"]}
    assert outcome.total("framework_info", agent="measured", **named) == 1
    assert attributes_of(outcome.session("measured"))["agentstack.framework.name"] == "pipecat"


def test_a_framework_that_fails_around_it(outcome: Outcome) -> None:
    """Observers and handlers of the app that fail do not harm the tap, nor it them, and what it cannot read costs only that."""
    assert outcome.total("turns_total", agent="rude") == 3
    assert outcome.told["rude"]["frames"] > 1_000
    assert outcome.log.count("the Pipecat tap failed; what it was told") == 1


def test_a_call_that_fails(outcome: Outcome) -> None:
    """A failing model counts as an error of that stage, and a cancelled pipeline ends its session with an unanswered turn."""
    assert outcome.total("errors_total", agent="failing") == 1
    assert outcome.total("turn_errors_total", agent="failing", component="llm") == 1
    assert outcome.total("sessions_ended_total", agent="failing", reason="cancelled") == 1
    assert outcome.total("caller_turns_total", agent="failing", outcome="unanswered") == 1


def test_a_call_that_ends_by_an_error(outcome: Outcome) -> None:
    """An error after which Pipecat ends the pipeline ends the session with that reason."""
    assert outcome.total("errors_total", agent="broken") == 1
    assert outcome.total("sessions_ended_total", agent="broken", reason="error") == 1
    assert outcome.total("caller_turns_total", agent="broken", outcome="unanswered") == 1


def test_no_change_of_code(outcome: Outcome) -> None:
    """The setup file attaches the tap to an app that knows nothing of it, once a pipeline, and where it fails the app goes on."""
    assert outcome.total("turns_total", agent="by-setup-file") == 3
    assert len(outcome.turns("by-setup-file")) == 3
    assert outcome.log.count("the Pipecat tap failed to attach") == 1


def test_where_the_setup_file_is() -> None:
    """The command prints the file's path, also where Pipecat is not installed."""
    command = [sys.executable, "-m", "agentstack_tap.pipecat"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT / "tap").stdout
    assert Path(printed.strip()) == ROOT / "tap" / "agentstack_tap" / "pipecat" / "setup_file.py"


def test_an_exporter_that_is_killed(outcome: Outcome) -> None:
    """Turns before and after a kill in mid-call add up to the truth, and the session goes on."""
    assert outcome.both("turns_total") == 3
    assert outcome.both("sessions_total") == outcome.both("sessions_ended_total", reason="completed") == 1
    assert outcome.both("user_perceived_latency_seconds_count") == len(outcome.told["restarted"]["caller_stopped"])
    assert outcome.told["stats"]["restarted"]["dropped"] == {}


def test_no_exporter(outcome: Outcome) -> None:
    """Without an exporter the call is as it is with one, and what waits is what the call sent."""
    assert abs(outcome.told["absent"]["took"] - outcome.told["rude"]["took"]) < seconds(1.0)
    stats = outcome.told["stats"]["absent"]
    assert (stats["connected"], stats["dropped"]) == (False, {})
    assert 20 < stats["buffered"] < 100
