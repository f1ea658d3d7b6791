import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { basic, type EstCallOptions, type EstReply, openEstLab } from '../../../test/support/est-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { issueDrillCertificate } from '../../control/ca/issue-drill-certificate.ts';
import { revokeCertificate } from '../../control/ca/revoke-certificate.ts';
import { resumeIdentity, suspendIdentity } from '../../control/ca/suspend-identity.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { buildCsrAttributes } from '../../core/issuance/csr-attributes.ts';
import { buildCertificateRequest, parseCertificateRequest, type RequestFields } from '../../core/x509/certificate-request.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { encodePem } from '../../core/x509/pem.ts';

const scratch = mkdtempSync(join(tmpdir(), 'countersign-est-'));
const lab = await openEstLab(`sqlite:${join(scratch, 'est.sqlite')}`, {
  profiles: {
    device: { base: 'server', extendedKeyUsage: ['clientAuth'], names: { dns: ['*.devices.example'] }, askers: { est: {}, renewal: {} } },
    bound: { base: 'server', askers: { est: {}, renewal: {} } },
    slow: { base: 'server', askers: { est: {}, rest: {} }, approvals: {} },
    'slow-workload': { base: 'workload', askers: { est: {} }, approvals: {} },
    sensor: {
      base: 'server',
      extendedKeyUsage: ['clientAuth'],
      keys: { curves: ['P-256'], ed25519: false, rsa: false },
      askers: { est: {} },
      serverKeys: true,
    },
    approved: { base: 'server', extendedKeyUsage: ['clientAuth'], askers: { est: {} }, approvals: {}, serverKeys: true },
    shut: { base: 'server', askers: { rest: {} } },
  },
  est: { bound: ['bound'] },
});
after(async () => {
  await lab[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});
const token = await lab.tokenOf('ci');

const EST = '/.well-known/est';
const ENROL = `${EST}/device/simpleenroll`;
const keyPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

function csr(fields: RequestFields = { dnsNames: ['a.devices.example'] }, key = keyPair()): string {
  return Buffer.from(buildCertificateRequest(fields, key)).toString('base64');
}

const enrol = (call: EstCallOptions = {}, path = ENROL) => lab.call(path, { body: csr(), headers: basic(token), ...call });

/** The only certificate of a certs-only answer whose set has one. */
function certificateOf({ status, headers, text }: EstReply): Uint8Array {
  assert.equal(status, 200, text);
  assert.equal(headers['content-type'], 'application/pkcs7-mime; smime-type=certs-only');
  assert.equal(headers['content-transfer-encoding'], undefined);
  assert.equal(headers['content-length'], String(text.length));
  const der = Buffer.from(text, 'base64');
  // The certificate stands between the inner content type and the empty set of signers.
  const start = der.indexOf(Buffer.from('06092a864886f70d010701a0', 'hex')) + 12;
  const length = der[start]! - 0x80;
  return new Uint8Array(der.subarray(start + 1 + length, -2));
}

/** A certificate of ours with its key, as a TLS client presents it. */
async function enrolled(fields?: RequestFields, path = ENROL) {
  const key = keyPair();
  const certificate = certificateOf(await enrol({ body: csr(fields, key) }, path));
  const client = { cert: encodePem('CERTIFICATE', certificate), key: key.export({ type: 'pkcs8', format: 'pem' }) as string };
  return { certificate: parseCertificate(certificate), client };
}

const refusal = (fields: { readonly [name: string]: unknown }): boolean =>
  lab.logged.some(
    ({ event, fields: held }) => event === 'est.refused' && Object.entries(fields).every(([name, value]) => held[name] === value),
  );

test('an enrolment is in the log with the door, the label and who asked', async () => {
  const { certificate } = await enrolled({ dnsNames: ['log.devices.example'] });
  const issued = lab.ca.entriesOf('certificate.issued').find(({ data }) => data['serial'] === certificate.serialHex);
  const reserved = lab.ca.entriesOf('certificate.reserved').find(({ data }) => data['serial'] === certificate.serialHex);
  assert.ok(issued);
  assert.equal(reserved?.data['door'], 'est');
  assert.equal(reserved?.data['est'], 'device');
  assert.deepEqual(reserved?.actor, { kind: 'machine', name: 'ci of the test' });
});

test('a common name is a name where there is no other', async () => {
  const { certificate } = await enrolled({ subjectCommonName: 'cn.devices.example' });
  assert.deepEqual(certificate.subjectAltNames.dns, ['cn.devices.example']);
});

test('nobody who does not prove who he is enrols, and hears no more than that', async () => {
  const auditor = await lab.tokenOf('auditor');
  const elsewhere = await lab.tokenOf('ci', ['staging']);
  const strangers: readonly (readonly [headers: { readonly [name: string]: string }, status: number])[] = [
    [{}, 401],
    [{ authorization: 'Basic !' }, 401],
    [{ authorization: `Bearer ${token}` }, 401],
    [basic('password'), 401],
    [basic(`${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`), 401],
    [{ authorization: `Basic ${Buffer.from(token).toString('base64')}` }, 401],
    [basic('eyJhbGciOiJFUzI1NiJ9.e30.AA'), 401],
    [basic(auditor), 403],
    [basic(elsewhere), 403],
  ];
  for (const [headers, status] of strangers) {
    const answer = await enrol({ headers });
    assert.equal(answer.status, status, JSON.stringify(headers));
    if (status === 401) assert.match(String(answer.headers['www-authenticate']), /^Basic realm=/);
  }
  const refused = lab.ca.entriesOf('request.refused').map(({ data }) => `${String(data['route'])} ${String(data['code'])}`);
  assert.ok(refused.includes('est simpleenroll unauthenticated') && refused.includes('est simpleenroll forbidden'));
});

test('the one evaluator judges names, keys and doors', async () => {
  const other = await enrol({ body: csr({ dnsNames: ['a.example'] }) });
  assert.equal(other.status, 403);
  assert.match(other.text, /permitted: /);
  const several = await enrol({ body: csr({ uris: ['spiffe://acme.example/a/b', 'spiffe://acme.example/a/c'] }) });
  assert.equal(several.status, 400);
  const workload = await enrol(
    { body: csr({ uris: ['spiffe://acme.example/production/orders'] }) },
    `${EST}/production.workload/simpleenroll`,
  );
  assert.equal(workload.status, 200);
});

test('garbage is refused by name', async () => {
  const bodies: readonly (readonly [body: string | Buffer, status: number])[] = [
    ['', 400],
    ['not base64 !', 400],
    [Buffer.from([0x30, 0x80, 0, 0]).toString('base64'), 400],
    [`${csr()}A`, 400],
    [csr().slice(0, 40), 400],
    [Buffer.alloc(2_000, 0x30).toString('base64'), 400],
    ['A'.repeat(65_537), 413],
  ];
  for (const [body, status] of bodies) assert.equal((await enrol({ body })).status, status, String(body).slice(0, 40));
  assert.equal((await enrol({ headers: { ...basic(token), 'content-type': 'text/plain' } })).status, 415);
});

test('a body without end is cut off, and so is one of a stranger', async () => {
  for (const [headers, status] of [
    [basic(token), 413],
    [{}, 401],
  ] as const) {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const asked = request(
      {
        host: '127.0.0.1',
        port: lab.port,
        path: ENROL,
        method: 'POST',
        agent: false,
        ca: lab.root,
        headers: { 'content-type': 'application/pkcs10', ...headers },
      },
      (response) => resolve(response.resume().statusCode ?? 0),
    );
    const closed = new Promise((done) => asked.once('close', done));
    asked.on('error', reject);
    const more = (): void => {
      while (!asked.destroyed && asked.write('A'.repeat(16_384)));
    };
    asked.on('drain', more);
    more();
    assert.equal(await promise, status);
    asked.off('error', reject).on('error', () => {});
    await closed;
  }
});

test('paths and methods', async () => {
  const expected: readonly (readonly [path: string, call: EstCallOptions, status: number])[] = [
    [`${EST}/shut/simpleenroll`, { body: csr() }, 404],
    [`${EST}/nothing/cacerts`, {}, 404],
    [`${EST}/staging.device/cacerts`, {}, 404],
    [`${EST}/device/other`, {}, 404],
    [`${EST}/device/device/cacerts`, {}, 404],
    [`${EST}/../est/cacerts`, {}, 404],
    [`${EST}/cacerts`, {}, 200],
    [`${EST}/cacerts`, { method: 'PUT' }, 405],
    [`${EST}/fullcmc`, { method: 'POST' }, 501],
    [ENROL, {}, 405],
    ['/', {}, 404],
  ];
  for (const [path, call, status] of expected) assert.equal((await lab.call(path, call)).status, status, path);
});

test('a holder renews by its certificate: the same names, this label, not once it is revoked', async () => {
  const { certificate, client } = await enrolled();
  const again = `${EST}/device/simplereenroll`;
  const renew = (fields?: RequestFields, path = again) => lab.call(path, { body: csr(fields), client });
  const renewed = parseCertificate(certificateOf(await renew()));
  assert.deepEqual(renewed.subjectAltNames.dns, certificate.subjectAltNames.dns);
  const reserved = lab.ca.entriesOf('certificate.reserved').find(({ data }) => data['serial'] === renewed.serialHex);
  assert.equal(reserved?.data['est'], 'device');
  assert.equal(reserved?.data['door'], 'renewal');
  // A certificate and no password: simpleenroll is the same.
  assert.equal((await renew(undefined, ENROL)).status, 200);
  assert.equal((await renew({ dnsNames: ['b.devices.example'] })).status, 403);
  assert.equal((await renew({ dnsNames: ['a.devices.example', 'b.devices.example'] })).status, 403);
  assert.ok(refusal({ reason: 'other-names' }));
  assert.equal((await renew(undefined, `${EST}/server/simplereenroll`)).status, 403);
  assert.ok(refusal({ reason: 'other-profile' }));
  assert.equal((await lab.call(again, { body: csr(), headers: basic(token) })).status, 401);
  const { issuing } = lab.authorities;
  const issuerKeySha256 = issuing[0]!.keySha256;
  await revokeCertificate(
    { database: lab.ca.database, changed: lab.ca.changed },
    { issuerKeySha256, serial: certificate.serial, reason: 'superseded' },
    { kind: 'person', name: 'ada' },
    lab.clock.now(),
  );
  assert.equal((await renew()).status, 403);
  assert.ok(refusal({ reason: 'certificate-fallen' }));
});

test('what was given out for a drill, and what the control plane gives itself, renews nothing', async () => {
  const key = keyPair();
  const asked = parseCertificateRequest(buildCertificateRequest({}, key));
  const drill = { jobId: 'drill_1', kind: 'wrong-identity', csr: asked, environment: 'production', region: 'eu' } as const;
  const given = await issueDrillCertificate(lab.ca, drill, lab.clock.now());
  const client = { cert: encodePem('CERTIFICATE', given.der), key: key.export({ type: 'pkcs8', format: 'pem' }) as string };
  const issued = lab.ca.entriesOf('certificate.issued').length;
  const body = csr({ uris: parseCertificate(given.der).subjectAltNames.uri });
  for (const path of [ENROL, `${EST}/device/simplereenroll`]) assert.equal((await lab.call(path, { body, client })).status, 403);
  assert.ok(refusal({ reason: 'other-door', detail: 'drill' }));
  assert.equal(lab.ca.entriesOf('certificate.issued').length, issued);
});

test('a suspended identity enrols by no token and renews by no certificate, until it is let in again', async () => {
  const spiffeId = parseSpiffeId('spiffe://acme.example/production/camera');
  const change = { spiffeId, region: 'eu', reason: 'stolen' };
  const person = { kind: 'person', name: 'ada' } as const;
  const [enrolment, renewal] = ['simpleenroll', 'simplereenroll'].map((path) => `${EST}/production.workload/${path}`) as [string, string];
  const fields = { uris: [spiffeId] };
  const { client } = await enrolled(fields, enrolment);
  const issued = lab.ca.entriesOf('certificate.issued').length;
  await suspendIdentity(lab.ca, change, person, lab.clock.now());
  for (const answer of [
    await enrol({ body: csr(fields) }, enrolment),
    await lab.call(renewal, { body: csr(fields), client }),
    await lab.call(enrolment, { body: csr(fields), client }),
  ])
    assert.equal(answer.status, 403, answer.text);
  assert.equal(lab.ca.entriesOf('certificate.issued').length, issued);
  const reasons = lab.ca.entriesOf('certificate.refused').map(({ data }) => String(data['reasons']));
  assert.ok(reasons.some((reason) => reason.includes(`${spiffeId} is suspended`)));
  await resumeIdentity(lab.ca, change, person, lab.clock.now());
  assert.equal((await enrol({ body: csr(fields) }, enrolment)).status, 200);
  assert.equal((await lab.call(renewal, { body: csr(fields), client })).status, 200);
});

test('a certificate of another CA renews nothing', async () => {
  const stranger = makeTestAuthority(lab.clock.now()).issue({ dnsNames: ['a.devices.example'] });
  const client = {
    cert: encodePem('CERTIFICATE', stranger.certificate.der),
    key: stranger.key.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
  assert.equal((await lab.call(`${EST}/device/simplereenroll`, { body: csr(), client })).status, 401);
  assert.ok(refusal({ reason: 'certificate-invalid' }));
});

const uniqueOf = (socket: TLSSocket): string => socket.getFinished()!.toString('base64');
const exporterOf = (socket: TLSSocket): string =>
  socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)).toString('base64');

