import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { BundleAuthority_Role, TicketKeysSchema, TrustBundleSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import {
  callOverTls,
  clientOptions,
  inboundTo,
  modes,
  ORDERS,
  ProxyLab,
  type Seen,
  STOREFRONT,
  TRUST_DOMAIN,
} from '../../../test/support/proxy-lab.ts';
import { keyNamed, makeTicketKeys } from './ticket-keys.ts';

type Keys = { readonly sealing: Uint8Array; readonly accepted: readonly Uint8Array[] };
type Replicas = { readonly labs: readonly [ProxyLab, ProxyLab]; readonly ports: readonly [number, number] };

const key = (): Uint8Array => randomBytes(48);
const keysOf = (sealing = key(), accepted: readonly Uint8Array[] = []): Keys => ({ sealing, accepted });

function give(lab: ProxyLab, { sealing, accepted }: Keys, spiffeId: string = ORDERS) {
  return lab.proxy.applyTicketKeys(create(TicketKeysSchema, { spiffeId, sealing, accepted: [...accepted] }));
}

/** Two replicas of orders, closed when the test ends. */
async function openReplicas(t: TestContext, mode: keyof typeof modes = 'enforce'): Promise<Replicas> {
  const first = new ProxyLab(ORDERS);
  const labs = [first, new ProxyLab(ORDERS, first.authority)] as const;
  const origin = await first.origin();
  for (const lab of labs) {
    t.after(() => lab[Symbol.asyncDispose]());
    await lab.proxy.applyTrustBundle(lab.bundle());
  }
  await labs[0].apply({ inbound: [inboundTo(origin.port, mode)] });
  await labs[1].apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  return { labs, ports: [labs[0].portOf(0), labs[1].portOf(0)] };
}

async function resume(port: number, client: ConnectionOptions, { session }: Seen): Promise<Seen> {
  assert.ok(session !== null, 'a session to resume');
  return callOverTls(port, { ...client, session });
}

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a session of one replica resumes at another under shared keys, by its identity (${maxVersion})`, async (t) => {
    const { labs, ports } = await openReplicas(t);
    const shared = keysOf();
    for (const lab of labs) assert.equal((await give(lab, shared)).kind, 'accepted');
    const client = { ...clientOptions(labs[0].authority.issue({ uris: [STOREFRONT] })), maxVersion };
    const seen = await resume(ports[1], client, await callOverTls(ports[0], client));
    assert.equal(seen.resumed, true);
    assert.match(seen.text, /^HTTP\/1\.1 200 /);
    assert.match(seen.text, new RegExp(`URI=${STOREFRONT}`));
  });

  test(`a revoked client that resumes at another replica is refused (${maxVersion})`, async (t) => {
    const { labs, ports } = await openReplicas(t);
    const shared = keysOf();
    for (const lab of labs) await give(lab, shared);
    const credential = labs[0].authority.issue({ uris: [STOREFRONT] });
    const client = { ...clientOptions(credential), maxVersion };
    const before = await callOverTls(ports[0], client);
    labs[1].revoke({ credentials: [credential] });
    const seen = await resume(ports[1], client, before);
    assert.deepEqual([seen.resumed, seen.text], [true, '']);
    const [refusal] = labs[1].refusals();
    assert.deepEqual([refusal!.reason, refusal!.resumed, refusal!.caller], ['revoked', true, STOREFRONT]);
  });
}

test('a suspended identity that resumes at another replica is refused', async (t) => {
  const { labs, ports } = await openReplicas(t);
  const shared = keysOf();
  for (const lab of labs) await give(lab, shared);
  const client = clientOptions(labs[0].authority.issue({ uris: [STOREFRONT] }));
  const before = await callOverTls(ports[0], client);
  labs[1].revoke({ suspended: [STOREFRONT] });
  assert.equal((await resume(ports[1], client, before)).text, '');
  assert.equal(labs[1].refusals()[0]!.reason, 'suspended');
});

test('a client of a foreign authority gains nothing by a session that it was given where nobody is refused', async (t) => {
  const { labs, ports } = await openReplicas(t, 'permissive');
  const shared = keysOf();
  for (const lab of labs) await give(lab, shared);
  const foreign = new ProxyLab();
  t.after(() => foreign[Symbol.asyncDispose]());
  const client = clientOptions(foreign.authority.issue({ uris: [STOREFRONT] }));
  const before = await callOverTls(ports[0], client);
  assert.match(before.text, /^HTTP\/1\.1 200 /);
  const seen = await resume(ports[1], client, before);
  assert.deepEqual([seen.resumed, seen.text], [true, '']);
  assert.equal(labs[1].refusals()[0]!.reason, 'unverified-resumption');
});

test('where the bundle names no issuing authority a session of another replica proves nothing, and a full handshake does', async (t) => {
  const { labs, ports } = await openReplicas(t);
  const shared = keysOf();
  const authorities = [{ role: BundleAuthority_Role.ROOT, certificate: labs[0].authority.root.der }];
  for (const lab of labs) {
    await give(lab, shared);
    await lab.proxy.applyTrustBundle(create(TrustBundleSchema, { trustDomain: TRUST_DOMAIN, sequence: 2n, authorities }));
  }
  const client = clientOptions(labs[0].authority.issue({ uris: [STOREFRONT] }));
  const before = await callOverTls(ports[0], client);
  assert.equal((await resume(ports[1], client, before)).text, '');
  assert.equal(labs[1].refusals()[0]!.reason, 'unverified-resumption');
  assert.match((await callOverTls(ports[1], client)).text, /^HTTP\/1\.1 200 /);
});

test('a session does not resume where the keys are others', async (t) => {
  const { labs, ports } = await openReplicas(t);
  for (const lab of labs) await give(lab, keysOf());
  const client = clientOptions(labs[0].authority.issue({ uris: [STOREFRONT] }));
  const seen = await resume(ports[1], client, await callOverTls(ports[0], client));
  assert.equal(seen.resumed, false);
  assert.match(seen.text, /^HTTP\/1\.1 200 /);
});

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`no session is lost to a rotation, at the replica that has it nor at the one that has not (${maxVersion})`, async (t) => {
    const { labs, ports } = await openReplicas(t);
    const [previous, first, second, third] = [key(), key(), key(), key()];
    for (const lab of labs) await give(lab, keysOf(first, [second, previous]));
    const client = { ...clientOptions(labs[0].authority.issue({ uris: [STOREFRONT] })), maxVersion };
    const before = await callOverTls(ports[0], client);
    await give(labs[0], keysOf(second, [third, first]));
    assert.equal((await resume(ports[0], client, before)).resumed, true, 'of before, at the one that is ahead');
    const after = await callOverTls(ports[0], client);
    assert.equal((await resume(ports[1], client, after)).resumed, true, 'of the one that is ahead, at the one behind');
  });
}

test('when all keys are replaced every session of before is lost', async (t) => {
  const { labs, ports } = await openReplicas(t);
  await give(labs[0], keysOf(key(), [key(), key()]));
  const client = clientOptions(labs[0].authority.issue({ uris: [STOREFRONT] }));
  const before = await callOverTls(ports[0], client);
  await give(labs[0], keysOf(key(), [key(), key()]));
  assert.equal((await resume(ports[0], client, before)).resumed, false);
});

test('a session lives on over a revocation of somebody else', async (t) => {
  const { labs, ports } = await openReplicas(t);
  const client = clientOptions(labs[0].authority.issue({ uris: [STOREFRONT] }));
  const before = await callOverTls(ports[0], client);
  labs[0].revoke({ credentials: [labs[0].authority.issue({ uris: [ORDERS] })] });
  assert.equal((await resume(ports[0], client, before)).resumed, true);
});

test('keys of another identity, of another length or of a great number are refused, and what they are is told to nobody', async (t) => {
  const { labs, ports } = await openReplicas(t);
  const client = clientOptions(labs[0].authority.issue({ uris: [STOREFRONT] }));
  const before = await callOverTls(ports[0], client);
  const short = randomBytes(47);
  const answers = [
    await give(labs[0], keysOf(), STOREFRONT),
    await give(labs[0], keysOf(short)),
    await give(labs[0], keysOf(key(), [short])),
    await give(labs[0], keysOf(key(), Array.from({ length: 5 }, key))),
  ];
  for (const answer of answers) assert.equal(answer.kind, 'refused');
  const said = JSON.stringify([answers, labs[0].log]);
  for (const form of ['hex', 'base64', 'base64url'] as const) assert.equal(said.includes(short.toString(form).slice(0, 12)), false);
  assert.equal((await resume(ports[0], client, before)).resumed, true, 'the keys of before stay');
});

test('keyNamed() takes the sealing key for a name that nobody knows', () => {
  const keys = { ...makeTicketKeys(), accepted: [Buffer.from(key()), Buffer.from(key())] };
  assert.equal(keyNamed(keys, null).key, keys.sealing);
  assert.equal(keyNamed(keys, randomBytes(16)).key, keys.sealing);
  assert.equal(keyNamed(keys, keys.accepted[1]!.subarray(0, 16)).key, keys.accepted[1]);
});
