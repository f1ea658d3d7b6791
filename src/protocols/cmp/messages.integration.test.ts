import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, type KeyObject, pbkdf2Sync, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { ada, joinRequest } from '../../../test/support/authorities.ts';
import {
  type BodyName,
  type ClientAnswer,
  clientMessage,
  type ClientProtection,
  confirmationBody,
  type MessageOptions,
  readAnswer,
  requestBody,
  revocationBody,
} from '../../../test/support/cmp-client.ts';
import { type CmpLab, openCmpLab } from '../../../test/support/cmp-lab.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { mutateDer } from '../../../test/fuzz/mutate-der.ts';
import { makerOf } from '../../../test/support/maker.ts';
import { makeRandom } from '../../../test/fuzz/random.ts';
import { readCorpus } from '../../../test/fuzz/read-corpus.ts';
import { crlUrlOf } from '../../control/ca/crl-path.ts';
import { issueCertificate } from '../../control/ca/issue-certificate.ts';
import { approveRequest } from '../../control/ca/judge-request.ts';
import { reconcileAuthorities } from '../../control/ca/reconcile.ts';
import { resumeIdentity, suspendIdentity } from '../../control/ca/suspend-identity.ts';
import { revokeGrant } from '../../control/grants/revoke-grant.ts';
import { sweepGrants } from '../../control/grants/sweep-grants.ts';
import { cmpOids } from '../../core/cmp/cmp-oids.ts';
import { readPkiMessage } from '../../core/cmp/pki-message.ts';
import { type PkiFailure, pkiFailures } from '../../core/cmp/pki-status.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import { parseCertificateList } from '../../core/x509/certificate-list.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { contextConstructed, contextPrimitive, DerReader, readSmallInteger, tags } from '../../core/x509/der.ts';
import {
  constructed,
  type DerNode,
  encodeDer,
  explicit,
  nullValue,
  oid,
  primitive,
  raw,
  sequence,
  smallInteger,
  utf8String,
} from '../../core/x509/der-writer.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import { uriNode } from '../../core/x509/general-name.ts';
import { buildName } from '../../core/x509/name.ts';
import { oids } from '../../core/x509/oid.ts';
import { time } from '../../core/x509/x509-time.ts';
import { pruneCmp, reconcileCmp } from './reconcile.ts';
import { findTransaction } from './transaction-store.ts';

const NAME = 'dev1.acme.example';
const newKey = (): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } => generateKeyPairSync('ec', { namedCurve: 'P-256' });

type Ask = (name: BodyName, content: DerNode, by: ClientProtection | null, options?: Partial<MessageOptions>) => Promise<ClientAnswer>;

/** Sends messages as a device does, and tells what was answered. */
function asker(lab: CmpLab): Ask {
  return async (name, content, by, options = {}) => {
    const body = clientMessage(name, content, by, { at: lab.clock.now(), ...options });
    const answer = await post(lab, body);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-type'), 'application/pkixcmp');
    return readAnswer(new Uint8Array(await answer.arrayBuffer()));
  };
}

function post(lab: CmpLab, body: Uint8Array, path = '/.well-known/cmp', headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${lab.port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/pkixcmp', ...headers },
    body,
  });
}

/** Refused by this bit; what else the log says of it, the outside does not see. */
function isRefused({ failure, certificate, body }: ClientAnswer, expected: PkiFailure, what: string): void {
  assert.equal(failure === null ? null : pkiFailures[failure], expected, what);
  assert.equal(certificate, null, what);
  assert.equal(Buffer.from(body).includes('Cannot'), false, what);
}

async function secretOf(lab: CmpLab, changes: Parameters<CmpLab['secret']>[0] = {}, kind: 'pbm' | 'pbmac1' = 'pbm') {
  const { reference, secret, grant } = await lab.secret(changes);
  return { kind, reference, secret: secret.reveal(), grant } as const;
}

/** A device with a certificate that it has confirmed. */
async function enrolled(lab: CmpLab, ask: Ask, changes: Parameters<CmpLab['secret']>[0] = {}) {
  const key = newKey();
  const by = await secretOf(lab, changes);
  const answer = await ask('ir', requestBody(key), by, { info: [IMPLICIT] });
  assert.ok(answer.certificate, lab.refusals().join());
  const certificate = parseCertificate(answer.certificate);
  return { key, certificate, by: { kind: 'signature', certificate, key: key.privateKey } as const };
}

const IMPLICIT = sequence(oid(cmpOids.implicitConfirm), nullValue());

