"""Answers to an operator's questions, read from a scrape, and how they differ from other answers."""

import math

from tests.support.daemon import Samples

Answers = dict[tuple[str, ...], float]
"""Amounts by key: the name of a question, then the labels of the answer."""
SHOWN: dict[str, tuple[str, ...]] = {
    "caller_turns_total": ("caller_turns", "agent", "outcome"),
    "turn_component_seconds_total": ("turn_component", "agent", "component"),
    "turn_component_negative_rest_seconds_total": ("negative_rest", "agent"),
    "slow_turns_total": ("slow_turns", "agent", "component"),
    "premature_end_of_turns_total": ("premature_ends", "agent"),
    "dead_air_total": ("dead_air", "agent"),
    "dead_air_seconds_total": ("dead_air_seconds", "agent"),
    "barge_in_reaction_seconds_count": ("barge_in_reactions", "agent"),
    "barge_in_reaction_seconds_sum": ("barge_in_seconds", "agent"),
    "sessions_ended_after_turn_total": ("ended_after", "agent", "last_turn"),
    "model_changes_total": ("model_changes", "agent", "component", "change"),
    "cost_usd_total": ("cost_usd", "component", "provider", "model"),
    "unpriced_usage_total": ("unpriced", "component", "provider", "model", "kind"),
}
"""Sample name after the prefix → the question that it answers, and the labels of the answer."""
WASTED = {
    "llm_completion_tokens_total": "llm",
    "tts_characters_total": "tts",
    "realtime_output_tokens_total": "realtime",
}
"""Sample name after the prefix → the component whose cancelled work it counts."""


def shown(samples: Samples) -> Answers:
    """The exporter's answers to the questions."""
    answers: Answers = {}
    for (name, labels), value in samples.items():
        metric, carried = name.removeprefix("agentstack_"), dict(labels)
        if metric in SHOWN:
            question, *names = SHOWN[metric]
            key = (question, *(carried[label] for label in names))
        elif metric in WASTED and carried["cancelled"] == "true":
            key = ("wasted", WASTED[metric], carried["provider"], carried["model"])
        else:
            continue
        answers[key] = answers.get(key, 0.0) + value
    return {key: value for key, value in answers.items() if value}


def differences(expected: Answers, found: Answers) -> list[str]:
    """A line for each answer that is missing, unexpected, or off by more than a billionth."""
    return [
        f"{' '.join(key)}: {found.get(key)} where the platform knows {expected.get(key)}"
        for key in sorted(expected.keys() | found.keys())
        if not math.isclose(expected.get(key, math.nan), found.get(key, math.nan), rel_tol=1e-9)
    ]


def says(answers: Answers, question: str, *words: str) -> bool:
    """Whether there is an answer whose key contains all the words."""
    return any(key[0] == question and set(words) <= set(key) for key in answers)
