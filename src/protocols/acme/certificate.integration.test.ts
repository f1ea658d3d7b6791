import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AcmeClient, makeAcmeClient, newKey } from '../../../test/support/acme-client.ts';
import { obtain, proveAll } from '../../../test/support/acme-flow.ts';
import { type AcmeLab, openAcmeLab } from '../../../test/support/acme-lab.ts';
import { joinRequest } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { isKeyCompromised } from '../../control/ca/certificate-store.ts';
import { issueCertificate } from '../../control/ca/issue-certificate.ts';
import { DAY_MS } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { decodePem } from '../../core/x509/pem.ts';

const URN = 'urn:ietf:params:acme:error:';

async function client(lab: AcmeLab): Promise<AcmeClient> {
  const made = await makeAcmeClient(lab.base, lab.rootFile);
  await made.register();
  return made;
}

async function leafOf(owner: AcmeClient, order: { readonly json: any }): Promise<Certificate> {
  const chain = await owner.post(order.json.certificate, null);
  return parseCertificate(decodePem(chain.text, 'CERTIFICATE')[0]!);
}

const text = (der: Uint8Array): string => Buffer.from(der).toString('base64url');
const ariId = ({ authorityKeyId, serial }: Certificate): string => `${text(Buffer.from(authorityKeyId!, 'hex'))}.${text(serial)}`;

