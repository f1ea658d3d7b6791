import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  OcspStapleSchema,
  ProxySettingsSchema,
  RevokedSetSchema,
  TrustBundleSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { makePrivateKey } from './make-private-key.ts';
import { writeStateFile } from './state-file.ts';
import { openStateDirectory } from './state-directory.ts';
import type { StoredIdentity } from './stored-identity.ts';

const authority = makeTestAuthority(Date.UTC(2026, 10, 24));
const spiffeId = parseSpiffeId('spiffe://example.test/prod/orders');
const credential = authority.issue({ uris: [spiffeId] });
const identity: StoredIdentity = {
  proxyId: 'proxy_00000000000000000000000001',
  spiffeId,
  controlPlane: parseSpiffeId('spiffe://example.test/prod/countersign/control-plane'),
  privateKey: credential.key,
  chain: credential.chain,
  roots: [authority.root.der],
  renewalEpoch: 3n,
};
const folder = () => mkdtemp(join(tmpdir(), 'countersign-state-'));

test('a new folder is ours alone and holds nothing', async () => {
  const path = join(await folder(), 'deep', 'state');
  const state = await openStateDirectory(path);
  assert.equal((await stat(path)).mode & 0o777, 0o700);
  assert.equal(await state.readIdentity(), null);
  assert.equal(await state.readSettings(), null);
  assert.equal(await state.readTrustBundle(), null);
  assert.equal(await state.readRevokedSet(), null);
  assert.equal(await state.readJoiningKey(), null);
});

test('everything that was written is read again by the next process, from files of mode 600', async () => {
  const path = await folder();
  const first = await openStateDirectory(path);
  await first.writeIdentity(identity);
  await first.writeSettings(create(ProxySettingsSchema, { generation: 9n }));
  await first.writeTrustBundle(create(TrustBundleSchema, { sequence: 2n }));
  await first.writeRevokedSet(create(RevokedSetSchema, { sequence: 4n, suspendedSpiffeIds: ['x'] }));
  const seen = new Map([['endpoint_1', new Set(['ab'.repeat(32), 'cd'.repeat(32)])]]);
  await first.writeSeenKeys(seen);
  await first.writeStaple(create(OcspStapleSchema, { response: Uint8Array.of(7) }));
  const joining = await makePrivateKey();
  await first.writeJoiningKey(joining);
  const next = await openStateDirectory(path);
  const read = (await next.readIdentity())!;
  assert.ok(read.privateKey.equals(identity.privateKey));
  assert.deepEqual(
    { ...read, privateKey: null, chain: read.chain.map(Buffer.from), roots: [] },
    { ...identity, privateKey: null, chain: identity.chain.map(Buffer.from), roots: [] },
  );
  assert.equal((await next.readSettings())?.generation, 9n);
  assert.equal((await next.readTrustBundle())?.sequence, 2n);
  assert.deepEqual((await next.readRevokedSet())?.suspendedSpiffeIds, ['x']);
  assert.ok((await next.readJoiningKey())?.equals(joining));
  assert.deepEqual(await next.readSeenKeys(), seen);
  assert.deepEqual(Buffer.from((await next.readStaple())!.response), Buffer.from([7]));
  for (const name of await readdir(path)) assert.equal((await stat(join(path, name))).mode & 0o777, 0o600, name);
  await next.dropJoiningKey();
  assert.equal(await next.readJoiningKey(), null);
});

test('keys of third parties are read whole, or not at all', async () => {
  const path = await folder();
  const state = await openStateDirectory(path);
  for (const content of ['', '7', '[]', 'null', '{"a":"x"}', '{"a":["x"]}', `{"a":["${'AB'.repeat(32)}"]}`, '{"a":[7]}']) {
    await writeStateFile(path, 'seen-keys', Buffer.from(content));
    await assert.rejects(state.readSeenKeys(), { code: 'state-corrupt' }, content);
  }
});

test('fields of a later release survive a read and a write', async () => {
  const state = await openStateDirectory(await folder());
  const settings = create(ProxySettingsSchema, { generation: 1n });
  settings.$unknown = [{ no: 1_900, wireType: 0, data: new Uint8Array([7]) }];
  await state.writeSettings(settings);
  await state.writeSettings((await state.readSettings())!);
  assert.deepEqual(Buffer.from((await state.readSettings())!.$unknown![0]!.data), Buffer.from([7]));
});

