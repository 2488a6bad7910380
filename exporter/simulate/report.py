"""The platform's reports on a finished turn: ``turn.metrics`` and ``turn.completed``."""

from exporter.simulate.moments import Event
from exporter.simulate.session import ModelUsage, Session
from exporter.simulate.turns import Turn


def turn_metrics(session: Session, turn: Turn) -> Event:
    """``turn.metrics`` of the turn. What the turn used is added to the session's usage."""
    event: Event = {
        "type": "turn.metrics",
        "turn_number": turn.number,
        "interrupted": turn.interrupted,
        "agent_first": turn.agent_first,
        "agent_tool_id": turn.agent_tool_id,
        "user_text": turn.user_text,
        "agent_text": turn.agent_text,
        "pipeline": session.profile.pipeline,
    }
    answered = turn.agent_started is not None
    if not turn.agent_first:
        event["user_perceived_ms"] = turn.parts.perceived if answered else None
        _add_turn_detection(event, session, turn)
        _add_vad(event, session, turn)
    if session.s2s:
        _add_realtime(event, session, turn)
    else:
        _add_cascade(event, session, turn)
    _add_interruption(event, session, turn)
    _add_wall_clock(event, session, turn)
    words = len(turn.user_text.split())
    spoken = turn.user_stopped - turn.user_started
    event["speaking_rate"] = round(words * 1000 / spoken, 1) if spoken else None
    event["error_source"] = turn.error
    event["llm_availability"] = None if session.s2s else dict(session.llm_available)
    return event


def turn_completed(session: Session, turn: Turn) -> Event:
    """``turn.completed`` of the turn: the main times again, in seconds."""
    parts, moments, cascade = turn.parts, session.moments, not session.s2s
    event: Event = {
        "type": "turn.completed",
        "turn_number": turn.number,
        "user_text": turn.user_text,
        "agent_text": turn.agent_text,
        "turn_id": turn.turn_id,
        "agent_first": turn.agent_first,
    }
    if turn.agent_tool_id:
        event["agent_tool_id"] = turn.agent_tool_id
    if cascade and not turn.agent_first:
        event["turn_decision_s"] = parts.turn_decision / 1000
        event["transcription_delay_s"] = None if turn.typed else parts.stt_delay / 1000
    if turn.agent_started is not None:
        if session.s2s:
            event["realtime_ttft_s"] = parts.realtime_ttft / 1000
        else:
            event["llm_ttft_s"] = None if turn.agent_first else parts.llm_ttft / 1000
            event["tts_ttfb_s"] = parts.tts_ttfb / 1000
        event["agent_started_speaking_at"] = moments.rfc3339(turn.agent_started)
    if not turn.agent_first:
        event["user_started_speaking_at"] = moments.rfc3339(turn.user_started)
        event["user_stopped_speaking_at"] = moments.rfc3339(turn.user_stopped)
    return event


def _add_turn_detection(event: Event, session: Session, turn: Turn) -> None:
    rng, parts = session.rng, turn.parts
    if session.reports_endpointing:
        event["turn_decision_ms"] = parts.turn_decision
        event["turn_method"] = (
            "text" if turn.typed else "server_vad" if session.s2s else rng.choice(("eou_model", "eou_model", "silence"))
        )
        event["endpointing_min_delay_ms"] = 300
        event["endpointing_max_delay_ms"] = 1800
    event["eou_speech_id"] = f"sp-u-{turn.number}"
    event["turn_probability"] = round(rng.betavariate(8, 1.5), 2)
    event["turn_unlikely_threshold"] = 0.3


