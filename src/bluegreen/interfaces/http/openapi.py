"""The OpenAPI 3.1 document: made from the operations' types, so that it can't say anything else than they do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from bluegreen import __version__
from bluegreen.control.idempotency import LONGEST_KEY
from bluegreen.control.operations import Operation
from bluegreen.control.schemas import adapter, input_schema
from bluegreen.interfaces.http import problems
from bluegreen.interfaces.http.arguments import QueryField
from bluegreen.interfaces.http.handler import Handler

Schema = dict[str, Any]
REF = "#/components/schemas/{model}"

DESCRIPTION = """Zero-downtime deployments: start the new version beside the running one, prove it, move all the traffic
in one instant, and back. Every operation is there twice: as `POST /v1/operations/NAME`, and as a resource.

Over TCP each request carries a token (`Authorization: Bearer …`, from `bluegreen token create`); the unix socket of the
daemon needs none. Errors are problem details (RFC 9457). A write with the header `Idempotency-Key` is done once: the
answer is kept for 24 hours and given again. Parameters that are not listed are refused."""

TAGS = {
    "services": "Deploy, switch, go back; what runs now.",
    "deployments": "One walk from a version to the next, and its events.",
    "workloads": "The same by hand, one version at a time.",
    "routes": "Where the traffic goes.",
    "metrics": "What is measured.",
    "alerts": "What people are told.",
    "operations": "Every operation by its name, as the other doors have it.",
    "daemon": "The daemon itself.",
}

PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457). `detail` begins with the parameter's name, `hint` is what to do next.",
    "required": ["type", "title", "status", "detail", "instance", "hint", "error"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:bluegreen:[a-z_]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "hint": {"type": "string"},
        "error": {
            "type": "object",
            "description": "The same for the command line.",
            "required": ["code", "message", "hint", "exit_code"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": "string"},
                "exit_code": {"type": "integer"},
            },
        },
    },
}

READ_PROBLEMS = (400, 401, 403, 404, 409, 429, 500, 503)
BODY_PROBLEMS = (408, 413, 415)
WRITE_PROBLEMS = (422,)

IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same for every attempt at one request, such as a UUID: it is carried out once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]+$"},
}


def header(description: str, kind: str = "string") -> Schema:
    return {"description": description, "schema": {"type": kind}}


def problem_responses(statuses: Iterable[int]) -> dict[int | str, Schema]:
    return {status: _problem_response(status) for status in statuses}


def _problem_response(status: int) -> Schema:
    response: Schema = {
        "description": problems.TITLES[status],
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}},
    }
    if status == 401:
        response["headers"] = {"WWW-Authenticate": header("Bearer")}
    if status in (429, 503):
        response["headers"] = {"Retry-After": header("Seconds after which to ask again.", "integer")}
    return response


def path_parameter(name: str, description: str = "") -> Schema:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1},
    }


def query_parameter(field: QueryField) -> Schema:
    schema = {name: value for name, value in field.schema.items() if name != "description"}
    described = {"name": field.name, "in": "query", "required": False}
    if field.is_pairs:
        described["description"] = f"`key:value`, repeated for more: {field.schema.get('description', '')}"
        described["schema"] = {"type": "array", "items": {"type": "string", "pattern": "^[^:]+:"}}
        return described | {"style": "form", "explode": True}
    return described | {"description": field.schema.get("description", ""), "schema": schema}


def route_of(handler: Handler) -> dict[str, Any]:
    """What FastAPI is to say of a resource: the keywords of `add_api_route`."""
    resource, operation = handler.resource, handler.operation
    statuses = [*READ_PROBLEMS, *(BODY_PROBLEMS if handler.takes_body else (413,))]
    if operation.changes:
        statuses += WRITE_PROBLEMS
    return {
        "methods": [resource.method],
        "operation_id": resource.operation_id,
        "tags": [resource.tag],
        "summary": resource.summary or _first_sentence(operation.description),
        "description": f"{operation.description}\n\nTakes scope `{operation.scope}`.",
        "status_code": resource.status,
        "responses": {resource.status: _success(handler), **problem_responses(sorted(statuses))},
        "openapi_extra": _parameters(handler),
    }


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].partition(": ")[0].rstrip(".")


def _success(handler: Handler) -> Schema:
    resource = handler.resource
    model = (resource.response or handler.operation.response).__name__
    response: Schema = {
        "description": HTTPStatus(resource.status).phrase,
        "content": {"application/json": {"schema": {"$ref": REF.format(model=model)}}},
    }
    headers = {}
    if resource.location:
        headers["Location"] = header("Where what was made is found.")
    if handler.operation.changes:
        headers["Idempotency-Replayed"] = header("`true` when this answer was given to the same key before.")
    return response | ({"headers": headers} if headers else {})


def _parameters(handler: Handler) -> Schema:
    resource, schema = handler.resource, input_schema(handler.operation)
    properties: Mapping[str, Schema] = schema["properties"]
    parameters = [path_parameter(name, properties[name].get("description", "")) for name in resource.path_fields]
    parameters += [query_parameter(field) for field in handler.query.values()]
    if handler.operation.changes:
        parameters.append(IDEMPOTENCY_KEY)
    extra: Schema = {"parameters": parameters} if parameters else {}
    if handler.takes_body:
        extra["requestBody"] = _body(handler, schema)
    return extra


def _body(handler: Handler, schema: Schema) -> Schema:
    names = handler.body
    if names is None:
        content: Schema = {"$ref": REF.format(model=handler.operation.request.__name__)}
        required = schema.get("required", [])
    else:
        required = [name for name in schema.get("required", []) if name in names]
        content = {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: schema["properties"][name] for name in names},
        } | ({"required": required} if required else {})
    return {"required": bool(required), "content": {"application/json": {"schema": content}}}


def components(operations: Iterable[Operation], more: Sequence[type[Any]]) -> dict[str, Schema]:
    """Schemas of all requests and answers. Parameters of the owner's command line are left out."""
    listed = list(operations)
    inputs: list[tuple[str, Any, TypeAdapter[Any]]] = []
    inputs += [(f"in {operation.name}", "validation", adapter(operation.request)) for operation in listed]
    inputs += [(f"out {operation.name}", "serialization", adapter(operation.response)) for operation in listed]
    inputs += [(f"out {kind.__name__}", "serialization", adapter(kind)) for kind in more]
    _, definitions = TypeAdapter.json_schemas(inputs, ref_template=REF)
    schemas: dict[str, Schema] = {"Problem": PROBLEM, **definitions["$defs"]}
    for operation in listed:
        schemas[operation.request.__name__] = input_schema(operation)
    return schemas


def document_maker(app: FastAPI, schemas: Mapping[str, Schema], public: Iterable[str]) -> Callable[[], Schema]:
    """Replaces `app.openapi`: FastAPI's own, with the schemas and who may ask. Made once."""

    def make() -> Schema:
        if app.openapi_schema is None:
            document = get_openapi(
                title="bluegreen",
                version=__version__,
                openapi_version="3.1.0",
                description=DESCRIPTION,
                routes=app.routes,
                tags=[{"name": name, "description": text} for name, text in TAGS.items()],
            )
            document["components"] = {
                "schemas": dict(schemas),
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            }
            document["security"] = [{"token": []}]
            for path in public:
                for operation in document["paths"].get(path, {}).values():
                    operation["security"] = []
            app.openapi_schema = document
        return app.openapi_schema

    return make
