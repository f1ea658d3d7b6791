import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { after, test } from 'node:test';
import { Client, credentials, Metadata, type sendUnaryData, type ServerUnaryCall, status } from '@grpc/grpc-js';
import { SignJWT } from 'jose';
import { Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { echo } from '../../../test/support/grpc-lab.ts';
import { chainPemOf, keyPemOf } from '../../../test/support/proxy-lab.ts';
import { listening, named, openService, serves } from '../../../test/support/sdk-lab.ts';
import type { TestCredential } from '../../../test/support/test-authority.ts';
import { startTestControlPlane } from '../../../test/support/test-control-plane.ts';

const ISSUER = 'https://login.acme.example';
const AUDIENCE = 'https://stock.acme.example';
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const KEY = JSON.stringify({ ...publicKey.export({ format: 'jwk' }), kid: 'first' });

function tokenFor({ certificate }: TestCredential, more: object = {}): Promise<string> {
  const thumbprint = createHash('sha256').update(certificate.der).digest('base64url');
  return new SignJWT({ iss: ISSUER, aud: AUDIENCE, cnf: { 'x5t#S256': thumbprint }, ...more })
    .setProtectedHeader({ alg: 'ES256', kid: 'first' })
    .setExpirationTime('5 min')
    .sign(privateKey);
}

/** A gRPC server of the SDK whose every call needs a token, and a client with a certificate of an allowed caller. */
async function openGuarded(more: { readonly callerRate?: { readonly perSecond: number; readonly burst: number } } = {}) {
  const control = await startTestControlPlane();
  const boundTokens = { issuer: ISSUER, audiences: [AUDIENCE], keys: [KEY] };
  const stock = await openService(control, 'stock', {
    inbound: [serves('stock', 'enforce', { protocol: Protocol.GRPC, boundTokens, ...more })],
  });
  const seen: string[] = [];
  const { server, listener } = stock.countersign.createGrpcServer({ endpoint: 'stock' });
  server.addService(echo, {
    unary(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
      seen.push(call.request.toString());
      answer(null, call.request);
    },
  } as never);
  const port = await listening(listener as never);
  const credential = control.enrol(named('orders'), 'proxy_01j00000000000000000000000' as never);
  const channel = credentials.createSsl(null, Buffer.from(keyPemOf(credential)), Buffer.from(chainPemOf(credential)), {
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  const client = new Client(`127.0.0.1:${port}`, channel, { 'grpc.ssl_target_name_override': 'stock.example' });
  after(() => server.forceShutdown());
  return {
    control,
    credential,
    seen,
    call: (message: string, tokens: readonly string[]) => unary(client, message, tokens),
    async [Symbol.asyncDispose]() {
      client.close();
      await stock[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
    },
  };
}

function unary(client: Client, message: string, tokens: readonly string[]): Promise<string> {
  const metadata = new Metadata();
  for (const token of tokens) metadata.add('authorization', token);
  const { path, requestSerialize, responseDeserialize } = echo.unary;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      Buffer.from(message),
      metadata,
      { deadline: Date.now() + 10_000 },
      (error, value) => (error === null ? resolve(String(value)) : reject(error)),
    );
  });
}

test('a gRPC server of the SDK takes calls with a token of the certificate and refuses others before any handler', async () => {
  await using guarded = await openGuarded();
  const { control, credential, seen, call } = guarded;
  const good = `Bearer ${await tokenFor(credential)}`;
  const stolen = `Bearer ${await tokenFor(control.enrol(named('orders'), 'proxy_01j00000000000000000000000' as never))}`;
  const refused: { readonly [name: string]: readonly string[] } = {
    'no token': [],
    'another scheme': ['Basic YTpi'],
    'two tokens': [`${good}, ${good}`],
    'the token of another certificate': [stolen],
    'a token of another issuer': [`Bearer ${await tokenFor(credential, { iss: `${ISSUER}/` })}`],
    'a token for another audience': [`Bearer ${await tokenFor(credential, { aud: 'https://other.example' })}`],
    'a changed signature': [`${good.slice(0, -8)}AAAAAAAA`],
  };
  for (const [name, tokens] of Object.entries(refused)) {
    await assert.rejects(call(name, tokens), { code: status.UNAUTHENTICATED, details: 'no token that is good here' }, name);
  }
  assert.equal(await call('good', [good]), 'good');
  assert.deepEqual(seen, ['good']);
});

test('a gRPC call beyond the rate of its caller fails with RESOURCE_EXHAUSTED, and no handler hears of it', async () => {
  await using guarded = await openGuarded({ callerRate: { perSecond: 1, burst: 2 } });
  const { credential, seen, call } = guarded;
  const token = `Bearer ${await tokenFor(credential)}`;
  const calls = await Promise.allSettled(['a', 'b', 'c', 'd', 'e'].map((message) => call(message, [token])));
  const refused = calls.filter((one) => one.status === 'rejected').map((one) => (one.reason as { readonly code: number }).code);
  assert.ok(refused.length >= 2, `${refused.length} were refused`);
  assert.ok(refused.every((code) => code === status.RESOURCE_EXHAUSTED));
  assert.equal(seen.length, 5 - refused.length);
});
