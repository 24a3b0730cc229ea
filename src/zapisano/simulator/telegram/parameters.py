"""What a Bot API request says, whichever of the four ways it says it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl

from python_multipart import create_form_parser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File

from zapisano.simulator.telegram.errors import bad_request
from zapisano.simulator.telegram.model import Json

MAX_UPLOAD_BYTES = 50 * 1024 * 1024
"""core.telegram.org/bots/api#sending-files: at most 50 MB per file."""
TRUE = frozenset({"true", "yes", "1"})


@dataclass(frozen=True)
class Upload:
    """A file that came with the request."""

    name: str
    mime_type: str
    content: bytes


@dataclass(frozen=True)
class Parameters:
    """The named values of a request, read as the type a method asks for."""

    values: Mapping[str, object]
    uploads: Mapping[str, Upload]

    def has(self, name: str) -> bool:
        """Tell whether a value was given at all; the empty string counts as none."""
        return self.values.get(name) not in (None, "")

    def text(self, name: str, default: str = "") -> str:
        """Read a string."""
        value = self.values.get(name)
        return default if value is None else value if isinstance(value, str) else json.dumps(value)

    def find_integer(self, name: str) -> int | None:
        """Read a whole number, or nothing when it is absent or no number."""
        try:
            return int(self.text(name))
        except ValueError:
            return None

    def integer(self, name: str, default: int) -> int:
        """Read a whole number; what is no number counts as absent, as in the real one."""
        value = self.find_integer(name)
        return default if value is None else value

    def flag(self, name: str) -> bool:
        """Read a yes or no."""
        return self.text(name).lower() in TRUE

    def structure(self, name: str) -> Any:
        """Read JSON, given as itself or as a string.

        Raises:
            ApiError: the string is not JSON.
        """
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value else None
        except ValueError as error:
            raise bad_request(f'can\'t parse "{name}" JSON object') from error

    def find_object(self, name: str) -> Json | None:
        """Read a JSON object, or nothing when it is absent.

        Raises:
            ApiError: the value is JSON of another kind.
        """
        value = self.structure(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise bad_request(f'field "{name}" must be an Object')
        return cast("Json", value)

    def find_list(self, name: str) -> list[Any] | None:
        """Read a JSON array, or nothing when it is absent.

        Raises:
            ApiError: the value is JSON of another kind.
        """
        value = self.structure(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise bad_request(f'field "{name}" must be of type Array')
        return cast("list[Any]", value)

    def find_upload(self, name: str) -> Upload | None:
        """Find a file sent under its own name or referred to as `attach://<part>`."""
        return self.uploads.get(self.text(name).removeprefix("attach://")) or self.uploads.get(name)

    def loggable(self) -> Json:
        """Show the request in a log: files by name and size only."""
        files = {
            f"attach://{key}": {"file_name": upload.name, "size": len(upload.content)}
            for key, upload in self.uploads.items()
        }
        return {**self.values, **files}


def read(query: Mapping[str, str], content_type: str, body: bytes) -> Parameters:
    """Read GET query, JSON, form or multipart; the body wins over the query.

    Raises:
        ApiError: the body is not what its content type says.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return Parameters({**query, **read_json(body)}, {})
    if kind == "application/x-www-form-urlencoded":
        form = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        return Parameters({**query, **dict(form)}, {})
    if kind == "multipart/form-data":
        values, uploads = read_multipart(content_type, body)
        return Parameters({**query, **values}, uploads)
    return Parameters(query, {})


def read_json(body: bytes) -> Json:
    """Read a JSON body.

    Raises:
        ApiError: it is not a JSON object.
    """
    try:
        value: object = json.loads(body or b"{}")
    except ValueError as error:
        raise bad_request("can't parse JSON object") from error
    if not isinstance(value, dict):
        raise bad_request("JSON object expected")
    return cast("Json", value)


def read_multipart(content_type: str, body: bytes) -> tuple[dict[str, str], dict[str, Upload]]:
    """Take a multipart body apart into values and files.

    Raises:
        ApiError: the body does not hold together.
    """
    values: dict[str, str] = {}
    uploads: dict[str, Upload] = {}

    def on_field(field: Field) -> None:
        values[words(field.field_name)] = words(field.value)

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        name = words(file.field_name)
        mime = file.content_type or "application/octet-stream"
        uploads[name] = Upload(words(file.file_name), mime, file.file_object.read())

    headers = {"Content-Type": content_type.encode("latin-1", "replace")}
    memory = {"MAX_MEMORY_FILE_SIZE": MAX_UPLOAD_BYTES}
    try:
        parser = create_form_parser(headers, on_field, on_file, memory)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise bad_request("can't parse multipart/form-data") from error
    return values, uploads


def words(value: bytes | None) -> str:
    """Read a part's name or text."""
    return (value or b"").decode("utf-8", "replace")