test('what a crash left half written is swept away, and nobody reads it', async () => {
  const path = await folder();
  const state = await openStateDirectory(path);
  await state.writeSettings(create(ProxySettingsSchema, { generation: 1n }));
  await writeFile(join(path, '.settings.abcdef.tmp'), 'half', { mode: 0o600 });
  const next = await openStateDirectory(path);
  assert.deepEqual(await readdir(path), ['settings']);
  assert.equal((await next.readSettings())?.generation, 1n);
});

test('of many concurrent writes one is kept whole', async () => {
  const state = await openStateDirectory(await folder());
  await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      state.writeSettings(create(ProxySettingsSchema, { generation: BigInt(i + 1), proxyName: 'x'.repeat(1_000 * i) })),
    ),
  );
  const read = (await state.readSettings())!;
  assert.equal(read.proxyName.length, 1_000 * (Number(read.generation) - 1));
});

const damages: { readonly [what: string]: (octets: Buffer) => Buffer } = {
  'an empty file': () => Buffer.alloc(0),
  'no header': (octets) => octets.subarray(octets.indexOf(10) + 1),
  'a cut end': (octets) => octets.subarray(0, -1),
  'an added end': (octets) => Buffer.concat([octets, Buffer.from([0])]),
  'one changed bit': (octets) => Buffer.concat([octets.subarray(0, -1), Buffer.from([octets.at(-1)! ^ 1])]),
  'zeros, as after a power failure': (octets) => Buffer.alloc(octets.length),
};
for (const [what, damage] of Object.entries(damages)) {
  test(`refuses ${what}`, async () => {
    const path = await folder();
    const state = await openStateDirectory(path);
    await state.writeIdentity(identity);
    await writeFile(join(path, 'identity'), damage(await readFile(join(path, 'identity'))));
    await assert.rejects(state.readIdentity(), { code: 'state-corrupt' });
  });
}

test('refuses a file that was another one', async () => {
  const path = await folder();
  const state = await openStateDirectory(path);
  await state.writeSettings(create(ProxySettingsSchema, { generation: 1n }));
  await rename(join(path, 'settings'), join(path, 'trust-bundle'));
  await assert.rejects(state.readTrustBundle(), { code: 'state-corrupt' });
});

test('refuses a key that is not that of the certificate', async () => {
  const state = await openStateDirectory(await folder());
  await state.writeIdentity({ ...identity, privateKey: await makePrivateKey() });
  await assert.rejects(state.readIdentity(), { code: 'state-corrupt' });
});

test('refuses a folder or a file that is open to others', async () => {
  const path = await folder();
  const state = await openStateDirectory(path);
  await state.writeIdentity(identity);
  await chmod(join(path, 'identity'), 0o640);
  await assert.rejects(state.readIdentity(), { code: 'state-permissions' });
  for (const mode of [0o750, 0o701, 0o777]) {
    await chmod(path, mode);
    await assert.rejects(openStateDirectory(path), { code: 'state-permissions' });
  }
});

test('refuses links, wherever they lead', async () => {
  const path = await folder();
  const state = await openStateDirectory(path);
  await state.writeIdentity(identity);
  await rename(join(path, 'identity'), join(path, 'elsewhere'));
  await symlink(join(path, 'elsewhere'), join(path, 'identity'));
  await assert.rejects(state.readIdentity(), { code: 'state-permissions' });
  const link = join(await folder(), 'link');
  await symlink(path, link);
  await assert.rejects(openStateDirectory(link), { code: 'state-permissions' });
  await rm(link);
});

test('no message names a secret', async () => {
  const path = await folder();
  const state = await openStateDirectory(path);
  await state.writeIdentity(identity);
  const octets = await readFile(join(path, 'identity'));
  await writeFile(join(path, 'identity'), octets.subarray(0, -1));
  await assert.rejects(state.readIdentity(), (error: Error) => !error.message.includes(octets.subarray(-40).toString()));
});
