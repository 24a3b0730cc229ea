"""The words of the checkout page, Russian first, English second."""

from collections.abc import Mapping
from decimal import Decimal

NO_BREAK = "\N{NO-BREAK SPACE}"

RUSSIAN: Mapping[str, str] = {
    "checkout": "Оплата",
    "new_heading": "Свой бот для записи клиентов",
    "renew_heading": "Продление бота для записи",
    "company": "Компания",
    "plan": "Тариф",
    "days": "Срок",
    "promo": "Промокод",
    "instead_of": "вместо",
    "promo_once": "Промокод действует на эту оплату. Если включите автоплатёж, он пойдёт по "
    "обычной цене.",
    "sum": "К оплате",
    "sum_paid": "Оплачено",
    "refunded": "Возвращено",
    "refunded_heading": "Деньги возвращены",
    "refund_comes": "Они придут тем же путём, которым вы платили, обычно за несколько дней.",
    "pay": "Оплатить {sum}",
    "renew_note": "Оплаченные дни прибавятся к тем, что остались.",
    "renew_paid": "Сейчас оплачено до {day}: новые дни прибавятся.",
    "paused": "Бот приостановлен поддержкой: оплата добавит дни, но паузу не снимет.",
    "once": "Разовый платёж. Сами мы ничего не спишем.",
    "autopay": "Списывать {sum} каждые {period}, пока не отключу",
    "autopay_note": "Отключить можно в один тап: команда /my в чате. О каждом списании напишем.",
    "autopay_on": "Автоплатёж включён: «{terms}».",
    "autopay_off": "Без этой отметки сами мы ничего не спишем.",
    "choice_frozen": "Этот платёж уже начат без автоплатежа, и включить его здесь нельзя. "
    "Оплатите так, а автоплатёж включите при следующем продлении.",
    "receipt": "Куда прислать чек: e-mail или телефон",
    "receipt_to": "Чек придёт на {contact}.",
    "bad_contact": "Проверьте, куда прислать чек: нужен e-mail или телефон, "
    "например +7 916 123-45-67.",
    "refunds": "Возврат денег",
    "step_pay": "Оплатите на странице ЮKassa",
    "step_back": "Вернитесь в чат",
    "step_tap": "Нажмите одну кнопку, и бот начнёт принимать записи",
    "steps": "Что будет дальше",
    "safe": "Данные карты вводятся на странице ЮKassa. Мы их не видим и не храним.",
    "terms": "Условия и возврат",
    "offer": "Условия (оферта)",
    "support": "Вопросы",
    "seller": "Продавец",
    "waiting_heading": "Ждём подтверждения оплаты",
    "waiting": "Обычно это несколько секунд. Страница обновится сама.",
    "waiting_long": "Подтверждения пока нет. Мы продолжим проверять и напишем вам в чат, "
    "эту страницу можно закрыть.",
    "check_again": "Проверить ещё раз",
    "not_yet_paid": "Ещё не оплатили? Вернуться к оплате",
    "paid_heading": "Готово: вернитесь в чат",
    "paid": "Оплата {sum} получена. Следующий шаг уже ждёт вас в чате.",
    "all_done_heading": "Готово, оплата получена",
    "all_done": "Оплачено до {day}. Больше ничего делать не нужно.",
    "done_paused": "Оплачено до {day}.",
    "still_paused": "Бот по-прежнему приостановлен: паузу снимает поддержка.",
    "to_chat": "Вернуться в чат",
    "canceled_heading": "Оплата не прошла",
    "canceled": "Деньги не списаны. Можно попробовать ещё раз, той же или другой картой.",
    "pay_again": "Оплатить ещё раз",
    "review_heading": "Проверяем ваш платёж",
    "review": "Что-то не сошлось, и платёж смотрит человек. Деньги не пропадут: мы разберёмся "
    "и напишем вам в чат.",
    "missing_heading": "Такого заказа нет",
    "missing": "Проверьте ссылку или выберите тариф в чате ещё раз.",
    "trouble_heading": "Не получилось, попробуйте ещё раз",
    "unavailable": "ЮKassa сейчас не отвечает. Попробуйте через минуту: дважды деньги не спишутся.",
    "refused": "Оплату не удалось начать, деньги не списаны. Попробуйте чуть позже.",
    "credits_heading": "Пополнение счёта",
    "account": "Счёт",
    "credits": "Кредиты",
    "credits_waiting_long": "Подтверждения пока нет. Мы продолжим проверять и зачислим кредиты "
    "сами, эту страницу можно закрыть.",
    "credits_paid_heading": "Готово, кредиты зачислены",
    "balance": "Сейчас на счёте: {balance}.",
    "to_app": "Вернуться в приложение",
    "credits_review": "Что-то не сошлось, и платёж смотрит человек. Деньги не пропадут.",
    "auto_topup": "Списывать {sum} на пополнение, когда останется меньше {below}, {often}",
    "once_a_day": "не чаще раза в день",
    "times_a_day": "не чаще {times} раз в день",
    "auto_topup_note": "Это не больше {most} в день. Отключить можно в любой момент в приложении.",
    "auto_topup_on": "Автопополнение включено: «{terms}».",
    "choice_frozen_topup": "Этот платёж уже начат без автопополнения, и включить его здесь "
    "нельзя. Оплатите так, а автопополнение включите в следующий раз.",
    "ask_about_payment": "Если есть вопросы, напишите нам: адрес ниже.",
    "account_closed_heading": "Счёт сейчас нельзя пополнить",
    "account_closed": "Деньги за этот заказ не списаны.",
    "ask_about_account": "Чтобы разобраться, напишите нам: адрес ниже.",
    "closed_heading": "Этот бизнес закрыт",
    "closed": "Платить не за что, и деньги не списаны.",
    "ask_support": "Чтобы открыть его снова, напишите нам: адрес ниже.",
    "promo_lapsed": "Промокод этого заказа уже разобрали или он закончился. Деньги не списаны. "
    "Оформите заказ в чате заново: его можно оплатить по обычной цене.",
    "not_sold": "Этот тариф больше не продаётся. Выберите другой в чате.",
    "busy": "Сейчас мы не успеваем ответить. Попробуйте через минуту.",
    "try_again": "Попробовать ещё раз",
    "test": "Тестовый режим: настоящие деньги не списываются",
    "other_language": "English",
}
ENGLISH: Mapping[str, str] = {
    "checkout": "Checkout",
    "new_heading": "A booking bot of your own",
    "renew_heading": "Renewal of your booking bot",
    "company": "Company",
    "plan": "Plan",
    "days": "Paid time",
    "promo": "Promo code",
    "instead_of": "instead of",
    "promo_once": "The code is for this payment. Autopay, if you switch it on, charges the usual "
    "price.",
    "sum": "To pay",
    "sum_paid": "Paid",
    "refunded": "Refunded",
    "refunded_heading": "The money went back",
    "refund_comes": "It comes by the way you paid, usually within a few days.",
    "pay": "Pay {sum}",
    "renew_note": "The days you pay for are added to those that are left.",
    "renew_paid": "It is paid until {day} now: the new days are added.",
    "paused": "Support has paused this bot: paying adds days, but does not end the pause.",
    "once": "A single payment. We charge nothing by ourselves.",
    "autopay": "Charge {sum} every {period} until I switch it off",
    "autopay_note": "One tap switches it off: send /my in the chat. We tell you of every charge.",
    "autopay_on": "Autopay is on: “{terms}”.",
    "autopay_off": "Without this tick we charge nothing by ourselves.",
    "choice_frozen": "This payment was started without autopay, so it cannot be switched on here. "
    "Pay it as it is and switch autopay on when you renew.",
    "receipt": "Where to send the receipt: e-mail or phone",
    "receipt_to": "The receipt goes to {contact}.",
    "bad_contact": "Please check where to send the receipt: an e-mail address, or a phone number "
    "such as +7 916 123-45-67.",
    "refunds": "Refunds",
    "step_pay": "Pay on YooKassa's page",
    "step_back": "Return to the chat",
    "step_tap": "Press one button and the bot starts taking bookings",
    "steps": "What happens next",
    "safe": "You enter your card on YooKassa's page. We neither see nor keep it.",
    "terms": "Terms and refunds",
    "offer": "Terms of sale",
    "support": "Questions",
    "seller": "Seller",
    "waiting_heading": "Waiting for the payment to be confirmed",
    "waiting": "It usually takes a few seconds. This page refreshes by itself.",
    "waiting_long": "There is no confirmation yet. We keep checking and will write to you in the "
    "chat; you may close this page.",
    "check_again": "Check again",
    "not_yet_paid": "Not paid yet? Back to the payment",
    "paid_heading": "Done: return to the chat",
    "paid": "Your payment of {sum} has arrived. The next step is waiting in the chat.",
    "all_done_heading": "Done, your payment has arrived",
    "all_done": "Paid until {day}. Nothing more to do.",
    "done_paused": "Paid until {day}.",
    "still_paused": "The bot is still paused: support ends that.",
    "to_chat": "Return to the chat",
    "canceled_heading": "The payment did not go through",
    "canceled": "You have not been charged. You may try again, with the same card or another.",
    "pay_again": "Pay again",
    "review_heading": "We are checking your payment",
    "review": "Something does not add up and a person is looking at it. Your money is not lost: "
    "we will sort it out and write to you in the chat.",
    "missing_heading": "There is no such order",
    "missing": "Check the link, or choose a plan in the chat again.",
    "trouble_heading": "That did not work, please try again",
    "unavailable": "YooKassa is not answering. Try again in a minute: you cannot be charged twice.",
    "refused": "The payment could not be started, nothing was charged. Try again a little later.",
    "credits_heading": "Top up the account",
    "account": "Account",
    "credits": "Credits",
    "credits_waiting_long": "There is no confirmation yet. We keep checking and will add the "
    "credits by ourselves; you may close this page.",
    "credits_paid_heading": "Done, the credits are on the account",
    "balance": "The account holds {balance} now.",
    "to_app": "Return to the app",
    "credits_review": "Something does not add up and a person is looking at it. Your money is not "
    "lost.",
    "auto_topup": "Charge {sum} for a top-up when fewer than {below} are left, {often}",
    "once_a_day": "at most once a day",
    "times_a_day": "at most {times} times a day",
    "auto_topup_note": "That is {most} a day at most. You can switch it off in the app at any "
    "time.",
    "auto_topup_on": "Auto top-up is on: “{terms}”.",
    "choice_frozen_topup": "This payment was started without auto top-up, so it cannot be switched "
    "on here. Pay it as it is and switch auto top-up on the next time.",
    "ask_about_payment": "If you have a question, write to us: the address is below.",
    "account_closed_heading": "This account cannot be topped up now",
    "account_closed": "You have not been charged for this order.",
    "ask_about_account": "To have it sorted out, write to us: the address is below.",
    "closed_heading": "This business is closed",
    "closed": "There is nothing to pay for, and you have not been charged.",
    "ask_support": "To have it opened again, write to us: the address is below.",
    "promo_lapsed": "The promo code of this order is used up or has ended. You have not been "
    "charged. Please order again in the chat, at the usual price.",
    "not_sold": "This plan is no longer sold. Please choose another in the chat.",
    "busy": "We cannot answer right now. Please try again in a minute.",
    "try_again": "Try again",
    "test": "Test mode: no real money is charged",
    "other_language": "Русский",
}
TEXTS: Mapping[str, Mapping[str, str]] = {"ru": RUSSIAN, "en": ENGLISH}

