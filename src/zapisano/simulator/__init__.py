"""The outside world as another program: a local Telegram and a local YooKassa over HTTP."""
