import { randomBytes, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { request } from 'node:http';
import { makeChallenge } from '../../src/protocols/scep/challenge.ts';
import { assembleSignedData, buildSignedAttributes } from '../../src/core/cms/build-signed-data.ts';
import { type ContentCipher, parseEnvelopedData } from '../../src/core/cms/enveloped-data.ts';
import { parseSignedData, type SignedData, verifySignedData } from '../../src/core/cms/signed-data.ts';
import type { ProfileName } from '../../src/core/issuance/profile.ts';
import { Secret } from '../../src/core/secrets/secret.ts';
import { HOUR_MS, type Instant } from '../../src/core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../src/core/x509/certificate.ts';
import { DerReader, tags } from '../../src/core/x509/der.ts';
import { octetString, primitive } from '../../src/core/x509/der-writer.ts';
import { oids } from '../../src/core/x509/oid.ts';
import { sealEnvelope } from '../../src/platform/cms/seal-envelope.ts';
import { makeTransportKey } from '../../src/platform/signer/transport-key.ts';
import { createMetrics } from '../../src/platform/telemetry/metrics.ts';
import { serveScep } from '../../src/server/serve-scep.ts';
import { place } from './authorities.ts';
import { openDoorLab } from './door-lab.ts';

export type ScepLab = AsyncDisposable & Awaited<ReturnType<typeof openScepLab>>;

/** The real listener of SCEP over a real CA and database. */
export async function openScepLab(url: string, profiles: { readonly [name: string]: object } = {}, legacyUntil: Instant | null = null) {
  const stack = new AsyncDisposableStack();
  const lab = stack.use(await openDoorLab(url, profiles));
  const { ca, authorities, clock, log } = lab;
  const { database, kek } = ca;
  const scep = { listen: { host: '127.0.0.1', port: 0 }, legacyUntil };
  const server = stack.use(
    await serveScep({ config: place, scep, state: { database, kek }, authorities, clock, log, metrics: createMetrics() }),
  );
  const base = `http://127.0.0.1:${server.port}/scep`;
  return {
    ...lab,
    base,
    /** A challenge for these names, made by a pipeline. */
    challengeFor: async (
      names: readonly string[],
      change: { readonly profile?: string; readonly ttlMs?: number; readonly spiffeId?: string } = {},
    ) => {
      const { principal } = await lab.principalOf('ci');
      const { profile = 'server', spiffeId = null, ttlMs = HOUR_MS } = change;
      const bounds = { profile: profile as ProfileName, spiffeId, dnsNames: names, ipAddresses: [] };
      const maker = { principal, actor: { kind: 'machine', name: principal.name } } as const;
      const { grant, secret } = await makeChallenge({ database, authorities }, { ...place, bounds, ttlMs }, maker, clock.now());
      return { id: grant.id, text: secret.reveal(), principal, grant };
    },
    call: (query: string, options: { readonly method?: string; readonly body?: Uint8Array } = {}) => send(`${base}?${query}`, options),
    post: (body: Uint8Array) => send(`${base}?operation=PKIOperation`, { method: 'POST', body }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export type ScepReply = { readonly status: number; readonly type: string; readonly body: Buffer };

function send(url: string, { method = 'GET', body }: { readonly method?: string; readonly body?: Uint8Array }): Promise<ScepReply> {
  const { promise, resolve, reject } = Promise.withResolvers<ScepReply>();
  const asked = request(url, { method, agent: false }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('end', () =>
      resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', body: Buffer.concat(chunks) }),
    );
    response.on('error', reject);
  });
  asked.on('error', reject);
  asked.end(body);
  return promise;
}

/** Who asks: an RSA key, and the certificate that it signs with. */
export type ScepClient = { readonly key: KeyObject; readonly certificate: Certificate };

export type ScepOrder = {
  readonly type: '17' | '19' | '20' | '21' | (string & {});
  readonly content: Uint8Array;
  readonly recipient: Certificate;
  readonly cipher?: ContentCipher;
  readonly transactionId?: string;
  /** In the place of what would be sealed. */
  readonly sealed?: Uint8Array;
};

/** A pkiMessage of a client. */
export function makeMessage(
  { key, certificate }: ScepClient,
  { type, content, recipient, cipher = 'aes-128-cbc', transactionId = 'one', sealed }: ScepOrder,
): Uint8Array {
  const envelope = sealed ?? sealEnvelope(content, recipient, cipher);
  const attributes = buildSignedAttributes(envelope, [
    { type: oids.scepMessageType, value: printable(type) },
    { type: oids.scepTransactionId, value: printable(transactionId) },
    { type: oids.scepSenderNonce, value: octetString(randomBytes(16)) },
  ]);
  return assembleSignedData({ content: envelope, signer: certificate, attributes, signature: sign('sha256', attributes, key) });
}

const printable = (value: string) => primitive(tags.printableString, value);

/** What a CertRep says, once its signature was verified: its status, why it failed, and the certificates it holds for who asked. */
export function readAnswer({ key }: ScepClient, authority: Certificate, body: Uint8Array) {
  const signed = parseSignedData(body);
  if (!verifySignedData(signed, createPublicKey({ key: Buffer.from(authority.spki), format: 'der', type: 'spki' })))
    throw new Error('not signed by the RA');
  const status = textOf(signed, oids.scepPkiStatus);
  const failInfo = signed.attributes.has(oids.scepFailInfo) ? textOf(signed, oids.scepFailInfo) : null;
  if (signed.content === null) return { signed, status, failInfo, certificate: null, certsOnly: null, cipher: null };
  const envelope = parseEnvelopedData(signed.content);
  const transport = makeTransportKey(new Secret<Uint8Array>(key.export({ type: 'pkcs8', format: 'der' })));
  const { cipher } = envelope;
  const certsOnly = cipher === null ? null : transport.open({ ...envelope, cipher }, envelope.recipients[0]!.encryptedKey!);
  return { signed, status, failInfo, certsOnly, cipher, certificate: certsOnly === null || isList(certsOnly) ? null : firstOf(certsOnly) };
}

/** True if it carries a certificate list and no certificates. */
function isList(certsOnly: Uint8Array): boolean {
  return setsOf(certsOnly).nextTag === 0xa1;
}

export function textOf({ attributes }: SignedData, type: string): string {
  return Buffer.from(DerReader.over(attributes.get(type)!).content(tags.printableString)).toString('latin1');
}

/** The first certificate of a certs-only message. */
export function firstOf(certsOnly: Uint8Array): Certificate {
  return parseCertificate(setsOf(certsOnly).enter(0xa0).element());
}

/** The first list of a certs-only message without certificates. */
export function listOf(certsOnly: Uint8Array): Uint8Array {
  return setsOf(certsOnly).enter(0xa1).element();
}

/** What follows the inner content: certificates, lists, signers. */
function setsOf(certsOnly: Uint8Array): DerReader {
  const info = DerReader.over(certsOnly).enter(tags.sequence);
  info.element();
  const body = info.enter(0xa0).enter(tags.sequence);
  for (let skipped = 0; skipped < 3; skipped++) body.element();
  return body;
}
