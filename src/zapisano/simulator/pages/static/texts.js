// Every sentence of the pages, Russian first. `t("key", {name})` fills {name}.

const RU = {
  brand: "Записано",
  tagline: "Бот, который продаёт ботов для записи",
  language: "Язык страницы",
  noscript: "Этой странице нужен JavaScript.",
  skip: "К телефону",
  phone: "Телефон",
  inside: "Что внутри",
  views: "Что показать",

  hint_start: "**Начните здесь:** нажмите «Начать» внизу телефона. Деньги ненастоящие.",
  hint_plan: "**Дальше:** выберите тариф в чате и назовите свою компанию.",
  hint_order: "**Дальше:** откройте ссылку на оплату, нажмите «Оплатить», затем зелёную карту и «Заплатить».",
  hint_declined: "**Оплата не прошла.** Попробуйте ещё раз, зелёной картой.",
  hint_paid: "**Оплата пришла.** Смотрите, как внутри готовится место для бота.",
  hint_attach: "**Дальше:** нажмите в чате «Создать бота».",
  hint_active: "**Бот работает.** Теперь запишитесь к нему.",
  hint_book: "**Теперь вы клиент.** Нажмите «Начать» и запишитесь на удобное время.",
  hint_book_on: "**Вы клиент.** Выберите в чате услугу и удобное время.",
  hint_booked: "**Записано!** Владельцу уже пришло сообщение.",
  hint_told: "**Это телефон владельца.** Сообщение о записи — последнее в этом чате.",
  hint_told_there: "**Это телефон владельца.** Сообщение о записи — в чате «{chat}».",
  hint_owns: "**Это телефон владельца.** Записи дня, услуги и часы — в его боте, в «Управлении».",
  hint_visit: "**Теперь вы клиент.** Бот уже работает, запишитесь.",
  hint_find: "**Найдите бота** кнопкой внизу. «{chat}» продаёт ботов, остальные записывают клиентов.",
  hint_list: "**Откройте чат.** «{chat}» продаёт ботов, остальные боты записывают клиентов.",
  hint_open: "Открыть",
  tongue_sales: "Сказанное раньше осталось на английском, дальше бот ответит по-русски.",
  tongue_other: "Бот запомнил, что {name} говорит по-английски: нажмите в нём 🌐 или добавьте человека.",
  hint_owner: "Телефон владельца",
  hint_become: "Стать клиентом",

  you_are: "Вы: {name}",
  choose_person: "Кто вы?",
  choose_person_about: "У каждого человека свой телефон и свои чаты.",
  add_person: "Добавить человека",
  first_name: "Имя",
  person_language: "Язык в Telegram",
  add: "Добавить",
  chats: "Чаты",
  back: "Назад",
  back_news: "Назад, есть новые сообщения",
  find: "Найти бота",
  find_label: "Имя или @username",
  no_chats: "Пока ни одного чата. Найдите бота, чтобы начать.",
  no_bots: "Такого бота нет.",
  unread: "{n} нов.",
  bot_gone: "Бота @{name} здесь нет.",
  begin: "Начать",
  what_can: "Что умеет этот бот?",
  empty_chat: "Нажмите «Начать», и бот ответит.",
  messages: "Сообщения",
  write: "Сообщение",
  send: "Отправить",
  commands: "Команды бота",
  keyboard: "Кнопки ответа",
  to_end: "К последним сообщениям",
  sending: "отправляется",
  sent: "отправлено",
  failed: "не отправлено",
  retry: "Повторить",
  edited: "изменено",
  you: "Вы",
  photo: "Фото",
  download: "Скачать {name}",
  bot_created: "Бот создан",
  paid: "Оплачено",
  notice: "Сообщение Telegram",
  pay: "Оплатить {sum}",
  today: "Сегодня",
  restricted: "только для владельца",
  bot: "бот",
  offline: "Телефон не в сети. Подключаемся…",

  ok: "Понятно",
  cancel: "Отмена",
  share: "Поделиться",
  share_title: "Поделиться номером?",
  share_text: "{bot} узнает ваше имя и номер {phone}.",
  create_title: "Новый бот",
  create_text: "Ботом будет управлять {bot}, а принадлежать он будет вам.",
  bot_name: "Имя бота",
  bot_username: "Имя пользователя",
  username_rule: "Латинские буквы, цифры и «_», в конце «bot», всего 5–32 знака.",
  create: "Создать бота",
  father: "BotFather",
  father_about: "Создать бота самому и получить токен",
  father_text: "Здесь бота заводят вручную. Токен потом вставляют в чат продавца.",
  father_done: "Готово! Вот токен бота @{name}:",
  father_keep: "Это ключ от бота. Покажите его только тому сервису, которому доверяете.",
  copy: "Скопировать токен",
  copied: "Токен скопирован",
  open_chat: "Открыть чат бота",
  address: "Адрес",
  some_page: "Веб-страница",
  close_page: "Закрыть страницу",
  reload: "Обновить страницу",
  new_tab: "Открыть в новой вкладке",
  no_frame: "Эта страница не открывается внутри других.",
  error: "Не получилось: {why}",
  silent: "Бот не ответил.",
  refused_bot_name: "Имя бота: от 1 до 64 знаков.",
  refused_bot_username: "Это имя не по правилу выше. Подойдёт, например, beauty_bot.",
  refused_button_gone: "Этой кнопки больше нет.",
  refused_empty_text: "В сообщении нет текста.",
  refused_long_text: "Сообщение слишком длинное.",
  refused_message_gone: "Этого сообщения больше нет.",
  refused_no_bot: "Такого бота нет.",
  refused_no_file: "Такого файла нет.",
  refused_no_invoice: "Такого счёта нет.",
  refused_no_page: "Это не адрес страницы.",
  refused_no_person: "Такого человека нет.",
  refused_not_manager: "Этот бот не может создавать других ботов.",
  refused_username_taken: "Это имя уже занято, попробуйте другое.",

  story_title: "Что происходит внутри",
  story_about: "Сначала запись в базу, потом дело: остановите любой процесс, ничего не пропадёт.",
  story_which: "История",
  story_order: "Заказ {n}",
  live: "на связи",
  connecting: "подключаемся…",
  down: "Продукт не отвечает. Пробуем снова каждую секунду.",
  down_configured: "Симулятор запущен без продукта: рассказывать пока не о чем.",
  down_status: "Продукт отказал в потоке событий (код {code}).",
  journal: "Журнал событий",
  journal_empty: "Пока пусто.",
  since: "+{ms}",
  first: "начало",
  wait_person: "ждём человека: {what}",
  wait_worker: "{what} {s} с",
  wait_stuck: "Похоже, воркер остановлен: запись цела и ждёт его.",
  person_pay: "оплату на странице ЮKassa",
  person_bot: "нажатие «Создать бота»",
  person_book: "первую запись",
  worker_settle: "Уведомление записано, ждёт воркера…",
  worker_schema: "Деньги зачтены, схема ждёт воркера…",
  worker_provision: "Схема создаётся воркером…",
  worker_attach: "Бот создан, подключается воркером…",

  ms: "мс",
  sec: "с",
  min: "мин",
};

