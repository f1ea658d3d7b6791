import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { place } from '../../../test/support/authorities.ts';
import { type CmpAnswer, type CmpLab, openCmpLab } from '../../../test/support/cmp-lab.ts';
import { hasOpenssl } from '../../../test/support/openssl.ts';
import { issueCertificate } from '../../control/ca/issue-certificate.ts';
import { serviceSpiffeId } from '../../core/identity/spiffe-id.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { MINUTE_MS } from '../../core/time/instant.ts';
import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { decodePem, encodePem } from '../../core/x509/pem.ts';
import { reconcileCmp } from './reconcile.ts';

const scratch = mkdtempSync(join(tmpdir(), 'countersign-cmp-clients-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const skip = (await hasOpenssl()) ? false : 'no openssl here';
const NAME = 'dev1.acme.example';

describe('openssl cmp, as Debian has it', { skip }, () => {
  let lab: CmpLab;
  before(async () => {
    const vetted = { base: 'server', askers: { cmp: {} }, approvals: { count: 1, role: 'operator', within: '1h' } };
    lab = await openCmpLab(`sqlite:${join(scratch, 'lab.sqlite')}`, { declared: { vetted } });
    for (const key of ['a.key', 'b.key', 'c.key']) await lab.openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', key);
    await lab.openssl('req', '-new', '-key', 'a.key', '-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`, '-out', 'a.csr');
    await lab.openssl('req', '-x509', '-new', '-key', 'b.key', '-subj', '/CN=Other CA', '-days', '9', '-out', 'other-ca.pem');
  });
  beforeEach(() => void (lab.logged.length = 0));
  after(() => lab[Symbol.asyncDispose]());

  const read = (name: string): Certificate =>
    parseCertificate(decodePem(readFileSync(join(lab.directory, name), 'utf8'), 'CERTIFICATE')[0]!);
  const succeeds = ({ code, output }: CmpAnswer): void => {
    assert.equal(code, 0, output);
    assert.deepEqual(lab.refusals(), []);
  };
  /** Refused, with the bit that the outside sees and the reason that only the log has. */
  const isRefused = ({ code, output }: CmpAnswer, failure: string, reason: RegExp): void => {
    assert.notEqual(code, 0, output);
    assert.match(output, new RegExp(`PKIFailureInfo: ${failure}`));
    assert.match(lab.refusals().join('\n'), reason);
    assert.doesNotMatch(output, reason);
    lab.logged.length = 0;
  };
  const byMac = ['-newkey', 'a.key', '-subject', `/CN=${NAME}`] as const;
  /** A certificate for `a.key`, by a secret of its own. */
  const enrol = async (out: string): Promise<void> =>
    succeeds(await lab.cmp('ir', ...byMac, ...(await lab.secret()).args, '-implicit_confirm', '-certout', out));
  const isRevoked = async (name: string): Promise<string | null> => {
    const { serialHex } = read(name);
    const entry = lab.ca.entriesOf('certificate.revoked').find(({ data }) => data['serial'] === serialHex);
    return entry === undefined ? null : String(entry.data['reason']);
  };

  test('ir, cr and p10cr by a secret, confirmed explicitly and implicitly, at every path', async () => {
    const { args } = await lab.secret({ uses: 4 });
    const out = ['-certout', 'ir.pem', '-cacertsout', 'roots.pem', '-extracertsout', 'extra.pem'];
    succeeds(await lab.cmp('ir', '-path', '.well-known/cmp', ...byMac, ...args, ...out));
    const { subjectAltNames, subjectKeyId, serialHex } = read('ir.pem');
    assert.deepEqual([subjectAltNames.dns, subjectKeyId?.length], [[NAME], 40]);
    assert.equal(lab.ca.entriesOf('certificate.confirmed').at(-1)?.data['serial'], serialHex);
    assert.equal(lab.ca.entriesOf('certificate.issued').at(-1)?.data['door'], 'cmp');
    assert.match(await lab.openssl('verify', '-CAfile', 'roots.pem', '-untrusted', 'extra.pem', 'ir.pem'), /OK/);
    succeeds(await lab.cmp('cr', '-path', 'pkix/', ...byMac, ...args, '-sans', NAME, '-certout', 'cr.pem'));
    succeeds(await lab.cmp('p10cr', '-path', '.well-known/cmp/p/server/pkcs10', '-csr', 'a.csr', ...args, '-certout', 'p10.pem'));
    const confirmed = lab.ca.entriesOf('certificate.confirmed').length;
    assert.equal(confirmed, 3);
    succeeds(await lab.cmp('p10cr', '-csr', 'a.csr', ...args, '-implicit_confirm', '-certout', 'p10i.pem'));
    assert.equal(lab.ca.entriesOf('certificate.confirmed').length, confirmed);
    isRefused(await lab.cmp('ir', ...byMac, ...args, '-certout', 'no.pem'), 'notAuthorized', /Cannot use secret: cmp:token_\w+: used/);
  });

  test('other MACs: HMAC-SHA256 and SHA-512 under PasswordBasedMac', async () => {
    const { args } = await lab.secret({ uses: 2 });
    for (const mac of ['hmacWithSHA256', 'hmacWithSHA512'])
      succeeds(await lab.cmp('ir', ...byMac, ...args, '-mac', mac, '-digest', 'sha512', '-certout', 'mac.pem'));
  });

  test('keys of RSA, P-384 and Ed25519 enrol and update', async () => {
    const { args } = await lab.secret({ uses: 3 });
    const kinds = {
      rsa: ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
      p384: ['EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
      ed: ['ED25519'],
    };
    for (const [kind, options] of Object.entries(kinds)) {
      const [key, pem] = [`${kind}.key`, `${kind}.pem`];
      await lab.openssl('genpkey', '-algorithm', ...options, '-out', key);
      // OpenSSL 3.0 signs no request by Ed25519 in CRMF: PKCS#10 it does.
      await lab.openssl('req', '-new', '-key', key, '-subj', `/CN=${NAME}`, '-out', `${kind}.csr`);
      succeeds(await lab.cmp('p10cr', '-csr', `${kind}.csr`, ...args, '-certout', pem));
      if (kind !== 'ed') succeeds(await lab.cmp('kur', ...signed(pem, key), '-newkey', 'c.key', '-certout', 'next.pem'));
    }
  });

  test('a certificate for clients, with a SPIFFE ID, in the profile workload', async () => {
    const spiffeId = serviceSpiffeId(lab.authorities.trustDomain, 'production', 'camera');
    const { args } = await lab.secret({ profile: 'workload', spiffeId, dnsNames: [] });
    succeeds(await lab.cmp('ir', '-newkey', 'a.key', ...args, '-certout', 'workload.pem'));
    assert.deepEqual(read('workload.pem').subjectAltNames.uri, [spiffeId]);
  });

  test('kur, cr and rr by signature: a device updates, and its old certificate is revoked by the new one', async () => {
    await enrol('old.pem');
    succeeds(await lab.cmp('kur', ...signed('old.pem', 'a.key'), '-newkey', 'b.key', '-certout', 'new.pem'));
    const [before, next] = [read('old.pem'), read('new.pem')];
    assert.deepEqual(next.subjectAltNames.dns, before.subjectAltNames.dns);
    assert.notEqual(next.spkiSha256, before.spkiSha256);
    const entry = lab.ca.entriesOf('certificate.issued').at(-1);
    assert.deepEqual([entry?.data['door'], entry?.data['protocol']], ['renewal', 'cmp']);
    succeeds(await lab.cmp('cr', ...signed('new.pem', 'b.key'), '-newkey', 'c.key', '-implicit_confirm', '-certout', 'other.pem'));
    succeeds(await lab.cmp('rr', ...signed('new.pem', 'b.key'), '-oldcert', 'old.pem', '-revreason', '4'));
    assert.equal(await isRevoked('old.pem'), 'superseded');
    succeeds(await lab.cmp('rr', ...signed('new.pem', 'b.key'), '-oldcert', 'new.pem'));
    assert.equal(await isRevoked('new.pem'), 'unspecified');
  });

  test('rr by the secret that bought the certificate, and by no other', async () => {
    const { args } = await lab.secret();
    succeeds(await lab.cmp('ir', ...byMac, ...args, '-certout', 'mine.pem'));
    const other = await lab.secret();
    isRefused(await lab.cmp('rr', '-oldcert', 'mine.pem', '-revreason', '1', ...other.args), 'notAuthorized', /not of who asks/);
    succeeds(await lab.cmp('rr', '-oldcert', 'mine.pem', '-revreason', '5', ...args));
    assert.equal(await isRevoked('mine.pem'), 'cessationOfOperation');
    isRefused(await lab.cmp('rr', '-oldcert', 'mine.pem', '-revreason', '5', ...args), 'certRevoked', /revoked already/);
  });

  test('genm by a secret and by a certificate', async () => {
    await enrol('asks.pem');
    const { args } = await lab.secret();
    for (const protection of [args, signed('asks.pem', 'a.key')]) {
      const answer = await lab.cmp('genm', '-infotype', 'caCerts', ...protection);
      succeeds(answer);
      assert.match(answer.output, /genp contains ITAV of type: id-it-caCerts/);
    }
    isRefused(await lab.cmp('genm', '-infotype', 'signKeyPairTypes', ...args), 'badRequest', /nothing is known about/);
  });

  test('authorities with other keys: the hash that the client confirms by is that of their signatures', async () => {
    for (const keyType of ['P-384', 'Ed25519'] as const) {
      await using other = await openCmpLab(`sqlite:${join(scratch, `${keyType}.sqlite`)}`, { keyType });
      await other.openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'a.key');
      const { args } = await other.secret();
      const enrolled = await other.cmp('ir', ...byMac, ...args, '-certout', 'c.pem');
      assert.equal(enrolled.code, 0, enrolled.output);
      const updated = await other.cmp('kur', ...signed('c.pem', 'a.key'), '-newkey', 'a.key', '-certout', 'n.pem');
      assert.equal(updated.code, 0, updated.output);
      assert.deepEqual(other.refusals(), []);
    }
  });

  test('a request that persons have to approve: the client polls, and has it once one of them agrees', async () => {
    const { args } = await lab.secret({ profile: 'vetted' as ProfileName, uses: 2 });
    const judge = await lab.judge();
    const filed = async (count: number): Promise<string> =>
      String((await lab.entryAfter(count, 'issuance-request.filed')).data['requestId']);
    const polling = lab.cmp('ir', ...byMac, ...args, '-sans', NAME, '-certout', 'vetted.pem');
    await judge.approve(await filed(0));
    succeeds(await polling);
    assert.deepEqual(read('vetted.pem').subjectAltNames.dns, [NAME]);
    const refused = lab.cmp('ir', ...byMac, ...args, '-sans', NAME, '-certout', 'no.pem');
    await judge.deny(await filed(1));
    assert.match((await refused).output, /PKIFailureInfo: notAuthorized/);
  });

  test('refuses a wrong secret, an unknown reference, an expired and a revoked secret; the signed errors verify', async () => {
    const { reference, args } = await lab.secret({ uses: 2 });
    const trusted = ['-trusted', 'root.pem', '-certout', 'no.pem'];
    const wrong = await lab.cmp('ir', ...byMac, '-ref', reference, '-secret', 'pass:wrong', ...trusted);
    isRefused(wrong, 'badMessageCheck', /the MAC is not by the secret/);
    const unknown = await lab.cmp('ir', ...byMac, '-ref', 'token_00000000000000000000000000', '-secret', 'pass:wrong', ...trusted);
    isRefused(unknown, 'badMessageCheck', /no secret of this reference/);
    lab.clock.advance(2 * MINUTE_MS);
    isRefused(await lab.cmp('ir', ...byMac, ...args, '-certout', 'no.pem'), 'notAuthorized', /expired/);
    lab.clock.advance(-2 * MINUTE_MS);
    succeeds(await lab.cmp('ir', ...byMac, ...args, '-certout', 'yes.pem'));
  });

  test('refuses a name that the secret is not for, as alternative name and as common name, a foreign profile and a weak key', async () => {
    const { args } = await lab.secret();
    const ask = (...more: readonly string[]) => lab.cmp('ir', '-newkey', 'a.key', ...args, '-certout', 'no.pem', ...more);
    isRefused(
      await ask('-subject', `/CN=${NAME}`, '-sans', 'dev2.acme.example'),
      'notAuthorized',
      /grant: the credential is not for "dev2/,
    );
    isRefused(await ask('-subject', '/CN=dev2.acme.example'), 'notAuthorized', /csr-names: the common name/);
    isRefused(await ask('-subject', `/CN=${NAME}`, '-path', '.well-known/cmp/p/workload'), 'badRequest', /profile workload is named/);
    isRefused(await ask('-subject', `/CN=${NAME}`, '-days', '9000'), 'notAuthorized', /grant: the credential is for/);
    await lab.openssl('genrsa', '-out', 'weak.key', '1024');
    isRefused(
      await lab.cmp('ir', '-newkey', 'weak.key', '-subject', `/CN=${NAME}`, ...args, '-certout', 'no.pem'),
      'badCertTemplate',
      /key:/,
    );
    assert.equal((await lab.cmp('ir', ...byMac, ...args, '-certout', 'yes.pem')).code, 0, 'refusals take no use of the secret');
  });

  test('refuses a recipient that is not us, a CA that is not ours, and takes our names', async () => {
    const { args } = await lab.secret({ uses: 2 });
    isRefused(
      await lab.cmp('ir', ...byMac, ...args, '-recipient', '/CN=Other', '-certout', 'no.pem'),
      'wrongAuthority',
      /it is for CN=Other/,
    );
    const issuer = lab.authorities.issuing[0]!.certificate.subject.text.replaceAll(',', '/');
    succeeds(await lab.cmp('ir', ...byMac, ...args, '-recipient', `/${issuer}`, '-certout', 'to-us.pem'));
    isRefused(await lab.cmp('ir', ...byMac, ...args, '-issuer', '/CN=Other', '-certout', 'no.pem'), 'wrongAuthority', /CN=Other/);
  });

  test('refuses a broken proof of possession, and one that somebody else vouches for', async () => {
    const { args } = await lab.secret();
    isRefused(await lab.cmp('ir', ...byMac, ...args, '-popo', '-1', '-certout', 'no.pem'), 'badPOP', /proof of possession is none/);
    isRefused(await lab.cmp('ir', ...byMac, ...args, '-popo', '0', '-certout', 'no.pem'), 'badPOP', /proof of possession is ra-verified/);
    isRefused(await lab.cmp('ir', ...byMac, ...args, '-popo', '2', '-certout', 'no.pem'), 'badPOP', /proof of possession is encipherment/);
  });

  test('refuses a message that is sent again, and one of which an octet was changed', async () => {
    const { args } = await lab.secret({ uses: 5 });
    succeeds(await lab.cmp('ir', ...byMac, ...args, '-implicit_confirm', '-reqout', 'sent.der', '-certout', 'once.pem'));
    const post = (octets: Uint8Array) =>
      fetch(`http://127.0.0.1:${lab.port}/pkix/`, { method: 'POST', headers: { 'content-type': 'application/pkixcmp' }, body: octets });
    const replayed = await lab.cmp('ir', ...byMac, ...args, '-implicit_confirm', '-reqin', 'sent.der', '-certout', 'twice.pem');
    isRefused(replayed, 'transactionIdInUse', /was answered before/);
    const sent = new Uint8Array(readFileSync(join(lab.directory, 'sent.der')));
    const issued = lab.ca.entriesOf('certificate.issued').length;
    assert.equal((await post(sent)).status, 200);
    assert.match(lab.refusals().join(), /transactionIdInUse: Cannot answer: the message was answered before/);
    const at = Buffer.from(sent).indexOf(NAME);
    sent[at] = 'x'.charCodeAt(0);
    assert.equal((await post(sent)).status, 200);
    assert.match(lab.refusals().join(), /badMessageCheck/);
    assert.equal(lab.ca.entriesOf('certificate.issued').length, issued);
    lab.clock.advance(6 * MINUTE_MS);
    writeFileSync(join(lab.directory, 'old.der'), readFileSync(join(lab.directory, 'sent.der')));
    await post(new Uint8Array(readFileSync(join(lab.directory, 'old.der'))));
    assert.match(lab.refusals().join(), /badTime|notAuthorized/);
    lab.clock.advance(-6 * MINUTE_MS);
  });

  test('refuses signatures by foreign, revoked and ended certificates, of the control plane and by another key', async () => {
    await lab.openssl(
      'x509',
      '-req',
      '-in',
      'a.csr',
      '-CA',
      'other-ca.pem',
      '-CAkey',
      'b.key',
      '-CAcreateserial',
      '-days',
      '9',
      '-out',
      'foreign.pem',
    );
    const by = (cert: string, key: string) => lab.cmp('kur', ...signed(cert, key), '-newkey', 'c.key', '-certout', 'no.pem');
    isRefused(await by('foreign.pem', 'a.key'), 'signerNotTrusted', /no certificate of ours/);
    await enrol('gone.pem');
    succeeds(await lab.cmp('rr', ...signed('gone.pem', 'a.key'), '-oldcert', 'gone.pem'));
    isRefused(await by('gone.pem', 'a.key'), 'certRevoked', /is revoked/);
    const csr = parseCertificateRequest(decodePem(readFileSync(join(lab.directory, 'a.csr'), 'utf8'), 'CERTIFICATE REQUEST')[0]!);
    const order = { csr, names: { dns: [NAME], ip: [] }, spiffeId: null, proxyId: null, ...place, lifetimeMs: 10_000 } as const;
    const asker = { role: 'operator', scope: '*', spiffeId: null } as const;
    const short = await issueCertificate(
      lab.ca,
      { ...order, door: 'rest', profile: 'server', asker, actor: { kind: 'machine', name: 'test' } },
      lab.clock.now() - 60_000,
    );
    writeFileSync(join(lab.directory, 'short.pem'), encodePem('CERTIFICATE', short.der));
    // It has no key identifier, so the client needs another word for who it is.
    isRefused(
      await lab.cmp('kur', ...signed('short.pem', 'a.key'), '-ref', 'x', '-newkey', 'c.key', '-certout', 'no.pem'),
      'signerNotTrusted',
      /not valid now/,
    );
  });

  test('a device that does not take its certificate has it revoked, and so has one that says nothing in time', async () => {
    const { args } = await lab.secret({ uses: 2 });
    const rejects = await lab.cmp('ir', ...byMac, ...args, '-out_trusted', 'other-ca.pem', '-certout', 'rejected.pem');
    assert.notEqual(rejects.code, 0, rejects.output);
    const revoked = lab.ca.entriesOf('certificate.revoked').at(-1);
    assert.equal(revoked?.data['reason'], 'cessationOfOperation');
    assert.equal(revoked?.data['serial'], lab.ca.entriesOf('certificate.issued').at(-1)?.data['serial']);
    succeeds(await lab.cmp('ir', ...byMac, ...args, '-disable_confirm', '-certout', 'silent.pem'));
    const deps = { database: lab.ca.database, authorityChanged: lab.ca.changed };
    await reconcileCmp(deps, lab.clock.now() + 9 * MINUTE_MS);
    assert.equal(await isRevoked('silent.pem'), null, 'there is time still');
    await reconcileCmp(deps, lab.clock.now() + 11 * MINUTE_MS);
    assert.equal(await isRevoked('silent.pem'), 'cessationOfOperation');
    assert.equal(lab.ca.entriesOf('certificate.unconfirmed').at(-1)?.data['serial'], read('silent.pem').serialHex);
  });
});

/** Protected by the signature of this certificate. */
function signed(cert: string, key: string): readonly string[] {
  return ['-cert', cert, '-key', key, '-trusted', 'root.pem'];
}