for (const [maxVersion, right, wrong] of [
  ['TLSv1.2', uniqueOf, exporterOf],
  ['TLSv1.3', exporterOf, uniqueOf],
] as const) {
  test(`${maxVersion}: a CSR is bound to its session, where the label demands it and where it says so`, async () => {
    const path = `${EST}/bound/simpleenroll`;
    const asked = (binding: ((socket: TLSSocket) => string) | null, label = path) =>
      lab.call(label, {
        headers: basic(token),
        maxVersion,
        bodyFor: (socket) => csr({ dnsNames: ['a.devices.example'], ...(binding === null ? {} : { challengePassword: binding(socket) }) }),
      });
    assert.equal((await asked(right)).status, 200);
    assert.equal((await asked(right, ENROL)).status, 200);
    assert.equal((await asked(null)).status, 403);
    assert.equal((await asked(wrong)).status, 403);
    assert.equal((await asked(wrong, ENROL)).status, 403);
    assert.equal((await asked(() => Buffer.alloc(12).toString('base64'))).status, 403);
  });
}

test('what waits is collected by saying the same again, and by nobody else', async () => {
  const path = `${EST}/slow/simpleenroll`;
  const body = csr({ dnsNames: ['slow.example'] });
  const filed = lab.entry('issuance-request.filed');
  const waiting = await enrol({ body }, path);
  assert.equal(waiting.status, 202);
  assert.ok(Number(waiting.headers['retry-after']) > 0);
  const requestId = String((await filed).data['requestId']);
  assert.equal((await enrol({ body }, path)).status, 202);
  assert.equal(lab.ca.entriesOf('issuance-request.filed').length, 1);
  await lab.judge(requestId, 'approve');
  const first = certificateOf(await enrol({ body }, path));
  assert.deepEqual(certificateOf(await enrol({ body }, path)), first);
  assert.equal((await enrol({ body, headers: basic(await lab.tokenOf('operator')) }, path)).status, 202, 'another asker');
  assert.equal((await enrol({ body: csr({ dnsNames: ['slow.example'] }) }, path)).status, 202, 'another key');
  const { issuing } = lab.authorities;
  const revoked = { issuerKeySha256: issuing[0]!.keySha256, serial: parseCertificate(first).serial, reason: 'superseded' } as const;
  await revokeCertificate(
    { database: lab.ca.database, changed: lab.ca.changed },
    revoked,
    { kind: 'person', name: 'ada' },
    lab.clock.now(),
  );
  assert.equal((await enrol({ body }, path)).status, 403);
});