def _add_vad(event: Event, session: Session, turn: Turn) -> None:
    inferences = max((turn.user_stopped - turn.user_started) // 32, 1)
    event["vad_idle_time_s"] = round(session.rng.uniform(0.3, 4.0), 2)
    event["vad_inference_count"] = inferences
    event["vad_inference_duration_total_ms"] = round(inferences * session.rng.uniform(0.8, 2.2))
    event["vad_label"] = "silero"


def _add_cascade(event: Event, session: Session, turn: Turn) -> None:
    if not turn.agent_first:
        if not turn.typed:
            _add_stt(event, session, turn)
        _add_sdk(event, session, turn)
        _add_llm(event, session, turn)
    if turn.agent_started is not None and turn.agent_stopped is not None:
        _add_tts(event, session, turn, turn.agent_started, turn.agent_stopped)


def _add_sdk(event: Event, session: Session, turn: Turn) -> None:
    """The same steps as the pipeline's SDK reports them: they differ by a few milliseconds."""
    rng, parts, moments = session.rng, turn.parts, session.moments
    if turn.agent_started is not None:
        event["sdk_llm_ttft_ms"] = parts.llm_ttft + rng.randint(0, 4)
        event["sdk_tts_ttfb_ms"] = parts.tts_ttfb + rng.randint(0, 3)
    event["sdk_transcription_delay_ms"] = max(parts.stt_delay - rng.randint(0, 4), 0)
    event["sdk_end_of_turn_delay_ms"] = parts.endpointing + rng.randint(0, 4)
    event["sdk_turn_completed_callback_ms"] = parts.callback
    event["sdk_started_speaking_at"] = moments.unix(turn.user_started)
    event["sdk_stopped_speaking_at"] = moments.unix(turn.user_stopped)


def _add_stt(event: Event, session: Session, turn: Turn) -> None:
    rng, model = session.rng, session.stt
    audio_ms = turn.user_stopped - turn.user_started
    tokens = 0 if model.streamed else audio_ms // 100
    session.usage.add_stt(model, audio_ms)
    turn.used.append(ModelUsage("stt", model, {"minutes": audio_ms / 60_000}))
    event["stt_delay_ms"] = turn.parts.stt_delay
    event["stt_duration_ms"] = 0 if model.streamed else round(turn.parts.stt_delay * 0.8)
    event["stt_audio_duration_ms"] = audio_ms
    event["stt_streamed"] = model.streamed
    event["stt_input_tokens"] = tokens
    event["stt_output_tokens"] = tokens and len(turn.user_text) // 4
    event["stt_model"] = model.name
    event["stt_provider"] = model.provider
    event["stt_confidence"] = round(rng.betavariate(18, 1.2), 2)
    event["stt_label"] = "primary"
    event["stt_request_id"] = f"stt-{rng.getrandbits(40):010x}"
    event["stt_timestamp"] = session.moments.unix(turn.user_stopped + turn.parts.stt_delay)


def _add_llm(event: Event, session: Session, turn: Turn) -> None:
    rng, model, parts = session.rng, session.llm, turn.parts
    event["turn_completed_callback_ms"] = parts.callback
    event["llm_model"], event["llm_provider"], event["llm_label"] = model.name, model.provider, session.llm_label
    if turn.error in ("llm", "stt") or not turn.generated:
        return
    completion = _completion_tokens(turn)
    prompt = 600 + 70 * session.turns + rng.randrange(60)
    cached = prompt * rng.randint(4, 9) // 640 * 64 if session.turns > 1 else 0
    generation = round(completion * 1000 / rng.uniform(35, 110)) + 1
    cancelled = turn.cut_short or (turn.interrupted and rng.random() < 0.5)
    session.usage.add_llm(model, prompt, cached, completion)
    turn.used.append(ModelUsage("llm", model, {"input": prompt - cached, "cached_input": cached, "output": completion}, cancelled))
    event["llm_ttft_ms"] = parts.llm_ttft
    event["llm_duration_ms"] = parts.llm_ttft + generation
    event["llm_cancelled"] = cancelled
    event["llm_prompt_tokens"] = prompt
    event["llm_completion_tokens"] = completion
    event["llm_total_tokens"] = prompt + completion
    event["llm_tokens_per_second"] = round(completion * 1000 / generation, 1)
    event["llm_cache_read_tokens"] = cached
    event["llm_cache_hit_ratio"] = round(cached / prompt, 2)
    event["llm_request_id"] = f"chatcmpl-{rng.getrandbits(48):012x}"
    event["llm_timestamp"] = session.moments.unix(turn.asked + parts.llm_ttft + generation)
    event["llm_speech_id"] = f"sp-a-{turn.number}"


def _completion_tokens(turn: Turn) -> int:
    """Tokens that the model wrote: of the whole answer, or until it was cancelled."""
    if turn.cut_short and turn.went_on_at is not None:
        return 3 + (turn.went_on_at - turn.asked - turn.parts.llm_ttft) // 20
    return max(len(turn.agent_text) // 4, 3)


def _add_tts(event: Event, session: Session, turn: Turn, started: int, stopped: int) -> None:
    rng, model, parts = session.rng, session.tts, turn.parts
    synthesis = parts.tts_ttfb + turn.audio_ms * rng.randint(20, 45) // 100
    audio_ms = stopped - started if turn.interrupted else turn.audio_ms
    characters = len(turn.agent_text)
    tokens = characters // 4 if model.provider == "openai" else 0
    session.usage.add_tts(model, characters, audio_ms)
    turn.used.append(ModelUsage("tts", model, {"characters": characters}, turn.interrupted))
    event["tts_ttfb_ms"] = parts.tts_ttfb
    event["tts_duration_ms"] = synthesis
    event["tts_audio_duration_ms"] = audio_ms
    event["tts_cancelled"] = turn.interrupted
    event["tts_characters"] = characters
    event["tts_streamed"] = True
    event["tts_input_tokens"] = tokens
    event["tts_output_tokens"] = tokens * 9
    event["tts_model"], event["tts_provider"], event["tts_label"] = model.name, model.provider, "primary"
    event["tts_request_id"] = f"tts-{rng.getrandbits(40):010x}"
    event["tts_timestamp"] = session.moments.unix(started - max(parts.rest, 0) // 2 - parts.tts_ttfb + synthesis)
    event["tts_speech_id"] = f"sp-a-{turn.number}"
    event["tts_segment_id"] = f"seg-{turn.number}"


def _add_realtime(event: Event, session: Session, turn: Turn) -> None:
    rng, model = session.rng, session.realtime
    event["realtime_model"], event["realtime_provider"], event["realtime_label"] = model.name, model.provider, "primary"
    event["realtime_session_duration_ms"] = turn.ended
    if turn.agent_started is None or turn.agent_stopped is None:
        return
    audio_in, text_in = (turn.user_stopped - turn.user_started) // 50, 300 + 40 * session.turns
    image_in = rng.choice((0, 0, 0, 85))
    audio_out, text_out = turn.audio_ms // 20, len(turn.agent_text) // 4
    cached_audio, cached_text = (audio_in // 128 * 64, text_in // 128 * 64) if session.turns > 1 else (0, 0)
    total_in, total_out = audio_in + text_in + image_in, audio_out + text_out
    duration = turn.parts.realtime_ttft + turn.audio_ms * rng.randint(40, 80) // 100
    session.usage.add_llm(model, total_in, cached_audio + cached_text, total_out, duration / 1000)
    fresh = {"audio_input": audio_in - cached_audio, "text_input": text_in - cached_text, "image_input": image_in}
    cached = {"cached_audio_input": cached_audio, "cached_text_input": cached_text}
    spoken = {"audio_output": audio_out, "text_output": text_out}
    turn.used.append(ModelUsage("realtime", model, {**fresh, **cached, **spoken}, turn.interrupted))
    event["realtime_ttft_ms"] = turn.parts.realtime_ttft
    event["realtime_duration_ms"] = duration
    event["realtime_cancelled"] = turn.interrupted
    event["realtime_input_tokens"], event["realtime_output_tokens"] = total_in, total_out
    event["realtime_total_tokens"] = total_in + total_out
    event["realtime_tokens_per_second"] = round(total_out * 1000 / duration, 1)
    event["realtime_request_id"] = f"resp-{rng.getrandbits(40):010x}"
    event["realtime_input_audio_tokens"], event["realtime_input_text_tokens"] = audio_in, text_in
    event["realtime_input_image_tokens"] = image_in
    event["realtime_output_audio_tokens"], event["realtime_output_text_tokens"] = audio_out, text_out
    event["realtime_output_image_tokens"] = 0
    event["realtime_cached_tokens"] = cached_audio + cached_text
    event["realtime_cached_audio_tokens"], event["realtime_cached_text_tokens"] = cached_audio, cached_text
    event["realtime_cached_image_tokens"] = 0
    event["realtime_cache_hit_ratio"] = round((cached_audio + cached_text) / total_in, 2)


def _add_interruption(event: Event, session: Session, turn: Turn) -> None:
    overlaps = int(turn.interrupted) + turn.backchannels
    if overlaps:
        session.usage.add_interruption_requests(overlaps + 1)
    event["interruption_total_duration_ms"] = session.rng.randint(300, 900) if overlaps else 0
    event["interruption_prediction_ms"] = session.rng.randint(8, 60) if overlaps else 0
    event["interruption_detection_delay_ms"] = session.rng.randint(60, 220) if overlaps else 0
    event["num_interruptions"] = int(turn.interrupted)
    event["num_backchannels"] = turn.backchannels
    event["interruption_num_requests"] = overlaps + 1 if overlaps else 0


def _add_wall_clock(event: Event, session: Session, turn: Turn) -> None:
    moments = session.moments
    if not turn.agent_first:
        event["user_started_speaking_at"] = moments.rfc3339(turn.user_started)
        event["user_stopped_speaking_at"] = moments.rfc3339(turn.user_stopped)
    if turn.agent_started is not None and turn.agent_stopped is not None:
        event["agent_started_speaking_at"] = moments.rfc3339(turn.agent_started)
        event["agent_stopped_speaking_at"] = moments.rfc3339(turn.agent_stopped)
