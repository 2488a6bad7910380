"""The tap on real sessions of LiveKit Agents: frames of audio go through its pipeline, and /metrics shows what really happened."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.daemon import Samples, ServingProgram, daemon_process, killed, total
from tests.support.house_rules import ROOT
from tests.support.otlp_daemon import address_of, environment, spans_of
from tests.support.otlp_receiver import otlp_receiver
from tests.support.peers import python_with, versions
from tests.support.simulation import subdirectory
from tests.support.traced import values
from tests.support.waiting import eventually, patience

# Latencies are compared with what really happened.
pytestmark = [pytest.mark.alone(waits=True), pytest.mark.xdist_group("livekit"), pytest.mark.timeout(300)]

PERCEIVED = "agentstack_user_perceived_latency_seconds"
FIRST_TOKEN = "agentstack_llm_time_to_first_token_seconds"
FIRST_BYTE = "agentstack_tts_time_to_first_byte_seconds"
FIRST_AUDIO = "agentstack_realtime_time_to_first_token_seconds"
TRANSCRIPT = "agentstack_stt_delay_seconds"
DECISION = "agentstack_turn_decision_seconds"
ENDPOINTING = 0.35
"""Seconds of silence after which the sessions end a turn."""
LATE = 0.1
"""Seconds by which the loop of the calls may come late. If it is later, LiveKit gets a transcript, which takes 0.12 s, before it notes
the end of the speech, and reports no delay of it."""
ATTEMPTS = 3
TURNS_OF_THE_SHOP = 5
"""The greeting, a question, a question that takes a tool, one whose answer is interrupted, and a good-bye."""


@dataclass
class Outcome:
    """What really happened, and what the exporter shows of it, before its restart and after it together."""

    truth: dict[str, Any]
    samples: Samples
    of_killed: Samples
    spans: list[Span]
    log: str

    def total(self, name: str, **labels: str) -> float:
        return total(self.samples, name, **labels)

    def mean(self, name: str, **labels: str) -> float:
        return self.total(f"{name}_sum", **labels) / self.total(f"{name}_count", **labels)


async def last_scrape(program: ServingProgram) -> Samples:
    """What a process shows that was told to stop, when it has counted everything."""
    program.signal(signal.SIGTERM)
    await eventually(lambda: "waiting for one more scrape" in program.log, within=10, because="its last word")
    samples = await program.endpoints.scrape()
    assert await program.ended() == 0
    return samples


@asynccontextmanager
async def calls(python: str, urls: list[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process that holds the calls."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "OTEL_", "PYTHON"))}
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(python, "-m", "tests.support.livekit_calls", *urls),
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            cwd=ROOT,
            env=env | {"PYTHONPATH": f"{ROOT / 'tap'}:{ROOT}"},
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def held(folder: Path, version: str) -> Outcome:
    """Hold the calls. In the middle of the shop's the exporter is restarted."""
    python, log = python_with(version), folder / "calls.log"
    async with otlp_receiver("http/protobuf") as site:
        env = environment(address_of(site), "http/protobuf")
        old_exporter, victim = (
            daemon_process(subdirectory(folder, "old"), "--linger", env=env),
            daemon_process(subdirectory(folder, "1")),
        )
        async with old_exporter as old, victim as first, calls(python, [old.endpoints.ws, first.endpoints.ws], log) as process:
            over = asyncio.Event()
            killing = asyncio.create_task(killed_in_mid_call(first, subdirectory(folder, "2"), over))
            await old.endpoints.reaches("agentstack_turns_total", 3, within=30, agent="shop")
            before = await last_scrape(old)
            listen = ("--listen", old.endpoints.listen)
            async with daemon_process(subdirectory(folder, "new"), "--linger", *listen, env=env) as new:
                output, _ = await asyncio.wait_for(process.communicate(), patience(60))
                assert process.returncode == 0, log.read_text(encoding="utf-8")
                after = await last_scrape(new)
            over.set()
            both = added(before, after)
        return Outcome(json.loads(output), both, await killing, spans_of(site.receiver), log.read_text(encoding="utf-8"))


async def killed_in_mid_call(first: ServingProgram, folder: Path, over: asyncio.Event) -> Samples:
    """Kill an exporter in the middle of a call, and start another one in its place. What the two showed, together."""
    await first.endpoints.reaches("agentstack_turns_total", 2, within=30, agent="killed")
    before = await killed(first)
    async with daemon_process(folder, "--listen", first.endpoints.listen) as again:
        await over.wait()
        return added(before, await again.endpoints.scrape())


