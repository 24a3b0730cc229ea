"""The one error of the stack that is the operator's to mend."""


class Refusal(Exception):
    """Nothing was started; the text is one line for the operator (the exit code is 2)."""


class StartFailed(Exception):
    """A part did not come up; the text says which one and ends with its last words."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code
