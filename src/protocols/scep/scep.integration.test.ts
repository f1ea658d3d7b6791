import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import {
  firstOf,
  listOf,
  makeMessage,
  openScepLab,
  readAnswer,
  type ScepClient,
  type ScepOrder,
  textOf,
} from '../../../test/support/scep-lab.ts';
import { revokeToken } from '../../control/access/revoke-token.ts';
import { approveRequest } from '../../control/ca/judge-request.ts';
import { reconcileAuthorities } from '../../control/ca/reconcile.ts';
import { revokeCertificate } from '../../control/ca/revoke-certificate.ts';
import { resumeIdentity, suspendIdentity } from '../../control/ca/suspend-identity.ts';
import { revokeGrant } from '../../control/grants/revoke-grant.ts';
import { assembleSignedData, buildSignedAttributes } from '../../core/cms/build-signed-data.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { buildCertificateRequest, type RequestFields } from '../../core/x509/certificate-request.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import { parseCertificateList } from '../../core/x509/certificate-list.ts';
import { equalOctets, tags } from '../../core/x509/der.ts';
import { encodeDer, primitive, raw, sequence } from '../../core/x509/der-writer.ts';
import { oids } from '../../core/x509/oid.ts';
import { sealEnvelope } from '../../platform/cms/seal-envelope.ts';
import { ensureRegistrationAuthority } from './registration-authority.ts';

