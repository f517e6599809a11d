"use strict";
const api = JSON.parse(document.getElementById("document").textContent);
const schemas = api.components.schemas;

function make(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function nameOf(schema) {
  return schema.$ref ? schema.$ref.split("/").pop() : "";
}

function resolved(schema) {
  return schema.$ref ? schemas[nameOf(schema)] || {} : schema;
}

/* A type in a few words: `text`, `DeploymentView or null`, `list of text`. */
function typeOf(schema) {
  if (!schema) return "anything";
  if (schema.$ref) return nameOf(schema);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.type === "array") return "list of " + typeOf(schema.items);
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return "object of " + typeOf(schema.additionalProperties);
  }
  return { string: "text", integer: "whole number", boolean: "true or false" }[schema.type] || schema.type || "anything";
}

function row(name, note, schema, description) {
  const line = make("tr"), first = make("td"), second = make("td", typeOf(schema)), third = make("td", description || "");
  first.append(make("code", name), " ", make("small", note));
  if (schema && schema.default !== undefined && schema.default !== "") {
    third.append(" ", make("em", "Default: " + JSON.stringify(schema.default)));
  }
  line.append(first, second, third);
  return line;
}

/* Every property of a schema, and below it those of the schemas it names, each once. */
function schemaTables(schema, into, seen) {
  const whole = resolved(schema), name = nameOf(schema) || whole.title || "";
  if (seen.has(name) || !whole.properties) return;
  seen.add(name);
  const table = make("table"), required = new Set(whole.required || []), found = [];
  for (const [field, inner] of Object.entries(whole.properties)) {
    table.append(row(field, required.has(field) ? "required" : "", inner, inner.description));
    JSON.stringify(inner, (key, value) => {
      if (key === "$ref") found.push({ $ref: value });
      return value;
    });
  }
  into.append(make("h3", name || "body"));
  if (whole.description) into.append(make("p", whole.description));
  into.append(table);
  found.forEach((one) => schemaTables(one, into, seen));
}

function fill(body, operation) {
  body.append(make("p", operation.description || ""));
  if (operation.parameters) {
    const table = make("table");
    for (const one of operation.parameters) {
      table.append(row(one.name, one.in + (one.required ? ", required" : ""), one.schema, one.description));
    }
    body.append(make("h3", "Parameters"), table);
  }
  if (operation.requestBody) {
    body.append(make("h3", "Body: application/json"));
    schemaTables(operation.requestBody.content["application/json"].schema, body, new Set());
  }
  const table = make("table");
  for (const [status, answer] of Object.entries(operation.responses)) {
    const [kind, content] = Object.entries(answer.content || {})[0] || ["", {}];
    table.append(row(status, kind, content.schema, answer.description));
  }
  body.append(make("h3", "Answers"), table);
  for (const answer of Object.values(operation.responses)) {
    const content = (answer.content || {})["application/json"];
    if (content) schemaTables(content.schema, body, new Set());
  }
}

function entry(path, method, operation) {
  const details = make("details"), summary = make("summary"), body = make("div");
  summary.append(make("b", method.toUpperCase(), method), path, make("small", operation.summary || ""));
  details.append(summary, body);
  details.id = operation.operationId;
  details.dataset.words = [path, operation.operationId, operation.summary, operation.description].join(" ").toLowerCase();
  details.addEventListener("toggle", () => { if (details.open && !body.hasChildNodes()) fill(body, operation); });
  return details;
}

function show() {
  const main = document.getElementById("operations");
  for (const tag of api.tags) {
    const section = make("section"), title = make("h2", tag.name);
    title.append(make("small", tag.description));
    section.append(title);
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if ((operation.tags || [])[0] === tag.name) section.append(entry(path, method, operation));
      }
    }
    main.append(section);
  }
}

function filter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("section")) {
    let any = false;
    for (const details of section.querySelectorAll("details")) {
      details.hidden = !words.every((word) => details.dataset.words.includes(word));
      any = any || !details.hidden;
    }
    section.hidden = !any;
  }
}

document.getElementById("version").textContent = api.info.version;
document.getElementById("about").textContent = api.info.description;
document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value));
show();
