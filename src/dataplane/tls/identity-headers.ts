import { createHash } from 'node:crypto';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { ProvedIdentity } from './peer.ts';

/**
 * The header fields that tell the service who its proved caller is, as flat name-value pairs: `X-Forwarded-Client-Cert` in
 * Envoy's form, `Client-Cert` and `Client-Cert-Chain` of RFC 9440. Only the proxy sets them; copies that arrive are stripped.
 */
export function identityHeadersOf(identity: ProvedIdentity, receiver: SpiffeId): readonly string[] {
  const known = made.get(identity);
  if (known?.receiver === receiver) return known.headers;
  const headers = makeHeaders(identity, receiver);
  made.set(identity, { receiver, headers });
  return headers;
}

function makeHeaders({ spiffeId, path }: ProvedIdentity, receiver: SpiffeId): readonly string[] {
  const [leaf, ...rest] = path;
  if (leaf === undefined) return [];
  const hash = createHash('sha256').update(leaf).digest('hex');
  const headers = ['X-Forwarded-Client-Cert', `By=${receiver};Hash=${hash};URI=${spiffeId}`, 'Client-Cert', byteSequence(leaf)];
  const octets = rest.reduce((sum, { length }) => sum + length, 0);
  if (rest.length > 0 && octets <= MAXIMUM_CHAIN_OCTETS) headers.push('Client-Cert-Chain', rest.map(byteSequence).join(', '));
  return headers;
}

/** RFC 8941 section 3.3.5. */
function byteSequence(der: Uint8Array): string {
  return `:${Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64')}:`;
}

/** Half of the head that a service takes by default (16 kB); a longer chain is left out, and its leaf is told alone. */
const MAXIMUM_CHAIN_OCTETS = 6_144;

/** All connections of one certificate share them: they are some kilobytes of text. */
const made = new WeakMap<ProvedIdentity, { readonly receiver: SpiffeId; readonly headers: readonly string[] }>();
