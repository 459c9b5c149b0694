"""What a request for logs means: options, container, the kubelet's URL, the words where it can't be done. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlencode

from machinery.api.errors import BadRequest, Cause, InternalError, NotFound, StatusError, invalid
from machinery.api.resource import Object
from machinery.structs import Struct

_TRUE = ("", "true", "1", "True", "TRUE", "t", "T")


class LogOptions(Struct, frozen=True):
    """The query of `pods/log`; None where the client left it out."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since_seconds: int | None = None
    since_time: str = ""
    tail_lines: int | None = None
    limit_bytes: int | None = None

    def query(self) -> str:
        """For the kubelet, which names the options alike."""
        flags = {"follow": self.follow, "previous": self.previous, "timestamps": self.timestamps}
        values = {
            "sinceSeconds": self.since_seconds,
            "sinceTime": self.since_time or None,
            "tailLines": self.tail_lines,
            "limitBytes": self.limit_bytes,
        }
        pairs = [(name, "true") for name, is_set in flags.items() if is_set]
        pairs += [(name, str(value)) for name, value in values.items() if value is not None]
        return urlencode(pairs)


def log_options(pod: str, query: Mapping[str, str]) -> LogOptions:
    """The options that the query tells; raises BadRequest and Invalid."""
    options = LogOptions(
        container=query.get("container", ""),
        follow=_flag(query, "follow"),
        previous=_flag(query, "previous"),
        timestamps=_flag(query, "timestamps"),
        since_seconds=_number(query, "sinceSeconds"),
        since_time=query.get("sinceTime", ""),
        tail_lines=_number(query, "tailLines"),
        limit_bytes=_number(query, "limitBytes"),
    )
    causes = list(_wrong(options))
    if causes:
        raise invalid("PodLogOptions", pod, causes)
    return options


def log_container(pod: Object, asked: str) -> str:
    """The name of the container whose log is meant; raises BadRequest where that isn't clear."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    containers = _names(spec.get("containers"))
    initial = _names(spec.get("initContainers"))
    if asked:
        if asked not in (*containers, *initial, *_names(spec.get("ephemeralContainers"))):
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    if len(containers) == 1:
        return containers[0]
    if not containers:
        raise BadRequest(f"a container name must be specified for pod {name}")
    message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(containers)}]"
    if initial:
        message += f" or one of the init containers: [{' '.join(initial)}]"
    raise BadRequest(message)


def log_path(pod: Object, container: str, options: LogOptions) -> str:
    """The kubelet's path with the query."""
    metadata = pod["metadata"]
    path = f"/containerLogs/{quote(metadata['namespace'])}/{quote(metadata['name'])}/{quote(container)}"
    query = options.query()
    return f"{path}?{query}" if query else path


def kubelet_error(pod: Object, code: int, text: str) -> StatusError:
    """What the client is told when the kubelet answers `code` and `text`."""
    if code == 400:
        return BadRequest(text)
    if code == 404:
        name = pod["metadata"]["name"]
        return NotFound(f"the server could not find the requested resource ( pods/log {name})")
    return InternalError(
        f"Internal error occurred: {text or f'the kubelet answered {code}'}", causes=(Cause("", text),)
    )


def _names(containers: Iterable[Object] | None) -> list[str]:
    return [str(each.get("name", "")) for each in containers or ()]


def _wrong(options: LogOptions) -> Iterable[Cause]:
    if options.tail_lines is not None and options.tail_lines < 0:
        yield _too_small("tailLines", options.tail_lines, "must be greater than or equal to 0")
    if options.limit_bytes is not None and options.limit_bytes < 1:
        yield _too_small("limitBytes", options.limit_bytes, "must be greater than 0")
    if options.since_seconds is not None and options.since_time:
        message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        yield Cause("FieldValueForbidden", message, "")
    elif options.since_seconds is not None and options.since_seconds < 1:
        yield _too_small("sinceSeconds", options.since_seconds, "must be greater than 0")


def _too_small(field: str, value: int, rule: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {value}: {rule}", field)


def _flag(query: Mapping[str, str], name: str) -> bool:
    return name in query and query[name] in _TRUE


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None or text == "":
        return None
    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit():
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)