const EN = {
  brand: "Zapisano",
  tagline: "A bot that sells booking bots",
  language: "Page language",
  noscript: "This page needs JavaScript.",
  skip: "Skip to the phone",
  phone: "Phone",
  inside: "Inside",
  views: "What to show",

  hint_start: "**Start here:** press “Start” at the bottom of the phone. The money is not real.",
  hint_plan: "**Next:** choose a plan in the chat and name your company.",
  hint_order: "**Next:** open the payment link, press “Pay”, then a green card and “Pay” again.",
  hint_declined: "**The payment was refused.** Try again, with a green card.",
  hint_paid: "**The payment is in.** Watch inside how the bot gets its place.",
  hint_attach: "**Next:** press “Create my bot” in the chat.",
  hint_active: "**The bot is running.** Now book a visit.",
  hint_book: "**You are the customer now.** Press “Start” and book the time you like.",
  hint_book_on: "**You are the customer.** Choose a service and a time in the chat.",
  hint_booked: "**Written down!** The owner has been told already.",
  hint_told: "**This is the owner's phone.** The message about the booking is the last in this chat.",
  hint_told_there: "**This is the owner's phone.** The message about the booking is in the chat “{chat}”.",
  hint_owns: "**This is the owner's phone.** Bookings, services and hours are in the owner's bot, under “Manage”.",
  hint_visit: "**You are the customer now.** The bot is running: book a visit.",
  hint_find: "**Find a bot** with the button below. “{chat}” sells bots, the others book customers.",
  hint_list: "**Open a chat.** “{chat}” sells bots, the other bots book customers.",
  hint_open: "Open",
  tongue_sales: "What was said before stays in Russian; the bot's next answer will be in English.",
  tongue_other: "The bot knows {name} as a Russian speaker: press 🌐 in it, or add a person.",
  hint_owner: "The owner's phone",
  hint_become: "Become a customer",

  you_are: "You are {name}",
  choose_person: "Who are you?",
  choose_person_about: "Everybody has a phone and chats of their own.",
  add_person: "Add a person",
  first_name: "First name",
  person_language: "Language in Telegram",
  add: "Add",
  chats: "Chats",
  back: "Back",
  back_news: "Back, there are new messages",
  find: "Find a bot",
  find_label: "Name or @username",
  no_chats: "No chats yet. Find a bot to begin.",
  no_bots: "There is no such bot.",
  unread: "{n} new",
  bot_gone: "There is no bot @{name} here.",
  begin: "Start",
  what_can: "What can this bot do?",
  empty_chat: "Press “Start” and the bot will answer.",
  messages: "Messages",
  write: "Message",
  send: "Send",
  commands: "Bot commands",
  keyboard: "Reply buttons",
  to_end: "To the latest messages",
  sending: "sending",
  sent: "sent",
  failed: "not sent",
  retry: "Try again",
  edited: "edited",
  you: "You",
  photo: "Photo",
  download: "Download {name}",
  bot_created: "Bot created",
  paid: "Paid",
  notice: "A notice of Telegram",
  pay: "Pay {sum}",
  today: "Today",
  restricted: "owner only",
  bot: "bot",
  offline: "The phone is offline. Connecting…",

  ok: "OK",
  cancel: "Cancel",
  share: "Share",
  share_title: "Share your number?",
  share_text: "{bot} will learn your name and the number {phone}.",
  create_title: "New bot",
  create_text: "{bot} will manage it; it will belong to you.",
  bot_name: "Bot name",
  bot_username: "Username",
  username_rule: "Latin letters, digits and “_”, ending in “bot”, 5–32 characters.",
  create: "Create the bot",
  father: "BotFather",
  father_about: "Create a bot by hand and get its token",
  father_text: "Bots are made by hand here. The token is then pasted into the seller's chat.",
  father_done: "Done! This is the token of @{name}:",
  father_keep: "It is the key to the bot. Show it only to a service you trust.",
  copy: "Copy the token",
  copied: "Token copied",
  open_chat: "Open the bot's chat",
  address: "Address",
  some_page: "Web page",
  close_page: "Close the page",
  reload: "Reload the page",
  new_tab: "Open in a new tab",
  no_frame: "This page does not open inside others.",
  error: "It did not work: {why}",
  silent: "The bot did not answer.",
  refused_bot_name: "A bot's name has 1 to 64 characters.",
  refused_bot_username: "This one breaks the rule above. For example, beauty_bot would do.",
  refused_button_gone: "This button is gone.",
  refused_empty_text: "The message has no text.",
  refused_long_text: "The message is too long.",
  refused_message_gone: "This message is gone.",
  refused_no_bot: "There is no such bot.",
  refused_no_file: "There is no such file.",
  refused_no_invoice: "There is no such invoice.",
  refused_no_page: "This is not the address of a page.",
  refused_no_person: "There is no such person.",
  refused_not_manager: "This bot can't create other bots.",
  refused_username_taken: "This username is taken, try another.",

  story_title: "What happens inside",
  story_about: "Written down first, done second: stop any process, and nothing is lost.",
  story_which: "Story",
  story_order: "Order {n}",
  live: "live",
  connecting: "connecting…",
  down: "The product is not answering. Trying again every second.",
  down_configured: "The simulator runs without the product: nothing to tell yet.",
  down_status: "The product refused the event stream (status {code}).",
  journal: "Event journal",
  journal_empty: "Empty so far.",
  since: "+{ms}",
  first: "start",
  wait_person: "waiting for a person: {what}",
  wait_worker: "{what} {s} s",
  wait_stuck: "The worker seems to be stopped: the record is safe and waits for it.",
  person_pay: "payment on YooKassa's page",
  person_bot: "a press on “Create my bot”",
  person_book: "the first booking",
  worker_settle: "Notification stored, waiting for the worker…",
  worker_schema: "Money settled, the schema waits for the worker…",
  worker_provision: "The worker is creating the schema…",
  worker_attach: "Bot created, the worker is connecting it…",

  ms: "ms",
  sec: "s",
  min: "min",
};

