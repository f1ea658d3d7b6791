import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { type AdminApi, openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { findCertificatesBySerial } from '../../control/ca/certificate-store.ts';
import { findForeignRevocation, updateForeignRevocation } from '../../control/external/foreign-revocation-store.ts';
import { recordForeignCertificate } from '../../control/external/record-certificate.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { DAY_MS, SECOND_MS } from '../../core/time/instant.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';

const NAME = 'www.acme.test';
type Listed = {
  readonly serial: string;
  readonly revokedAt: number | null;
  readonly revocation?: { readonly status: string; readonly reason: string };
};

/** Two certificates of ours, two of another CA and one that was imported, all for one name. */
async function open(url: string) {
  const api = await openAdminApi(url);
  const [admin, operator] = [await api.tokenOf('admin'), await api.tokenOf('operator')];
  const post = (path: string, body: object, token = operator) => api.call({ method: 'POST', path, token, body });
  const declared = { name: 'public', directoryUrl: 'https://ca.example/directory', challenge: 'http-01', allowedNames: ['*.acme.test'] };
  const { id } = (await post('/v1/external-authorities', declared, admin)).json;
  const issue = async (): Promise<string> => {
    const csr = buildCertificateRequest({}, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
    const body = { profile: 'server', dnsNames: [NAME], csr: Buffer.from(csr).toString('base64') };
    return (await post('/v1/certificates', body)).json.serial as string;
  };
  const ours = [await issue(), await issue()];
  const [first, second, imported] = [await record(api, id), await record(api, id), await record(api, null)];
  return {
    api,
    authorityId: id as EntityId<'authority'>,
    ours,
    theirs: [first, second],
    imported,
    revoke: (body: object, token = operator) => post('/v1/revocations', body, token),
    /** Serial to what the list says of its revocation. */
    async listed(): Promise<ReadonlyMap<string, string>> {
      const { items } = (await api.call({ method: 'GET', path: `/v1/certificates?name=${NAME}`, token: operator })).json;
      return new Map((items as Listed[]).map((item) => [item.serial, stateOf(item)]));
    },
    [Symbol.asyncDispose]: api[Symbol.asyncDispose],
  };
}

function stateOf({ revokedAt, revocation }: Listed): string {
  if (revokedAt !== null) return 'revoked';
  return revocation === undefined ? 'good' : `${revocation.status} ${revocation.reason}`;
}

async function record(
  api: AdminApi,
  authorityId: EntityId<'authority'> | null,
  by?: ReturnType<typeof makeTestAuthority>,
): Promise<string> {
  api.clock.advance(SECOND_MS);
  const now = api.clock.now();
  const stranger = by ?? makeTestAuthority(now, 'Public');
  const { certificate } = stranger.issue({ dnsNames: [NAME], usages: ['server'], notBefore: now, notAfter: now + 90 * DAY_MS });
  const found = { leaf: certificate, issuer: stranger.issuing, chain: [certificate.der], environment: 'test', region: 'local' };
  const door = authorityId === null ? 'import' : 'external';
  const asked = { door, asker: 'release', askerRole: 'ci', profile: 'server', authorityId, endpointId: null } as const;
  await api.database.commit(({ queries }) => recordForeignCertificate(queries, { ...found, ...asked }, now));
  return certificate.serialHex;
}

forEachDatabase('revocation by criteria', (newUrl) => {
  test('revokes ours and asks other CAs for theirs, says so first, and lists what is not carried out yet', async () => {
    await using lab = await open(await newUrl());
    const { api, ours, theirs, imported, revoke, listed } = lab;
    const before = api.entries.length;
    const plan = (await revoke({ name: NAME, dryRun: true })).json;
    assert.deepEqual([plan.count, plan.others.count, plan.others.more, plan.left], [2, 2, false, true]);
    assert.deepEqual(plan.others.items.map(({ serial }: Listed) => serial).toSorted(), theirs.toSorted());
    assert.equal(api.entries.length, before, 'a dry run changes nothing');
    const done = (await revoke({ name: NAME, reason: 'superseded' })).json;
    assert.deepEqual([done.revoked, done.asked, done.left], [2, 2, false]);
    const states = await listed();
    assert.deepEqual(
      [...ours, ...theirs, imported].map((serial) => states.get(serial)),
      ['revoked', 'revoked', 'asked superseded', 'asked superseded', 'good'],
    );
    const again = (await revoke({ name: NAME, reason: 'superseded' })).json;
    assert.deepEqual([again.count, again.others.count, again.revoked, again.asked], [0, 0, 0, 0], 'asked once');
    assert.equal((await revoke({ name: NAME, reason: 'keyCompromise' })).json.asked, 2, 'what is graver is said again');
    const graver = [...(await listed()).values()].filter((state) => state === 'asked keyCompromise');
    const requested = api.entries.filter(({ type }) => type === 'external-revocation.requested');
    assert.deepEqual([graver.length, requested.length], [2, 4], 'each with its own entry');
  });

  test('goes through more than a page, and takes up what is left', async () => {
    await using lab = await open(await newUrl());
    const { api, authorityId, revoke } = lab;
    const stranger = makeTestAuthority(api.clock.now(), 'Big');
    for (let count = 0; count < 118; count++) await record(api, authorityId, stranger);
    const plan = (await revoke({ name: NAME, dryRun: true })).json;
    assert.deepEqual([plan.others.count, plan.others.items.length], [120, 20]);
    const done = (await revoke({ name: NAME })).json;
    assert.deepEqual([done.asked, done.left], [120, false]);
    await record(api, authorityId, stranger);
    assert.deepEqual((await revoke({ name: NAME })).json.asked, 1, 'those before are under way');
  });

  test('what a CA refused is listed as failed, and asked for again', async () => {
    await using lab = await open(await newUrl());
    const { api, theirs, revoke, listed } = lab;
    await revoke({ name: NAME });
    const [held] = await findCertificatesBySerial(api.database.queries, Buffer.from(theirs[0]!, 'hex'));
    await api.database.commit(async ({ queries }) => {
      const asked = (await findForeignRevocation(queries, held!))!;
      await updateForeignRevocation(queries, { ...asked, status: 'failed', detail: 'it said no' }, asked);
    });
    assert.equal((await listed()).get(theirs[0]!), 'failed unspecified');
    assert.equal((await revoke({ name: NAME })).json.asked, 1);
    assert.equal((await listed()).get(theirs[0]!), 'asked unspecified');
  });

  test('leaves out what the criteria, the reason, the token or the end leave out', async () => {
    await using lab = await open(await newUrl());
    const { api, revoke, listed } = lab;
    const others = async (body: object): Promise<number> => (await revoke({ dryRun: true, ...body })).json.others.count as number;
    assert.equal((await revoke({})).status, 400, 'everything is never what was meant');
    assert.equal((await revoke({ name: NAME }, await api.tokenOf('viewer'))).status, 403);
    assert.equal(await others({ name: 'api.acme.test' }), 0);
    assert.equal(await others({ name: NAME, door: 'rest' }), 0);
    assert.equal(await others({ door: 'import' }), 0, 'what others ordered they revoke');
    assert.equal(await others({ door: 'external' }), 2);
    assert.equal(await others({ name: NAME, profile: 'workload' }), 0);
    assert.equal(await others({ name: NAME, until: 1 }), 0);
    const elsewhere = await api.tokenOf('operator', ['staging']);
    assert.equal((await revoke({ name: NAME, dryRun: true }, elsewhere)).json.others.count, 0);
    const compromised = (await revoke({ door: 'external', reason: 'cACompromise' })).json;
    assert.deepEqual([compromised.others.count, compromised.asked], [0, 0], 'no other CA is told that of itself');
    api.clock.advance(91 * DAY_MS);
    assert.equal(await others({ name: NAME }), 0, 'it has ended');
    assert.ok([...(await listed()).values()].every((state) => state === 'good'));
  });
});
