import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { type EntityId, isEntityId } from '../../core/ids/entity-id.ts';
import { parseSpiffeId, type SpiffeId } from '../../core/identity/spiffe-id.ts';

/** A data plane's own name, key and certificate; one file, because a key without its chain is of no use. */
export type StoredIdentity = {
  readonly proxyId: EntityId<'proxy'>;
  readonly spiffeId: SpiffeId;
  /** The control plane that this data plane takes orders from, by its exact ID. */
  readonly controlPlane: SpiffeId;
  readonly privateKey: KeyObject;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** The roots that came with the join, DER; the trust bundle takes over as soon as there is one. */
  readonly roots: readonly Uint8Array[];
  /** The epoch of CertificateCadence that this certificate answers; null until the first settings say one. */
  readonly renewalEpoch: bigint | null;
};

export function encodeIdentity(identity: StoredIdentity): Uint8Array {
  const body = {
    proxyId: identity.proxyId,
    spiffeId: identity.spiffeId,
    controlPlane: identity.controlPlane,
    renewalEpoch: identity.renewalEpoch === null ? null : identity.renewalEpoch.toString(),
    chain: identity.chain.map((der) => Buffer.from(der).toString('base64')),
    roots: identity.roots.map((der) => Buffer.from(der).toString('base64')),
    privateKey: Buffer.from(encodePrivateKey(identity.privateKey)).toString('base64'),
  };
  return Buffer.from(JSON.stringify(body));
}

/** @throws TypeError or a parser's error; the caller says which file it was */
export function decodeIdentity(content: Uint8Array): StoredIdentity {
  const body = JSON.parse(Buffer.from(content).toString()) as Record<string, unknown>;
  const { proxyId, renewalEpoch } = body;
  const privateKey = decodePrivateKey(Buffer.from(text(body['privateKey']), 'base64'));
  const chain = octetLists(body['chain']);
  if (typeof proxyId !== 'string' || !isEntityId('proxy', proxyId) || chain[0] === undefined)
    throw new TypeError('no proxy id or no chain');
  if (!new X509Certificate(chain[0]).publicKey.equals(createPublicKey(privateKey)))
    throw new TypeError('the key is not that of the certificate');
  return {
    proxyId,
    spiffeId: parseSpiffeId(text(body['spiffeId'])),
    controlPlane: parseSpiffeId(text(body['controlPlane'])),
    privateKey,
    chain,
    roots: octetLists(body['roots']),
    renewalEpoch: renewalEpoch === null ? null : BigInt(text(renewalEpoch)),
  };
}

export function encodePrivateKey(key: KeyObject): Uint8Array {
  return key.export({ type: 'pkcs8', format: 'der' });
}

export function decodePrivateKey(content: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(content), type: 'pkcs8', format: 'der' });
}

function octetLists(value: unknown): Uint8Array[] {
  if (!Array.isArray(value)) throw new TypeError('not a list');
  return value.map((item) => new Uint8Array(Buffer.from(text(item), 'base64')));
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('not text');
  return value;
}
