import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { startTokenIssuer } from '../../../test/support/token-issuer.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';

const page = readFileSync(new URL('../../../docs/how-to/certificates-in-a-pipeline.md', import.meta.url), 'utf8');
const declared = [...page.matchAll(/^```yaml\n(issuer:[\s\S]*?)^```$/gm)].map(([, text]) => parse(text!) as Declared);
type Declared = { readonly issuer: string; readonly audience: string; readonly rules: readonly object[] };

/** What each platform says of a job or workload, by its documents, and what of it makes another. */
const platforms: readonly Platform[] = [
  {
    issuer: 'https://token.actions.githubusercontent.com',
    claims: {
      sub: 'repo:acme/orders:ref:refs/heads/main',
      repository: 'acme/orders',
      repository_owner: 'acme',
      repository_visibility: 'private',
      ref: 'refs/heads/main',
      ref_type: 'branch',
      job_workflow_ref: 'acme/workflows/.github/workflows/deploy.yml@refs/heads/main',
      event_name: 'push',
      runner_environment: 'github-hosted',
    },
    asks: { profile: 'server', dnsNames: ['orders.acme.example'] },
    others: [
      { repository: 'evil/orders' },
      { repository: 'acme/orders2' },
      { ref: 'refs/heads/main2' },
      { ref: 'refs/pull/7/merge' },
      { job_workflow_ref: 'evil/workflows/.github/workflows/deploy.yml@refs/heads/main' },
      { job_workflow_ref: 'acme/workflows/.github/workflows/deploy.yml@refs/heads/other' },
      { job_workflow_ref: undefined },
    ],
    beyond: { dnsNames: ['payments.acme.example'] },
  },
  {
    issuer: 'https://gitlab.com',
    claims: {
      sub: 'project_path:acme/orders:ref_type:branch:ref:main',
      namespace_path: 'acme',
      project_path: 'acme/orders',
      ref: 'main',
      ref_type: 'branch',
      ref_protected: 'true',
      pipeline_source: 'push',
      user_login: 'ada',
    },
    asks: { profile: 'server', dnsNames: ['orders.acme.example'] },
    others: [{ namespace_path: 'acme/sub' }, { namespace_path: 'evil' }, { ref_protected: 'false' }, { ref_protected: undefined }],
    beyond: { dnsNames: ['payments.acme.example'] },
  },
  {
    issuer: 'https://kubernetes.default.svc.cluster.local',
    claims: {
      sub: 'system:serviceaccount:shop:orders',
      'kubernetes.io': { namespace: 'shop', pod: { name: 'orders-1', uid: 'a' }, serviceaccount: { name: 'orders', uid: 'b' } },
    },
    asks: { profile: 'workload', spiffeId: 'spiffe://acme.example/test/orders' },
    others: [
      { 'kubernetes.io': { namespace: 'other', serviceaccount: { name: 'orders', uid: 'b' } } },
      { 'kubernetes.io': undefined },
      { 'kubernetes.io': undefined, 'kubernetes.io.namespace': 'other' },
      { 'kubernetes.io': { namespace: 'shop', serviceaccount: { name: '../countersign/control-plane', uid: 'b' } } },
    ],
    beyond: { spiffeId: 'spiffe://acme.example/test/payments' },
  },
];
type Platform = {
  readonly issuer: string;
  readonly claims: { readonly [claim: string]: unknown };
  readonly asks: object;
  readonly others: readonly { readonly [claim: string]: unknown }[];
  readonly beyond: object;
};

forEachDatabase('the platforms of the page, each with its own claims and a live key set', (newUrl) => {
  test('the page has rules for each', () => {
    assert.deepEqual(
      declared.map(({ issuer }) => issuer),
      platforms.map(({ issuer }) => issuer),
    );
  });

  for (const platform of platforms) {
    test(`${platform.issuer}: its own job is served, and every other one is not`, async () => {
      await using issuer = await startTokenIssuer();
      await using api = await openAdminApi(await newUrl());
      const spec = { ...declared.find((one) => one.issuer === platform.issuer)!, issuer: issuer.issuer, anchorsPem: issuer.anchorsPem };
      const admin = await api.tokenOf('admin');
      const set = await api.call({ method: 'POST', path: '/v1/identity-providers', token: admin, body: { name: 'platform', spec } });
      assert.equal(set.status, 201, set.text);
      const now = Math.floor(api.clock.now() / 1000);
      const sign = (change: object = {}) =>
        issuer.sign({
          iss: issuer.issuer,
          aud: spec.audience,
          iat: now,
          nbf: now,
          exp: now + 600,
          jti: String(Math.random()),
          ...platform.claims,
          ...change,
        });
      const ask = (token: string, change: object = {}) => {
        const csr = buildCertificateRequest({}, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
        const body = { ...platform.asks, csr: Buffer.from(csr).toString('base64'), ...change };
        return api.call({ method: 'POST', path: '/v1/certificates', token, body });
      };
      const issued = await ask(await sign());
      assert.equal(issued.status, 201, issued.text);
      for (const other of platform.others) assert.equal((await ask(await sign(other))).status, 401, JSON.stringify(other));
      assert.equal((await ask(await sign(), platform.beyond)).status, 403, 'its own job, for another name');
      assert.equal((await ask(await sign({ aud: 'https://kubernetes.default.svc' }))).status, 401, "the platform's own audience");
    });
  }
});
