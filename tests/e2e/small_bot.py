"""A small bot of real aiogram, polling: one of everything that the phone shows."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    KeyboardButtonRequestManagedBot,
    Message,
    ReplyKeyboardMarkup,
)

PLANS = InlineKeyboardMarkup(
    inline_keyboard=[
        [
            InlineKeyboardButton(text="Месяц · 299 ₽", callback_data="month"),
            InlineKeyboardButton(text="Год · 2 990 ₽", callback_data="year"),
        ]
    ]
)
KEYS = ReplyKeyboardMarkup(
    keyboard=[
        [
            KeyboardButton(
                text="Создать бота",
                request_managed_bot=KeyboardButtonRequestManagedBot(
                    request_id=1, suggested_name="Салон «Прядь»", suggested_username="pryad_bot"
                ),
            )
        ],
        [
            KeyboardButton(text="Мой номер", request_contact=True),
            KeyboardButton(text="Как дела?"),
        ],
    ],
    resize_keyboard=True,
)


async def begin(message: Message, command: CommandObject) -> None:
    if command.args:
        await message.answer(f"Вы пришли по ссылке {command.args}")
        return
    await message.answer(
        "Здравствуйте! Я <b>Записано</b>: бот, который записывает клиентов.\n\n"
        "• свой бот в Telegram\n• расписание и напоминания\n\nСписок команд: /help",
        reply_markup=PLANS,
    )


async def choose_month(query: CallbackQuery) -> None:
    assert isinstance(query.message, Message)
    await query.message.edit_text("Тариф <b>Месяц</b>, 299 ₽. Как называется ваша компания?")
    await query.answer("Тариф выбран")
    await query.message.answer("Кнопки внизу", reply_markup=KEYS)


async def choose_year(query: CallbackQuery) -> None:
    await query.answer("Год пока не продаётся", show_alert=True)


async def help_with(message: Message) -> None:
    file = BufferedInputFile(b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "visit.ics")
    await message.answer_document(file, caption="Файл для календаря")


async def link(message: Message, url: str) -> None:
    button = InlineKeyboardButton(text="Открыть страницу", url=url)
    await message.answer(
        "Ссылка на страницу", reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]])
    )


async def contact(message: Message) -> None:
    assert message.contact is not None
    await message.answer(f"Номер {message.contact.phone_number} получен")


async def created(message: Message) -> None:
    assert message.managed_bot_created is not None
    name = message.managed_bot_created.bot_user.username
    await message.answer(f"Ваш бот: https://t.me/{name}?start=hello")


async def echo(message: Message) -> None:
    await message.answer(f"Вы написали: {message.text}")


def router() -> Router:
    routes = Router()
    routes.message.register(begin, CommandStart())
    routes.message.register(help_with, Command("help"))
    routes.message.register(link, Command("page"))
    routes.message.register(contact, F.contact)
    routes.message.register(created, F.managed_bot_created)
    routes.message.register(echo, F.text)
    routes.callback_query.register(choose_month, F.data == "month")
    routes.callback_query.register(choose_year, F.data == "year")
    return routes


@contextlib.asynccontextmanager
async def small_bot(base_url: str, token: str) -> AsyncGenerator[Bot]:
    """Poll until the block ends. `/page` answers with a button that leads to the logo."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(base_url))
    bot = Bot(token, session=session)
    bot.default.parse_mode = "HTML"
    dispatcher = Dispatcher(url=f"{base_url}/static/logo.svg")
    dispatcher.include_router(router())
    await bot.set_my_commands([BotCommand(command="help", description="Помощь")])
    await bot.set_my_description("Продаю ботов для записи. Покажу тарифы и приму оплату.")
    polling = asyncio.create_task(dispatcher.start_polling(bot, handle_signals=False))
    try:
        yield bot
    finally:
        await dispatcher.stop_polling()
        await polling
