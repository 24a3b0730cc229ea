"""The people's side over HTTP: what the phone page reads and what its buttons do."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from zapisano.simulator.telegram import acts, view
from zapisano.simulator.telegram.errors import PersonError
from zapisano.simulator.telegram.model import Bot, Json, Person
from zapisano.simulator.telegram.store import accounts, chats
from zapisano.simulator.telegram.store.database import transaction
from zapisano.simulator.telegram.world import World

Result = TypeVar("Result")
PICTURES = frozenset({"image/png", "image/jpeg"})


class NewPerson(BaseModel):
    """Somebody who joins."""

    first_name: Annotated[str, Field(min_length=1, max_length=64)]
    language_code: Annotated[str, Field(pattern="^[a-z]{2}$")] = "ru"


class Tongue(BaseModel):
    """The language a person's Telegram speaks."""

    language_code: Annotated[str, Field(pattern="^[a-z]{2}$")]


class Start(BaseModel):
    """The Start button, or a link with a payload."""

    payload: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{0,64}$")] = ""


class Words(BaseModel):
    """Something to say."""

    text: str


class Press(BaseModel):
    """A button under a message."""

    message_id: int
    data: str


class NewBot(BaseModel):
    """What the create-bot dialog holds when it is confirmed."""

    name: str
    username: str
    request_id: int | None = None


class Payment(BaseModel):
    """An invoice to pay in Stars: a message of the chat, or the last part of a link."""

    message_id: int | None = None
    slug: str = ""


class WebApp(BaseModel):
    """A Mini App to open."""

    url: str


class PersonRoute(APIRoute):
    """A route whose refusals are told to the phone as `{"error": …, "code": …}`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the refusal around the handler."""
        handler = super().get_route_handler()

        async def refusing(request: Request) -> Response:
            try:
                return await handler(request)
            except PersonError as error:
                return JSONResponse({"error": error.text, "code": error.code}, error.status)

        return refusing


def person_of(world: World, person_id: int) -> Person:
    """Find a person, or answer 404."""
    person = accounts.find_person(world.database, person_id)
    if person is None:
        raise PersonError(404, "no_person", "Такого человека нет")
    return person


def bot_of(world: World, bot_id: int) -> Bot:
    """Find a bot, or answer 404."""
    bot = accounts.find_bot(world.database, bot_id)
    if bot is None:
        raise PersonError(404, "no_bot", "Такого бота нет")
    return bot