def added(before: Samples, after: Samples) -> Samples:
    """The samples of an exporter and of the one that came after it."""
    both: Counter[Any] = Counter(before)
    both.update(after)
    return dict(both)


@pytest.fixture(scope="module", params=versions("livekit"))
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The calls; held again if others kept the machine so busy that the calls themselves came late. The last attempt counts."""
    found = [asyncio.run(held(tmp_path_factory.mktemp(request.param), request.param))]
    while found[-1].truth["late"] > LATE and len(found) < ATTEMPTS:
        found.append(asyncio.run(held(tmp_path_factory.mktemp(request.param), request.param)))
    return found[-1]


def waits(truth: dict[str, Any]) -> list[float]:
    """How long the caller waited after each of its turns that was answered."""
    starts = truth["agent_started"]
    return [min(start for start in starts if start > stopped) - stopped for stopped in truth["caller_stopped"]]


def test_the_numbers_are_the_truth(outcome: Outcome) -> None:
    """Each latency is within 50 ms of the truth and the caller's wait within 100 ms; turns, tools, tokens and characters are exact."""
    truth = outcome.truth["shop"]
    assert outcome.total("agentstack_turns_total", agent="shop") == TURNS_OF_THE_SHOP
    assert outcome.total("agentstack_turns_total", agent="shop", initiator="agent") == 1
    assert outcome.total("agentstack_turns_total", agent="shop", interrupted="true") == 1
    assert outcome.total("agentstack_caller_turns_total", agent="shop", outcome="answered") == TURNS_OF_THE_SHOP - 1
    assert outcome.total("agentstack_interruptions_total") == outcome.total("agentstack_interruptions_total", agent="shop") == 1
    assert outcome.total("agentstack_tool_executions_total", agent="shop", tool="find_order", outcome="ok") == 1
    assert outcome.total("agentstack_turn_metrics_duplicates_total") == 0

    assert outcome.total(f"{PERCEIVED}_count", agent="shop") == TURNS_OF_THE_SHOP - 1
    assert outcome.mean(PERCEIVED, agent="shop") == pytest.approx(mean(waits(truth)), abs=0.1)
    for name, expected in (
        (FIRST_TOKEN, mean(truth["first_tokens"])),
        (TRANSCRIPT, mean(truth["transcripts"])),
        (DECISION, ENDPOINTING),
        (FIRST_BYTE, mean(truth["first_audio"])),
    ):
        assert outcome.total(f"{name}_count", agent="shop") == TURNS_OF_THE_SHOP - (name != FIRST_BYTE), name
        assert outcome.mean(name, agent="shop") == pytest.approx(expected, abs=0.05), name

    spoken = {"provider": "stand-in", "model": "scripted-voice"}
    thought = {"provider": "stand-in", "model": "scripted-mind"}
    greeting = outcome.truth["fails"]["characters"]
    assert outcome.total("agentstack_llm_prompt_tokens_total", **thought) == truth["prompt_tokens"]
    assert outcome.total("agentstack_llm_completion_tokens_total", **thought) == truth["completion_tokens"]
    assert outcome.total("agentstack_usage_input_tokens_total", component="llm", **thought) == truth["prompt_tokens"]
    assert outcome.total("agentstack_usage_output_tokens_total", component="llm", **thought) == truth["completion_tokens"]
    assert outcome.total("agentstack_tts_characters_total", **spoken) == truth["characters"] + greeting
    assert outcome.total("agentstack_usage_characters_total", **spoken) == truth["characters"] + greeting


