"""What one person writes is handled in its order, through an outage, and costs no attempts."""

import asyncpg
from salon import Salon, idle
from telegram_bots import until

Witness = asyncpg.Connection
UPDATES = """SELECT q.attempts FROM shared.updates AS u
    LEFT JOIN shared.pgqueuer AS q ON q.id = u.job_id
    WHERE u.person_id = $1 ORDER BY u.update_id"""
WORDS = ("/start", "/book", "/my", "/settings", "/help")


async def test_who_writes_on_while_telegram_is_away_uses_up_nobodys_attempts(
    salon: Salon, witness: Witness
) -> None:
    anna = await salon.guest("Анна")
    await idle(witness)
    before = len(await anna.phone.answers(anna.bot))
    salon.simulator.fail("500", method="sendMessage", bot=salon.bot, times=10_000)
    for word in WORDS:
        await anna.say(word)

    async def attempts() -> list[int]:
        rows = await witness.fetch(UPDATES, anna.person)
        return [row["attempts"] or 0 for row in rows][-len(WORDS) :]

    async def tried() -> bool:
        return (await attempts())[-1] >= 4

    await until(tried, "the last has been refused for some time")
    # Each has its own attempts, and at most one more for each that came after it.
    made = await attempts()
    assert max(made) <= made[-1] + len(WORDS), made
    salon.simulator.reset_knobs()
    await idle(witness)
    answers = [m["text"] for m in await anna.phone.answers(anna.bot)][before:]
    parts = ["Салон Ромашка", "На что вас записать?", "У вас пока нет записей.", "языке", "/book"]
    assert all(part in text for part, text in zip(parts, answers, strict=True)), answers
