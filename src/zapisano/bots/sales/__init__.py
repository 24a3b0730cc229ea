"""The sales bot: what you get, the price, the order, the bot."""