class PeopleSide:
    """The handlers; all of them run on the event loop, where the database lives."""

    def __init__(self, world: World) -> None:
        self.world = world

    def within(self, person: int, bot: int, do: Callable[[Bot, Person], Result]) -> Result:
        """Do something in a chat, all of it or nothing."""
        with transaction(self.world.database):
            return do(bot_of(self.world, bot), person_of(self.world, person))

    async def people(self) -> list[Json]:
        """List everybody."""
        return [view.person_view(person) for person in accounts.people(self.world.database)]

    async def join(self, new: NewPerson) -> Json:
        """Let somebody in."""
        with transaction(self.world.database):
            person = accounts.add_person(self.world.database, new.first_name, new.language_code)
        return view.person_view(person)

    async def speak(self, person: int, tongue: Tongue) -> Json:
        """Switch a person's Telegram to another language; what was said before stays as it was."""
        with transaction(self.world.database):
            known = person_of(self.world, person)
            accounts.set_language(self.world.database, known.id, tongue.language_code)
        return view.person_view(person_of(self.world, person))

    async def bots(self) -> list[Json]:
        """List every bot."""
        return [view.bot_view(self.world, bot) for bot in accounts.bots(self.world.database)]

    async def chats(self, person: int) -> list[Json]:
        """List a person's chats."""
        return view.chats_view(self.world, person_of(self.world, person))

    async def chat(self, person: int, bot: int) -> Json:
        """Show one chat."""
        return self.within(person, bot, lambda b, p: view.chat_view(self.world, b, p))

    async def start(self, person: int, bot: int, start: Start | None = None) -> Json:
        """Press Start."""
        text = f"/start {start.payload if start else ''}".strip()
        return self.within(
            person, bot, lambda b, p: view.message_view(acts.say(self.world, b, p, text))
        )

    async def say(self, person: int, bot: int, words: Words) -> Json:
        """Write something."""
        return self.within(
            person, bot, lambda b, p: view.message_view(acts.say(self.world, b, p, words.text))
        )

    async def share_contact(self, person: int, bot: int) -> Json:
        """Share one's own number."""
        return self.within(
            person, bot, lambda b, p: view.message_view(acts.share_contact(self.world, b, p))
        )

    async def press(self, person: int, bot: int, press: Press) -> Json:
        """Press a button under a message and wait for the bot's answer."""
        number = self.within(
            person, bot, lambda b, p: acts.press(self.world, b, p, press.message_id, press.data)
        )
        if number is None:
            words = acts.restricted_words(person_of(self.world, person))
            return {**acts.NO_ANSWER, "text": words}
        return await acts.wait_for_answer(self.world, number, acts.NO_ANSWER)

    async def create_managed(self, person: int, bot: int, new: NewBot) -> Json:
        """Confirm the create-bot dialog of a manager bot."""
        made = self.within(
            person,
            bot,
            lambda manager, owner: acts.create_managed_bot(
                self.world,
                manager,
                owner,
                name=new.name,
                username=new.username,
                request_id=new.request_id,
            ),
        )
        return {"id": made.id, "username": made.username, "name": made.name}

    async def botfather(self, person: int, new: NewBot) -> Json:
        """Create a bot at BotFather's, who shows the token."""
        with transaction(self.world.database):
            owner = person_of(self.world, person)
            made = acts.create_bot(
                self.world, owner, name=new.name, username=new.username, manager=None
            )
        return {"token": made.token, "username": made.username, "id": made.id}

    async def pay(self, person: int, bot: int, payment: Payment) -> Json:
        """Pay an invoice in Stars, if the bot agrees."""

        def begin(seller: Bot, buyer: Person) -> tuple[int, Json]:
            sold = self.sold(seller, buyer, payment)
            return acts.begin_payment(self.world, seller, buyer, sold), sold

        number, sold = self.within(person, bot, begin)
        refusal: Json = {"ok": False, "error_message": ""}
        answer = await acts.wait_for_answer(self.world, number, refusal)
        if answer["ok"]:
            self.within(person, bot, lambda b, p: acts.finish_payment(self.world, b, p, sold))
        return {"ok": answer["ok"], "error_message": answer["error_message"] or None}

    def sold(self, seller: Bot, buyer: Person, payment: Payment) -> Json:
        """Find what an invoice sells."""
        database = self.world.database
        sold = chats.find_invoice(database, seller.id, payment.slug)
        if payment.message_id is not None:
            message = chats.find_message(database, seller.id, buyer.id, payment.message_id)
            sold = message.content.get("sold") if message else None
        if sold is None:
            raise PersonError(404, "no_invoice", "Такого счёта нет")
        return sold

    async def open_web_app(self, person: int, bot: int, app: WebApp) -> Json:
        """Give the address of a Mini App with its signed init data."""
        if urlsplit(app.url).scheme not in ("http", "https"):
            raise PersonError(400, "no_page", "Это не адрес страницы")
        now = self.world.now()
        return self.within(person, bot, lambda b, p: {"url": acts.web_app_url(b, p, app.url, now)})

    async def events(self) -> Response:
        """Tell of every change in anybody's chats, as long as the page listens."""
        return StreamingResponse(
            self.world.hub.stream(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def file(self, file_id: str) -> Response:
        """Give a file to the phone; only pictures are shown, everything else is downloaded."""
        file = chats.find_file(self.world.database, file_id)
        if file is None:
            raise PersonError(404, "no_file", "Такого файла нет")
        headers = {"X-Content-Type-Options": "nosniff"}
        if file.mime_type in PICTURES:
            return Response(file.content, media_type=file.mime_type, headers=headers)
        name = quote(file.name, safe="")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
        return Response(file.content, media_type="application/octet-stream", headers=headers)


def routes(world: World) -> APIRouter:
    """Make the routes of the people's side."""
    side = PeopleSide(world)
    router = APIRouter(prefix="/telegram", include_in_schema=False, route_class=PersonRoute)
    chat = "/people/{person}/chats/{bot}"
    router.get("/people")(side.people)
    router.post("/people", status_code=201)(side.join)
    router.post("/people/{person}/language")(side.speak)
    router.get("/bots")(side.bots)
    router.get("/files/{file_id}", response_model=None)(side.file)
    router.get("/people/{person}/chats")(side.chats)
    router.get("/events", response_model=None)(side.events)
    router.post("/people/{person}/botfather")(side.botfather)
    router.get(chat)(side.chat)
    router.post(f"{chat}/start")(side.start)
    router.post(f"{chat}/messages")(side.say)
    router.post(f"{chat}/contact")(side.share_contact)
    router.post(f"{chat}/callbacks")(side.press)
    router.post(f"{chat}/managed-bots")(side.create_managed)
    router.post(f"{chat}/payments")(side.pay)
    router.post(f"{chat}/web-app")(side.open_web_app)
    return router