# YooKassa's reasons are an open set; those that a buyer can do something about have words.
REASONS: Mapping[str, Mapping[str, str]] = {
    "ru": {
        "insufficient_funds": "На карте не хватило денег.",
        "card_expired": "Срок действия карты истёк.",
        "invalid_card_number": "Номер карты введён с ошибкой.",
        "invalid_csc": "Код с обратной стороны карты введён с ошибкой.",
        "3d_secure_failed": "Банк не получил подтверждения от вас.",
        "call_issuer": "Банк отклонил платёж. Причину подскажет его поддержка.",
        "expired_on_confirmation": "Время на оплату вышло.",
        "payment_method_limit_exceeded": "На карте исчерпан лимит платежей.",
    },
    "en": {
        "insufficient_funds": "There was not enough money on the card.",
        "card_expired": "The card has expired.",
        "invalid_card_number": "The card number was mistyped.",
        "invalid_csc": "The code on the back of the card was mistyped.",
        "3d_secure_failed": "Your bank did not get your confirmation.",
        "call_issuer": "Your bank declined the payment; its support knows why.",
        "expired_on_confirmation": "The time to pay ran out.",
        "payment_method_limit_exceeded": "The card's limit is used up.",
    },
}
DECLINED: Mapping[str, str] = {
    "ru": "Банк отклонил платёж.",
    "en": "Your bank declined the payment.",
}


