import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createServer } from 'node:tls';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { openStateDirectory } from '../../platform/keystore/state-directory.ts';
import { makeTestAuthority, type TestAuthority } from '../../../test/support/test-authority.ts';
import { CONTROL_PLANE, START, TRUST_DOMAIN } from '../../../test/support/test-control-plane.ts';
import { ACCEPTED, type LinkStatus } from './link-handlers.ts';
import { joinControlPlane } from './join-control-plane.ts';
import { openLink } from './open-link.ts';

const authority = makeTestAuthority(START);
const foreign = makeTestAuthority(START, 'Foreign');
const clock = new ManualClock(START);
const ORDERS = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/orders`);

type Impostor = {
  readonly chain: readonly Uint8Array[];
  readonly key: Parameters<typeof createServer>[0] extends infer O ? (O extends { key?: infer K } ? K : never) : never;
  readonly alpn: string[];
};

function impostor(
  by: TestAuthority,
  leaf: Parameters<TestAuthority['issue']>[0],
  more: { readonly append?: readonly Uint8Array[]; readonly alpn?: string[]; readonly bare?: boolean } = {},
): Impostor {
  const credential = by.issue(leaf);
  const chain = more.bare === true ? credential.chain : credential.fullChain;
  return {
    chain: [...chain, ...(more.append ?? [])],
    key: credential.key.export({ type: 'pkcs8', format: 'pem' }),
    alpn: more.alpn ?? ['h2'],
  };
}

/** A TLS server that shows this chain and counts every octet of application data that reaches it. */
async function listenAs({ chain, key, alpn }: Impostor) {
  const seen = { connections: 0, octets: 0 };
  const server = createServer({
    cert: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    key,
    ALPNProtocols: alpn,
    requestCert: true,
    rejectUnauthorized: false,
  });
  const closed: Promise<unknown>[] = [];
  const first = Promise.withResolvers<void>();
  server.on('secureConnection', (socket) => {
    seen.connections += 1;
    socket.on('data', (octets) => {
      seen.octets += octets.length;
      first.resolve();
    });
    socket.on('error', () => {});
    closed.push(once(socket, 'close').catch(() => {}));
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    control: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    application: first.promise,
    /** What was seen, once every connection is closed. */
    async verdict() {
      await Promise.all(closed);
      return seen;
    },
    [Symbol.asyncDispose]: async () => void (await new Promise((resolve) => server.close(resolve))),
  };
}

const freshState = async () => openStateDirectory(await mkdtemp(join(tmpdir(), 'countersign-state-')));
const token = (rootSpkiSha256 = authority.root.spkiSha256) => ({
  tokenId: newEntityId('token', START),
  secret: new Secret(randomBytes(32).toString('base64url')),
  rootSpkiSha256,
  controlPlane: CONTROL_PLANE,
});

const impostors: { readonly [what: string]: () => Impostor } = {
  'another certificate of our own CA': () => impostor(authority, { uris: [ORDERS] }),
  'the right name from another CA': () => impostor(foreign, { uris: [CONTROL_PLANE] }),
  'the right name from another CA, with our root behind it': () =>
    impostor(foreign, { uris: [CONTROL_PLANE] }, { append: [authority.issuing.der, authority.root.der] }),
  'the right name and a second one': () => impostor(authority, { uris: [CONTROL_PLANE, ORDERS] }),
  'the control plane of another environment': () =>
    impostor(authority, { uris: [`spiffe://${TRUST_DOMAIN}/staging/countersign/control-plane`] }),
  'a name that only starts right': () => impostor(authority, { uris: [`${CONTROL_PLANE}-2`] }),
  'no name': () => impostor(authority, { uris: [], ips: ['127.0.0.1'] }),
  'a certificate for clients only': () => impostor(authority, { uris: [CONTROL_PLANE], usages: ['client'] }),
  'an expired certificate': () => impostor(authority, { uris: [CONTROL_PLANE], notBefore: START - DAY_MS, notAfter: START - HOUR_MS }),
  'a certificate that is not valid yet': () => impostor(authority, { uris: [CONTROL_PLANE], notBefore: START + HOUR_MS }),
  'another protocol than HTTP/2': () => impostor(authority, { uris: [CONTROL_PLANE] }, { alpn: ['http/1.1'] }),
};