const scratch = mkdtempSync(join(tmpdir(), 'countersign-scep-'));
const lab = await openScepLab(`sqlite:${join(scratch, 'scep.sqlite')}`, {
  device: { base: 'server', extendedKeyUsage: ['clientAuth'], names: { dns: ['*.devices.example'] }, askers: { scep: {}, renewal: {} } },
  theirs: { base: 'server', askers: { scep: { roles: ['operator'] } } },
  named: { base: 'server', askers: { scep: { identities: ['another'] } } },
  slow: { base: 'server', askers: { scep: {} }, approvals: {} },
  'slow-workload': { base: 'workload', askers: { scep: {} }, approvals: {} },
});
after(async () => {
  await lab[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});
const { body: caCert } = await lab.call('operation=GetCACert');
const ra = firstOf(caCert);
/** Whoever signs with a certificate of anybody: what a device makes itself is as good. */
const anybody = makeTestAuthority(lab.clock.now());

function device(key: KeyObject = generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey): ScepClient {
  return { key, certificate: anybody.issue({ dnsNames: ['self.example'], publicKey: createPublicKey(key) }).certificate };
}

const NAME = 'a.devices.example';
const csr = (client: ScepClient, challengePassword?: string, fields: RequestFields = { dnsNames: [NAME] }): Uint8Array =>
  buildCertificateRequest({ ...fields, ...(challengePassword === undefined ? {} : { challengePassword }) }, client.key);

async function send(client: ScepClient, order: Partial<ScepOrder> & Pick<ScepOrder, 'content'>) {
  const { status, type, body } = await lab.post(makeMessage(client, { type: '19', recipient: ra, ...order }));
  assert.equal(status, 200, body.toString());
  assert.equal(type, 'application/x-pki-message');
  return readAnswer(client, ra, body);
}

async function enrolled(names: readonly string[] = [NAME]) {
  const client = device();
  const challenge = await lab.challengeFor(names, { profile: 'device' });
  const { certificate } = await send(client, { content: csr(client, challenge.text, { dnsNames: [...names] }) });
  return { key: client.key, certificate: certificate! };
}

const named = ({ issuer, serial }: Certificate) => encodeDer(sequence(raw(issuer.der), primitive(tags.integer, serial)));

const failed = (
  answer: { readonly status: string; readonly failInfo: string | null; readonly certificate: unknown },
  failInfo: string,
): void => {
  assert.deepEqual([answer.status, answer.failInfo, answer.certificate], ['2', failInfo, null]);
};
const reasons = (): readonly string[] =>
  lab.logged.filter(({ event }) => event === 'scep.refused').map(({ fields }) => String(fields['reason']));

test('what the server says that it can, it can, and nothing else', async () => {
  const caps = await lab.call('operation=GetCACaps');
  assert.equal(caps.type, 'text/plain');
  assert.equal(caps.body.toString(), 'AES\nPOSTPKIOperation\nRenewal\nSHA-256\nSHA-384\nSHA-512\nSCEPStandard\n');
  assert.deepEqual([...(ra.keyUsage ?? [])].toSorted(), ['digitalSignature', 'keyEncipherment']);
  assert.deepEqual(ra.extendedKeyUsage, [oids.cmcRa]);
});

test('a challenge buys its names, by POST and by GET, and the answer says whose transaction it is', async () => {
  const client = device();
  const challenge = await lab.challengeFor([NAME, 'b.devices.example'], { profile: 'device' });
  const message = makeMessage(client, {
    type: '19',
    content: csr(client, challenge.text),
    recipient: ra,
    cipher: 'aes-256-cbc',
    transactionId: 'Ab+/=12',
  });
  const { body } = await lab.call(`operation=PKIOperation&message=${encodeURIComponent(Buffer.from(message).toString('base64'))}`);
  const answer = readAnswer(client, ra, body);
  assert.deepEqual([answer.status, answer.cipher], ['0', 'aes-256-cbc']);
  assert.deepEqual(answer.certificate?.subjectAltNames.dns, [NAME, 'b.devices.example']);
  assert.equal(textOf(answer.signed, oids.scepTransactionId), 'Ab+/=12');
  assert.equal(textOf(answer.signed, oids.scepMessageType), '3');
  const reserved = lab.ca.entriesOf('certificate.reserved').at(-1);
  assert.deepEqual(
    [reserved?.data['door'], reserved?.data['challenge'], reserved?.actor],
    ['scep', challenge.id, { kind: 'machine', name: `scep:${challenge.id}` }],
  );
  // The answer was lost: the same again is the same certificate.
  const again = readAnswer(client, ra, (await lab.post(message)).body);
  assert.ok(equalOctets(again.certificate!.der, answer.certificate!.der));
});

test('a challenge serves one key in one transaction, once, in its time, while its maker has a token', async () => {
  const [client, other] = [device(), device()];
  failed(await send(client, { content: csr(client) }), '2');
  failed(await send(client, { content: csr(client, 'wrong') }), '2');
  failed(await send(client, { content: csr(client, '0'.repeat(26)) }), '2');
  const challenge = await lab.challengeFor([NAME], { profile: 'device' });
  assert.equal((await send(client, { content: csr(client, challenge.text) })).status, '0');
  failed(await send(client, { content: csr(client, challenge.text), transactionId: 'two' }), '2');
  failed(await send(other, { content: csr(other, challenge.text) }), '2');
  const revoked = await lab.challengeFor([NAME], { profile: 'device' });
  await revokeGrant(lab.ca, revoked.grant, { kind: 'person', name: 'ada' }, lab.clock.now());
  failed(await send(client, { content: csr(client, revoked.text) }), '2');
  const orphan = await lab.challengeFor([NAME], { profile: 'device' });
  await revokeToken(lab.ca, orphan.principal.tokenId, { kind: 'person', name: 'ada' }, lab.clock.now());
  failed(await send(client, { content: csr(client, orphan.text) }), '2');
  const old = await lab.challengeFor([NAME], { profile: 'device', ttlMs: HOUR_MS });
  lab.clock.advance(HOUR_MS);
  failed(await send(client, { content: csr(client, old.text) }), '2');
  for (const word of ['no such challenge', 'used', 'revoked', 'expired', 'no token any more'])
    assert.ok(
      reasons().some((reason) => reason.endsWith(word)),
      word,
    );
  assert.ok(lab.ca.entriesOf('request.refused').some(({ data }) => data['route'] === 'scep PKCSReq'));
});

test('the one evaluator judges what a challenge is used for', async () => {
  const client = device();
  const elsewhere = await lab.challengeFor(['a.example'], { profile: 'device' });
  failed(await send(client, { content: csr(client, elsewhere.text, { dnsNames: ['a.example'] }) }), '2');
  const more = await lab.challengeFor([NAME], { profile: 'device' });
  failed(await send(client, { content: csr(client, more.text, { dnsNames: [NAME, 'b.devices.example'] }) }), '2');
  assert.ok(reasons().some((reason) => reason.includes('permitted')) && reasons().some((reason) => reason.includes('csr-names')));
  // What was refused has not used it up.
  assert.equal((await send(client, { content: csr(client, more.text) })).status, '0');
  await assert.rejects(lab.challengeFor([]), { code: 'input-invalid' });
  await assert.rejects(lab.challengeFor(['a.example'], { profile: 'nothing' }), { code: 'input-invalid' });
  for (const profile of ['theirs', 'named']) await assert.rejects(lab.challengeFor(['a.example'], { profile }), { code: 'forbidden' });
  await assert.rejects(lab.challengeFor(['a.example'], { ttlMs: 91 * 24 * HOUR_MS }), { code: 'input-invalid' });
  await assert.rejects(lab.challengeFor(['not a name']), { code: 'identity-malformed' });
});

test('a holder renews by its certificate, with the same names, and not once it is revoked', async () => {
  const held = await enrolled();
  const next = device();
  const renewal = { type: '17', content: csr(next) } as const;
  const answer = await send(held, renewal);
  assert.deepEqual([answer.status, answer.certificate?.subjectAltNames.dns], ['0', [NAME]]);
  assert.ok(equalOctets(answer.certificate!.spki, next.certificate.spki));
  // Who caught the message on the wire and sends it again has nothing issued by it.
  assert.ok(equalOctets((await send(held, renewal)).certificate!.der, answer.certificate!.der));
  const after = await send({ key: next.key, certificate: answer.certificate! }, { type: '17', content: csr(next) });
  assert.ok(!equalOctets(after.certificate!.der, answer.certificate!.der), 'the same key, renewed by its last certificate');
  failed(await send(held, { type: '17', content: csr(device(), undefined, { dnsNames: ['b.devices.example'] }) }), '2');
  failed(await send(device(), renewal), '2');
  const { issuing } = lab.authorities;
  await revokeCertificate(
    { database: lab.ca.database, changed: lab.ca.changed },
    { issuerKeySha256: issuing[0]!.keySha256, serial: held.certificate.serial, reason: 'superseded' },
    { kind: 'person', name: 'ada' },
    lab.clock.now(),
  );
  failed(await send(held, renewal), '2');
});

test('a suspended identity has nothing for its challenge or its certificate, until it is let in again', async () => {
  const spiffeId = parseSpiffeId('spiffe://acme.example/production/camera');
  const change = { spiffeId, region: 'eu', reason: 'stolen' };
  const person = { kind: 'person', name: 'ada' } as const;
  const bought = async (client: ScepClient) => {
    const { text } = await lab.challengeFor([], { profile: 'workload', spiffeId });
    return { content: csr(client, text, { uris: [spiffeId] }) };
  };
  const client = device();
  const { certificate } = await send(client, await bought(client));
  const held = { key: client.key, certificate: certificate! };
  const [another, next] = [device(), device()];
  const order = await bought(another);
  const renewal = { type: '17', content: csr(next, undefined, { uris: [spiffeId] }) } as const;
  const [lost, poll] = [device(), { type: '20', content: Buffer.from('3000', 'hex') } as const];
  const answered = await bought(lost);
  assert.equal((await send(lost, answered)).status, '0');
  const issued = lab.ca.entriesOf('certificate.issued').length;
  await suspendIdentity(lab.ca, change, person, lab.clock.now());
  failed(await send(another, order), '2');
  failed(await send(held, renewal), '2');
  // An answer that was lost is not given again to whom nobody would give it for the first time.
  failed(await send(lost, answered), '2');
  failed(await send(lost, poll), '2');
  failed(await send(held, { type: '21', content: named(held.certificate) }), '2');
  assert.equal(lab.ca.entriesOf('certificate.issued').length, issued);
  const refused = lab.ca.entriesOf('request.refused').map(({ data }) => `${String(data['route'])} ${String(data['code'])}`);
  // Of the certificate that has fallen there is no entry but this.
  for (const entry of ['scep RenewalReq issuance-refused', 'scep CertPoll token-refused', 'scep GetCert token-refused'])
    assert.ok(refused.includes(entry), `${entry} in ${refused.join()}`);
  assert.ok(reasons().some((reason) => reason.includes(`${spiffeId} is suspended`)));
  await resumeIdentity(lab.ca, change, person, lab.clock.now());
  // What was refused has not used it up.
  assert.equal((await send(another, order)).status, '0');
  assert.equal((await send(held, renewal)).status, '0');
  assert.equal((await send(lost, answered)).status, '0');
  assert.equal((await send(lost, poll)).status, '0');
});

test('persons approve in vain once the identity is suspended, and what they agreed to before is kept from it', async () => {
  const spiffeId = parseSpiffeId('spiffe://acme.example/production/lens');
  const change = { spiffeId, region: 'eu', reason: 'stolen' };
  const person = { kind: 'person', name: 'ada' } as const;
  const poll = { type: '20', content: Buffer.from('3000', 'hex') } as const;
  const begin = async () => {
    const client = device();
    const { text } = await lab.challengeFor([], { profile: 'slow-workload', spiffeId });
    const filed = lab.entry('issuance-request.filed');
    const content = csr(client, text, { uris: [spiffeId] });
    assert.equal((await send(client, { content })).status, '3');
    return { client, content, id: String((await filed).data['requestId']) };
  };
  const [early, late] = [await begin(), await begin()];
  await lab.judge(early.id, 'approve');
  const issued = lab.ca.entriesOf('certificate.issued').length;
  await suspendIdentity(lab.ca, change, person, lab.clock.now());
  assert.equal((await lab.judge(late.id, 'approve')).status, 'refused');
  for (const { client, content } of [early, late]) {
    failed(await send(client, poll), '2');
    failed(await send(client, { content }), '2');
  }
  assert.equal(lab.ca.entriesOf('certificate.issued').length, issued);
  assert.match(String(lab.ca.entriesOf('issuance-request.refused').at(-1)?.data['reason']), /lens is suspended/);
  await resumeIdentity(lab.ca, change, person, lab.clock.now());
  failed(await send(late.client, poll), '2');
  assert.equal((await send(early.client, poll)).status, '0');
});

test('what waits is polled for by the key that asked, and by no other', async () => {
  const client = device();
  const challenge = await lab.challengeFor(['slow.example'], { profile: 'slow' });
  const filed = lab.entry('issuance-request.filed');
  const content = csr(client, challenge.text, { dnsNames: ['slow.example'] });
  assert.equal((await send(client, { content })).status, '3');
  const requestId = String((await filed).data['requestId']);
  assert.equal((await send(client, { content })).status, '3');
  const poll = { type: '20', content: Buffer.from('3000', 'hex') } as const;
  assert.equal((await send(client, poll)).status, '3');
  failed(await send(device(), poll), '4');
  failed(await send(client, { ...poll, transactionId: 'another' }), '4');
  await lab.judge(requestId, 'approve');
  const issued = await send(client, poll);
  assert.deepEqual([issued.status, issued.certificate?.subjectAltNames.dns], ['0', ['slow.example']]);
  assert.ok(equalOctets((await send(client, { content })).certificate!.der, issued.certificate!.der));
});

test('what was denied stays so; who made the challenge cannot approve', async () => {
  const client = device();
  const challenge = await lab.challengeFor(['denied.example'], { profile: 'slow' });
  const filed = lab.entry('issuance-request.filed');
  const content = csr(client, challenge.text, { dnsNames: ['denied.example'] });
  assert.equal((await send(client, { content })).status, '3');
  const requestId = String((await filed).data['requestId']);
  const own = { ...challenge.principal, role: 'operator' } as const;
  const second = (await lab.principalOf('operator', own.name)).principal;
  const deps = { ...lab.ca, authorities: lab.authorities, startOrder: async () => assert.fail('no other CA is asked') };
  for (const principal of [own, second]) {
    const judgement = { id: requestId, principal, actor: { kind: 'person', name: own.name } } as const;
    await assert.rejects(approveRequest(deps, judgement, lab.clock.now()), { code: 'forbidden' });
  }
  await lab.judge(requestId, 'deny');
  failed(await send(client, { content }), '2');
  failed(await send(client, { type: '20', content: Buffer.from('3000', 'hex') }), '2');
});

test('old digests and ciphers, and keys to which nothing can be encrypted, are refused by name', async () => {
  const client = device();
  const challenge = await lab.challengeFor([NAME], { profile: 'device' });
  const content = csr(client, challenge.text);
  for (const cipher of ['des-cbc', 'des-ede3-cbc'] as const) failed(await send(client, { content, cipher }), '0');
  const ec = device(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const message = makeMessage(ec, { type: '19', content: csr(ec, challenge.text), recipient: ra });
  failed(readAnswer(client, ra, (await lab.post(message)).body), '0');
  const small = device(generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey);
  failed(readAnswer(client, ra, (await lab.post(makeMessage(small, { type: '19', content: csr(client), recipient: ra }))).body), '0');
  assert.equal((await send(client, { content })).status, '0', 'nothing of it used the challenge up');
});

test('what does not open, makes no sense, or is of another key is one and the same refusal', async () => {
  const [client, other] = [device(), device()];
  const challenge = await lab.challengeFor([NAME], { profile: 'device' });
  const content = csr(client, challenge.text);
  failed(await send(client, { content: Buffer.from('garbage') }), '1');
  failed(await send(client, { content: new Uint8Array() }), '1');
  failed(await send(client, { content, recipient: client.certificate }), '1');
  failed(await send(client, { content, sealed: Buffer.from('3003020100', 'hex') }), '1');
  // An envelope that somebody else caught, under his own signature.
  failed(await send(other, { content }), '1');
  const message = makeMessage(client, { type: '19', content, recipient: ra });
  message[message.length - 1]! ^= 1;
  failed(readAnswer(client, ra, (await lab.post(message)).body), '1');
  assert.ok(reasons().includes('the signature does not verify') && reasons().includes('the signer has another key than the CSR'));
  failed(await send(client, { type: '9', content }), '2');
});

test('whether the padding of an envelope that was caught is right, no kind of message tells a stranger', async () => {
  const [client, stranger] = [device(), device()];
  const challenge = await lab.challengeFor([NAME], { profile: 'device' });
  const caught = sealEnvelope(csr(client, challenge.text), ra, 'aes-128-cbc');
  const changed = Uint8Array.from(caught);
  // A renewal (17) opens as a CSR whose own signature verifies, or not at all.
  // The last octet but one block: by CBC that of the padding, which is none then.
  changed[changed.length - 17]! ^= 0x80;
  for (const type of ['19', '20', '21', '22']) {
    const [right, wrong] = [
      await send(stranger, { type, content: caught, sealed: caught }),
      await send(stranger, { type, content: caught, sealed: changed }),
    ];
    assert.deepEqual([right.status, right.failInfo], [wrong.status, wrong.failInfo], `type ${type}`);
  }
});

test('a certificate is told who has one, its list everybody', async () => {
  const [one, two] = [await enrolled(), await enrolled(['b.devices.example'])];
  const content = named(two.certificate);
  const told = await send(one, { type: '21', content });
  assert.ok(equalOctets(told.certificate!.der, two.certificate.der));
  failed(await send(device(), { type: '21', content }), '2');
  failed(await send(one, { type: '21', content: named(device().certificate) }), '1');
  failed(await send(one, { type: '21', content: Buffer.from('3000', 'hex') }), '1');
  const { issuing } = lab.authorities;
  const key = { issuerKeySha256: issuing[0]!.keySha256, serial: two.certificate.serial };
  await revokeCertificate(
    { database: lab.ca.database, changed: lab.ca.changed },
    { ...key, reason: 'superseded' },
    { kind: 'person', name: 'ada' },
    lab.clock.now(),
  );
  failed(await send(two, { type: '21', content }), '2');
  await reconcileAuthorities(lab.ca, lab.clock.now());
  const listed = await send(device(), { type: '22', content });
  const { revoked } = parseCertificateList(listOf(listed.certsOnly!));
  assert.ok(revoked.some(({ serialHex }) => serialHex === two.certificate.serialHex));
  failed(
    await send(device(), { type: '22', content: encodeDer(sequence(raw(anybody.root.subject.der), primitive(tags.integer, key.serial))) }),
    '1',
  );
});

test('what is no message is refused without an answer of its own', async () => {
  const client = device();
  const unnamed = (() => {
    const attributes = buildSignedAttributes(null, []);
    return assembleSignedData({ content: null, signer: client.certificate, attributes, signature: sign('sha256', attributes, client.key) });
  })();
  const good = makeMessage(client, { type: '19', content: csr(client), recipient: ra });
  const bodies: readonly (readonly [body: Uint8Array, status: number])[] = [
    [new Uint8Array(), 400],
    [Buffer.from('not DER'), 400],
    [unnamed, 400],
    [good.subarray(0, good.length - 1), 400],
    [good.subarray(0, 100), 400],
    [Buffer.concat([good, Buffer.of(0)]), 400],
    [Buffer.from('30'.repeat(20_000), 'hex'), 400],
    [Buffer.alloc(65_537), 413],
    [makeMessage(client, { type: '19', content: csr(client), recipient: ra, transactionId: 'x'.repeat(129) }), 400],
  ];
  for (const [body, status] of bodies) assert.equal((await lab.post(body)).status, status, `${body.length} octets`);
  assert.equal((await lab.call('operation=PKIOperation&message=%%%')).status, 400);
  assert.equal((await lab.call('operation=PKIOperation')).status, 400);
  assert.equal((await lab.call('operation=GetNextCACert')).status, 400);
  assert.equal((await lab.call('')).status, 400);
  assert.equal((await lab.call('operation=GetCACaps', { method: 'POST' })).status, 405);
});

test('the key and its certificate are the same after a start, and the certificate is renewed before its end', async () => {
  const { database, kek } = lab.ca;
  const place = { environment: 'production', region: 'local' };
  const deps = { database, kek, authorities: lab.authorities };
  const same = await ensureRegistrationAuthority(deps, place, lab.clock.now());
  assert.ok(equalOctets(same.certificate.der, ra.der));
  const later = await ensureRegistrationAuthority(deps, place, ra.notAfter - 24 * HOUR_MS);
  assert.ok(!equalOctets(later.certificate.der, ra.der) && equalOctets(later.certificate.spki, ra.spki));
});