def test_speech_to_speech(outcome: Outcome) -> None:
    """Turns of a speech-to-speech model have its time to first audio, its tokens and, by the session's detector, the caller's wait."""
    truth, model = outcome.truth["realtime"], {"provider": "stand-in", "model": "scripted-conversation"}
    assert outcome.total("agentstack_turns_total", agent="realtime", pipeline="s2s") == 2
    assert outcome.total("agentstack_caller_turns_total", agent="realtime", outcome="answered") == 2
    assert outcome.total(f"{FIRST_AUDIO}_count", agent="realtime") == outcome.total(f"{FIRST_AUDIO}_count") == 2
    assert outcome.mean(FIRST_AUDIO, agent="realtime") == pytest.approx(mean(truth["first_tokens"]), abs=0.05)
    if outcome.truth["version"].startswith("1.2."):  # it does not tell
        assert outcome.total(f"{PERCEIVED}_count", agent="realtime") == 0
    else:
        assert outcome.total(f"{PERCEIVED}_count", agent="realtime") == 2
        assert outcome.mean(PERCEIVED, agent="realtime") == pytest.approx(mean(waits(truth)), abs=0.1)
    assert outcome.total("agentstack_realtime_input_tokens_total", **model) == truth["prompt_tokens"] == 80
    assert outcome.total("agentstack_realtime_output_tokens_total", **model) == truth["completion_tokens"] == 60
    assert outcome.total("agentstack_usage_output_tokens_total", component="llm", **model) == 60
    assert sum(span.name == "realtime_inference scripted-conversation" for span in outcome.spans) == 2


def test_sessions_begin_and_end(outcome: Outcome) -> None:
    """Two sessions of a process are two calls, one of which ended by an error; each says what feeds it."""
    for agent, reason in (("shop", "user_initiated"), ("fails", "error")):
        assert outcome.total("agentstack_sessions_total", agent=agent) == 1
        assert outcome.total("agentstack_sessions_ended_total", agent=agent) == 1
        assert outcome.total("agentstack_sessions_ended_total", agent=agent, reason=reason) == 1
    assert outcome.total("agentstack_sessions_active") == 0
    assert outcome.total("agentstack_errors_total", agent="fails", code="llm_error") == 1
    assert outcome.total("agentstack_caller_turns_total", agent="fails", outcome="unanswered") == 1
    version = outcome.truth["version"]
    assert outcome.total("agentstack_framework_info", agent="shop", framework="livekit-agents", framework_version=version) == 2


def test_a_call_is_one_trace(outcome: Outcome) -> None:
    """The session's span is the root, its turns are below it, and the stages of a turn below the turn."""
    (root,) = [span for span in outcome.spans if span.name == "session" and values(span.attributes)["gen_ai.agent.id"] == "shop"]
    below = [span for span in outcome.spans if span.parent_span_id == root.span_id]
    turns = [span for span in below if span.name.startswith("invoke_agent")]
    assert len(turns) == TURNS_OF_THE_SHOP
    assert values(root.attributes)["agentstack.framework.name"] == "livekit-agents"
    stages = [{span.name.split()[0] for span in outcome.spans if span.parent_span_id == turn.span_id} for turn in turns]
    whole = {"user_speech", "speech_to_text", "turn_detection", "chat", "text_to_speech", "agent_speech"}
    assert sum(whole <= stage for stage in stages) == TURNS_OF_THE_SHOP - 1
    assert sum("execute_tool" in stage for stage in stages) == 1


def test_an_exporter_that_is_killed(outcome: Outcome) -> None:
    """The turns before and after a kill in mid-call add up to the truth, and the session is one."""
    truth = outcome.truth["killed"]
    for name, expected in (
        ("agentstack_turns_total", 3),
        ("agentstack_sessions_total", 1),
        ("agentstack_sessions_ended_total", 1),
        (f"{PERCEIVED}_count", len(truth["caller_stopped"])),
        ("agentstack_llm_completion_tokens_total", truth["completion_tokens"]),
        ("agentstack_tts_characters_total", truth["characters"]),
    ):
        assert total(outcome.of_killed, name) == expected, name
    assert outcome.truth["stats"]["killed"]["dropped"] == {}


def test_the_agent_is_undisturbed(outcome: Outcome) -> None:
    """Callers wait no longer without an exporter, nothing grows, the app's own errors stay its own, and no thread is left."""
    assert mean(waits(outcome.truth["absent"])) == pytest.approx(mean(waits(outcome.truth["shop"])), abs=0.1)
    assert outcome.truth["shared"] is True
    stats = outcome.truth["stats"]
    assert (stats["shop"]["buffered"], stats["shop"]["dropped"], stats["shop"]["refused"]) == (0, {}, 0)
    assert (stats["absent"]["connected"], stats["absent"]["dropped"]) == (False, {})
    assert 0 < stats["absent"]["buffered"] < 300
    assert outcome.truth["threads"] == ["agentstack-tap"]
    assert "the app's own" in outcome.log
