"""The tenant's bot, pressed by people: customers book, the owner runs the business."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
from salon import Guest, Salon, buttons, idle, shown
from telegram_bots import until

from zapisano.bots.jobs import HandleUpdate
from zapisano.jobs import enqueue
from zapisano.tenancy import Suspension, suspend

Witness = asyncpg.Connection


DUE = "SELECT count(*) FROM shared.due WHERE kind = 'booking.remind'"


async def booked(witness: Witness) -> list[str]:
    """Every booking, as it stands in the database."""
    rows = await witness.fetch(
        "SELECT date, time, status FROM client_001.bookings ORDER BY date, time, id"
    )
    return [f"{r['date']:%d.%m} {r['time']:%H:%M} {r['status']}" for r in rows]


async def test_a_customer_books_in_one_message_and_the_owner_is_told(
    salon: Salon, witness: Witness
) -> None:
    await salon.owner.start()
    anna = await salon.guest("Анна")
    greeting = await anna.sees("Салон Ромашка", "📝 Записаться")
    await anna.press(greeting, "📝 Записаться")
    services = await anna.sees("На что вас записать?", "Стрижка · 1 ч · 1\N{NO-BREAK SPACE}500")
    await anna.press(services, "Стрижка")
    month = await anna.sees("В какой день?", "Ноябрь 2026")
    days = {b["text"] for b in buttons(month) if b["text"].isdigit()}
    assert days == {str(day) for day in range(22, 31)}
    await anna.press(month, "›")
    await anna.tap("Декабрь 2026", "‹")
    await anna.tap("Ноябрь 2026", "23")
    times = await anna.sees("Во сколько?")
    assert [b["text"] for b in buttons(times)][:3] == ["10:00", "10:30", "11:00"]
    assert [b["text"] for b in buttons(times)][-2:] == ["18:00", "‹ Назад"]
    await anna.press(times, "14:00")
    await anna.tap("Всё верно?", "‹ Назад")
    await anna.tap("Во сколько?", "14:00")
    answer = await anna.tap("Всё верно?", "✅ Записаться")
    assert answer["text"] == "Готово"
    card = await anna.sees("Вы записаны!", "Пн, 23 ноября, 14:00", "Стрижка", "🔁 Перенести")
    assert card["message_id"] == greeting["message_id"]
    assert 'unix="1795431600"' in card["html"]
    await anna.sees("Запись 23 ноября, 14-00.ics", "Откройте файл")
    assert await booked(witness) == ["23.11 14:00 active"]
    told = await salon.owner.sees("🆕 Новая запись", "23 ноября, 14:00")
    assert "Анна" in told["text"]


async def test_every_step_has_a_way_back(salon: Salon) -> None:
    anna = await salon.guest("Анна")
    await anna.say("/book")
    await anna.tap("На что вас записать?", "Стрижка")
    await anna.tap("В какой день?", "24")
    await anna.tap("Во сколько?", "‹ Назад")
    await anna.tap("В какой день?", "‹ Назад")
    await anna.tap("На что вас записать?", "‹ Назад")
    await anna.sees("Запишитесь за пару нажатий.")


async def test_a_second_press_of_confirm_books_once(salon: Salon, witness: Witness) -> None:
    anna = await salon.guest("Анна")
    await anna.say("/book")
    await anna.tap("На что вас записать?", "Стрижка")
    await anna.tap("В какой день?", "23")
    await anna.tap("Во сколько?", "14:00")
    confirm = await anna.sees("Всё верно?")
    answers = await asyncio.gather(*(anna.press(confirm, "✅") for _ in range(3)))
    assert [answer["text"] for answer in answers] == ["Готово"] * 3
    await anna.sees("Вы записаны!")
    assert await booked(witness) == ["23.11 14:00 active"]
    await anna.sees("Оставите телефон")
    await idle(witness)
    assert len([m for m in await anna.phone.answers(anna.bot) if m["document"]]) == 1


async def test_the_file_and_the_question_come_though_telegram_was_away_after_the_booking(
    salon: Salon, witness: Witness
) -> None:
    anna = await salon.guest("Анна")
    confirm = await walk_to_confirm(anna, "14:00")
    salon.simulator.fail("500", method="editMessageText", bot=salon.bot, times=1)
    await anna.press(confirm, "✅")
    await anna.sees("Вы записаны!")
    await anna.sees("Запись 23 ноября, 14-00.ics", "Откройте файл")
    await anna.sees("Оставите телефон")


async def test_a_file_asked_for_before_moves_were_told_apart_still_comes(
    salon: Salon, witness: Witness
) -> None:
    anna = await salon.guest("Анна")
    await anna.book("14:00")
    await anna.sees("Запись 23 ноября, 14-00.ics", "Откройте файл")
    payload = f'{{"tenant_id": "{salon.tenant.id}", "booking_id": 1}}'
    await witness.execute("SELECT shared.enqueue_job('booking.send_file', $1::jsonb)", payload)
    await anna.sees("Запись 23 ноября, 14-00.ics", "Откройте файл", times=2)


async def test_the_number_is_asked_for_though_the_first_attempt_failed(
    salon: Salon, witness: Witness
) -> None:
    anna = await salon.guest("Анна")
    confirm = await walk_to_confirm(anna, "14:00")
    salon.simulator.fail("500", method="sendDocument", bot=salon.bot, times=1)
    await anna.press(confirm, "✅")
    await anna.sees("Запись 23 ноября, 14-00.ics", "Откройте файл")
    await anna.sees("Оставите телефон")
    await idle(witness)
    assert len([t for t in await anna.messages() if "Оставите телефон" in t]) == 1


async def test_two_people_one_time_and_the_other_is_offered_the_next(
    salon: Salon, witness: Witness
) -> None:
    guests = [await salon.guest("Анна"), await salon.guest("Борис")]
    confirms = [await walk_to_confirm(guest, "14:00") for guest in guests]
    answers = await asyncio.gather(
        *(g.press(c, "✅") for g, c in zip(guests, confirms, strict=True))
    )
    texts = sorted(str(answer["text"]) for answer in answers)
    assert texts == ["Готово", "Извините, это время только что заняли."]
    assert await booked(witness) == ["23.11 14:00 active"]
    loser = guests[0] if answers[1]["text"] == "Готово" else guests[1]
    offer = await loser.sees("Ближайшее свободное время:", "Другой день")
    assert buttons(offer)[0]["text"] == "Пн, 23 ноября, 15:00"
    await loser.press(offer, "Пн, 23 ноября, 15:00")
    await loser.tap("Всё верно?", "✅")
    await loser.sees("Вы записаны!", "15:00")
    assert await booked(witness) == ["23.11 14:00 active", "23.11 15:00 active"]


async def walk_to_confirm(guest: Guest, time: str) -> dict[str, object]:
    await guest.say("/book")
    await guest.tap("На что вас записать?", "Стрижка")
    await guest.tap("В какой день?", "23")
    await guest.tap("Во сколько?", time)
    return await guest.sees("Всё верно?")


async def test_who_comes_too_late_is_told_though_the_tap_is_too_old_to_be_answered(
    salon: Salon,
) -> None:
    anna, boris = await salon.guest("Анна"), await salon.guest("Борис")
    confirms = [await walk_to_confirm(guest, "14:00") for guest in (anna, boris)]
    await anna.press(confirms[0], "✅")
    await anna.sees("Вы записаны!")
    salon.simulator.fail("429", method="answerCallbackQuery", bot=salon.bot, retry_after=12)
    await boris.press(confirms[1], "✅")
    await boris.sees("Извините, это время только что заняли.", "Ближайшее свободное время:")


async def test_a_full_day_offers_the_next_free_time(salon: Salon, witness: Witness) -> None:
    anna = await salon.guest("Анна")
    await anna.say("/book")
    await anna.tap("На что вас записать?", "Стрижка")
    month = await anna.sees("В какой день?")
    await witness.execute(
        "INSERT INTO client_001.days_off (staff_id, day) VALUES (1, '2026-11-23')"
    )
    await anna.press(month, "23")
    offer = await anna.sees("В этот день всё занято.", "Ближайшее свободное время:")
    assert buttons(offer)[0]["text"] == "Вт, 24 ноября, 10:00"
    await witness.execute("DELETE FROM client_001.working_hours")
    await anna.press(offer, "Другой день")
    await anna.sees("В этом месяце свободного времени нет.")
    await anna.say("/book")
    await anna.tap("На что вас записать?", "Стрижка")
    await anna.sees("всё занято. Загляните чуть позже.")


async def test_a_customer_moves_a_booking(salon: Salon, witness: Witness) -> None:
    await salon.owner.start()
    anna = await salon.guest("Анна")
    await anna.book("14:00")
    await anna.say("/my")
    await anna.tap("Ваши записи:", "Пн, 23 ноября, 14:00 · Стрижка")
    await anna.tap("🔁 Перенести", "🔁 Перенести")
    await anna.tap("На когда перенести?", "24")
    await anna.tap("Вт, 24 ноября\nВо сколько?", "11:30")
    await anna.tap("Было: Пн, 23 ноября, 14:00", "✅ Перенести сюда")
    await anna.sees("Запись перенесена!", "Вт, 24 ноября, 11:30", "🔁 Перенести")
    file = await anna.sees("Запись 24 ноября, 11-30.ics", "Перенесено: Вт, 24 ноября, 11:30.")
    assert "время в календаре исправится" in shown(file)
    assert await booked(witness) == ["24.11 11:30 active"]
    await salon.owner.sees("🔁 Запись перенесена", "24 ноября, 11:30", "Было: Пн, 23 ноября, 14:00")


async def test_a_customer_cancels_after_being_asked(salon: Salon, witness: Witness) -> None:
    await salon.owner.start()
    anna = await salon.guest("Анна")
    card = await anna.book("14:00")
    await anna.press(card, "✖️ Отменить")
    await anna.tap("Отменить эту запись?", "‹ Назад")
    await anna.tap("🔁 Перенести", "✖️ Отменить")
    await anna.tap("Отменить эту запись?", "Да, отменить")
    await anna.sees("У вас пока нет записей.")
    assert await booked(witness) == ["23.11 14:00 cancelled"]
    await salon.owner.sees("✖️ Запись отменена", "23 ноября, 14:00")
    assert await witness.fetchval(DUE) == 0


async def test_nobody_touches_the_booking_of_another(salon: Salon, witness: Witness) -> None:
    anna, boris = await salon.guest("Анна"), await salon.guest("Борис")
    await anna.book("14:00")
    number = await witness.fetchval("SELECT id FROM client_001.bookings")
    for act in "omxXk":
        assert await salon.press_any(boris, f"b:{act}:{number}") == "Этой записи больше нет."
    for step in ("m:1:0:20261124::", "y:1:0:20261124:1000:"):
        assert await salon.press_any(boris, f"p:{step}{number}") == "Этой записи больше нет."
    for data in ["a:menu:0:", f"a:drop:{number}:", "a:hide:1:", "a:type:0:zone"]:
        assert await salon.press_any(boris, data) == "Это может только владелец."
    await boris.say("/admin")
    await boris.sees("Это может только владелец.")
    assert await booked(witness) == ["23.11 14:00 active"]


async def test_buttons_that_nobody_has_made_are_answered(salon: Salon) -> None:
    await salon.owner.start()
    for data in [
        "old:button",
        "p:y:1:0::1400:0",
        "p:y:1:0:20261399:1400:0",
        "p:d:1:0:20261123:9999:0",
        "p:m:1:0:99991201::0",
        "b:o:99999999999999999999",
        "b:?:1",
        "l:xx",
        "a:type:1:nothing",
        "a:strange:1:",
    ]:
        assert await salon.press_any(salon.owner, data) == (
            "Эта кнопка из старого сообщения. Начните, пожалуйста, заново: /book"
        )
    for data in ["a:open:1:tomorrow", "a:menu:0:00010101"]:
        assert await salon.press_any(salon.owner, data) is None


async def test_old_buttons_of_a_finished_booking_answer_kindly(salon: Salon) -> None:
    anna = await salon.guest("Анна")
    card = await anna.book("14:00")
    salon.clock.at = datetime(2026, 11, 23, 11, 30, tzinfo=UTC)
    over = "Эта запись уже прошла или отменена."
    for button in ("🔁 Перенести", "✖️ Отменить"):
        assert (await anna.press(card, button))["text"] == over
    for data, text in [
        ("p:t:99:0:::0", "Эта кнопка из старого сообщения. Начните, пожалуйста, заново: /book"),
        ("p:w:99:0:::0", "Этой услуги больше нет. Выберите, пожалуйста, заново: /book"),
        ("p:m:1:99:::0", "Этот мастер больше не принимает. Выберите, пожалуйста, заново: /book"),
        ("p:y:1:0:20261123:1000:0", "Извините, на это время уже нельзя записаться."),
    ]:
        assert await salon.press_any(anna, data) == text


async def test_reminders_come_a_day_and_two_hours_before(salon: Salon, witness: Witness) -> None:
    anna = await salon.guest("Анна")
    await anna.book("14:00", day="24")
    starts_at = datetime(2026, 11, 24, 11, tzinfo=UTC)
    salon.clock.at = starts_at - timedelta(hours=24)
    reminder = await anna.sees("🔔 Ждём вас: Салон Ромашка", "✅ Приду", "Вт, 24 ноября, 14:00")
    answer = await anna.press(reminder, "✅ Приду")
    assert answer["text"] == "Спасибо, ждём вас!"
    await anna.sees("👌 Вы подтвердили, что придёте.")
    salon.clock.at = starts_at - timedelta(hours=2)
    second = await anna.sees("🔔 Ждём вас", "🔁 Перенести")
    assert "✅ Приду" not in shown(second)
    assert await witness.fetchval("SELECT confirmed_at FROM client_001.bookings") is not None
    await anna.press(second, "🔁 Перенести")
    await anna.sees("На когда перенести?")


async def test_a_cancelled_booking_is_not_reminded_of(salon: Salon, witness: Witness) -> None:
    anna, boris = await salon.guest("Анна"), await salon.guest("Борис")
    card = await anna.book("14:00", day="24")
    await boris.book("16:00", day="24")
    await anna.press(card, "✖️ Отменить")
    await anna.tap("Отменить эту запись?", "Да, отменить")
    await anna.sees("У вас пока нет записей.")
    salon.clock.at = datetime(2026, 11, 23, 13, tzinfo=UTC)
    await boris.sees("🔔 Ждём вас", "16:00")
    reminded = "SELECT count(*) FROM shared.journal WHERE kind = 'booking.reminded'"
    await until(lambda: witness.fetchval(reminded), "the reminder is written down")
    assert await witness.fetchval(reminded) == 1
    assert not any("🔔" in text for text in await anna.messages())


async def test_the_number_is_asked_for_once_and_must_be_ones_own(
    salon: Salon, witness: Witness
) -> None:
    anna = await salon.guest("Анна")
    await anna.book("14:00")
    await anna.sees("Оставите телефон")
    chat = await anna.phone.chat(anna.bot)
    assert chat["keyboard"]["rows"][0][0]["request_contact"]
    await anna.say("Не сейчас")
    await anna.sees("Хорошо.")
    await anna.book("16:00")
    await anna.share_contact()
    await anna.sees("Спасибо, сохранили.")
    assert len([t for t in await anna.messages() if "Оставите телефон" in t]) == 1
    phones = await witness.fetch("SELECT phone FROM client_001.users WHERE phone IS NOT NULL")
    assert len(phones) == 1


async def test_settings_help_privacy_and_small_talk(salon: Salon) -> None:
    anna = await salon.guest("Анна")
    await anna.say("/settings")
    await anna.tap("На каком языке вам удобнее?", "🇬🇧 English")
    await anna.sees("Which language do you prefer?", "✓ 🇬🇧 English")
    await anna.say("/help")
    assert "/admin" not in (await anna.sees("/book — book a visit"))["text"]
    await anna.say("/privacy")
    await anna.sees("keeps your Telegram name", "Записано")
    await anna.say("How are you?")
    assert "Manage" not in shown(await anna.sees("I only understand buttons."))
    await anna.say("/start")
    await anna.sees("Hello! This is Салон Ромашка.")
    john = await salon.guest("John", "en")
    await john.sees("Hello!")
    await john.say("/my")
    await john.sees("You have no bookings yet.")


async def test_the_owner_sees_the_day_and_cancels_with_notice(
    salon: Salon, witness: Witness
) -> None:
    anna = await salon.guest("Анна")
    await anna.book("14:00")
    await anna.share_contact()
    await anna.sees("Спасибо, сохранили.")
    await salon.owner.start()
    await salon.owner.say("/admin")
    today = await salon.owner.sees("Вс, 22 ноября · сегодня", "Записей нет.")
    await salon.owner.press(today, "›")
    day = await salon.owner.sees("Пн, 23 ноября", "14:00-15:00 Анна", "+7")
    assert day["message_id"] == today["message_id"]
    await salon.owner.press(day, "14:00 · Стрижка · Мастер")
    await salon.owner.tap("✖️ Отменить и сообщить клиенту", "✖️ Отменить и сообщить клиенту")
    await salon.owner.tap("Клиент получит сообщение.", "Да, отменить")
    await salon.owner.sees("Эта запись отменена.")
    notice = await anna.sees("К сожалению, вашу запись пришлось отменить", "23 ноября, 14:00")
    assert await booked(witness) == ["23.11 14:00 cancelled"]
    assert not any("✖️ Запись отменена" in text for text in await salon.owner.messages())
    await anna.press(notice, "Выбрать другое время")
    await anna.sees("На что вас записать?")


async def test_the_owner_notes_who_came(salon: Salon, witness: Witness) -> None:
    anna = await salon.guest("Анна")
    await anna.book("14:00")
    salon.clock.at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    await salon.owner.start()
    await salon.owner.say("/admin")
    await salon.owner.tap("Пн, 23 ноября · сегодня", "14:00 · Стрижка")
    await salon.owner.tap("✅ Клиент пришёл", "✅ Клиент пришёл")
    await salon.owner.tap("Анна ✅", "🚫 Не пришёл")
    await salon.owner.sees("Анна 🚫")
    assert await booked(witness) == ["23.11 14:00 no_show"]


async def test_the_owner_adds_and_edits_services(salon: Salon, witness: Witness) -> None:
    owner = salon.owner
    await owner.start()
    await owner.say("/admin")
    menu = await owner.sees("сегодня", "✂️ Услуги")
    await owner.press(menu, "✂️ Услуги")
    await owner.tap("Нажмите на услугу", "➕ Добавить услугу")
    await owner.sees("Напишите название")
    await owner.say("Окрашивание")
    await owner.sees("Напишите, сколько минут")
    await owner.say("два часа")
    await owner.sees("«два часа» не подойдёт.", "Напишите, сколько минут")
    await owner.say("120")
    await owner.sees("Напишите цену")
    await owner.say("4 500")
    listed = await owner.sees("Нажмите на услугу", "Окрашивание · 2 ч · 4\N{NO-BREAK SPACE}500")
    assert listed["message_id"] == menu["message_id"]
    await owner.press(listed, "Окрашивание")
    await owner.tap("Клиенты её видят.", "Цена")
    await owner.sees("Напишите цену")
    await owner.say("5000.50")
    await owner.tap("5\N{NO-BREAK SPACE}000,50", "🙈 Скрыть")
    await owner.tap("🙈 Скрыта от клиентов.", "👁 Показать")
    await owner.tap("Клиенты её видят.", "Название")
    await owner.sees("Напишите название")
    await owner.say("Окрашивание <b>люкс</b>")
    await owner.sees("Окрашивание <b>люкс</b>")
    row = await witness.fetchrow(
        "SELECT name, duration_minutes, price::text, active FROM client_001.services WHERE id = 2"
    )
    assert row is not None
    assert tuple(row) == ("Окрашивание <b>люкс</b>", 120, "5000.50", True)
    said = await owner.phone.messages(owner.bot)
    assert [m["text"] for m in said if not m["from_bot"]] == ["/start", "/admin"]


async def test_the_owner_changes_staff_and_days_off(salon: Salon, witness: Witness) -> None:
    owner = salon.owner
    await owner.start()
    await owner.say("/admin")
    await owner.tap("сегодня", "👥 Мастера")
    await owner.tap("Нажмите на мастера", "➕ Добавить мастера")
    await owner.sees("Напишите имя")
    await owner.say("Ольга")
    await owner.tap("Нажмите на мастера", "Ольга")
    await owner.tap("Пн: 10:00-19:00", "🏖 Выходные дни")
    await owner.tap("Выходных дней нет.", "➕ Добавить выходной")
    await owner.sees("31.12")
    await owner.say("1.12")
    await owner.tap("Вт, 1 декабря", "✖️ Вт, 1 декабря")
    await owner.tap("Выходных дней нет.", "➕ Добавить выходной")
    await owner.sees("31.12 или 24.11-07.12")
    await owner.say("24.11-07.12")
    await owner.tap("✖️ 24 ноября - 7 декабря", "➕ Добавить выходной")
    await owner.sees("31.12 или 24.11-07.12")
    await owner.say("10.12")
    await owner.tap("✖️ Чт, 10 декабря", "‹ Назад")
    await owner.tap("🏖 24 ноября - 7 декабря\n🏖 10 декабря", "🏖 Выходные дни")
    assert await witness.fetchval("SELECT count(*) FROM client_001.days_off") == 15
    await owner.tap("✖️ 24 ноября", "✖️ 24 ноября")
    await owner.tap("✖️ Чт, 10 декабря", "✖️ Чт, 10 декабря")
    await owner.tap("Выходных дней нет.", "‹ Назад")
    await owner.tap("🙈 Не принимать записи", "✏️ Имя")
    await owner.sees("Напишите имя")
    await owner.say("Ольга Петровна")
    await owner.tap("Ольга Петровна", "🙈 Не принимать записи")
    await owner.tap("🙈 Не принимает записи.", "‹ Назад")
    await owner.sees("🙈 Ольга Петровна")
    assert await witness.fetchval("SELECT count(*) FROM client_001.days_off") == 0


async def test_a_day_off_over_a_booking_shows_it_to_the_owner(salon: Salon) -> None:
    owner = salon.owner
    await owner.start()
    anna = await salon.guest("Анна")
    await anna.book("14:00")
    await owner.say("/admin")
    await owner.tap("сегодня", "🌍 Часовой пояс")
    await owner.tap("Часовой пояс: Москва", "19:00 · Владивосток")
    moved = await owner.sees("Ни одна запись от этого не сдвинется", "Часть записей вне расписания")
    await owner.press(moved, "👥 Мастера")
    await owner.tap("Нажмите на мастера", "⚠️ Мастер")
    await owner.tap("⚠️", "⚠️ Пн, 23 ноября, 21:00 · Стрижка")
    await owner.say("/admin")
    await owner.tap("сегодня", "🌍 Часовой пояс")
    await owner.tap("Часовой пояс: Владивосток", "12:00 · Москва")
    await owner.say("/admin")
    await owner.tap("сегодня", "👥 Мастера")
    await owner.tap("Нажмите на мастера", "Мастер")
    free = await owner.sees("Пн: 10:00-19:00")
    assert "⚠️" not in free["text"]
    await owner.press(free, "🏖 Выходные дни")
    await owner.tap("Выходных дней нет.", "➕ Добавить выходной")
    await owner.sees("31.12")
    await owner.say("23.11")
    await owner.tap("Записи вне расписания остаются в силе", "⚠️ Пн, 23 ноября, 14:00 · Стрижка")
    await owner.tap("Анна", "✖️ Отменить и сообщить клиенту")
    await owner.tap("Клиент получит сообщение.", "Да, отменить")
    await anna.sees("К сожалению, вашу запись пришлось отменить", "23 ноября, 14:00")


async def test_the_owner_changes_hours_and_zone(salon: Salon, witness: Witness) -> None:
    owner = salon.owner
    await owner.start()
    await owner.say("/admin")
    await owner.tap("сегодня", "👥 Мастера")
    await owner.tap("Нажмите на мастера", "Мастер")
    await owner.tap("Пн: 10:00-19:00", "🕘 Часы работы")
    await owner.tap("Часы какого дня изменить?", "Понедельник")
    await owner.sees("Напишите время так: 10:00-19:00")
    await owner.say("с утра")
    await owner.sees("«с утра» не подойдёт.")
    await owner.say("12:00-14:00, 15:00-24:00")
    await owner.tap("Понедельник: 12:00-14:00, 15:00-24:00", "Одинаково каждый день")
    await owner.sees("Напишите время так: 10:00-19:00")
    await owner.say("/admin")  # leaves what was being typed
    await owner.say("08:00-09:00")
    await owner.tap("я понимаю только кнопки.", "⚙️ Управление")  # the way on, for an owner
    await owner.tap("сегодня", "🌍 Часовой пояс")
    await owner.tap("Часовой пояс: Москва", "19:00 · Владивосток")
    await owner.tap("Часовой пояс: Владивосток", "✏️ Другой пояс")
    await owner.sees("Напишите город")
    await owner.say("Сахалин")
    await owner.sees("«Сахалин» не подойдёт.")
    await owner.say("asia/sakhalin")
    await owner.tap("Часовой пояс: Sakhalin", "✏️ Другой пояс")
    await owner.sees("Напишите город")
    await owner.say("самара")
    await owner.sees("Часовой пояс: Самара")
    rows = await witness.fetch(
        "SELECT opens::text, closes::text FROM client_001.working_hours"
        " WHERE weekday < 3 ORDER BY weekday, opens"
    )
    assert [tuple(r) for r in rows] == [
        ("12:00:00", "14:00:00"),
        ("15:00:00", "24:00:00"),
        ("10:00:00", "19:00:00"),
    ]


async def test_with_two_masters_one_is_chosen_or_anybody(salon: Salon, witness: Witness) -> None:
    await witness.execute("INSERT INTO client_001.staff (name) VALUES ('Ольга')")
    await witness.execute(
        """INSERT INTO client_001.working_hours (staff_id, weekday, opens, closes)
           SELECT 2, day, '10:00', '12:00' FROM generate_series(1, 7) AS day"""
    )
    anna = await salon.guest("Анна")
    await anna.say("/book")
    await anna.tap("На что вас записать?", "Стрижка")
    await anna.tap("К кому?", "Ольга")
    await anna.tap("В какой день?", "23")
    times = await anna.sees("Во сколько?")
    assert [b["text"] for b in buttons(times)] == ["10:00", "10:30", "11:00", "‹ Назад"]
    await anna.press(times, "‹ Назад")
    await anna.tap("В какой день?", "‹ Назад")
    await anna.tap("К кому?", "Любой мастер")
    await anna.tap("В какой день?", "23")
    await anna.tap("Во сколько?", "18:00")
    await anna.tap("Любой мастер", "✅")
    await anna.sees("Вы записаны!", "👤 Мастер")


async def test_an_admin_whom_the_owner_trusts_may_manage_until_no_longer(
    salon: Salon, witness: Witness
) -> None:
    boris = await salon.guest("Борис")
    await witness.execute("UPDATE client_001.users SET is_admin = true")
    await boris.say("/admin")
    menu = await boris.sees("сегодня", "✂️ Услуги")
    await witness.execute("UPDATE client_001.users SET is_admin = false")
    assert (await boris.press(menu, "✂️ Услуги"))["text"] == "Это может только владелец."


async def test_the_owner_is_told_of_what_an_admin_has_cancelled(
    salon: Salon, witness: Witness
) -> None:
    boris = await salon.guest("Борис")
    await witness.execute("UPDATE client_001.users SET is_admin = true")
    await salon.owner.start()
    anna = await salon.guest("Анна")
    await anna.book("14:00")
    await boris.sees("🆕 Новая запись", "23 ноября, 14:00")
    await boris.say("/admin")
    await boris.tap("· сегодня", "›")
    await boris.tap("14:00-15:00 Анна", "14:00 · Стрижка")
    await boris.tap("✖️ Отменить и сообщить клиенту", "✖️ Отменить и сообщить клиенту")
    await boris.tap("Клиент получит сообщение.", "Да, отменить")
    await anna.sees("К сожалению, вашу запись пришлось отменить")
    told = await salon.owner.sees("✖️ Запись отменена", "Анна")
    assert "Отмену сделал(а) Борис" in told["text"]
    await idle(witness)
    assert not any("✖️ Запись отменена" in text for text in await boris.messages())


async def test_a_message_that_fails_is_repeated_to_its_own_recipient_only(
    salon: Salon, witness: Witness
) -> None:
    boris = await salon.guest("Борис")
    await witness.execute("UPDATE client_001.users SET is_admin = true")
    await salon.owner.start()
    anna = await salon.guest("Анна")
    confirm = await walk_to_confirm(anna, "14:00")
    salon.simulator.fail("500", method="sendMessage", chat=boris.person, times=3)
    await anna.press(confirm, "✅")
    await boris.sees("🆕 Новая запись")
    await idle(witness)
    news = [text for text in await salon.owner.messages() if "🆕 Новая запись" in text]
    assert len(news) == 1


async def test_somebody_who_has_blocked_the_bot_holds_nobody_up(
    salon: Salon, witness: Witness
) -> None:
    await salon.owner.start()
    anna, boris = await salon.guest("Анна"), await salon.guest("Борис")
    await anna.book("14:00", day="24")
    await boris.book("16:00", day="24")
    salon.simulator.post("/telegram/control/block", {"person": anna.person, "bot": salon.bot})
    salon.clock.at = datetime(2026, 11, 23, 13, tzinfo=UTC)
    await boris.sees("🔔 Ждём вас", "16:00")
    blocked = "SELECT blocked_at FROM client_001.users WHERE user_id = $1"
    deadline = asyncio.get_running_loop().time() + 10
    while not await witness.fetchval(blocked, anna.person):
        assert asyncio.get_running_loop().time() < deadline


async def test_an_owner_who_has_not_opened_the_bot_is_told_by_the_one_that_sold_it(
    salon: Salon,
) -> None:
    sales = Guest(salon.client, salon.owner.person, salon.simulator.sales_bot_id)
    await sales.start()
    anna = await salon.guest("Анна")
    await anna.book("14:00")
    await sales.sees("Салон Ромашка\n🆕 Новая запись", "23 ноября, 14:00")


async def test_a_paused_bot_takes_no_bookings(salon: Salon, witness: Witness) -> None:
    anna = await salon.guest("Анна")
    confirm = await walk_to_confirm(anna, "14:00")
    async with salon.database.shared() as conn:
        await suspend(conn, salon.tenant.id, Suspension.UNPAID)
    answer = await anna.press(confirm, "✅")
    assert answer["text"] == "Запись временно приостановлена. Загляните, пожалуйста, позже."
    assert await booked(witness) == []


async def test_what_the_owner_adds_is_added_once_while_telegram_is_away(
    salon: Salon, witness: Witness
) -> None:
    """Each update is handled again after its answer could not be shown."""
    owner = salon.owner
    await owner.start()
    await owner.say("/admin")
    await owner.tap("сегодня", "✂️ Услуги")
    await owner.tap("Нажмите на услугу", "➕ Добавить услугу")
    for said, answer in (
        ("Окрашивание", "Напишите, сколько минут"),
        ("120", "Напишите цену"),
        ("4500", "Нажмите на услугу"),
    ):
        salon.simulator.fail("500", method="editMessageText", bot=salon.bot, times=2)
        await owner.say(said)
        await owner.sees(answer)
    names = await witness.fetch("SELECT name FROM client_001.services ORDER BY id")
    assert [row["name"] for row in names] == ["Стрижка", "Окрашивание"]
    await owner.say("/admin")
    await owner.tap("сегодня", "👥 Мастера")
    await owner.tap("Нажмите на мастера", "➕ Добавить мастера")
    salon.simulator.fail("500", method="editMessageText", bot=salon.bot, times=2)
    await owner.say("Ольга")
    await owner.sees("Нажмите на мастера", "Ольга")
    names = await witness.fetch("SELECT name FROM client_001.staff ORDER BY id")
    assert [row["name"] for row in names] == ["Мастер", "Ольга"]


async def test_the_owners_first_words_name_the_example_until_it_is_replaced(salon: Salon) -> None:
    owner = salon.owner
    await owner.start()
    example = ("услуга: Стрижка · 1 ч", "часы: 10:00-19:00, каждый день", "время: Москва")
    greeting = await owner.sees("Это ваш бот, Салон Ромашка", "Пока в нём пример.", *example)
    await owner.press(greeting, "🕘 Часы")
    await owner.tap("Часы какого дня изменить?", "Одинаково каждый день")
    await owner.sees("Напишите время так")
    await owner.say("09:00-21:00")
    await owner.sees("Понедельник: 09:00-21:00")
    await owner.say("/admin")
    await owner.tap("сегодня", "✂️ Услуги")
    await owner.tap("«Стрижка» — пример", "Стрижка")
    await owner.tap("1 ч ·", "Название")
    await owner.sees("Напишите название")
    await owner.say("Укладка")
    await owner.sees("Укладка", "Название")
    await owner.say("/start")
    again = await owner.sees("Записи, услуги и часы — в «Управлении»")
    assert "пример" not in again["text"]


async def test_a_customers_greeting_knows_no_example(salon: Salon) -> None:
    anna = await salon.guest("Анна")
    assert not any("пример" in text for text in await anna.messages())
    await anna.phone.start(anna.bot, "admin")
    await anna.sees("Запишитесь за пару нажатий.", times=2)


async def test_a_link_opens_the_owners_side(salon: Salon, witness: Witness) -> None:
    await salon.owner.phone.start(salon.bot, "admin")
    await salon.owner.sees("Пока в нём пример.")
    await witness.execute("UPDATE client_001.services SET name = 'Укладка'")
    await witness.execute("DELETE FROM client_001.working_hours WHERE weekday = 7")
    await salon.owner.phone.start(salon.bot, "admin")
    await salon.owner.sees("· сегодня", "✂️ Услуги", "🕘 Часы")


async def test_the_next_booking_stands_above_the_owners_day(salon: Salon) -> None:
    anna = await salon.guest("Анна")
    await anna.book("14:00", "24")
    await anna.book("16:00", "23")
    await salon.owner.say("/admin")
    day = await salon.owner.sees("· сегодня", "Записей нет.")
    assert day["text"].startswith("⏭ Ближайшая: Пн, 23 ноября, 16:00\nСтрижка · Анна")
    salon.clock.at = datetime(2026, 11, 23, 15, tzinfo=UTC)
    await salon.owner.say("/admin")
    await salon.owner.sees("⏭ Ближайшая: Вт, 24 ноября, 14:00", "Пн, 23 ноября · сегодня")


async def test_the_menu_of_commands_speaks_the_chosen_language(salon: Salon) -> None:
    anna = await salon.guest("Анна")
    await anna.tap("Запишитесь", "🌐 Русский · English")
    await anna.tap("На каком языке", "🇬🇧 English")
    await anna.sees("Which language", "🇷🇺 Русский")
    assert (await menu(anna))["book"] == "Book a visit"
    assert "admin" not in await menu(anna)
    await anna.tap("Which language", "🇷🇺 Русский")
    await anna.sees("На каком языке", "✓ 🇷🇺 Русский")
    assert (await menu(anna))["book"] == "Записаться"
    await salon.owner.start()
    await salon.owner.sees("Это ваш бот")
    assert (await menu(salon.owner))["admin"] == "Управление"


async def menu(guest: Guest) -> dict[str, str]:
    """The commands that this person's Telegram shows."""
    chat = await guest.phone.chat(guest.bot)
    return {one["command"]: one["description"] for one in chat["bot"]["commands"]}