test('persons approve in vain once the identity is suspended, and what they agreed to before is kept from it', async () => {
  const path = `${EST}/slow-workload/simpleenroll`;
  const spiffeId = parseSpiffeId('spiffe://acme.example/production/lens');
  const change = { spiffeId, region: 'eu', reason: 'stolen' };
  const person = { kind: 'person', name: 'ada' } as const;
  const begin = async () => {
    const body = csr({ uris: [spiffeId] });
    const filed = lab.entry('issuance-request.filed');
    assert.equal((await enrol({ body }, path)).status, 202);
    return { body, id: String((await filed).data['requestId']) };
  };
  const [early, late] = [await begin(), await begin()];
  await lab.judge(early.id, 'approve');
  const issued = lab.ca.entriesOf('certificate.issued').length;
  await suspendIdentity(lab.ca, change, person, lab.clock.now());
  assert.equal((await lab.judge(late.id, 'approve')).status, 'refused');
  for (const { body } of [early, late]) {
    const answer = await enrol({ body }, path);
    assert.equal(answer.status, 403);
    assert.match(answer.text, /lens is suspended/);
  }
  assert.equal(lab.ca.entriesOf('certificate.issued').length, issued);
  await resumeIdentity(lab.ca, change, person, lab.clock.now());
  assert.equal((await enrol({ body: late.body }, path)).status, 403, 'a refusal stays');
  certificateOf(await enrol({ body: early.body }, path));
});