forEachDatabase('messages of CMP', (newUrl, kind) => {
  const open = async (options: Parameters<typeof openCmpLab>[1] = {}) => {
    const lab = await openCmpLab(await newUrl(), options);
    return { lab, ask: asker(lab), [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose]() };
  };

  test('PBMAC1 protects both ways; version 3 names the hash of its confirmation', async () => {
    await using scene = await open();
    const { lab, ask } = scene;
    const by = await secretOf(lab, {}, 'pbmac1');
    const transactionId = randomBytes(16);
    const first = clientMessage('ir', requestBody(newKey()), by, { at: lab.clock.now(), version: 3, transactionId });
    const octets = new Uint8Array(await (await post(lab, first)).arrayBuffer());
    const answer = readAnswer(octets);
    assert.deepEqual([answer.name, answer.protectionAlgorithm], ['ip', cmpOids.pbmac1]);
    const { protectedPart, protection, header } = readPkiMessage(octets);
    assert.equal(header.version, 3);
    const salt = DerReader.over(header.protectionAlgorithm!).enter(tags.sequence);
    salt.element();
    const parameters = salt.enter(tags.sequence).enter(tags.sequence);
    parameters.element();
    const key = pbkdf2Sync(by.secret, parameters.enter(tags.sequence).content(tags.octetString), 600, 32, 'sha256');
    assert.deepEqual(Buffer.from(protection!), createHmac('sha256', key).update(protectedPart).digest());
    const named = sequence(oid(oids.sha512));
    const confirmation = confirmationBody(answer.certificate!, { hash: 'sha512', named });
    const done = await ask('certConf', confirmation, by, { version: 3, transactionId, recipientNonce: answer.senderNonce });
    assert.equal(done.name, 'pkiconf');
    assert.deepEqual(lab.refusals(), []);
  });

  test('refuses by its header what cannot be answered, whoever sends it', async () => {
    await using scene = await open();
    const { lab, ask } = scene;
    const by = await secretOf(lab, { uses: 50 });
    const now = lab.clock.now();
    const cases: readonly (readonly [string, Partial<MessageOptions>, PkiFailure])[] = [
      ['version 1', { version: 1 }, 'unsupportedVersion'],
      ['version 4', { version: 4 }, 'unsupportedVersion'],
      ['no transaction ID', { transactionId: null }, 'badRequest'],
      ['a short transaction ID', { transactionId: randomBytes(15) }, 'badRequest'],
      ['no nonce', { senderNonce: null }, 'badSenderNonce'],
      ['a short nonce', { senderNonce: randomBytes(15) }, 'badSenderNonce'],
      ['no time', { messageTime: null }, 'badTime'],
      ['a time that is past', { messageTime: now - 5 * MINUTE_MS - 2 * SECOND_MS }, 'badTime'],
      ['a time to come', { messageTime: now + 5 * MINUTE_MS + 2 * SECOND_MS }, 'badTime'],
      ['another recipient', { recipient: buildName([[oids.commonName, 'Other']]) }, 'wrongAuthority'],
      ['no reference', { senderKeyId: null }, 'badMessageCheck'],
      ['a reference that is none', { senderKeyId: Buffer.from('token_') }, 'badMessageCheck'],
      ['another profile', { info: [sequence(oid(cmpOids.certProfile), sequence(utf8String('workload')))] }, 'badRequest'],
    ];
    for (const [what, options, failure] of cases) isRefused(await ask('ir', requestBody(newKey()), by, options), failure, what);
    isRefused(await ask('ir', requestBody(newKey()), null), 'badMessageCheck', 'no protection');
    isRefused(await ask('ir', requestBody(newKey()), { ...by, secret: 'x' }), 'badMessageCheck', 'another secret');
    for (const name of ['pkiconf', 'genp', 'ip', 'error', 'nested'] as const)
      isRefused(await ask(name, sequence(), by), 'badRequest', name);
    const own = { info: [sequence(oid(cmpOids.certProfile), sequence(utf8String('server'))), IMPLICIT] };
    assert.equal((await ask('ir', requestBody(newKey()), by, own)).status, 0, 'its own profile, in our version and time');
  });

  test('refuses requests that ask for what no request may, or prove nothing; none takes a use of the secret', async () => {
    await using scene = await open();
    const { lab, ask } = scene;
    const by = await secretOf(lab);
    const key = newKey();
    const ask1 = (content: DerNode) => ask('ir', content, by, { info: [IMPLICIT] });
    const oneOf = requestBody(key);
    const [single] = oneOf.content as readonly DerNode[];
    const serial = primitive(contextPrimitive(1), Uint8Array.of(1));
    const stolen = (requestBody(newKey()).content as readonly DerNode[])[0]!;
    const stolenProof = (stolen.content as readonly DerNode[])[1]!;
    const cases: readonly (readonly [string, DerNode, PkiFailure])[] = [
      ['two requests', sequence(single!, single!), 'badRequest'],
      ['no request', sequence(), 'badRequest'],
      ['a serial number of its own', templateFirst(serial), 'badCertTemplate'],
      ['no key: the CA shall make one', sequence(sequence(sequence(smallInteger(0), sequence()))), 'badCertTemplate'],
      ['no proof', requestBody(key, { proof: null }), 'badPOP'],
      ['the word of somebody else', requestBody(key, { proof: primitive(contextPrimitive(0), '') }), 'badPOP'],
      ["a proof by another's key", requestBody(key, { proof: stolenProof }), 'badPOP'],
      ['a name that the secret is not for', requestBody(key, { names: { dns: ['dev2.acme.example'] } }), 'notAuthorized'],
      ['a mailbox', requestBody(key, { names: { dns: [NAME], email: ['a@acme.example'] } }), 'notAuthorized'],
      [
        'two SPIFFE IDs',
        requestBody(key, { names: { uri: ['spiffe://acme.example/a/b', 'spiffe://acme.example/a/c'] } }),
        'badCertTemplate',
      ],
      ['what is no request at all', smallInteger(1), 'badDataFormat'],
    ];
    for (const [what, content, failure] of cases) isRefused(await ask1(content), failure, what);
    const granted = await ask1(requestBody(key, { names: { dns: [NAME] }, requestId: 7 }));
    assert.equal(granted.status, 0, lab.refusals().join());
    assert.equal(granted.info.has(cmpOids.implicitConfirm), true);
    isRefused(await ask('ir', requestBody(newKey()), by), 'notAuthorized', 'a second certificate');
  });

  test('a one-time secret buys one certificate, however many ask at once', async () => {
    await using scene = await open();
    const { lab, ask } = scene;
    const by = await secretOf(lab);
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask('ir', requestBody(newKey()), by)));
    assert.equal(answers.filter(({ certificate }) => certificate !== null).length, 1);
    assert.equal(answers.filter(({ failure }) => failure !== null && pkiFailures[failure] === 'notAuthorized').length, 7);
    assert.equal(lab.ca.entriesOf('certificate.issued').filter(({ data }) => data['door'] === 'cmp').length, 1);
  });

  test('certConf ends its own transaction, with the nonce and for the certificate of our answer, once', async () => {
    await using scene = await open();
    const { lab, ask } = scene;
    const by = await secretOf(lab, { uses: 3 });
    const other = await secretOf(lab);
    const transactionId = randomBytes(16);
    const { certificate, senderNonce: recipientNonce, info } = await ask('ir', requestBody(newKey()), by, { transactionId });
    assert.equal(info.has(cmpOids.confirmWaitTime), true);
    const good = { transactionId, recipientNonce };
    const confirm = (options: Partial<MessageOptions> = {}, body = confirmationBody(certificate!), who: ClientProtection = by) =>
      ask('certConf', body, who, { ...good, ...options });
    isRefused(await confirm({ transactionId: randomBytes(16) }), 'badRequest', 'another transaction');
    isRefused(await confirm({}, undefined, other), 'badRequest', "another's transaction");
    isRefused(await confirm({ recipientNonce: randomBytes(16) }), 'badRecipientNonce', 'another nonce');
    isRefused(await confirm({}, confirmationBody(randomBytes(40))), 'badCertId', 'another certificate');
    isRefused(await confirm({}, confirmationBody(certificate!, { requestId: 5 })), 'badRequest', 'another request');
    isRefused(await confirm({}, confirmationBody(certificate!, { named: sequence(oid(oids.sha1)) })), 'badAlg', 'SHA-1');
    const senderNonce = randomBytes(16);
    assert.equal((await confirm({ senderNonce })).name, 'pkiconf');
    isRefused(await confirm({ senderNonce }), 'transactionIdInUse', 'sent again');
    isRefused(await confirm(), 'certConfirmed', 'confirmed again');
    isRefused(
      await ask('ir', requestBody(newKey()), by, { transactionId }),
      'transactionIdInUse',
      'another request of this transaction ID',
    );
    assert.equal(lab.ca.entriesOf('certificate.confirmed').length, 1);
    assert.equal(lab.ca.entriesOf('certificate.revoked').length, 0);
    for (const [what, content] of [
      ['a rejection', (der: Uint8Array) => confirmationBody(der, { rejects: true })],
      ['no certificate at all', () => sequence()],
    ] as const) {
      const id = randomBytes(16);
      const given = await ask('cr', requestBody(newKey()), by, { transactionId: id });
      const done = await ask('certConf', content(given.certificate!), by, { transactionId: id, recipientNonce: given.senderNonce });
      assert.equal(done.name, 'pkiconf', what);
      assert.equal(lab.ca.entriesOf('certificate.revoked').at(-1)?.data['serial'], parseCertificate(given.certificate!).serialHex, what);
    }
  });

  test('after a restart the secret is the same, and what was begun goes on or ends in its time', async () => {
    const url = await newUrl();
    const transactions = [randomBytes(16), randomBytes(16)] as const;
    let by: Awaited<ReturnType<typeof secretOf>>;
    const given: ClientAnswer[] = [];
    let kek: CmpLab['ca']['kek'];
    {
      await using lab = await openCmpLab(url);
      kek = lab.ca.kek;
      by = await secretOf(lab, { uses: 3 });
      for (const transactionId of transactions) given.push(await asker(lab)('ir', requestBody(newKey()), by, { transactionId }));
    }
    await using lab = await openCmpLab(url, { reopen: { kek } });
    const ask = asker(lab);
    const goesOn = { transactionId: transactions[0], recipientNonce: given[0]!.senderNonce };
    assert.equal((await ask('certConf', confirmationBody(given[0]!.certificate!), by, goesOn)).name, 'pkiconf', lab.refusals().join());
    // The memory of the process is gone; the transaction is not.
    const again = await ask('ir', requestBody(newKey()), by, { transactionId: transactions[1] });
    isRefused(again, 'transactionIdInUse', 'the ID of one that is open');
    await reconcileCmp({ database: lab.ca.database, authorityChanged: lab.ca.changed }, lab.clock.now() + 11 * MINUTE_MS);
    const revoked = lab.ca.entriesOf('certificate.revoked').map(({ data }) => data['serial']);
    assert.deepEqual(revoked, [parseCertificate(given[1]!.certificate!).serialHex]);
    const late = { transactionId: transactions[1], recipientNonce: given[1]!.senderNonce };
    isRefused(await ask('certConf', confirmationBody(given[1]!.certificate!), by, late), 'certConfirmed', 'too late');
    assert.equal((await ask('ir', requestBody(newKey()), by)).name, 'ip', 'a use is left');
    const rows = () =>
      findTransaction(lab.ca.database.queries, { transactionId: transactions[0].toString('hex'), sender: `cmp:${by.reference}` });
    await pruneCmp(lab.ca, lab.clock.now() + 9 * MINUTE_MS);
    assert.equal((await rows())?.state.kind, 'done', 'its request could still be sent again');
    await pruneCmp(lab.ca, lab.clock.now() + 11 * MINUTE_MS);
    assert.equal(await rows(), null);
  });

  test('a revoked secret ends what it began', async () => {
    await using scene = await open();
    const { lab, ask } = scene;
    const by = await secretOf(lab, { uses: 2 });
    const transactionId = randomBytes(16);
    const { certificate, senderNonce } = await ask('ir', requestBody(newKey()), by, { transactionId });
    await revokeGrant(lab.ca, by.grant, ada, lab.clock.now());
    const options = { transactionId, recipientNonce: senderNonce };
    isRefused(await ask('certConf', confirmationBody(certificate!), by, options), 'notAuthorized', 'certConf');
    isRefused(await ask('ir', requestBody(newKey()), by), 'notAuthorized', 'ir');
    isRefused(await ask('genm', sequence(), by), 'notAuthorized', 'genm');
    await assert.rejects(revokeGrant(lab.ca, by.grant, ada, lab.clock.now()), { code: 'state-conflict' });
  });

  test('signatures: by the certificate that comes first, of its subject and key identifier, and of nobody who has a listener of their own', async () => {
    await using scene = await open();
    const { lab, ask } = scene;
    const { by, certificate } = await enrolled(lab, ask);
    const next = newKey();
    const update = (who: ClientProtection, options: Partial<MessageOptions> = {}) => ask('kur', requestBody(next), who, options);
    isRefused(await update({ ...by, key: next.privateKey }), 'badMessageCheck', "another's key");
    isRefused(await update(by, { extraCertificates: [] }), 'badMessageCheck', 'no certificate');
    isRefused(await update(by, { extraCertificates: [Buffer.from([0x30, 0])] }), 'badMessageCheck', 'what is no certificate');
    isRefused(await update(by, { extraCertificates: [lab.authorities.roots[0]!.der] }), 'signerNotTrusted', 'a root');
    isRefused(await update(by, { sender: buildName([[oids.commonName, NAME]]) }), 'badMessageCheck', 'another sender');
    isRefused(await update(by, { senderKeyId: randomBytes(20) }), 'badMessageCheck', 'another key identifier');
    isRefused(await update(by, { senderKeyId: null }), 'badMessageCheck', 'no key identifier');
    const tampered = certificate.der.slice();
    tampered[tampered.length - 1]! ^= 1;
    isRefused(await update(by, { extraCertificates: [tampered] }), 'signerNotTrusted', 'a certificate that was changed');
    const plane = newKey();
    const csr = { ...joinRequest().csr, spki: plane.publicKey.export({ type: 'spki', format: 'der' }) };
    const joined = parseCertificate((await issueCertificate(lab.ca, joinRequest({ csr }), lab.clock.now())).der);
    isRefused(await update({ kind: 'signature', certificate: joined, key: plane.privateKey }), 'notAuthorized', 'a data plane');
    const wrong = requestBody(next, { controls: [oldControl(certificate, Uint8Array.of(5))] });
    isRefused(await ask('kur', wrong, by), 'badCertId', 'an old certificate that is another');
    isRefused(await ask('kur', requestBody(next, { names: { dns: ['dev2.acme.example'] } }), by), 'notAuthorized', 'another name');
    isRefused(await ask('kur', requestBody(next), await secretOf(lab)), 'wrongIntegrity', 'an update by a secret');
    const given = await ask('kur', requestBody(next, { controls: [oldControl(certificate)], names: { dns: [NAME] } }), by, {
      info: [IMPLICIT],
    });
    assert.deepEqual([given.name, given.status], ['kup', 0], lab.refusals().join());
    assert.deepEqual(parseCertificate(given.certificate!).subjectAltNames.dns, [NAME]);
    assert.ok(given.extraCertificates.length >= 2, 'signer and issuing authority');
  });

  test('a suspended identity has no certificate by any kind of request, until it is let in again', async () => {
    await using scene = await open();
    const { lab, ask } = scene;
    const spiffeId = parseSpiffeId('spiffe://acme.example/production/camera');
    const change = { spiffeId, region: 'eu', reason: 'stolen' };
    const wanted = { profile: 'workload' as ProfileName, spiffeId, dnsNames: [], uses: 2 };
    const { by } = await enrolled(lab, ask, wanted);
    const secret = await secretOf(lab, wanted);
    const both = await secretOf(lab, { spiffeId });
    const pkcs10 = raw(buildCertificateRequest({ uris: [spiffeId] }, newKey().privateKey));
    const issued = lab.ca.entriesOf('certificate.issued').length;
    await suspendIdentity(lab.ca, change, ada, lab.clock.now());
    const requests: readonly (readonly [BodyName, DerNode, ClientProtection])[] = [
      ['ir', requestBody(newKey()), secret],
      ['cr', requestBody(newKey()), secret],
      ['p10cr', pkcs10, secret],
      ['kur', requestBody(newKey()), by],
      ['cr', requestBody(newKey()), by],
    ];
    for (const [name, content, who] of requests) isRefused(await ask(name, content, who), 'notAuthorized', `${name} by ${who.kind}`);
    isRefused(await ask('ir', requestBody(newKey(), { names: { dns: [NAME] } }), both), 'notAuthorized', 'by another name of its secret');
    isRefused(await ask('genm', sequence(), both), 'notAuthorized', 'genm');
    assert.equal(lab.ca.entriesOf('certificate.issued').length, issued);
    assert.ok(lab.refusals().some((reason) => reason.includes(`${spiffeId} is suspended`)));
    await resumeIdentity(lab.ca, change, ada, lab.clock.now());
    assert.equal((await ask('kur', requestBody(newKey()), by)).status, 0, lab.refusals().join());
    assert.equal((await ask('p10cr', pkcs10, secret)).status, 0, lab.refusals().join());
    assert.equal((await ask('ir', requestBody(newKey()), secret)).status, 0, 'what was refused took no use');
  });

  test('within the grace of its profile an ended certificate is updated, and does nothing else', async () => {
    await using scene = await open({ declared: { server: { base: 'server', lifetime: { max: '1h', usual: '1h' }, renewalGrace: '2h' } } });
    const { lab, ask } = scene;
    const { by, certificate } = await enrolled(lab, ask);
    lab.clock.advance(2 * HOUR_MS);
    isRefused(await ask('rr', revocationBody(certificate, 4), by), 'signerNotTrusted', 'rr');
    isRefused(await ask('genm', sequence(), by), 'signerNotTrusted', 'genm');
    isRefused(await ask('cr', requestBody(newKey()), by), 'signerNotTrusted', 'cr');
    const transactionId = randomBytes(16);
    const given = await ask('kur', requestBody(newKey()), by, { transactionId });
    assert.equal(given.status, 0, lab.refusals().join());
    const confirmed = { transactionId, recipientNonce: given.senderNonce };
    assert.equal((await ask('certConf', confirmationBody(given.certificate!), by, confirmed)).name, 'pkiconf');
    lab.clock.advance(2 * HOUR_MS);
    isRefused(await ask('kur', requestBody(newKey()), by), 'signerNotTrusted', 'after the grace');
  });

  test('rr: reasons that a device has, certificates that are its own', async () => {
    await using scene = await open();
    const { lab, ask } = scene;
    const { by, certificate } = await enrolled(lab, ask);
    const stranger = await enrolled(lab, ask, { dnsNames: ['dev2.acme.example'] });
    for (const reason of [2, 6, 7, 8, 10, 99])
      isRefused(await ask('rr', revocationBody(certificate, reason), by), 'badRequest', `${reason}`);
    isRefused(await ask('rr', revocationBody(stranger.certificate, 1), by), 'notAuthorized', "another's certificate");
    isRefused(await ask('rr', revocationBody({ ...certificate, serial: Uint8Array.of(9) }, 1), by), 'badCertId', 'an unknown serial');
    const foreign = { ...certificate, issuer: lab.authorities.roots[0]!.subject };
    isRefused(await ask('rr', revocationBody(foreign, 1), by), 'badCertId', 'another issuer');
    const [one] = revocationBody(certificate, 1).content as readonly DerNode[];
    isRefused(await ask('rr', sequence(one!, one!), by), 'badRequest', 'two');
    isRefused(await ask('rr', sequence(sequence(sequence())), by), 'badCertTemplate', 'none named');
    const authority = lab.authorities.issuing[0]!.certificate;
    isRefused(await ask('rr', revocationBody(authority, 1), by), 'badCertId', 'an authority');
    assert.equal(lab.ca.entriesOf('certificate.revoked').length, 0);
    isRefused(await ask('rr', revocationBody(certificate, 1), null), 'badMessageCheck', 'no protection');
    const entries = lab.ca.entriesOf('request.refused').map(({ data }) => [data['route'], data['code']]);
    assert.deepEqual(
      entries,
      [
        ['cmp rr', 'forbidden'],
        ['cmp rr', 'unauthenticated'],
      ],
      'one of each kind, however many there were',
    );
    assert.equal((await ask('rr', revocationBody(certificate, null), by)).status, 0);
    isRefused(await ask('rr', revocationBody(certificate, 1), by), 'certRevoked', 'by a certificate that is revoked now');
    const entry = lab.ca.entriesOf('certificate.revoked')[0];
    assert.deepEqual(entry?.actor, { kind: 'machine', name: `cmp:certificate:${certificate.serialHex}` });
  });

  test('a profile with approvals: the device polls until persons agree, or somebody says no', async () => {
    const vetted = { base: 'server', askers: { cmp: { roles: ['ci'] } }, approvals: { count: 1, role: 'operator', within: '1h' } };
    await using scene = await open({ declared: { vetted } });
    const { lab, ask } = scene;
    const judge = await lab.judge();
    const by = await secretOf(lab, { profile: 'vetted' as ProfileName, uses: 3 });
    const begin = async (info: readonly DerNode[] = []) => {
      const transactionId = randomBytes(16);
      const first = await ask('ir', requestBody(newKey(), { names: { dns: [NAME] } }), by, { transactionId, info });
      assert.deepEqual([first.name, first.status, first.certificate], ['ip', 3, null], lab.refusals().join());
      const id = String(lab.ca.entriesOf('issuance-request.filed').at(-1)?.data['requestId']);
      let nonce = first.senderNonce;
      const poll = async (requestId = 0) => {
        const answer = await ask('pollReq', sequence(sequence(smallInteger(requestId))), by, { transactionId, recipientNonce: nonce });
        if (answer.name !== 'error') nonce = answer.senderNonce;
        return answer;
      };
      return { id, poll, transactionId, nonceOf: () => nonce };
    };
    const one = await begin();
    const deps = { ...lab.ca, authorities: lab.authorities, startOrder: async () => assert.fail('no other CA is asked') };
    const second = await makerOf(lab.ca, lab.clock.now(), { name: lab.maker.principal.name });
    for (const maker of [lab.maker, second])
      await assert.rejects(approveRequest(deps, { id: one.id, ...maker }, lab.clock.now()), { code: 'forbidden' }, 'who made the secret');
    assert.equal(checkAfter(await one.poll()), 1);
    lab.clock.advance(5 * MINUTE_MS);
    assert.equal(checkAfter(await one.poll()), 30, 'a tenth of its age');
    lab.clock.advance(-5 * MINUTE_MS);
    isRefused(await one.poll(4), 'badRequest', 'another request');
    const early = { transactionId: one.transactionId, recipientNonce: one.nonceOf() };
    isRefused(await ask('certConf', confirmationBody(randomBytes(9)), by, early), 'badRequest', 'a confirmation of nothing');
    isRefused(
      await ask('pollReq', sequence(sequence(smallInteger(0))), by, { ...early, recipientNonce: randomBytes(16) }),
      'badRecipientNonce',
      'nonce',
    );
    await judge.approve(one.id);
    const given = await one.poll();
    assert.deepEqual([given.name, parseCertificate(given.certificate!).subjectAltNames.dns], ['ip', [NAME]], lab.refusals().join());
    isRefused(await one.poll(), 'badRequest', 'a poll where a confirmation is expected');
    const confirm = { transactionId: one.transactionId, recipientNonce: given.senderNonce };
    assert.equal((await ask('certConf', confirmationBody(given.certificate!), by, confirm)).name, 'pkiconf');
    const two = await begin([IMPLICIT]);
    await judge.approve(two.id);
    assert.equal((await two.poll()).info.has(cmpOids.implicitConfirm), true);
    isRefused(await two.poll(), 'certConfirmed', 'a transaction that has ended');
    const three = await begin();
    await judge.deny(three.id);
    isRefused(await three.poll(), 'notAuthorized', 'denied');
    isRefused(await ask('ir', requestBody(newKey()), by), 'notAuthorized', 'each took a use of the secret');
  });

  test('persons approve in vain once the identity is suspended, and what they agreed to before is kept from it', async () => {
    const vetted = { base: 'workload', askers: { cmp: { roles: ['ci'] } }, approvals: { count: 1, role: 'operator', within: '1h' } };
    await using scene = await open({ declared: { vetted } });
    const { lab, ask } = scene;
    const judge = await lab.judge();
    const spiffeId = parseSpiffeId('spiffe://acme.example/production/lens');
    const by = await secretOf(lab, { profile: 'vetted' as ProfileName, spiffeId, dnsNames: [], uses: 3 });
    const begin = async (info: readonly DerNode[] = []) => {
      const transactionId = randomBytes(16);
      const first = await ask('ir', requestBody(newKey()), by, { transactionId, info });
      assert.equal(first.status, 3, lab.refusals().join());
      const id = String(lab.ca.entriesOf('issuance-request.filed').at(-1)?.data['requestId']);
      const goesOn = { transactionId, recipientNonce: first.senderNonce };
      return { id, poll: () => ask('pollReq', sequence(sequence(smallInteger(0))), by, goesOn) };
    };
    const [early, left, late] = [await begin(), await begin([IMPLICIT]), await begin()];
    await judge.approve(early.id);
    await judge.approve(left.id);
    const change = { spiffeId, region: 'eu', reason: 'stolen' };
    await suspendIdentity(lab.ca, change, ada, lab.clock.now());
    assert.equal((await judge.approve(late.id)).status, 'refused');
    for (const [what, { poll }] of Object.entries({ early, left, late })) isRefused(await poll(), 'notAuthorized', what);
    assert.equal(lab.ca.entriesOf('certificate.issued').filter(({ data }) => data['door'] === 'cmp').length, 2);
    assert.match(String(lab.ca.entriesOf('issuance-request.refused').at(-1)?.data['reason']), /lens is suspended/);
    assert.ok(lab.ca.entriesOf('request.refused').some(({ data }) => data['route'] === 'cmp pollReq'));
    await resumeIdentity(lab.ca, change, ada, lab.clock.now());
    const given = await early.poll();
    assert.ok(given.certificate, lab.refusals().join());
    await reconcileCmp({ database: lab.ca.database, authorityChanged: lab.ca.changed }, lab.clock.now() + 26 * HOUR_MS);
    assert.equal(lab.ca.entriesOf('certificate.unconfirmed').length, 2, 'nobody confirmed what was kept');
  });

  test('of a reference that there is not any more the log says that its MAC was right, so that it was judged as any other', async () => {
    await using scene = await open();
    const { lab, ask } = scene;
    const gone = await secretOf(lab);
    await sweepGrants(lab.ca, lab.clock.now() + 100 * DAY_MS);
    isRefused(await ask('ir', requestBody(newKey()), gone), 'badMessageCheck', 'the right secret of a reference that was forgotten');
    isRefused(await ask('ir', requestBody(newKey()), { ...gone, secret: 'x' }), 'badMessageCheck', 'a wrong secret of it');
    const held = await secretOf(lab);
    isRefused(await ask('ir', requestBody(newKey()), { ...held, secret: 'x' }), 'badMessageCheck', 'a wrong secret of one that there is');
    assert.deepEqual(lab.refusals(), [
      'badMessageCheck: Cannot read message: no secret of this reference, and its MAC is right',
      'badMessageCheck: Cannot read message: no secret of this reference, and its MAC is wrong',
      `badMessageCheck: Cannot read message: the MAC is not by the secret of ${held.reference}`,
    ]);
  });

  if (kind === 'postgres') {
    test('two servers: a one-time secret buys one certificate, a request is answered by one of them, and either goes on with it', async () => {
      const url = await newUrl();
      await using one = await openCmpLab(url);
      await using two = await openCmpLab(url, { reopen: { kek: one.ca.kek } });
      const [here, there] = [asker(one), asker(two)];
      const once = await secretOf(one);
      const race = await Promise.all(
        Array.from({ length: 8 }, (_, index) => (index % 2 === 0 ? here : there)('ir', requestBody(newKey()), once)),
      );
      assert.equal(race.filter(({ certificate }) => certificate !== null).length, 1);
      const by = await secretOf(one, { uses: 5 });
      for (const info of [[], [IMPLICIT]]) {
        const transactionId = randomBytes(16);
        const sent = clientMessage('ir', requestBody(newKey()), by, { at: one.clock.now(), transactionId, info });
        const given = readAnswer(new Uint8Array(await (await post(one, sent)).arrayBuffer()));
        const again = readAnswer(new Uint8Array(await (await post(two, sent)).arrayBuffer()));
        isRefused(again, 'transactionIdInUse', 'sent again to the other');
        const goesOn = { transactionId, recipientNonce: given.senderNonce };
        const confirmed = await there('certConf', confirmationBody(given.certificate!), by, goesOn);
        assert.equal(confirmed.name, info.length === 0 ? 'pkiconf' : 'error');
        isRefused(readAnswer(new Uint8Array(await (await post(two, sent)).arrayBuffer())), 'transactionIdInUse', 'sent once more');
      }
    });
    // What follows asks the database nothing that the other would answer otherwise.
    return;
  }

  test('genm: authorities, a newer root, what may be asked for, lists', async () => {
    await using scene = await open();
    const { lab, ask } = scene;
    const by = await secretOf(lab, { ipAddresses: ['192.0.2.7'] });
    const { by: signed } = await enrolled(lab, ask);
    const items = async (type: string, ...value: readonly DerNode[]) => {
      const answer = await ask('genm', question(type, ...value), by);
      assert.equal(answer.name, 'genp', lab.refusals().join());
      return answer.items;
    };
    assert.ok((await items(cmpOids.caCerts)).get(cmpOids.caCerts));
    // Both roots of the lab are of one second, so neither is newer.
    for (const { der } of lab.authorities.roots)
      assert.equal((await items(cmpOids.rootCaCert, raw(der))).get(cmpOids.rootCaKeyUpdate), null);
    isRefused(await ask('genm', question(cmpOids.rootCaCert), by), 'badRequest', 'no root');
    isRefused(await ask('genm', question(cmpOids.rootCaCert, sequence()), by), 'badDataFormat', 'a root that is none');
    for (const [who, names] of [
      [by, [NAME, '\xc0\x00\x02\x07']],
      [signed, [NAME]],
    ] as const) {
      const template = (await ask('genm', question(cmpOids.certReqTemplate), who)).items.get(cmpOids.certReqTemplate)!;
      for (const name of names) assert.ok(Buffer.from(template).includes(Buffer.from(name, 'latin1')), name);
    }
    const deps = { database: lab.ca.database, authorities: lab.authorities, changed: lab.ca.changed };
    await reconcileAuthorities(deps, lab.clock.now());
    const issuing = lab.authorities.issuing[0]!;
    const place0 = explicit(0, explicit(0, uriNode(crlUrlOf(issuing, 0)!)));
    const issuer = explicit(1, sequence(explicit(4, raw(issuing.certificate.subject.der))));
    const lists = async (source: DerNode, ...since: readonly DerNode[]) =>
      (await items(cmpOids.crlStatusList, sequence(sequence(source, ...since)))).get(cmpOids.crls) ?? null;
    for (const source of [place0, issuer]) {
      const found = await lists(source);
      const list = parseCertificateList(DerReader.over(found!).enter(tags.sequence).element());
      assert.deepEqual(Buffer.from(list.issuer.der), Buffer.from(issuing.certificate.subject.der));
      assert.ok(await lists(source, time(lab.clock.now() - DAY_MS)), 'one of yesterday is known');
      assert.equal(await lists(source, time(lab.clock.now() + MINUTE_MS)), null, 'the newest is known');
    }
    assert.equal(await lists(explicit(0, explicit(0, uriNode('http://elsewhere.example/x.crl')))), null);
    assert.ok((await items(cmpOids.currentCrl)).get(cmpOids.currentCrl), 'this authority has one list');
    isRefused(await ask('genm', question('1.2.3'), by), 'badRequest', 'a question that nobody knows');
    isRefused(await ask('genm', question(cmpOids.crlStatusList), by), 'badRequest', 'no list');
    const two = sequence(sequence(oid(cmpOids.caCerts)), sequence(oid(cmpOids.caCerts)));
    isRefused(await ask('genm', two, by), 'badRequest', 'two questions');
    const many = sequence(...Array.from({ length: 21 }, () => sequence(oid(cmpOids.caCerts))));
    isRefused(await ask('genm', many, by), 'badDataFormat', 'more than may be');
  });

  test('mutants of bodies, protected as they should be, are answered or refused, and nothing fails inside', async () => {
    await using scene = await open();
    const { lab } = scene;
    const by = await secretOf(lab, { uses: 1_000 });
    const messages = readCorpus('cmp-message').map((octets) => readPkiMessage(octets));
    const corpus = messages.map(({ body }) => body);
    const random = makeRandom(20_261_128);
    const told = new Set<string>();
    for (let run = 0; run < 250; run++) {
      const { kind: name, body } = random.pick(messages);
      const mutant = raw(mutateDer(random, body, corpus));
      const answer = await post(lab, clientMessage(name as BodyName, mutant, by, { at: lab.clock.now() }));
      // A body that is not one element makes no message.
      if (answer.status === 400) continue;
      const { failure } = readAnswer(new Uint8Array(await answer.arrayBuffer()));
      told.add(failure === null ? 'none' : pkiFailures[failure]!);
    }
    assert.equal(told.has('systemFailure'), false, JSON.stringify(lab.logged.at(-1)));
    for (const failure of ['none', 'badDataFormat', 'badPOP', 'badCertId', 'notAuthorized']) assert.ok(told.has(failure), failure);
  });

  test('HTTP: what is no message is refused before it is read, or in one word', async () => {
    await using scene = await open();
    const { lab } = scene;
    const statusOf = async (body: Uint8Array, path?: string, headers?: Record<string, string>) =>
      (await post(lab, body, path, headers)).status;
    assert.equal(await statusOf(randomBytes(300)), 400);
    assert.equal(await statusOf(new Uint8Array()), 400);
    assert.equal(await statusOf(randomBytes(131_073)), 413);
    const nested = Buffer.alloc(100_000, Buffer.of(0x30, 0x84, 0, 0, 0, 0));
    for (let at = 0, left = nested.length - 6; left > 0; at += 6, left -= 6) nested.writeUInt32BE(left, at + 2);
    const deep = encodeDer(Array.from({ length: 60 }).reduce<DerNode>((inner) => sequence(inner), sequence()));
    const wide = encodeDer(sequence(...Array.from({ length: 20_000 }, () => nullValue())));
    for (const octets of [nested, deep, wide, encodeDer(sequence(sequence(raw(wide)), explicit(0, sequence())))])
      assert.equal(await statusOf(octets), 400);
    const by = await secretOf(lab);
    isRefused(await scene.ask('ir', raw(deep), by), 'badDataFormat', 'nested deeper than may be');
    isRefused(await scene.ask('genm', raw(wide), by), 'badDataFormat', 'more elements than may be');
    assert.equal(await statusOf(randomBytes(9), '/elsewhere'), 404);
    assert.equal(await statusOf(randomBytes(9), '/.well-known/cmp/p/No'), 404);
    assert.equal(await statusOf(randomBytes(9), '/.well-known/cmp', { 'content-type': 'text/plain' }), 415);
    assert.equal((await fetch(`http://127.0.0.1:${lab.port}/pkix/`)).status, 405);
    const good = clientMessage('genm', sequence(), by, { at: lab.clock.now() });
    const exchange = async (head: string, body: Uint8Array): Promise<string> => {
      const socket = connect(lab.port, '127.0.0.1');
      socket.write(`${head}\r\n\r\n`);
      socket.write(body);
      return text(socket.setEncoding('latin1'));
    };
    const old = await exchange(`POST /pkix/ HTTP/1.0\r\nContent-Type: application/pkixcmp\r\nContent-Length: ${good.length}`, good);
    assert.match(old, /^HTTP\/1\.1 200 OK\r\n[\s\S]*content-length: [0-9]+/i);
    const chunked =
      'POST /pkix/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/pkixcmp\r\nTransfer-Encoding: chunked';
    assert.match(await exchange(chunked, Buffer.from('0\r\n\r\n')), /^HTTP\/1\.1 411 /);
  });
});

/** A request whose template begins with this field. */
function templateFirst(field: DerNode): DerNode {
  const template = sequence(field, constructed(contextConstructed(5), [raw(buildName([]).der)]));
  return sequence(sequence(sequence(smallInteger(0), template)));
}

/** regCtrl-oldCertID of this certificate, or of another serial. */
function oldControl({ issuer, serial }: Certificate, other = serial): DerNode {
  return sequence(oid(cmpOids.oldCertId), sequence(explicit(4, raw(issuer.der)), primitive(tags.integer, other)));
}

/** A general message of one item. */
function question(type: string, ...value: readonly DerNode[]): DerNode {
  return sequence(sequence(oid(type), ...value));
}

/** The seconds of a pollRep. */
function checkAfter({ name, body }: ClientAnswer): number {
  assert.equal(name, 'pollRep');
  const item = DerReader.over(body).enter(tags.sequence).enter(tags.sequence);
  item.element();
  return readSmallInteger(item);
}