describe('a join sends nothing to', () => {
  for (const [what, make] of Object.entries(impostors)) {
    test(what, async () => {
      await using server = await listenAs(make());
      const state = await freshState();
      const joining = joinControlPlane({ state, control: server.control, token: token(), clock });
      await assert.rejects(joining, ({ code, message }: { code: string; message: string }) => {
        assert.ok(['control-plane-unverified', 'control-plane-unreachable'].includes(code), code);
        assert.doesNotMatch(message, /csjoin1/);
        return true;
      });
      assert.equal((await server.verdict()).octets, 0);
      assert.equal(await state.readIdentity(), null);
    });
  }

  test('a server whose root is not the one that the token pins', async () => {
    await using server = await listenAs(impostor(authority, { uris: [CONTROL_PLANE] }));
    const joining = joinControlPlane({ state: await freshState(), control: server.control, token: token(foreign.root.spkiSha256), clock });
    await assert.rejects(joining, { code: 'control-plane-unverified' });
    assert.equal((await server.verdict()).octets, 0);
  });

  test('a server that does not send its root', async () => {
    await using server = await listenAs(impostor(authority, { uris: [CONTROL_PLANE] }, { bare: true }));
    await assert.rejects(joinControlPlane({ state: await freshState(), control: server.control, token: token(), clock }), {
      code: 'control-plane-unverified',
    });
    assert.equal((await server.verdict()).octets, 0);
  });

  test('a server that speaks no TLS: it sees a ClientHello and no token', async () => {
    const received: Buffer[] = [];
    const server = createTcpServer((socket) => {
      socket.on('data', (octets: Buffer) => {
        received.push(octets);
        socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
      });
      socket.on('error', () => {});
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const offered = token();
    const control = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
    await assert.rejects(joinControlPlane({ state: await freshState(), control, token: offered, clock }), {
      code: 'control-plane-unreachable',
    });
    assert.ok(!Buffer.concat(received).toString('latin1').includes(offered.secret.reveal()));
    server.close();
  });
});

test('the measure works: a server that is the control plane does see the token', async () => {
  await using server = await listenAs(impostor(authority, { uris: [CONTROL_PLANE] }));
  const stop = new AbortController();
  const joining = joinControlPlane({ state: await freshState(), control: server.control, token: token(), clock, signal: stop.signal });
  joining.catch(() => {});
  await server.application;
  stop.abort();
  await assert.rejects(joining);
  assert.ok((await server.verdict()).octets > 0);
});

describe('a link sends nothing to', () => {
  const cases = { ...impostors, 'a control plane whose certificate is revoked': () => impostor(authority, { uris: [CONTROL_PLANE] }) };
  for (const [what, make] of Object.entries(cases)) {
    test(what, async () => {
      const shown = make();
      await using server = await listenAs(shown);
      const state = await freshState();
      const { key: privateKey, chain } = authority.issue({ uris: [ORDERS] });
      const proxyId = newEntityId('proxy', START);
      await state.writeIdentity({
        proxyId,
        spiffeId: ORDERS,
        controlPlane: CONTROL_PLANE,
        privateKey,
        chain,
        roots: [authority.root.der],
        renewalEpoch: null,
      });
      if (what.endsWith('is revoked')) {
        const { parseCertificate } = await import('../../core/x509/certificate.ts');
        const { serial } = parseCertificate(shown.chain[0]!);
        const issuerKeySha256 = Buffer.from(authority.issuing.spkiSha256, 'hex');
        const certificates = [
          { $typeName: 'countersign.v1.RevokedCertificate' as const, forDrill: false, subject: new Uint8Array(), issuerKeySha256, serial },
        ];
        await state.writeRevokedSet({ $typeName: 'countersign.v1.RevokedSet', sequence: 1n, certificates, suspendedSpiffeIds: [] });
      }
      const offline = Promise.withResolvers<Extract<LinkStatus, { kind: 'offline' }>>();
      const link = await openLink({
        state,
        control: server.control,
        handlers: {
          onTrustBundle: async () => ACCEPTED,
          onRevokedSet: async () => ACCEPTED,
          onSettings: async () => ACCEPTED,
          onIdentity: async () => {},
          onStatus: (status) => status.kind === 'offline' && offline.resolve(status),
        },
        clock,
        log: () => {},
      });
      link.report({ generation: 1n });
      const { problem } = await offline.promise;
      assert.ok(['control-plane-unverified', 'control-plane-unreachable'].includes(problem), problem);
      await link[Symbol.asyncDispose]();
      assert.equal((await server.verdict()).octets, 0);
    });
  }
});
