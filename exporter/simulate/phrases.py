"""The texts and phone numbers of simulated calls. All are invented; the numbers are from the range reserved for fiction."""

from random import Random

USER = (
    "I'd like to check my order.",
    "Yes.",
    "Can you move my appointment to Tuesday afternoon, please?",
    "The last invoice looks wrong, it says forty two dollars and I only ordered one thing.",
    "My name is Test Caller.",
    "No, that's all.",
    "Could you say that again a bit slower?",
    "I never got the confirmation e-mail you promised me last week.",
    "What time do you open tomorrow?",
    "It's test dot caller at example dot com.",
    "Hmm, let me think, I believe it was the blue one, the large blue one from the spring catalogue.",
    "Can I speak to a person?",
)
AGENT = (
    "Your order ships tomorrow.",
    "Of course, one moment please.",
    "I have moved your appointment to Tuesday at three in the afternoon. You will get a message to confirm it.",
    "I see one invoice for forty two dollars. Would you like me to go through the items with you?",
    "Thank you. Could you spell the last part for me?",
    "We open at nine and close at six, Monday to Saturday.",
    "I am sorry about that. I have sent the confirmation again, it should arrive within a few minutes.",
    "Is there anything else I can help you with today?",
)
GREETINGS = ("Hi, how can I help?", "Good morning, this is a simulated agent speaking. What can I do for you?")
REPROMPT = "Are you still there?"
VOICEMAIL_GREETING = "You have reached Test Caller, please leave a message after the tone."
VOICEMAIL_MESSAGE = "Hello, this is a reminder of your appointment tomorrow at ten. Please call us back if you cannot come. Goodbye."


def phone_number(rng: Random) -> str:
    """A phone number that belongs to nobody."""
    return f"+1{rng.choice((212, 312, 415, 617))}55501{rng.randrange(100):02d}"


def user_text(rng: Random) -> str:
    """What a caller says in a turn."""
    return rng.choice(USER)


def agent_text(rng: Random) -> str:
    """What an agent answers: one to three sentences."""
    return " ".join(rng.choice(AGENT) for _ in range(rng.choice((1, 1, 1, 2, 2, 3))))