const SENTENCES = { ru: RU, en: EN };

const inAddress = new URLSearchParams(location.search).get("lang");

/** The language that the address asks for, null when it is silent. */
export const asked = inAddress in SENTENCES ? inAddress : null;

/**
 * Language of the page: ?lang= wins and is remembered, then the remembered one, then the browser's:
 * Russian for those who read it, and for those who say nothing.
 */
function choose() {
  if (asked) remember(asked);
  const kept = asked || recall();
  if (kept in SENTENCES) return kept;
  const read = navigator.languages || [];
  return !read.length || read.some((one) => /^ru\b/i.test(one)) ? "ru" : "en";
}

// Storage is refused in some private windows; the page then simply forgets.
function remember(value) {
  try {
    localStorage.setItem("zapisano.lang", value);
  } catch (error) {
    console.info("language is not remembered", error);
  }
}

function recall() {
  try {
    return localStorage.getItem("zapisano.lang");
  } catch {
    return null;
  }
}

export const lang = choose();
document.documentElement.lang = lang;

/** The sentence of this key in the page's language. */
export function t(key, values = {}) {
  return SENTENCES[lang][key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Fill the template's own texts: data-t is the text, data-t-label the accessible name. */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", t(element.dataset.tLabel));
}

/** Switch the language; the page starts again in it, at the same chat. */
export function switchTo(next) {
  remember(next);
  const url = new URL(location.href);
  url.searchParams.delete("lang");
  if (recall() !== next) url.searchParams.set("lang", next);
  location.replace(url);
}
