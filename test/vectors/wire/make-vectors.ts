/**
 * Writes the golden messages of a release: `node test/vectors/wire/make-vectors.ts 0.1.0`. Every field of every message is set.
 * A release's vectors are made once and never again; an existing folder is left alone and the exit code is 1.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createRegistry,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  ScalarType,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { wireMessages } from './wire-messages.ts';

const registry = createRegistry(...wireMessages.values());

/** JSON with every field set, each value told apart by its field's name and number. Of a oneof, `turn` chooses the member. */
function fillMessage(schema: DescMessage, turn: number): JsonObject {
  if (schema.typeName === 'google.protobuf.Any') return { '@type': 'type.googleapis.com/countersign.v1.TelemetryAck', sequence: '7' };
  if (schema.typeName === 'google.protobuf.Struct') return { name: 'value', number: 1 };
  const filled: JsonObject = {};
  for (const field of schema.fields) {
    const members = field.oneof?.fields;
    if (members !== undefined && members[turn % members.length] !== field) continue;
    filled[field.jsonName] = fillField(field, turn);
  }
  return filled;
}

function fillField(field: DescField, turn: number): JsonValue {
  if (field.fieldKind === 'list') return [0, 1].map((item) => fillValue(field, turn + item));
  if (field.fieldKind === 'map') return { first: fillValue(field, turn), second: fillValue(field, turn + 1) };
  return fillValue(field, turn);
}

function fillValue(field: DescField, turn: number): JsonValue {
  if (field.message?.typeName === 'google.protobuf.Duration') return `${field.number}.5s`;
  if (field.message !== undefined) return fillMessage(field.message, turn);
  if (field.enum !== undefined) return field.enum.values[1 + (turn % (field.enum.values.length - 1))]!.name;
  if (field.scalar === ScalarType.STRING) return `${field.name}-${turn} é`;
  if (field.scalar === ScalarType.BYTES) return Buffer.from([0, field.number, turn, 255]).toString('base64');
  if (field.scalar === ScalarType.BOOL) return true;
  if (field.scalar === ScalarType.UINT64 || field.scalar === ScalarType.INT64) return `${2n ** 40n + BigInt(field.number)}`;
  return field.number * 1000 + turn;
}

const release = process.argv[2] ?? '';
const folder = join(import.meta.dirname, release);
if (!/^\d+\.\d+\.\d+$/.test(release) || existsSync(folder)) {
  process.stderr.write(`Cannot write vectors of release ${JSON.stringify(release)}: expected a new x.y.z\n`);
  process.exitCode = 1;
} else {
  mkdirSync(folder);
  for (const [name, schema] of wireMessages) {
    const message = fromJson(schema, fillMessage(schema, 0), { registry });
    writeFileSync(join(folder, `${name}.bin`), toBinary(schema, message));
    writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(toJson(schema, message, { registry }), null, 2)}\n`);
  }
}