def reason_text(language: str, reason: str | None) -> str:
    """Say why a payment was canceled, in words for the buyer."""
    return REASONS[language].get(reason or "", DECLINED[language])


def number_text(number: Decimal, language: str) -> str:
    """Write a number as people do: `1 490`, with hundredths only where there are some."""
    whole = number == number.to_integral_value()
    digits = (f"{number:,.0f}" if whole else f"{number:,.2f}").replace(",", NO_BREAK)
    return digits if language == "en" else digits.replace(".", ",")


def roubles(amount: Decimal, language: str) -> str:
    """Write a sum: `1 490 ₽`."""
    return number_text(amount, language) + NO_BREAK + "₽"


def days_text(days: int, language: str) -> str:
    """Write a number of days with the right form of the word."""
    if language == "en":
        return f"{days} day{'' if days == 1 else 's'}"
    tens, ones = days % 100, days % 10
    if ones == 1 and tens != 11:
        word = "день"
    elif 2 <= ones <= 4 and not 12 <= tens <= 14:
        word = "дня"
    else:
        word = "дней"
    return f"{days}{NO_BREAK}{word}"


def fewer_credits_text(number: Decimal, language: str) -> str:
    """Write a number of credits as it stands after "fewer than"."""
    whole = number == number.to_integral_value()
    if language == "en":
        word = "credit" if number == 1 else "credits"
    else:
        is_one = not whole or (number % 10 == 1 and number % 100 != 11)
        word = "кредита" if is_one else "кредитов"
    return f"{number_text(number, language)}{NO_BREAK}{word}"
