"""The methods of the Bot API by name, whose case does not matter, as in the real one."""

from zapisano.simulator.telegram.call import Method
from zapisano.simulator.telegram.methods import (
    answering,
    editing,
    managing,
    profile,
    receiving,
    selling,
    sending,
)

METHODS: dict[str, Method] = {
    name.lower(): method
    for home in (answering, editing, managing, profile, receiving, selling, sending)
    for name, method in home.METHODS.items()
}
