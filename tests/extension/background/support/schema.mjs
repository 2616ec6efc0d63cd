// The part of JSON Schema that tests/contract/schema.json uses.
import { readFileSync, readdirSync } from "node:fs";

const CONTRACT = new URL("../../../contract/", import.meta.url);
const schema = JSON.parse(readFileSync(new URL("schema.json", CONTRACT), "utf8"));
const TYPES = {
  object: (value) => value !== null && typeof value === "object" && !Array.isArray(value),
  array: Array.isArray,
  string: (value) => typeof value === "string",
  integer: Number.isInteger,
  null: (value) => value === null,
};
const KNOWN = new Set("$ref $schema title description type properties required additionalProperties const enum oneOf anyOf items minItems maxItems minimum maximum minLength maxLength pattern $defs".split(" "));

/** What is wrong with a value; "" when it fits. */
export function fault(value, rule, where = "message") {
  for (const word of Object.keys(rule)) if (!KNOWN.has(word)) throw new Error(`the test's validator does not know ${word}`);
  if (rule.$ref) return fault(value, schema.$defs[rule.$ref.split("/").at(-1)], where);
  if (rule.oneOf) return rule.oneOf.filter((one) => fault(value, one, where) === "").length === 1 ? "" : `${where} fits none: ${JSON.stringify(value)}`;
  if (rule.type && ![rule.type].flat().some((type) => TYPES[type](value))) return `${where} is no ${rule.type}: ${JSON.stringify(value)}`;
  if ("const" in rule && value !== rule.const) return `${where} is not ${rule.const}`;
  if (rule.enum && !rule.enum.includes(value)) return `${where} is none of ${rule.enum}`;
  if (typeof value === "string") {
    if (value.length < (rule.minLength ?? 0) || value.length > (rule.maxLength ?? Infinity)) return `${where} has a wrong length`;
    if (rule.pattern && !new RegExp(rule.pattern).test(value)) return `${where} does not fit ${rule.pattern}`;
  }
  if (typeof value === "number" && (value < (rule.minimum ?? -Infinity) || value > (rule.maximum ?? Infinity))) return `${where} is out of range`;
  if (Array.isArray(value)) {
    if (value.length < (rule.minItems ?? 0) || value.length > (rule.maxItems ?? Infinity)) return `${where} has a wrong number of items`;
    for (const [index, one] of value.entries()) {
      const wrong = rule.items && fault(one, rule.items, `${where}[${index}]`);
      if (wrong) return wrong;
    }
  } else if (TYPES.object(value)) {
    for (const name of rule.required ?? []) if (!(name in value)) return `${where} lacks ${name}`;
    for (const [name, one] of Object.entries(value)) {
      const property = rule.properties?.[name];
      if (!property && rule.additionalProperties === false) return `${where} may not have ${name}`;
      const wrong = property && fault(one, property, `${where}.${name}`);
      if (wrong) return wrong;
    }
  }
  return "";
}

/** What is wrong with a message of a client, after the way through JSON text that it takes. */
export const clientFault = (message) => fault(JSON.parse(JSON.stringify(message)), schema.$defs.client);

export const conversations = () =>
  readdirSync(new URL("conversations/", CONTRACT)).map((file) => ({
    name: file.replace(/\.json$/, ""),
    ...JSON.parse(readFileSync(new URL(`conversations/${file}`, CONTRACT), "utf8")),
  }));