async def test_who_has_blocked_the_bot_is_left_alone_and_the_owner_sees_it(
    salon: Salon, witness: Witness
) -> None:
    anna = await salon.guest("Анна")
    await anna.book("14:00")
    people = {"person": anna.person, "bot": salon.bot}
    salon.simulator.post("/telegram/control/block", people)
    assert await blocked(witness, anna, True)
    await salon.owner.say("/admin")
    await salon.owner.tap("· сегодня", "›")
    await salon.owner.tap("14:00-15:00 Анна", "14:00 · Стрижка")
    await salon.owner.tap("🔕 Клиент заблокировал бота", "✖️ Отменить")
    await salon.owner.sees("об этом не узнает")
    before = len(sent_to(salon, anna))
    salon.clock.at = datetime(2026, 11, 23, 9, tzinfo=UTC)
    await salon.owner.tap("об этом не узнает", "Да, отменить")
    await salon.owner.sees("Эта запись отменена.")
    await idle(witness)
    assert len(sent_to(salon, anna)) == before
    await anna.start()
    assert await blocked(witness, anna, False)


async def test_putting_the_bot_out_of_a_group_blocks_nobody(salon: Salon, witness: Witness) -> None:
    anna = await salon.guest("Анна")
    await anna.start()
    member = {"user": {"id": salon.bot, "is_bot": True, "first_name": "Салон"}}
    change = {
        "chat": {"id": -100500, "type": "supergroup", "title": "Подруги"},
        "from": {"id": anna.person, "is_bot": False, "first_name": "Анна"},
        "date": 1_795_000_000,
        "old_chat_member": {**member, "status": "member"},
        "new_chat_member": {**member, "status": "kicked", "until_date": 0},
    }
    async with salon.database.shared() as conn:
        update = {"update_id": 900_000_001, "my_chat_member": change}
        await enqueue(conn, HandleUpdate(salon.bot, update))
    await idle(witness)
    assert await blocked(witness, anna, False)


def sent_to(salon: Salon, guest: Guest) -> list[object]:
    """Every message the bot has tried to send to somebody."""
    log = salon.simulator.get("/telegram/control/log", bot=salon.bot, method="sendMessage")
    return [one for one in log if str(one["params"]["chat_id"]) == str(guest.person)]


async def blocked(witness: Witness, guest: Guest, wanted: bool) -> bool:
    """Wait until the database knows whether somebody has blocked the bot."""

    async def known() -> bool:
        sql = "SELECT blocked_at IS NOT NULL FROM client_001.users WHERE user_id = $1"
        return await witness.fetchval(sql, guest.person) is wanted

    await until(known, "it is remembered whether the bot is blocked")
    return True