test('what was denied stays so, and says why', async () => {
  const path = `${EST}/slow/simpleenroll`;
  const body = csr({ dnsNames: ['denied.example'] });
  const filed = lab.entry('issuance-request.filed');
  assert.equal((await enrol({ body }, path)).status, 202);
  await lab.judge(String((await filed).data['requestId']), 'deny');
  for (let times = 0; times < 2; times++) {
    const answer = await enrol({ body }, path);
    assert.equal(answer.status, 403);
    assert.match(answer.text, /denied: unknown device/);
  }
});

test('a key is made here where the profile says so, and is in the answer alone', async () => {
  const path = `${EST}/sensor/serverkeygen`;
  const own = keyPair();
  const answer = await enrol({ body: csr({ dnsNames: ['s1.example'] }, own) }, path);
  assert.equal(answer.status, 200, answer.text);
  const boundary = /^multipart\/mixed; boundary=(.+)$/.exec(String(answer.headers['content-type']))?.[1];
  const parts = answer.text.split(`--${boundary}`).slice(1, -1);
  const [keyPart, certPart] = parts.map((part) => part.split('\r\n\r\n'));
  assert.match(keyPart![0]!, /^\r\nContent-Type: application\/pkcs8$/);
  const key = createPrivateKey({ key: Buffer.from(keyPart![1]!, 'base64'), format: 'der', type: 'pkcs8' });
  const headers = {
    'content-type': certPart![0]!.replace(/^\r\nContent-Type: /, ''),
    'content-length': String(certPart![1]!.trim().length),
  };
  const der = certificateOf({ status: 200, headers, text: certPart![1]!.trim() });
  assert.ok(new X509Certificate(der).checkPrivateKey(key));
  assert.ok(!new X509Certificate(der).checkPrivateKey(own));
  const { serialHex, subjectAltNames } = parseCertificate(der);
  assert.deepEqual(subjectAltNames.dns, ['s1.example']);
  const reserved = lab.ca.entriesOf('certificate.reserved').find(({ data }) => data['serial'] === serialHex);
  assert.equal(reserved?.data['serverKey'], true);
});