forEachDatabase('ACME certificates', (newUrl) => {
  test('a certificate is revoked by its account, by one that proved all names, and by nobody else', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const [owner, heir, stranger] = [await client(lab), await client(lab), await client(lab)];
    const url = owner.at('revoke-cert');
    const first = await leafOf(owner, await obtain(lab, owner, ['a.localhost', 'b.localhost']));
    const cases: readonly (readonly [string, unknown, string])[] = [
      ['nothing', {}, 'malformed'],
      ['no base64url', { certificate: 'a+b' }, 'malformed'],
      ['no certificate', { certificate: 'AAAA' }, 'malformed'],
      ['a certificate with an octet more', { certificate: `${text(first.der)}AA` }, 'malformed'],
      ['a certificate that was altered', { certificate: text(Buffer.from(first.der).fill(1, first.der.length - 4)) }, 'malformed'],
      ['the root', { certificate: text(lab.ca.authorities.roots[0]!.der) }, 'malformed'],
      ['the authority', { certificate: text(lab.ca.authorities.issuing[0]!.certificate.der) }, 'malformed'],
      ['a reason that is a word', { certificate: text(first.der), reason: 'keyCompromise' }, 'malformed'],
      ['reason 7', { certificate: text(first.der), reason: 7 }, 'badRevocationReason'],
      ['a hold', { certificate: text(first.der), reason: 6 }, 'badRevocationReason'],
      ["the authority's compromise", { certificate: text(first.der), reason: 2 }, 'badRevocationReason'],
    ];
    for (const [name, payload, type] of cases) assert.equal((await owner.post(url, payload)).json.type, `${URN}${type}`, name);
    const certificate = text(first.der);
    assert.equal((await stranger.post(url, { certificate })).json.type, `${URN}unauthorized`);
    await proveAll(lab, heir, await heir.order(['a.localhost']));
    assert.equal((await heir.post(url, { certificate })).json.type, `${URN}unauthorized`, 'one name of two');
    const proof = await heir.order(['b.localhost']);
    await proveAll(lab, heir, proof);
    assert.equal((await heir.post(url, { certificate, reason: 4 })).status, 200, 'all names');
    assert.equal((await owner.post(url, { certificate })).json.type, `${URN}alreadyRevoked`);
    const second = await leafOf(owner, await obtain(lab, owner, ['a.localhost', 'b.localhost']));
    assert.equal((await owner.post(url, { certificate: text(second.der) })).status, 200);
    assert.deepEqual(
      lab.ca.entriesOf('certificate.revoked').map(({ data }) => data['reason']),
      ['superseded', 'unspecified'],
    );
  });

  test('an ACME account cannot revoke what carries an identity', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const owner = await client(lab);
    const workload = await issueCertificate(lab.ca, joinRequest({ names: { dns: ['a.localhost'], ip: [] } }), lab.clock.now());
    await proveAll(lab, owner, await owner.order(['a.localhost']));
    assert.equal((await owner.post(owner.at('revoke-cert'), { certificate: text(workload.der) })).json.type, `${URN}unauthorized`);
  });

  test('whoever holds the certificate’s key revokes it as compromised, and the key is certified never again', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const owner = await client(lab);
    const [key, url] = [newKey(), owner.at('revoke-cert')];
    const leaf = await leafOf(owner, await obtain(lab, owner, ['a.localhost'], { key }));
    const certificate = text(leaf.der);
    assert.equal((await owner.post(url, { certificate }, { key: newKey() })).json.type, `${URN}unauthorized`);
    assert.equal((await owner.post(url, { certificate, reason: 4 }, { key })).status, 200);
    assert.equal(lab.ca.entriesOf('certificate.revoked')[0]!.data['reason'], 'keyCompromise');
    assert.equal(await isKeyCompromised(lab.ca.database.queries, leaf.spkiSha256), true);
    assert.equal((await owner.post(url, { certificate }, { key })).json.type, `${URN}alreadyRevoked`);
    const order = await owner.order(['a.localhost']);
    const reply = await owner.post(order.json.finalize, { csr: owner.csr({ dnsNames: ['a.localhost'] }, key) });
    assert.deepEqual([reply.status, reply.json.type], [400, `${URN}badCSR`], reply.text);
    assert.equal((await owner.post(String(order.headers['location']), null)).json.status, 'ready');
    const other = await obtain(lab, owner, ['b.localhost']);
    const weaker = await leafOf(owner, other);
    assert.equal((await owner.post(url, { certificate: text(weaker.der), reason: 4 })).status, 200);
  });

  test('ARI tells when, to everybody; a revoked certificate is due at once', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const owner = await client(lab);
    const leaf = await leafOf(owner, await obtain(lab, owner, ['a.localhost']));
    const at = (id: string): string => owner.at(`renewal-info/${id}`);
    const info = await owner.send('GET', at(ariId(leaf)), null);
    assert.equal(info.status, 200);
    const [start, end] = [Date.parse(info.json.suggestedWindow.start), Date.parse(info.json.suggestedWindow.end)];
    assert.equal(leaf.notBefore < start && start < end && end < leaf.notAfter, true);
    assert.match(String(info.headers['retry-after']), /^[1-9]\d*$/);
    assert.match(String(info.headers['cache-control']), /^public, max-age=/);
    const [key, serial] = ariId(leaf).split('.');
    for (const id of [
      '',
      'x',
      `${key}`,
      `${key}.`,
      `.${serial}`,
      `${key}.${serial}.`,
      `${key}.${serial}=`,
      `${key}=.${serial}`,
      `${key}/${serial}`,
    ]) {
      assert.equal((await owner.send('GET', at(id), null)).status >= 400, true, id);
    }
    assert.equal((await owner.send('GET', at(`${key}.AAAA`), null)).status, 404);
    assert.equal((await owner.send('POST', at(ariId(leaf)), '{}')).status, 405);
    await owner.post(owner.at('revoke-cert'), { certificate: text(leaf.der) });
    const due = await owner.send('GET', at(ariId(leaf)), null);
    assert.equal(Date.parse(due.json.suggestedWindow.end) < lab.clock.now(), true);
  });

  test('an order that replaces is one of the same account, for a name of both, once, and exempt from limits', async () => {
    const limits = {
      accountsPerAddress: { burst: 100, periodMs: DAY_MS },
      ordersPerAccount: { burst: 3, periodMs: DAY_MS },
      ordersPerName: { burst: 3, periodMs: DAY_MS },
    };
    await using lab = await openAcmeLab(await newUrl(), { acme: { limits } });
    const [owner, other] = [await client(lab), await client(lab)];
    const replaces = ariId(await leafOf(owner, await obtain(lab, owner, ['a.localhost'])));
    assert.equal((await other.order(['a.localhost'], { replaces })).status, 400, 'another account');
    assert.equal((await owner.order(['b.localhost'], { replaces })).status, 400, 'no name in common');
    const [key, serial] = replaces.split('.');
    assert.equal(
      (await owner.order(['a.localhost'], { replaces: `${text(Buffer.from('another key'))}.${serial}` })).status,
      400,
      'another authority',
    );
    assert.equal((await owner.order(['a.localhost'], { replaces: `${key}.${serial}.` })).status, 400);
    for (const name of ['x', 'y']) assert.equal((await owner.order([`${name}.localhost`])).status, 201);
    assert.equal((await owner.order(['a.localhost'])).status, 429);
    const rivals = await Promise.all([1, 2].map(() => owner.order(['a.localhost'], { replaces })));
    assert.deepEqual(rivals.map(({ status }) => status).toSorted(), [201, 409], 'two at once');
    assert.equal(rivals.find(({ status }) => status === 409)!.json.type, `${URN}alreadyReplaced`);
    assert.equal(rivals.find(({ status }) => status === 201)!.json.replaces, replaces);
    lab.clock.advance(8 * DAY_MS);
    owner.nonces.splice(0);
    assert.equal((await owner.order(['a.localhost'], { replaces })).status, 201, 'an order that came to nothing replaced nothing');
  });
});
