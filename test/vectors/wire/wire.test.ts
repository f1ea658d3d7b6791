import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { createRegistry, equals, fromBinary, fromJson, toBinary, toJson } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { ProxySettingsSchema } from '../../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { wireMessages } from './wire-messages.ts';

const registry = createRegistry(...wireMessages.values());
const vectors = globSync('*/*.bin', { cwd: import.meta.dirname }).toSorted();

/** Fields that no release has: what a newer release may have added. */
function laterFields(): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1_900, WireType.LengthDelimited).string('from a later release');
  writer.tag(1_901, WireType.Varint).uint64(7n);
  writer.tag(1_902, WireType.Bit32).fixed32(7);
  return writer.finish();
}

test('there are golden messages of the first release, one for each message that it had', () => {
  const names = new Set(vectors.filter((path) => path.startsWith('0.1.0/')).map((path) => basename(path, '.bin')));
  for (const name of [
    'countersign.v1.ProxySettings',
    'countersign.v1.TelemetryReport',
    'countersign.v1.JoinRequest',
    'countersign.v1.RevokedSet',
  ]) {
    assert.ok(names.has(name), name);
  }
});

for (const path of vectors) {
  const name = basename(path, '.bin');
  const octets = readFileSync(join(import.meta.dirname, path));
  const json = JSON.parse(readFileSync(join(import.meta.dirname, path.replace(/\.bin$/, '.json')), 'utf8'));
  const schema = wireMessages.get(name);

  test(`${path} is understood as it was written`, () => {
    assert.ok(schema, 'a message of a release may not vanish');
    const message = fromBinary(schema, octets);
    assert.deepEqual(toJson(schema, message, { registry }), json);
    assert.ok(equals(schema, fromJson(schema, json, { registry }), message, { registry, unpackAny: true }));
    assert.ok(Buffer.from(toBinary(schema, message)).equals(octets));
  });

  test(`${path} with fields of a later release keeps them`, () => {
    const later = Buffer.concat([octets, laterFields()]);
    assert.ok(Buffer.from(toBinary(schema!, fromBinary(schema!, later))).equals(later));
  });

  test(`${path} cut anywhere decodes to something else or to nothing`, () => {
    for (let length = 0; length < octets.length; length += 1 + (octets.length >> 6)) {
      try {
        assert.notDeepEqual(toJson(schema!, fromBinary(schema!, octets.subarray(0, length)), { registry }), json);
      } catch (error) {
        assert.ok(error instanceof Error);
      }
    }
  });
}

test('fields of a later release inside of a nested message are kept too', () => {
  const inner = new BinaryWriter().tag(1, WireType.LengthDelimited).string('endpoint_a').raw(laterFields()).finish();
  const settings = new BinaryWriter().tag(8, WireType.LengthDelimited).bytes(inner).finish();
  const message = fromBinary(ProxySettingsSchema, settings);
  assert.equal(message.inbound[0]?.endpointId, 'endpoint_a');
  assert.ok(Buffer.from(toBinary(ProxySettingsSchema, message)).equals(settings));
});