test('a key is made for nobody else', async () => {
  const wants = (label: string, fields?: RequestFields, key?: KeyObject) =>
    enrol({ body: csr(fields, key) }, `${EST}/${label}/serverkeygen`);
  assert.equal((await wants('device')).status, 403, 'the profile does not say so');
  assert.equal((await wants('approved')).status, 403, 'it would have to be stored');
  const sensor = { dnsNames: ['s1.example'] };
  assert.equal(
    (await wants('sensor', sensor, generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey)).status,
    403,
    'not such a key',
  );
  assert.equal((await wants('sensor', sensor, generateKeyPairSync('ed448').privateKey)).status, 403);
  assert.equal((await enrol({ body: csr(sensor), headers: {} }, `${EST}/sensor/serverkeygen`)).status, 401);
});

test('csrattrs says what a CSR has to hold', async () => {
  const answer = await lab.call(`${EST}/bound/csrattrs`);
  assert.equal(answer.headers['content-type'], 'application/csrattrs');
  assert.deepEqual(
    Buffer.from(answer.text, 'base64'),
    Buffer.from(buildCsrAttributes(lab.authorities.profiles.find('production', 'server')!, true)),
  );
  assert.equal((await lab.call(`${EST}/nothing/csrattrs`)).status, 404);
});

test('what is issued verifies under what cacerts says', async () => {
  const { certificate } = await enrolled();
  const { issuing } = lab.authorities;
  assert.ok(new X509Certificate(certificate.der).verify(new X509Certificate(issuing[0]!.certificate.der).publicKey));
});
